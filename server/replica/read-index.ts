// Lets a read wait until the state of this member is as new as anything acknowledged anywhere when the read began
// (Raft dissertation §6.4). Reads of one turn share one round trip to a quorum.
import type { Clock, Timer } from "../lib/clock.ts";
import { createDeferred, type Deferred } from "../lib/deferred.ts";
import type { Counter, Metrics } from "../lib/metrics.ts";
import type { RawNode } from "../raft/raw-node.ts";
import type { ReadState } from "../raft/ready.ts";
import { ReplicaError } from "./errors.ts";
import { mutated } from "./mutations.ts";

export interface ReadIndexOptions {
  readonly node: Pick<RawNode, "readIndex">;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly timeoutMs: number;
  readonly appliedIndex: () => number;
  /**
   * Whether this member alone decides: it leads, has applied an entry of its term, and is the only voter. Then nobody
   * else can have acknowledged anything, and what it acknowledged it has applied.
   */
  readonly leadsAlone: () => boolean;
  /** Asks for a turn of the ready loop, which calls {@link ReadIndex.request}. */
  readonly schedule: () => void;
}

/** Reads that share a fate. */
interface Batch {
  readonly deferred: Deferred<void>;
  readonly deadlineMs: number;
}

/** How long a request may go unanswered before another is sent, as etcd does. */
const retryMs = 500;

export class ReadIndex {
  readonly #options: ReadIndexOptions;
  readonly #slow: Counter;
  readonly #failed: Counter;
  /** Reads that no request was sent for yet. */
  #unrequested: Batch | undefined;
  /** By the id of the newest request for them. */
  readonly #requested = new Map<number, Batch>();
  /** Confirmed reads, by the index they wait for. */
  #confirmed: { readonly index: number; readonly batch: Batch }[] = [];
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: ReadIndexOptions) {
    this.#options = options;
    this.#slow = options.metrics.counter("etcd_server_slow_read_indexes_total");
    this.#failed = options.metrics.counter("etcd_server_read_indexes_failed_total");
  }

  /**
   * Resolves once a read of this member's state is current. Undefined when it is already, which saves a turn.
   * @throws ReplicaError `timed-out`, `stopped`
   */
  barrier(): Promise<void> | undefined {
    if (this.#options.leadsAlone()) return undefined;
    if (this.#isClosed) return Promise.reject(new ReplicaError("stopped"));
    const running = mutated("replica/reads-share-a-request") ? this.#requested.values().next().value : undefined;
    if (running !== undefined) return running.deferred.promise;
    if (this.#unrequested === undefined) {
      const deadlineMs = this.#options.clock.nowMs() + this.#options.timeoutMs;
      this.#unrequested = { deferred: createDeferred<void>(), deadlineMs };
      this.#options.schedule();
      this.#timer ??= this.#options.clock.setTimer(retryMs, () => this.#onTimer());
    }
    return this.#unrequested.deferred.promise;
  }

  /** Sends a request for the reads that came since the last one. Called when the ready loop takes its turn. */
  request(): void {
    const batch = this.#unrequested;
    if (batch === undefined) return;
    const outcome = this.#options.node.readIndex();
    // Without a leader the reads wait for one; the timer asks again.
    if (outcome.kind === "refused") return;
    this.#unrequested = undefined;
    this.#requested.set(outcome.id, batch);
  }

  onReadStates(states: readonly ReadState[]): void {
    for (const state of states) {
      const batch = this.#requested.get(state.id);
      if (batch === undefined) continue;
      this.#requested.delete(state.id);
      if (state.kind === "dropped") this.#requestAgain(batch);
      else if (state.index <= this.#options.appliedIndex() || mutated("replica/read-before-applied"))
        batch.deferred.resolve();
      else this.#confirmed.push({ index: state.index, batch });
    }
  }

  onApplied(index: number): void {
    if (this.#confirmed.length === 0) return;
    const ready = this.#confirmed.filter((waiting) => waiting.index <= index);
    this.#confirmed = this.#confirmed.filter((waiting) => waiting.index > index);
    for (const { batch } of ready) batch.deferred.resolve();
  }

  /** A request under a new id: an answer to the old one must not count for it. */
  #requestAgain(batch: Batch): void {
    const joined = this.#unrequested;
    if (joined === undefined) this.#unrequested = batch;
    else joined.deferred.promise.then(batch.deferred.resolve, batch.deferred.reject);
    this.#options.schedule();
  }

  #onTimer(): void {
    this.#timer = undefined;
    const nowMs = this.#options.clock.nowMs();
    const unanswered = [...this.#requested.values()];
    this.#requested.clear();
    if (unanswered.length > 0) this.#slow.add(unanswered.length);
    for (const batch of unanswered) {
      if (batch.deadlineMs > nowMs) this.#requestAgain(batch);
      else this.#fail(batch, "timed-out");
    }
    const waiting = this.#unrequested;
    if (waiting !== undefined && waiting.deadlineMs <= nowMs) {
      this.#unrequested = undefined;
      this.#fail(waiting, "timed-out");
    } else if (waiting !== undefined) this.#options.schedule();
    const late = this.#confirmed.filter(({ batch }) => batch.deadlineMs <= nowMs);
    this.#confirmed = this.#confirmed.filter(({ batch }) => batch.deadlineMs > nowMs);
    for (const { batch } of late) this.#fail(batch, "timed-out");
    if (this.#unrequested !== undefined || this.#requested.size > 0 || this.#confirmed.length > 0) {
      this.#timer = this.#options.clock.setTimer(retryMs, () => this.#onTimer());
    }
  }

  #fail(batch: Batch, code: "timed-out" | "stopped"): void {
    this.#failed.add(1);
    batch.deferred.reject(new ReplicaError(code));
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    const batches = [this.#unrequested, ...this.#requested.values(), ...this.#confirmed.map(({ batch }) => batch)];
    this.#unrequested = undefined;
    this.#requested.clear();
    this.#confirmed = [];
    for (const batch of batches) if (batch !== undefined) this.#fail(batch, "stopped");
  }
}
