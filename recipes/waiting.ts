// Waiting for a recipe's sake: signals that follow others, patience that ends in two steps, pauses between tries.
import { AbortError, ClientError, type Duration, toMs } from "../sdk/index.ts";
import { WaitTimeoutError } from "./errors.ts";

/** Milliseconds on a clock that never goes back and ignores the wall clock. */
export const monotonicMs = (): number => performance.now();

/** Longest delay that Node's timers take. */
const timerMsMax = 2 ** 31 - 1;

/** A signal that aborts with the first of several others. */
export interface FollowedSignals {
  readonly signal: AbortSignal;
  /** Stops following. Without it a long-lived source would collect listeners for ever. */
  stop(): void;
}

/** Like `AbortSignal.any`, but leaves nothing behind on its sources once stopped. */
export function followSignals(...sources: readonly (AbortSignal | undefined)[]): FollowedSignals {
  const controller = new AbortController();
  const stops: (() => void)[] = [];
  const stop = (): void => {
    for (const undo of stops.splice(0)) undo();
  };
  for (const source of sources) {
    if (source === undefined) continue;
    if (source.aborted) {
      stop();
      controller.abort(source.reason);
      break;
    }
    const onAbort = (): void => {
      stop();
      controller.abort(source.reason);
    };
    source.addEventListener("abort", onAbort, { once: true });
    stops.push(() => source.removeEventListener("abort", onAbort));
  }
  return { signal: controller.signal, stop };
}

/** What `promise` brings, or the reason of `signal` if that aborts first; the promise is then left to itself. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  if (signal.aborted) {
    promise.catch(() => undefined);
    throw signal.reason;
  }
  let onAbort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    promise.catch(() => undefined);
  }
}

/**
 * Resolves after `ms`, or as soon as `signal` aborts. `isRef: false` for work in the background, which must not keep the
 * process alive.
 */
export function sleep(ms: number, signal: AbortSignal | undefined, isRef = true): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, timerMsMax));
    if (!isRef) timer.unref();
    signal?.addEventListener("abort", done, { once: true });
  });
}

const pauseFirstMs = 20;
const pauseMaxMs = 1000;

/** Keeps the process alive until `promise` settles: somebody waits for it, and nothing else might. */
export async function whileWaiting<T>(promise: Promise<T>): Promise<T> {
  const timer = setInterval(() => undefined, timerMsMax);
  try {
    return await promise;
  } finally {
    clearInterval(timer);
  }
}

/** A signal that aborts after `ms`. Unlike `AbortSignal.timeout` it keeps the process alive until it is disposed of. */
export function timeLimit(ms: number): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), Math.min(ms, timerMsMax));
  return { signal: controller.signal, dispose: () => clearTimeout(timer) };
}

/** Milliseconds before try number `attempt` (1 is the first repetition): doubled each time, with jitter. */
export const pauseMs = (attempt: number, maxMs: number = pauseMaxMs): number =>
  Math.min(maxMs, pauseFirstMs * 2 ** Math.min(attempt - 1, 30)) * (0.5 + Math.random() / 2);

/** True when asking again later can succeed: the member is away, overloaded or electing, or the answer was lost. */
export const mayPass = (error: unknown): error is ClientError =>
  error instanceof ClientError &&
  (error.retryable || error.outcome === "unknown" || error.code === "DEADLINE_EXCEEDED" || error.code === "COMPACTED");

/** What every waiting call of a recipe takes. */
export interface WaitOptions {
  /** Gives the waiting up: the call rejects with the SDK's `AbortError` once its queue entry is gone. */
  readonly signal?: AbortSignal | undefined;
  /** Time to wait at most; then the call rejects with {@link WaitTimeoutError}. Default: for ever. */
  readonly wait?: Duration | undefined;
}

/** Time that taking a queue entry out again may take before the call settles with {@link UnconfirmedError}. */
export const settleMs = 3000;

/**
 * How long a caller is ready to wait, in two steps: at `signal` it stops waiting for its turn; what it left on the server
 * is then taken away, and at `settled`, a little later, it stops waiting for that too.
 */
export class Patience {
  readonly #subject: string;
  readonly #waitMs: number;
  readonly #given: AbortSignal | undefined;
  readonly #over = new AbortController();
  readonly #settled = new AbortController();
  readonly #onAbort = (): void => this.#end();
  #timer: NodeJS.Timeout | undefined;
  #isTimeout = false;

  constructor(subject: string, options: WaitOptions) {
    this.#subject = subject;
    this.#given = options.signal;
    this.#waitMs = options.wait === undefined ? Number.POSITIVE_INFINITY : toMs(options.wait, "wait");
    if (options.signal?.aborted) this.#end();
    else options.signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (Number.isFinite(this.#waitMs)) {
      this.#timer = setTimeout(
        () => {
          this.#isTimeout = true;
          this.#end();
        },
        Math.min(this.#waitMs, timerMsMax),
      );
    }
  }

  /** Aborts when the caller does not want to wait any longer. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Aborts when the time for tidying up is over too. */
  get settled(): AbortSignal {
    return this.#settled.signal;
  }

  /** True once the caller itself has given up, as opposed to having run out of time. */
  get isGivenUp(): boolean {
    return this.#given?.aborted ?? false;
  }

  /** What the caller is told once `signal` has aborted. */
  get error(): AbortError | WaitTimeoutError {
    return this.#isTimeout
      ? new WaitTimeoutError(this.#subject, this.#waitMs)
      : new AbortError("given up by the caller", { cause: this.#given?.reason });
  }

  /** Starts the second step without the first: something else ended the waiting and tidying up must not take for ever. */
  end(): void {
    this.#end();
  }

  /** Lets go of the caller's signal and the timers. */
  dispose(): void {
    clearTimeout(this.#timer);
    this.#given?.removeEventListener("abort", this.#onAbort);
  }

  #end(): void {
    if (this.#over.signal.aborted) return;
    this.dispose();
    this.#over.abort(this.error);
    this.#timer = setTimeout(() => this.#settled.abort(this.error), settleMs);
  }
}
