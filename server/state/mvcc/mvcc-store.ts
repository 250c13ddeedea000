// The multi-version key-value store: which versions of which keys exist at which revision. Reads at any revision that
// was not compacted, one write transaction at a time, history for watchers. It knows nothing of leases, limits,
// requests or the log; commands become calls to it in apply-kv.ts and apply-txn.ts.
//
// A put of "k" at revision 7 over a version of revision 4 does this:
//
//   events   (7,0) := put, previous (4,0), the new KeyValue      the value's only copy
//   history  k,7   := what `current` said of k                   "valid until 7"
//   current  k     := mod 7, where its event is, create, version, lease
//
// A delete does the same but removes the row of `current`. A read at revision 5 finds in `history` the first version
// of k superseded after 5. Compaction to 9 walks the events up to 9 and removes what each of them superseded: its
// work is the garbage, not the store.
import { assert } from "../../lib/assert.ts";
import { type ByteString, uint48FromByteString } from "../../lib/byte-string.ts";
import type { Backend } from "../../storage/backend.ts";
import { CorruptRecordError, StateError } from "../errors.ts";
import type { KeyRange } from "../key-range.ts";
import { mutated } from "../mutations.ts";
import type { Event, EventBatch } from "./events.ts";
import { historyKeyOf, KeySpace } from "./key-space.ts";
import { decodeKeyValue } from "./key-value.ts";
import { RangeCache } from "./range-cache.ts";
import { RangeScan, type RangeScanOptions } from "./range-scan.ts";
import {
  decodeEventRow,
  decodeVersionAt,
  decodeVersionRow,
  type KeyVersion,
  keyOfKeyValue,
  keyValueInEventRow,
} from "./record.ts";
import { eventKeyOf, initialRevision, type Revision, revisionOfEventKey } from "./revision.ts";
import { WriteTxn, type WriteTxnHost } from "./write-txn.ts";

/** The numbers that say how far the store is. They are kept with the applied index, in one row. */
export interface MvccPosition {
  /** Main revision of the last change. */
  readonly currentRevision: number;
  /** Reads below it are refused. -1 when nothing was ever compacted, as etcd counts. */
  readonly compactRevision: number;
  /** Up to here (inclusive) compaction has removed what events superseded. Lags behind compactRevision for a while. */
  readonly sweptRevision: number;
}

export const initialMvccPosition: MvccPosition = {
  currentRevision: initialRevision,
  compactRevision: -1,
  sweptRevision: 0,
};

// Above every revision that fits a table key.
const revisionEnd = 2 ** 48 - 1;

export class MvccStore {
  readonly #backend: Backend;
  readonly #keySpace: KeySpace;
  /** Ranges as they are at {@link readRevision}. */
  readonly rangeCache = new RangeCache();
  #currentRevision: number;
  #compactRevision: number;
  #sweptRevision: number;
  readonly #writeTxnHost: WriteTxnHost;
  #writeTxn: WriteTxn | undefined;
  #generation = 0;

  constructor(backend: Backend, position: MvccPosition = initialMvccPosition) {
    this.#backend = backend;
    this.#keySpace = new KeySpace(backend);
    this.#currentRevision = position.currentRevision;
    this.#compactRevision = position.compactRevision;
    this.#sweptRevision = position.sweptRevision;
    this.#writeTxnHost = {
      backend,
      keySpace: this.#keySpace,
      rangeCache: this.rangeCache,
      onEnd: (batch) => {
        this.#writeTxn = undefined;
        if (batch !== undefined) this.#currentRevision = batch.revision;
      },
    };
  }

  /** Takes up tables that a snapshot has replaced. */
  reload(position: MvccPosition): void {
    assert(this.#writeTxn === undefined, "a snapshot came in the middle of a write transaction");
    this.#generation++;
    this.#currentRevision = position.currentRevision;
    this.#compactRevision = position.compactRevision;
    this.#sweptRevision = position.sweptRevision;
    this.#keySpace.reload();
    this.rangeCache.clear();
  }

  /** Counts how often a snapshot replaced the tables: a walk begun before cannot go on after. */
  get generation(): number {
    return this.#generation;
  }

  get position(): MvccPosition {
    return {
      currentRevision: this.#currentRevision,
      compactRevision: this.#compactRevision,
      sweptRevision: this.#sweptRevision,
    };
  }

  get currentRevision(): number {
    return this.#currentRevision;
  }

  /**
   * The revision that reads see now: the current one, or that of the open write transaction once it changed something,
   * since later operations of a txn see the earlier ones.
   */
  get readRevision(): number {
    return this.#writeTxn?.hasChanges === true ? this.#writeTxn.revision : this.#currentRevision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  get keySpace(): KeySpace {
    return this.#keySpace;
  }

  get backend(): Backend {
    return this.#backend;
  }

  /**
   * The revision that a read at `revision` means: 0 and less mean the current one.
   * @throws StateError `future-revision`, `compacted`
   */
  resolveRevision(revision: number): number {
    if (revision > this.readRevision) throw new StateError("future-revision");
    if (revision <= 0) return this.readRevision;
    if (revision < this.#compactRevision) throw new StateError("compacted");
    return revision;
  }

  /** The newest version of `key`. */
  current(key: ByteString): KeyVersion | undefined {
    const location = this.#keySpace.find(key);
    if (location === undefined) return undefined;
    const row = this.#backend.locate(location.currentTable, location.currentKey);
    return row === undefined ? undefined : decodeVersionAt(key, row);
  }

  /** The version of `key` at a revision that {@link resolveRevision} gave. */
  versionAt(key: ByteString, revision: number): KeyVersion | undefined {
    const current = this.current(key);
    if (revision === this.readRevision || (current !== undefined && current.modRevision <= revision)) return current;
    const location = this.#keySpace.find(key);
    if (location === undefined) return undefined;
    // Rows of a key's history are ordered by when they were superseded: the first one after the revision decides.
    const row = this.#backend.first(
      location.historyTable,
      historyKeyOf(location, revision + 1),
      historyKeyOf(location, revisionEnd),
    );
    const version =
      row === undefined ? current : decodeVersionRow(key, row.value, uint48FromByteString(row.key, row.key.length - 6));
    if (version === undefined || version.modRevision <= revision) return version;
    // The oldest version after the revision: if the key existed by then, the one that was valid has been lost.
    if (version.createRevision <= revision) throw new CorruptRecordError(location.historyTable, key);
    return undefined;
  }

  /** A walk over an interval of keys at a revision that {@link resolveRevision} gave. */
  scan(range: Extract<KeyRange, { kind: "interval" }>, revision: number, options: RangeScanOptions): RangeScan {
    const store = this;
    const source = {
      reader: this.#backend,
      keySpace: this.#keySpace,
      get readRevision() {
        return store.readRevision;
      },
    };
    return new RangeScan(source, range, revision, options);
  }

  /** All versions of a range that reads see now, in one go: for commands, which cannot be cut into steps. */
  versionsIn(range: KeyRange): readonly KeyVersion[] {
    if (range.kind === "key") {
      const version = this.current(range.key);
      return version === undefined ? [] : [version];
    }
    const scan = this.scan(range, this.readRevision, { limit: 0, isCounted: false });
    while (!scan.step(Number.MAX_SAFE_INTEGER));
    return scan.versions;
  }

  /**
   * mvccpb.KeyValue of a version in wire form.
   * @throws StateError `compacted` when compaction overtook a read that was cut into steps.
   */
  keyValueOf(version: KeyVersion): Uint8Array {
    const eventKey = eventKeyOf(version.modRevision, version.sub);
    const row = this.#backend.get("events", eventKey);
    if (row === undefined) {
      const { modRevision, sub } = this.current(version.key) ?? { modRevision: 0, sub: 0 };
      const isCurrent = modRevision === version.modRevision && sub === version.sub;
      if (!isCurrent && version.modRevision < this.#compactRevision) throw new StateError("compacted");
      throw new CorruptRecordError("events", eventKey);
    }
    const keyValue = keyValueInEventRow(eventKey, row);
    if (keyOfKeyValue(keyValue) !== version.key) throw new CorruptRecordError("events", eventKey);
    return keyValue;
  }

  /** The value of a version. */
  valueOf(version: KeyVersion): Uint8Array {
    return decodeKeyValue(this.keyValueOf(version)).value;
  }

  /**
   * The key as it was before an event's revision, in wire form, for `prev_kv`. Undefined when there was nothing or it
   * was compacted: a version is gone to readers once the revision before the event is below the compact revision.
   */
  previousKeyValueOf(event: Event, eventRevision: number): Uint8Array | undefined {
    if (eventRevision <= this.#compactRevision) return undefined;
    let { previous } = event;
    while (previous !== undefined) {
      const eventKey = eventKeyOf(previous.main, previous.sub);
      const row = this.#backend.get("events", eventKey);
      if (row === undefined) throw new CorruptRecordError("events", eventKey);
      const stored = decodeEventRow(eventKey, row);
      if (previous.main < eventRevision) return stored.keyValue;
      // Written by the same transaction: what counts is what was there before it.
      previous = stored.previous;
      if (previous !== undefined || event.kind === "put") continue;
      // The transaction made what it deletes here, perhaps after it had deleted what was there before.
      const version = this.versionAt(event.key, eventRevision - 1);
      return version === undefined ? undefined : this.keyValueOf(version);
    }
    return undefined;
  }

  /** Begins the one write transaction. It ends by {@link WriteTxn.end}; nothing else may write meanwhile. */
  beginWrite(): WriteTxn {
    assert(this.#writeTxn === undefined, "a write transaction is open already");
    this.#writeTxn = new WriteTxn(this.#writeTxnHost, this.#currentRevision + 1);
    return this.#writeTxn;
  }

  /**
   * Events of the revisions from `fromRevision` on, oldest first, whole revisions only: at least one revision if there
   * is one, at most `revisionsMax`, and no further one once `bytesMax` is reached.
   * `fromRevision` must not be below the compact revision: what lies there is no longer complete.
   * @throws CorruptRecordError also when a row is missing.
   */
  readEvents(fromRevision: number, revisionsMax: number, bytesMax: number): EventBatch[] {
    assert(fromRevision >= this.#compactRevision, `events from ${fromRevision}, compacted at ${this.#compactRevision}`);
    const batches: EventBatch[] = [];
    let events: Event[] = [];
    let main = fromRevision - 1;
    let bytes = 0;
    for (const row of this.#backend.scan("events", eventKeyOf(fromRevision, 0), undefined)) {
      const revision = revisionOfEventKey(row.key);
      if (revision.main !== main) {
        this.#checkNextRevision(main, revision.main);
        if (batches.length >= revisionsMax || bytes >= bytesMax) return batches;
        main = revision.main;
        events = [];
        batches.push({ revision: main, events });
      }
      const isComplete = main <= this.#compactRevision || revision.sub === events.length;
      if (!isComplete) throw new CorruptRecordError("events", eventKeyOf(main, events.length));
      const stored = decodeEventRow(row.key, row.value);
      events.push({
        kind: stored.kind,
        key: keyOfKeyValue(stored.keyValue),
        keyValue: stored.keyValue,
        previous: stored.previous,
      });
      bytes += row.value.length;
    }
    this.#checkNextRevision(main, this.#currentRevision + 1);
    return batches;
  }

  /** Above the compact revision every revision has its changes; one without has lost them. */
  #checkNextRevision(main: number, next: number): void {
    const due = Math.max(main, this.#compactRevision, initialRevision) + 1;
    if (next > due) throw new CorruptRecordError("events", eventKeyOf(due, 0));
  }

  /**
   * Refuses reads below `revision` from now on. What they needed goes by and by through {@link sweep}.
   * @throws StateError `compacted` when that was done already, `future-revision`
   */
  compact(revision: number): void {
    if (revision <= this.#compactRevision) throw new StateError("compacted");
    if (revision > this.#currentRevision) throw new StateError("future-revision");
    this.#compactRevision = revision;
  }

  /**
   * Removes what compaction made unreachable, about `rowsMax` rows at a time. Returns whether nothing is left to do.
   * A crash between two calls does no harm: the position moves with the rows, in one flush.
   */
  sweep(rowsMax: number): boolean {
    const target = this.#compactRevision;
    const swept = this.#sweptRevision;
    if (swept >= target) return true;
    let rows = 0;
    let main = swept;
    const garbage: { readonly revision: Revision; readonly row: Uint8Array; readonly key: ByteString }[] = [];
    for (const row of this.#backend.scan("events", eventKeyOf(swept, 0), eventKeyOf(target + 1, 0))) {
      const revision = revisionOfEventKey(row.key);
      // Whole revisions only, and at least one that the last step did not come to, however many rows that takes.
      if (revision.main !== main && rows >= rowsMax && main > swept) break;
      main = revision.main;
      garbage.push({ revision, row: row.value, key: row.key });
      rows++;
    }
    const isDone = rows < rowsMax || main === target;
    const sweptTo = isDone ? target : main;
    for (const { revision, row, key } of garbage) this.#sweepEvent(revision, key, row, swept, sweptTo);
    this.#sweptRevision = sweptTo;
    return isDone;
  }

  #sweepEvent(revision: Revision, eventKey: ByteString, row: Uint8Array, sweptBefore: number, sweptTo: number): void {
    const { kind, previous, keyValue } = decodeEventRow(eventKey, row);
    // Where the last sweep ended, everything but the removal of a delete's own event was done.
    if (previous !== undefined && revision.main > sweptBefore) {
      // What the same transaction wrote and overwrote was never current, so history has nothing of it.
      if (previous.main !== revision.main) this.#sweepHistory(keyOfKeyValue(keyValue), revision.main);
      else if (kind === "delete") this.#releasePrefixOf(keyOfKeyValue(keyValue));
      this.#backend.remove("events", eventKeyOf(previous.main, previous.sub));
    }
    // A delete at the compact revision itself stays, since watchers may start there.
    const isLate = mutated("state/sweep-takes-last-delete") && revision.main === sweptTo;
    if (kind === "delete" && (revision.main < sweptTo || isLate)) this.#backend.remove("events", eventKey);
  }

  #sweepHistory(key: ByteString, supersededAt: number): void {
    const location = this.#keySpace.find(key);
    assert(location !== undefined, () => `no table rows for a key that changed at revision ${supersededAt}`);
    this.#backend.remove(location.historyTable, historyKeyOf(location, supersededAt));
    this.#keySpace.releaseIfUnused(location.prefix);
  }

  /** For a key that came and went in one transaction, and may have left nothing but its prefix. */
  #releasePrefixOf(key: ByteString): void {
    const location = this.#keySpace.find(key);
    if (location !== undefined) this.#keySpace.releaseIfUnused(location.prefix);
  }
}
