// Decides when the store's buffered rows go to disk. Nobody waits for it: what was acknowledged is in the log. It runs
// often enough that memory and the time to start again stay small, and seldom enough that a page is written once for
// many changes.
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { type Backend, StorageError } from "../storage/backend.ts";
import { mutated } from "./mutations.ts";

export interface FlusherOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when a flush seals its rows: writes the position, and returns the index that the flush makes durable. */
  readonly onSeal: () => number;
  /** Called with that index once it is durable. */
  readonly onFlushed: (appliedIndex: number) => void;
  /** Called once when the store failed for good; the process must stop. */
  readonly onFailed: (error: unknown) => void;
}

/**
 * Rows are flushed when they take this much memory, or are this old. Either bounds what a start replays: some ten
 * thousand entries, a fraction of a second.
 */
const flushBytes = 8 * 1024 * 1024;
const flushDelayMs = 5000;
/** How long a full disk is left alone before the next try. */
const retryMs = 1000;
/** Beyond this much memory nothing more is applied until the disk has caught up. */
const memoryBytesMax = 256 * 1024 * 1024;

export class Flusher {
  readonly #options: FlusherOptions;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #isDiskFull = false;
  #isClosed = false;

  constructor(options: FlusherOptions) {
    this.#options = options;
  }

  /** The last try found no room on disk. Nothing is lost, but what adds to the store should be refused. */
  get isDiskFull(): boolean {
    return this.#isDiskFull;
  }

  /** So much waits for the disk that applying should pause. {@link FlusherOptions.onFlushed} says when to go on. */
  get isOverfull(): boolean {
    return this.#options.backend.memoryBytes > memoryBytesMax;
  }

  /** To be called after rows were written. */
  noteWrites(): void {
    if (this.#isClosed || this.#running !== undefined || this.#isDiskFull) return;
    if (this.#options.backend.bufferedBytes >= flushBytes) this.#start();
    else this.#timer ??= this.#options.clock.setTimer(flushDelayMs, () => this.#start());
  }

  #start(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#running !== undefined || this.#isClosed) return;
    this.#running = this.flush().then(
      () => {
        this.#running = undefined;
        if (this.#options.backend.bufferedBytes > 0) this.noteWrites();
      },
      () => {
        // Whatever it was, it was dealt with where it was met.
        this.#running = undefined;
      },
    );
  }

  /**
   * Flushes now.
   * @throws StorageError
   */
  async flush(): Promise<void> {
    let index = 0;
    try {
      await this.#options.backend.flush(() => {
        index = this.#options.onSeal();
      });
    } catch (error) {
      this.#onError(error);
      throw error;
    }
    if (this.#isDiskFull) this.#options.logger.log("info", "the disk has room again; writes are accepted");
    this.#isDiskFull = false;
    if (!this.#isClosed)
      this.#options.onFlushed(mutated("replica/log-released-ahead") ? Number.MAX_SAFE_INTEGER : index);
  }

  #onError(error: unknown): void {
    if (this.#isClosed) return;
    if (!(error instanceof StorageError) || error.code !== "no-space") {
      this.#options.onFailed(error);
      return;
    }
    if (!this.#isDiskFull) {
      this.#options.logger.log("error", "the disk is full; writes are refused until there is room", {
        error: error.message,
      });
    }
    this.#isDiskFull = true;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(retryMs, () => this.#start());
  }

  /** Stops by itself flushing. A last flush is the caller's to make. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#running;
  }
}
