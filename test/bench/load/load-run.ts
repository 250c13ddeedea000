// The parent's side of the generator: one or several processes that share a load, started, told when to count, and
// ended.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Shape } from "../lib/shape.ts";
import type { GeneratorCommand, GeneratorReport, LoadResult, LoadSpec, Work } from "./load-spec.ts";

const program = fileURLToPath(new URL("generator.js", import.meta.url));
const startTimeoutMs = 60_000;
const finishTimeoutMs = 30_000;

export interface LoadTarget {
  readonly host: string;
  readonly port: number;
}

export interface RunLoadOptions {
  readonly target: LoadTarget;
  readonly shape: Shape;
  readonly work: Work;
  readonly seed: number;
  /** Generator processes; the shape's connections are shared out among them. Default 1. */
  readonly processes?: number;
}

/** A load under way. */
export class LoadRun {
  readonly #generators: readonly Generator[];

  private constructor(generators: readonly Generator[]) {
    this.#generators = generators;
  }

  /** Starts the load; it runs when this resolves. */
  static async start(options: RunLoadOptions): Promise<LoadRun> {
    const { shape, work, seed } = options;
    // Watch loads are one conversation; they cannot be shared out.
    const isDivisible = work.kind === "unary" || work.kind === "txn" || work.kind === "keep-alive";
    const count = isDivisible ? Math.min(options.processes ?? 1, shape.connections) : 1;
    const specs = Array.from({ length: count }, (_, i): LoadSpec => {
      const connections =
        Math.floor(((i + 1) * shape.connections) / count) - Math.floor((i * shape.connections) / count);
      return { ...options.target, shape: { connections, streams: shape.streams }, work, seed: seed + i };
    });
    const generators = specs.map((spec) => new Generator(spec));
    try {
      await Promise.all(generators.map((generator) => generator.until("running", startTimeoutMs)));
    } catch (error) {
      for (const generator of generators) generator.end();
      throw error;
    }
    return new LoadRun(generators);
  }

  measure(): void {
    for (const generator of this.#generators) generator.send({ kind: "measure" });
  }

  /** Ends the load. One result for each process. */
  async finish(): Promise<readonly LoadResult[]> {
    try {
      for (const generator of this.#generators) generator.send({ kind: "finish" });
      const reports = await Promise.all(
        this.#generators.map((generator) => generator.until("result", finishTimeoutMs)),
      );
      return reports.map(({ result }) => result);
    } finally {
      this.end();
    }
  }

  /** Resolves when a sequential load has come to its end. */
  async untilExhausted(timeoutMs: number, onProgress?: (operations: number) => void): Promise<void> {
    await Promise.all(
      this.#generators.map((generator) => {
        generator.onProgress = onProgress;
        return generator.until("exhausted", timeoutMs);
      }),
    );
  }

  /** Rejects when a generator fails; never resolves. */
  failure(): Promise<never> {
    return Promise.race(this.#generators.map((generator) => generator.failure));
  }

  end(): void {
    for (const generator of this.#generators) generator.end();
  }
}

type ReportOf<K extends GeneratorReport["kind"]> = Extract<GeneratorReport, { kind: K }>;

class Generator {
  readonly #child: ChildProcess;
  readonly #reports = new Map<string, GeneratorReport>();
  readonly #waiting = new Map<string, (report: GeneratorReport) => void>();
  /** Rejects when the process says that it failed, or ends unasked. */
  readonly failure: Promise<never>;
  onProgress: ((operations: number) => void) | undefined;
  #isEnding = false;

  constructor(spec: LoadSpec) {
    this.#child = fork(program, { stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [] });
    this.failure = new Promise((_, reject) => {
      this.#child.on("message", (report: GeneratorReport) => {
        if (report.kind === "failed") reject(new Error(`the load failed: ${report.message}`));
        else this.#onReport(report);
      });
      this.#child.once("error", reject);
      this.#child.once("exit", (code, signal) => {
        if (!this.#isEnding) reject(new Error(`the load generator ended with ${signal ?? `status ${code}`}`));
      });
    });
    // Whoever waits for a report sees it; a failure that nobody waits for any more is of no interest.
    this.failure.catch(() => undefined);
    this.send({ kind: "start", spec });
  }

  #onReport(report: GeneratorReport): void {
    if (report.kind === "progress") {
      this.onProgress?.(report.operations);
      return;
    }
    const waiting = this.#waiting.get(report.kind);
    if (waiting === undefined) this.#reports.set(report.kind, report);
    else waiting(report);
  }

  send(command: GeneratorCommand): void {
    this.#child.send(command);
  }

  async until<K extends GeneratorReport["kind"]>(kind: K, timeoutMs: number): Promise<ReportOf<K>> {
    let timer: NodeJS.Timeout | undefined;
    try {
      const report = await Promise.race([
        this.failure,
        new Promise<GeneratorReport>((resolve) => {
          const known = this.#reports.get(kind);
          if (known === undefined) this.#waiting.set(kind, resolve);
          else resolve(known);
        }),
        new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new Error(`the load was not ${kind} within ${timeoutMs} ms`)), timeoutMs);
        }),
      ]);
      return report as ReportOf<K>;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(kind);
    }
  }

  end(): void {
    this.#isEnding = true;
    this.#child.kill("SIGKILL");
  }
}
