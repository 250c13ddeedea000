// Counts what a load achieves, from the moment it is told to. The loads are closed loops: a stream sends its next call
// when the last one is answered. So a stall of the server is counted once for each stream and not for the calls that
// would have come meanwhile ("coordinated omission"); percentiles are times under this load, not at a fixed rate.
import { performance } from "node:perf_hooks";
import { Histogram } from "../lib/histogram.ts";
import type { LoadResult } from "./load-spec.ts";

export class Recorder {
  #latency = new Histogram();
  #operations = 0;
  #errors = 0;
  #firstError: string | undefined;
  #startedMs = performance.now();
  #startedCpu = process.cpuUsage();

  /** Starts counting from zero. Errors stay: a wrong answer during the warm-up is one too. */
  measure(): void {
    this.#latency = new Histogram();
    this.#operations = 0;
    this.#startedMs = performance.now();
    this.#startedCpu = process.cpuUsage();
  }

  get operations(): number {
    return this.#operations;
  }

  /** One call was answered, or one event received, as it should be. */
  record(sentMs: number): void {
    this.#operations += 1;
    this.#latency.add((performance.now() - sentMs) * 1000);
  }

  error(message: string): void {
    this.#errors += 1;
    this.#firstError ??= message;
  }

  result(): LoadResult {
    const { user, system } = process.cpuUsage(this.#startedCpu);
    return {
      operations: this.#operations,
      seconds: (performance.now() - this.#startedMs) / 1000,
      latency: this.#latency.toData(),
      cpuSeconds: (user + system) / 1e6,
      errors: this.#errors,
      firstError: this.#firstError,
    };
  }
}
