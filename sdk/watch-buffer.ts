// What a watch has received and its reader has not yet taken. Bounded; what happens at the bound is watch.ts's choice.
import { type Event, Event_EventType } from "../proto/gen/mvccpb/kv.ts";
import type { Header } from "./key-value.ts";
import { keyIdentity } from "./keys.ts";

/** What a batch is; see `WatchBatch`. */
export type BatchKind = "snapshot" | "delta" | "resync" | "progress";

/** A batch as received: events still in wire form, decoded only when they are read. */
export interface RawBatch {
  readonly kind: BatchKind;
  readonly revision: bigint;
  readonly events: readonly Event[];
  readonly isWhole: boolean;
  /** What the member put above the newest of the events; undefined where they were read, not watched. */
  readonly header: Header | undefined;
}

/** Bytes that a buffer holds at most, whatever its limit in events: values may be large. */
const bytesMax = 16 * 1024 * 1024;

export class WatchBuffer {
  readonly #eventsMax: number;
  #batches: RawBatch[] = [];
  #events = 0;
  #bytes = 0;

  constructor(eventsMax: number) {
    this.#eventsMax = eventsMax;
  }

  /** True when nothing more should be received for now. One batch always fits, however large it is. */
  get isFull(): boolean {
    return this.#events >= this.#eventsMax || this.#bytes >= bytesMax;
  }

  /** True when there is room again for enough that asking for more is worth it. */
  get isLow(): boolean {
    return this.#events <= this.#eventsMax / 2 && this.#bytes <= bytesMax / 2;
  }

  get events(): number {
    return this.#events;
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  push(batch: RawBatch): void {
    this.#batches.push(batch);
    this.#count(batch, 1);
  }

  shift(): RawBatch | undefined {
    const batch = this.#batches.shift();
    if (batch !== undefined) this.#count(batch, -1);
    return batch;
  }

  /**
   * Joins the batches into one that holds, for each key, its newest event only: the state at the newest revision,
   * without the steps that led there. A snapshot or resync keeps its kind, since what it says still holds.
   */
  coalesce(): void {
    if (this.#batches.length < 2) return;
    const newest = new Map<string, Event>();
    let kind: BatchKind = "progress";
    let isWhole = false;
    for (const batch of this.#batches) {
      if (batch.kind === "resync" || kind === "progress") kind = batch.kind;
      if (batch.isWhole) {
        isWhole = true;
        newest.clear();
      }
      for (const event of batch.events) {
        const id = keyIdentity(event.kv!.key);
        newest.delete(id); // So that the map's order is the order of the newest events.
        newest.set(id, event);
      }
    }
    const { revision, header } = this.#batches.at(-1)!;
    // What is the whole state has no deletes: a key that is not in it is gone.
    const events = [...newest.values()].filter((event) => !isWhole || event.type === Event_EventType.PUT);
    this.#batches = [];
    this.#events = 0;
    this.#bytes = 0;
    this.push({ kind, revision, events, isWhole, header });
  }

  #count(batch: RawBatch, sign: 1 | -1): void {
    this.#events += sign * Math.max(1, batch.events.length);
    for (const { kv } of batch.events) this.#bytes += sign * (kv!.key.length + kv!.value.length);
  }
}
