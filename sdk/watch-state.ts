// What a watch knows of its range: which keys exist where it stands, and since which revision. With it a gap that the
// server can no longer fill (compaction) becomes a difference between two states instead of a loss.
import { type Event, Event_EventType, type KeyValue } from "../proto/gen/mvccpb/kv.ts";
import { keyIdentity } from "./keys.ts";

const noBytes = new Uint8Array(0);

/** Memory: one map entry per existing key of the range. Values are not kept. */
export class WatchState {
  readonly #keys = new Map<string, bigint>();
  /** Keys that events spoke of while the base was still being read: they know better than the base. */
  #touched: Set<string> | undefined = new Set();
  #isBaseKnown = false;

  /** True once the keys at the watch's start are known; before that a difference can only be the whole state. */
  get isBaseKnown(): boolean {
    return this.#isBaseKnown;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** The keys at the watch's start; they may arrive after its first events. */
  setBase(kvs: Iterable<KeyValue>): void {
    for (const kv of kvs) {
      const id = keyIdentity(kv.key);
      if (!this.#touched?.has(id)) this.#keys.set(id, kv.modRevision);
    }
    this.#touched = undefined;
    this.#isBaseKnown = true;
  }

  apply(event: Event): void {
    const kv = event.kv!;
    const id = keyIdentity(kv.key);
    this.#touched?.add(id);
    if (event.type === Event_EventType.DELETE) this.#keys.delete(id);
    else this.#keys.set(id, kv.modRevision);
  }

  /**
   * Moves to a later state, `kvs` at `revision`, and returns the events that lead there: puts in the order in which they
   * happened, then deletes, which carry `revision` since their own is not known any more.
   */
  advance(kvs: readonly KeyValue[], revision: bigint): Event[] {
    const puts: KeyValue[] = [];
    const gone = new Map(this.#keys);
    for (const kv of kvs) {
      const id = keyIdentity(kv.key);
      const known = this.#keys.get(id);
      if (!this.#isBaseKnown || known === undefined || known < kv.modRevision) puts.push(kv);
      gone.delete(id);
      this.#keys.set(id, kv.modRevision);
    }
    for (const id of gone.keys()) this.#keys.delete(id);
    this.#touched = undefined;
    this.#isBaseKnown = true;
    puts.sort(byModRevision);
    return [...puts.map(putEvent), ...[...gone.keys()].map((id) => deleteEvent(id, revision))];
  }
}

export const byModRevision = (a: KeyValue, b: KeyValue): number =>
  a.modRevision < b.modRevision ? -1 : Number(a.modRevision > b.modRevision);

export const putEvent = (kv: KeyValue): Event => ({ type: Event_EventType.PUT, kv, prevKv: undefined });

function deleteEvent(id: string, revision: bigint): Event {
  const kv: KeyValue = {
    key: Buffer.from(id, "latin1"),
    createRevision: 0n,
    modRevision: revision,
    version: 0n,
    value: noBytes,
    lease: 0n,
  };
  return { type: Event_EventType.DELETE, kv, prevKv: undefined };
}
