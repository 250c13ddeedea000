// The changes of one command. They share one main revision and are numbered by sub revision in the order they are
// made. Every change is visible to reads at once; the store's current revision moves when the transaction ends.
import { assert } from "../../lib/assert.ts";
import type { ByteString } from "../../lib/byte-string.ts";
import type { Backend, RowSpace } from "../../storage/backend.ts";
import type { Event, EventBatch } from "./events.ts";
import { historyKeyOf, type KeyLocation, type KeySpace } from "./key-space.ts";
import { deletedKeyValue, type KeyValue } from "./key-value.ts";
import type { RangeCache } from "./range-cache.ts";
import {
  eventRowLength,
  type KeyVersion,
  keyValueOfEventRow,
  putEventRow,
  putVersionRow,
  versionRowBytes,
} from "./record.ts";
import { eventKeyOf } from "./revision.ts";

/** A change that was just written. Most are watched by nobody, so the view of its row is made when it is asked for. */
class WrittenEvent implements Event {
  readonly kind: Event["kind"];
  readonly key: ByteString;
  readonly previous: Event["previous"];
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #end: number;
  #keyValue: Uint8Array | undefined;

  /** @param space Where the row is. */
  constructor(kind: Event["kind"], key: ByteString, space: RowSpace, rowBytes: number, previous: Event["previous"]) {
    this.kind = kind;
    this.key = key;
    this.previous = previous;
    this.#bytes = space.bytes;
    this.#start = space.at;
    this.#end = space.at + rowBytes;
  }

  get keyValue(): Uint8Array {
    this.#keyValue ??= keyValueOfEventRow(this.#bytes, this.#start, this.#end);
    return this.#keyValue;
  }
}

/** What a store's write transactions have in common. */
export interface WriteTxnHost {
  readonly backend: Backend;
  readonly keySpace: KeySpace;
  /** Hears of every change. */
  readonly rangeCache: RangeCache;
  /** Called once at the end, without a batch when nothing was changed. */
  onEnd(batch: EventBatch | undefined): void;
}

export class WriteTxn {
  /** Main revision of every change made here. */
  readonly revision: number;
  readonly #host: WriteTxnHost;
  #events: Event[] = [];
  #isEnded = false;

  constructor(host: WriteTxnHost, revision: number) {
    this.#host = host;
    this.revision = revision;
  }

  get hasChanges(): boolean {
    return this.#events.length > 0;
  }

  /** Writes a new version of `key`. `previous` is its current version, which the caller has just read. */
  put(key: ByteString, value: Uint8Array, lease: bigint, previous: KeyVersion | undefined): void {
    const location = this.#host.keySpace.findOrCreate(key);
    const sub = this.#events.length;
    const version: KeyVersion & KeyValue = {
      key,
      modRevision: this.revision,
      sub,
      createRevision: previous === undefined ? this.revision : previous.createRevision,
      version: previous === undefined ? 1 : previous.version + 1,
      lease,
      value,
    };
    const { backend } = this.#host;
    const { currentTable, currentKey } = location;
    if (previous === undefined) putVersionRow(backend.insertSpace(currentTable, currentKey, versionRowBytes), version);
    else {
      this.#supersede(location, previous);
      putVersionRow(backend.replaceSpace(currentTable, currentKey, versionRowBytes), version);
    }
    this.#addEvent("put", version, previous && { main: previous.modRevision, sub: previous.sub });
  }

  /** Deletes a key. `current` is its current version, which the caller has just read. */
  delete(current: KeyVersion): void {
    const location = this.#host.keySpace.findOrCreate(current.key);
    this.#supersede(location, current);
    this.#host.backend.remove(location.currentTable, location.currentKey);
    this.#addEvent("delete", deletedKeyValue(current.key, this.revision), {
      main: current.modRevision,
      sub: current.sub,
    });
  }

  /** Keeps what was current for readers of older revisions. What this very transaction wrote was current at none. */
  #supersede(location: KeyLocation, version: KeyVersion): void {
    if (version.modRevision === this.revision) return;
    const historyKey = historyKeyOf(location, this.revision);
    const space = this.#host.backend.insertSpace(location.historyTable, historyKey, versionRowBytes);
    putVersionRow(space, version, this.revision);
  }

  #addEvent(kind: "put" | "delete", keyValue: KeyValue, previous: Event["previous"]): void {
    const eventKey = eventKeyOf(this.revision, this.#events.length);
    const rowBytes = eventRowLength(keyValue);
    const space = this.#host.backend.insertSpace("events", eventKey, rowBytes);
    putEventRow(space, eventKey, kind, previous, keyValue);
    const event = new WrittenEvent(kind, keyValue.key, space, rowBytes, previous);
    // Most transactions change one key: a list of one is made for it, not one with room for more.
    if (this.#events.length === 0) this.#events = [event];
    else this.#events.push(event);
    if (this.#host.rangeCache.size > 0)
      this.#host.rangeCache.onChange(event.key, kind === "put" ? event.keyValue : undefined);
  }

  /** Ends the transaction. Without changes there is no batch and the revision is not used up. */
  end(): EventBatch | undefined {
    assert(!this.#isEnded, "a write transaction was ended twice");
    this.#isEnded = true;
    const batch = this.hasChanges ? { revision: this.revision, events: this.#events } : undefined;
    this.#host.onEnd(batch);
    return batch;
  }
}
