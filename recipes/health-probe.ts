// Asks an instance's own check again and again, and says when its answer has changed for good.
import { type Duration, toMs } from "../sdk/index.ts";
import { followSignals, sleep } from "./waiting.ts";

export interface HealthCheck {
  /** Returns or resolves for "use me", throws or returns `false` for "do not". */
  readonly run: (context: { readonly signal: AbortSignal }) => unknown;
  /** Time between two answers. Default 5 s. */
  readonly interval?: Duration;
  /** Time that one answer may take; later counts as failed. Default 2 s. */
  readonly timeout?: Duration;
  /** Failures in a row after which the instance is taken off the list. Default 2. */
  readonly failuresMax?: number;
}

/** Runs a check until it is closed. `onChange` hears `true` at the first success and whenever the answer turns. */
export class HealthProbe {
  readonly #check: HealthCheck;
  readonly #onChange: (isHealthy: boolean) => void;
  readonly #ending = new AbortController();
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  readonly #failuresMax: number;
  #isHealthy = false;

  constructor(check: HealthCheck, onChange: (isHealthy: boolean) => void) {
    this.#check = check;
    this.#onChange = onChange;
    this.#intervalMs = toMs(check.interval ?? "5s", "check.interval");
    this.#timeoutMs = toMs(check.timeout ?? "2s", "check.timeout");
    this.#failuresMax = check.failuresMax ?? 2;
  }

  start(): void {
    void this.#run();
  }

  close(): void {
    this.#ending.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    for (let failures = 0; !signal.aborted; ) {
      const isPassed = await this.#ask();
      if (signal.aborted) return;
      failures = isPassed ? 0 : failures + 1;
      const isHealthy = isPassed || (this.#isHealthy && failures < this.#failuresMax);
      if (isHealthy !== this.#isHealthy) {
        this.#isHealthy = isHealthy;
        this.#onChange(isHealthy);
      }
      await sleep(this.#intervalMs, signal, false);
    }
  }

  async #ask(): Promise<boolean> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`no answer within ${this.#timeoutMs} ms`)), this.#timeoutMs);
    timer.unref();
    const scope = followSignals(late.signal, this.#ending.signal);
    const over = new Promise<boolean>((resolve) =>
      scope.signal.addEventListener("abort", () => resolve(false), { once: true }),
    );
    const asked = (async () => (await this.#check.run({ signal: scope.signal })) !== false)();
    try {
      return await Promise.race([asked, over]);
    } catch {
      // A check that throws has answered: not healthy. What it threw is the check's own business.
      return false;
    } finally {
      asked.catch(() => undefined);
      clearTimeout(timer);
      scope.stop();
    }
  }
}
