// One member as a user runs it: a process of its own, its data directory and its log on disk. Knows nothing of clusters.
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, closeSync, openSync, readFileSync } from "node:fs";
import { quorateProgram } from "../../support/paths.ts";

export type ProcessState = "down" | "running" | "frozen";

/** An end that nobody asked for. */
export interface UnexpectedEnd {
  readonly name: string;
  readonly how: string;
  readonly logTail: string;
}

const readyText = "ready to serve client requests";
const pollMs = 20;
const stopMsMax = 10_000;

export class MemberProcess {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #logFile: string;
  readonly #program: readonly string[];
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #state: ProcessState = "down";
  #isEndExpected = true;
  #lives = 0;
  #isReady = false;
  readonly #onUnexpectedEnd: (end: UnexpectedEnd) => void;
  readonly #killNow = (): void => {
    this.#child?.kill("SIGKILL");
  };

  /** @param program What node runs; by default what users run. */
  constructor(options: {
    readonly name: string;
    readonly args: readonly string[];
    readonly logFile: string;
    readonly onUnexpectedEnd: (end: UnexpectedEnd) => void;
    readonly program?: readonly string[];
  }) {
    this.name = options.name;
    this.#args = options.args;
    this.#logFile = options.logFile;
    this.#program = options.program ?? [quorateProgram];
    this.#onUnexpectedEnd = options.onUnexpectedEnd;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** Grows with each start. */
  get lives(): number {
    return this.#lives;
  }

  /** Whether this life has said that it serves. */
  get isReady(): boolean {
    return this.#state === "running" && this.#isReady;
  }

  /** Resolves when the process has ended. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  get logTail(): string {
    try {
      return readFileSync(this.#logFile, "utf8").split("\n").slice(-40).join("\n");
    } catch {
      // It never wrote anything.
      return "";
    }
  }

  /** Starts the process; it may take until there is a quorum before it serves. Nothing when it runs. */
  start(): void {
    if (this.#state !== "down") return;
    this.#lives += 1;
    this.#isReady = false;
    this.#isEndExpected = false;
    this.#state = "running";
    appendFileSync(this.#logFile, `--- life ${this.#lives} ---\n`);
    const log = openSync(this.#logFile, "a");
    const child = spawn(process.execPath, [...this.#program, ...this.#args], { stdio: ["ignore", log, "pipe"] });
    this.#child = child;
    process.on("exit", this.#killNow);
    let rest = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      appendFileSync(this.#logFile, text);
      rest = (rest + text).slice(-4096);
      if (rest.includes(readyText)) this.#isReady = true;
    });
    this.#exited = new Promise((resolve) => {
      child.once("error", () => resolve());
      child.once("exit", (code, signal) => {
        closeSync(log);
        process.removeListener("exit", this.#killNow);
        this.#state = "down";
        if (!this.#isEndExpected) {
          const how = signal === null ? `status ${code}` : signal;
          // What it wrote last is still on its way through the pipe.
          setTimeout(() => this.#onUnexpectedEnd({ name: this.name, how, logTail: this.logTail }), 100);
        }
        resolve();
      });
    });
  }

  /** From here on this member may end by itself: it was removed, or its disk is about to fail. */
  expectEnd(): void {
    this.#isEndExpected = true;
  }

  /** True once it serves; false when it ended before, or that took too long. */
  async untilReady(timeoutMs: number): Promise<boolean> {
    const endMs = performance.now() + timeoutMs;
    const life = this.#lives;
    while (!this.#isReady) {
      if (this.#state === "down" || this.#lives !== life || performance.now() > endMs) return false;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    return true;
  }

  /** SIGKILL: no time for anything. */
  async kill(): Promise<void> {
    this.#isEndExpected = true;
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** SIGTERM: an orderly end. */
  async stop(): Promise<void> {
    if (this.#state === "down") return;
    this.#isEndExpected = true;
    this.#child?.kill("SIGCONT");
    this.#child?.kill("SIGTERM");
    const timer = setTimeout(this.#killNow, stopMsMax);
    await this.#exited;
    clearTimeout(timer);
  }

  /** SIGSTOP: connections stay open, and nothing moves. */
  freeze(): void {
    if (this.#state !== "running") return;
    this.#child?.kill("SIGSTOP");
    this.#state = "frozen";
  }

  thaw(): void {
    if (this.#state !== "frozen") return;
    this.#child?.kill("SIGCONT");
    this.#state = "running";
  }
}
