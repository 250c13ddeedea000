// Removes what compaction made unreachable, a little at a time, so that nobody notices.
import type { Clock, Timer } from "../lib/clock.ts";
import { createDeferred } from "../lib/deferred.ts";
import type { MvccStore } from "../state/mvcc/mvcc-store.ts";
import { ReplicaError } from "./errors.ts";

/** Rows looked at in one go, and the pause between two. */
const stepRows = 500;
const pauseMs = 10;

export class Sweeper {
  readonly #mvcc: MvccStore;
  readonly #clock: Clock;
  readonly #onWrites: () => void;
  readonly #onFailed: (error: unknown) => void;
  readonly #isPaused: () => boolean;
  #waiting: { readonly revision: number; resolve(): void; reject(error: unknown): void }[] = [];
  #timer: Timer | undefined;
  #isClosed = false;

  /**
   * @param onWrites Called after rows were removed.
   * @param onFailed The store is damaged; the process must stop.
   * @param isPaused Whether the store must not be touched now; it is looked at again soon.
   */
  constructor(
    mvcc: MvccStore,
    clock: Clock,
    onWrites: () => void,
    onFailed: (error: unknown) => void,
    isPaused: () => boolean,
  ) {
    this.#isPaused = isPaused;
    this.#mvcc = mvcc;
    this.#clock = clock;
    this.#onWrites = onWrites;
    this.#onFailed = onFailed;
  }

  /** Starts sweeping if there is anything to do. */
  start(): void {
    if (this.#timer !== undefined || this.#isClosed) return;
    this.#timer = this.#clock.setTimer(pauseMs, () => this.#step());
  }

  #step(): void {
    this.#timer = undefined;
    if (this.#isClosed) return;
    if (this.#isPaused()) {
      this.start();
      return;
    }
    let isDone: boolean;
    try {
      isDone = this.#mvcc.sweep(stepRows);
    } catch (error) {
      this.#onFailed(error);
      return;
    }
    this.#onWrites();
    const swept = this.#mvcc.position.sweptRevision;
    const ready = this.#waiting.filter(({ revision }) => revision <= swept);
    this.#waiting = this.#waiting.filter(({ revision }) => revision > swept);
    for (const waiter of ready) waiter.resolve();
    if (!isDone) this.start();
  }

  /** Resolves once nothing is left of what a compaction to `revision` removes. */
  async waitFor(revision: number): Promise<void> {
    if (this.#isClosed) throw new ReplicaError("stopped");
    if (this.#mvcc.position.sweptRevision >= revision) return;
    const deferred = createDeferred<void>();
    this.#waiting.push({ revision, resolve: () => deferred.resolve(), reject: deferred.reject });
    this.start();
    await deferred.promise;
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const waiter of this.#waiting) waiter.reject(new ReplicaError("stopped"));
    this.#waiting = [];
  }
}
