// What a generator process is told to do, and what it answers: plain values that cross a process boundary as JSON.
import type { HistogramData } from "../lib/histogram.ts";
import type { Shape } from "../lib/shape.ts";

/** Which key a request names. Keys differ in the twelve digits that end them. */
export type KeyChoice =
  | { readonly kind: "constant" }
  /** Each of `count` keys with the same chance. */
  | { readonly kind: "random"; readonly count: number }
  /** 0, 1, 2, ... up to `count`; then the load is over. */
  | { readonly kind: "sequential"; readonly count: number };

/** One kind of unary call, over and over. */
export interface UnaryWork {
  readonly kind: "unary";
  readonly path: string;
  /** The request message, base64. */
  readonly message: string;
  readonly keys: KeyChoice;
  /** Where in the message the key's digits are. */
  readonly digitsAt: number;
  /** An answer of fewer bytes than this is wrong. */
  readonly responseBytesMin: number;
}

export type Work =
  | UnaryWork
  /** A put that holds if the key was not changed since this stream's last one. Each stream has a key of its own. */
  | { readonly kind: "txn" }
  /** Each stream keeps a lease of its own alive: the next request follows the answer. */
  | { readonly kind: "keep-alive" }
  /** Put after put to one key that all watchers watch; the next follows when every watcher has seen the last. */
  | { readonly kind: "watch-fan-out"; readonly watchers: number }
  /** Rounds of puts, and some watchers on one stream that see all of them. */
  | { readonly kind: "watch-events"; readonly watchers: number; readonly putsPerRound: number };

export interface LoadSpec {
  readonly host: string;
  readonly port: number;
  readonly shape: Shape;
  readonly work: Work;
  readonly seed: number;
}

/** From the parent, in this order: start, measure, finish. */
export type GeneratorCommand =
  | { readonly kind: "start"; readonly spec: LoadSpec }
  /** Forget what was counted so far and count from here. */
  | { readonly kind: "measure" }
  | { readonly kind: "finish" };

export type GeneratorReport =
  /** Everything is connected and set up, and the load runs. */
  | { readonly kind: "running" }
  | { readonly kind: "progress"; readonly operations: number }
  /** A sequential load came to its end. */
  | { readonly kind: "exhausted" }
  | { readonly kind: "result"; readonly result: LoadResult }
  | { readonly kind: "failed"; readonly message: string };

export interface LoadResult {
  /** Calls answered, or events received, while it was measured. */
  readonly operations: number;
  readonly seconds: number;
  /** Microseconds. */
  readonly latency: HistogramData;
  /** CPU time of the generator while it measured. */
  readonly cpuSeconds: number;
  /** Answers that were not what they should have been, and the first one's story. */
  readonly errors: number;
  readonly firstError: string | undefined;
}
