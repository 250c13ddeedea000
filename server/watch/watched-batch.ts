// The changes of one revision on their way to watchers: each is brought into wire form once, and once more with the
// previous version if a watcher wants it, however many watchers there are.
import { WireWriter } from "../lib/wire-writer.ts";
import type { Event, EventBatch } from "../state/mvcc/events.ts";
import type { MvccStore } from "../state/mvcc/mvcc-store.ts";

/** What watching needs of the store. */
export type WatchSource = Pick<MvccStore, "currentRevision" | "compactRevision" | "readEvents" | "previousKeyValueOf">;

/** Some events of one revision, mvccpb.Event each, in wire form. */
export interface EncodedEvents {
  readonly events: readonly Uint8Array[];
  /** Sum of their lengths. */
  readonly bytes: number;
}

export class WatchedBatch {
  readonly revision: number;
  readonly events: readonly Event[];
  readonly #source: WatchSource;
  readonly #encoded: (Uint8Array | undefined)[] = [];
  readonly #encodedWithPrevious: (Uint8Array | undefined)[] = [];
  /** What was asked for last, and the answer: watchers of one range ask for the same. */
  #lastIndexes: readonly number[] | undefined;
  #lastWantsPrevious = false;
  #last: EncodedEvents | undefined;

  constructor(source: WatchSource, batch: EventBatch) {
    this.#source = source;
    this.revision = batch.revision;
    this.events = batch.events;
  }

  /** The events at `indexes`. The answer may be given to several watchers, and must not be changed. */
  encode(indexes: readonly number[], wantsPrevious: boolean): EncodedEvents {
    if (this.#last !== undefined && this.#lastIndexes === indexes && this.#lastWantsPrevious === wantsPrevious) {
      return this.#last;
    }
    const events = indexes.map((index) => this.#encodeOne(index, wantsPrevious));
    this.#lastIndexes = indexes;
    this.#lastWantsPrevious = wantsPrevious;
    this.#last = { events, bytes: events.reduce((sum, { length }) => sum + length, 0) };
    return this.#last;
  }

  #encodeOne(index: number, wantsPrevious: boolean): Uint8Array {
    const cache = wantsPrevious ? this.#encodedWithPrevious : this.#encoded;
    const cached = cache[index];
    if (cached !== undefined) return cached;
    const event = this.events[index] as Event;
    const previous = wantsPrevious ? this.#source.previousKeyValueOf(event, this.revision) : undefined;
    const encoded = encodeEvent(event, previous);
    cache[index] = encoded;
    return encoded;
  }
}

function encodeEvent(event: Event, previous: Uint8Array | undefined): Uint8Array {
  const writer = new WireWriter(event.keyValue.length + (previous?.length ?? 0) + 16);
  if (previous !== undefined) writer.bytesField(3, previous);
  writer.bytesField(2, event.keyValue);
  if (event.kind === "delete") writer.uintField(1, 1);
  return writer.finish();
}
