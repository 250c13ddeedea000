// Follows who leads. It keeps the contenders as the watch shows them and compares, revision by revision, who is first;
// so a change is told once, in the store's order, and none is missed as long as the server remembers.
import type { Client, Watch, WatchBatch, WatchEvent } from "../sdk/index.ts";
import { isContender, lenientText, queuePrefix } from "./contenders.ts";

interface Candidate {
  readonly key: string;
  readonly leaseId: bigint;
  readonly epoch: bigint;
  readonly value: string;
}

/** A change of leader, or of what it proclaims. */
export interface LeaderChange {
  /** Revision of the store from which on this holds. Never goes back. */
  readonly revision: bigint;
  /** `undefined`: nobody leads. */
  readonly leader: Candidate | undefined;
}

/** A running observation, read with `for await`. Made by {@link Election.observe}. */
export class LeaderWatch implements AsyncIterableIterator<LeaderChange>, AsyncDisposable {
  readonly #name: string;
  readonly #watch: Watch<string>;
  readonly #candidates = new Map<string, Candidate>();
  readonly #changes: LeaderChange[] = [];
  #last: Candidate | undefined;
  #isFirst = true;

  /** @internal */
  constructor(client: Client, name: string, signal: AbortSignal | undefined) {
    this.#name = name;
    this.#watch = client.watch({ prefix: queuePrefix(name) }, { snapshot: true, codec: lenientText, signal });
  }

  /** Milliseconds since the observation was last connected to a member; 0 while it is. */
  staleForMs(): number {
    return this.#watch.staleForMs();
  }

  /** The next change; `done` once it was closed. Calls must not overlap. */
  async next(): Promise<IteratorResult<LeaderChange, undefined>> {
    while (this.#changes.length === 0) {
      const { done, value: batch } = await this.#watch.next();
      if (done === true) return { done, value: undefined };
      this.#apply(batch);
    }
    return { done: false, value: this.#changes.shift() as LeaderChange };
  }

  async return(): Promise<IteratorResult<LeaderChange, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** Ends the observation. Closing twice is fine. */
  async close(): Promise<void> {
    await this.#watch.close();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #apply(batch: WatchBatch<string>): void {
    if (batch.isWhole) this.#candidates.clear();
    // A batch of deltas may hold several revisions, each a state of its own; a snapshot or a resync is one state.
    const isOneState = batch.kind !== "delta";
    for (const [index, event] of batch.events.entries()) {
      this.#follow(event);
      const next = batch.events[index + 1];
      if (!isOneState && next?.modRevision !== event.modRevision) this.#compare(event.modRevision);
    }
    if (isOneState) this.#compare(batch.revision);
  }

  #follow(event: WatchEvent<string>): void {
    if (!isContender(this.#name, event.key)) return;
    if (event.type !== "put") {
      this.#candidates.delete(event.key);
      return;
    }
    const { key, leaseId, createRevision: epoch, value } = event.kv;
    this.#candidates.set(key, { key, leaseId, epoch, value });
  }

  #compare(revision: bigint): void {
    let first: Candidate | undefined;
    for (const candidate of this.#candidates.values()) {
      if (first === undefined || candidate.epoch < first.epoch) first = candidate;
    }
    const last = this.#last;
    const isSame = first?.epoch === last?.epoch && first?.key === last?.key && first?.value === last?.value;
    if (isSame && !this.#isFirst) return;
    this.#isFirst = false;
    this.#last = first;
    this.#changes.push({ revision, leader: first });
  }
}
