// What a watch may be told, and the defaults.
import type { Codec } from "./codec.ts";
import { InvalidArgumentError } from "./errors.ts";

export interface WatchOptions<T> {
  /** How stored bytes become values. Default: text. */
  readonly codec?: Codec<T, never>;
  /** `true`: the first batch is a `snapshot` of everything in the range; the watch goes on from there. */
  readonly snapshot?: boolean;
  /** First revision to report. Default: the next one. Not together with `snapshot`. */
  readonly startRevision?: bigint;
  /** Only puts, or only deletes. Default: both. */
  readonly only?: "put" | "delete";
  /** Give each event the version before it, as far as the server still has it. Default `false`. */
  readonly previous?: boolean;
  /** Also yield `progress` batches, which say how far the watch has come although nothing happened. Default `false`. */
  readonly progress?: boolean;
  /**
   * What to do when the watch was interrupted for so long that the server has forgotten (compacted) the events it missed.
   * - `diff` (default): read the range anew and yield the difference as one batch of kind `resync`. For this the watch
   *   remembers which keys exist: one small entry per key of the range.
   * - `error`: end with `CompactedError`; nothing is remembered.
   */
  readonly resync?: "diff" | "error";
  /**
   * What to do when the reader is slower than the events and the buffer is full.
   * - `block` (default): stop receiving; when there is room, go on where it stopped. Nothing is lost.
   * - `latest`: keep only the newest event of each key; then as `block`.
   * - `error`: end with `WatchOverflowError`.
   */
  readonly overflow?: "block" | "latest" | "error";
  /** Events that the buffer holds. Default 4096. One batch is accepted whole, whatever its size. */
  readonly bufferMax?: number;
  /** Ends the watch: reading it then rejects with `AbortError`. */
  readonly signal?: AbortSignal | undefined;
  /** `false`: waiting for the next batch does not keep the process alive. Default `true`. */
  readonly ref?: boolean;
}

const bufferMaxDefault = 4096;

/** Puts alone can be made up for by revision; only a missed delete takes knowing which keys there were. */
export function needsState(options: WatchOptions<unknown>): boolean {
  return options.resync !== "error" && options.only !== "put";
}

export function checkedBufferMax(bufferMax: number = bufferMaxDefault): number {
  if (!(bufferMax >= 1)) throw new InvalidArgumentError(`bufferMax: expected at least 1, found ${bufferMax}`);
  return bufferMax;
}
