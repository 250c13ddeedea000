// The processes of the story: started, listened to, and ended by their own process ids, however the story ends.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Order, type Report, type ReportOf, shortTtl } from "./messages.ts";

export type Role = "greeter" | "worker" | "candidate";

/** The longest that anybody waits for anybody. */
const patienceMs = 60_000;

/** One process. */
export class Actor {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #reports: Report[] = [];
  readonly #listeners = new Set<() => void>();
  #isGone = false;

  constructor(role: Role, name: string, endpoint: string, ttl: string) {
    this.name = name;
    const program = fileURLToPath(new URL(`./${role}.js`, import.meta.url));
    this.#child = fork(program, [endpoint, name, ttl], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child.on("message", (message) => {
      this.#reports.push(message as Report);
      this.#notify();
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", () => {
        this.#isGone = true;
        this.#notify();
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** How many reports of a kind have come so far. */
  count(kind: Report["kind"]): number {
    return this.#reports.filter((message) => message.kind === kind).length;
  }

  /** The report of a kind with this number, waiting for it if it has not come yet. */
  async hears<K extends Report["kind"]>(kind: K, index = 0): Promise<ReportOf<K>> {
    const find = (): Report | undefined => this.#reports.filter((message) => message.kind === kind)[index];
    const endMs = performance.now() + patienceMs;
    for (;;) {
      const found = find();
      if (found !== undefined) return found as ReportOf<K>;
      if (this.#isGone) throw new Error(`${this.name} ended before it said "${kind}"`);
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw new Error(`${this.name} did not say "${kind}" within ${patienceMs} ms`);
      await this.#news(leftMs);
    }
  }

  tell(order: Order): void {
    this.#child.send(order);
  }

  /** Ends it without a word. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** Stops it from running, as a long pause of the machine does. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** Has it leave as it should; true if it did. */
  async leaves(): Promise<boolean> {
    this.tell({ kind: "leave" });
    await this.hears("left");
    await this.#exited;
    return this.#child.exitCode === 0;
  }

  /** For the process's own end, when nothing can be waited for. */
  killNow(): void {
    if (!this.#isGone) this.#child.kill("SIGKILL");
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #news(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, limitMs);
      this.#listeners.add(done);
    });
  }
}

/** Everybody who was started. */
export class Cast implements AsyncDisposable {
  readonly #endpoint: string;
  readonly #actors: Actor[] = [];
  readonly #killAll = (): void => {
    for (const actor of this.#actors) actor.killNow();
  };

  /** @param endpoint Several with commas between. */
  constructor(endpoint: string) {
    this.#endpoint = endpoint;
    process.on("exit", this.#killAll);
  }

  /** @param ttl Of its leases. Default: as short as the story is told best with. */
  start(role: Role, name: string, ttl: string = shortTtl): Actor {
    const actor = new Actor(role, name, this.#endpoint, ttl);
    this.#actors.push(actor);
    return actor;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#actors.map((actor) => actor.kill()));
    process.removeListener("exit", this.#killAll);
  }
}
