// Walks the versions that a range of keys had at one revision. The walk can be cut into steps, with other commands
// applied in between: it stays at its revision, first on the table of current versions, and once the store has moved
// on by merging in the versions that were superseded since.
import { type ByteString, uint48FromByteString, uint48ToByteString } from "../../lib/byte-string.ts";
import type { TableReader } from "../../storage/backend.ts";
import { CorruptRecordError } from "../errors.ts";
import type { KeyRange } from "../key-range.ts";
import { escapedKeyEnd } from "./key-escape.ts";
import type { KeySpace, KeySpan } from "./key-space.ts";
import { decodeVersionRow, type KeyVersion } from "./record.ts";

export interface ScanSource {
  readonly reader: TableReader;
  readonly keySpace: KeySpace;
  /** The revision that the tables show without looking at history. */
  readonly readRevision: number;
}

export interface RangeScanOptions {
  /** Versions to collect at most; 0 for all. */
  readonly limit: number;
  /** Whether to go on to the end of the range just to count it. */
  readonly isCounted: boolean;
}

export class RangeScan {
  readonly revision: number;
  readonly versions: KeyVersion[] = [];
  readonly #source: ScanSource;
  readonly #options: RangeScanOptions;
  readonly #spans: Iterator<KeySpan>;
  #span: KeySpan | undefined;
  #countOnlyRows = 0;
  #isDone = false;

  /** `range` is an interval; a single key needs no walk. */
  constructor(
    source: ScanSource,
    range: Extract<KeyRange, { kind: "interval" }>,
    revision: number,
    options: RangeScanOptions,
  ) {
    this.#source = source;
    this.#options = options;
    this.revision = revision;
    this.#spans = source.keySpace.spans(range.from, range.to);
    if (range.to !== undefined && range.to <= range.from) this.#isDone = true;
    else this.#nextSpan();
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** Keys in the range, once done and if counting was asked for; else the number collected. */
  get count(): number {
    return this.versions.length + this.#countOnlyRows;
  }

  /** Looks at about `rowsMax` rows more. Returns whether the walk is over. */
  step(rowsMax: number): boolean {
    let budget = rowsMax;
    while (!this.#isDone && budget > 0) {
      const span = this.#span as KeySpan;
      if (this.#source.readRevision !== this.revision) budget -= this.#stepMerged(span, budget);
      else if (this.#isFull()) budget -= this.#stepCount(span, budget);
      else budget -= this.#stepCurrent(span, budget);
      if (this.#isFull() && !this.#options.isCounted) this.#isDone = true;
    }
    return this.#isDone;
  }

  #isFull(): boolean {
    return this.#options.limit > 0 && this.versions.length >= this.#options.limit;
  }

  #nextSpan(): void {
    const next = this.#spans.next();
    this.#span = next.done === true ? undefined : next.value;
    if (next.done === true) this.#isDone = true;
  }

  #take(version: KeyVersion): void {
    if (this.#isFull()) this.#countOnlyRows++;
    else this.versions.push(version);
  }

  #stepCurrent(span: KeySpan, budget: number): number {
    let rows = 0;
    for (const row of this.#source.reader.scan(span.currentTable, span.currentFrom, span.currentTo)) {
      const key = span.keyOfCurrent(row.key);
      this.#take(decodeVersionRow(key, row.value));
      rows++;
      if (rows < budget && !this.#isFull()) continue;
      this.#span = after(span, key);
      return rows;
    }
    this.#nextSpan();
    return rows + 1;
  }

  #stepCount(span: KeySpan, budget: number): number {
    // Rows are stepped over natively, some ten times faster than they are read.
    const { rows, next } = this.#source.reader.count(
      span.currentTable,
      span.currentFrom,
      span.currentTo,
      Math.max(1, budget * 10),
    );
    this.#countOnlyRows += rows;
    if (next === undefined) this.#nextSpan();
    // The history of what was counted is behind as well: should the store move on, it must not be counted again.
    else this.#span = span.startingAt(span.keyOfCurrent(next));
    return Math.ceil(rows / 10) + 1;
  }

  #stepMerged(span: KeySpan, budget: number): number {
    const rowsMax = Math.max(1, budget >>> 1);
    const current = collectCurrent(this.#source.reader, span, this.revision, rowsMax);
    const history = collectHistory(this.#source.reader, span, this.revision, rowsMax);
    // What lies behind the nearer of the two ends was seen on one side only; the next step looks again.
    const decidedTo = smaller(current.decidedTo, history.decidedTo);
    checkSuperseded(current.superseded, history.versions, decidedTo);
    for (const version of mergeByKey(current.versions, history.versions)) {
      if (decidedTo !== undefined && version.key > decidedTo) break;
      this.#take(version);
      if (this.#isFull() && !this.#options.isCounted) break;
    }
    if (decidedTo === undefined) this.#nextSpan();
    else this.#span = after(span, decidedTo);
    return current.rowsSeen + history.rowsSeen + 1;
  }
}

function after(span: KeySpan, key: ByteString): KeySpan {
  return span.startingAt(`${key}\0`);
}

/** Versions found in one of the two tables, and the last key about which it said all it has; undefined at its end. */
interface Collected {
  readonly versions: readonly KeyVersion[];
  readonly decidedTo: ByteString | undefined;
  readonly rowsSeen: number;
}

interface CollectedCurrent extends Collected {
  /** Keys that were there at the revision in an older version, which history must have. */
  readonly superseded: readonly ByteString[];
}

/** Current versions that were already there at `revision`. */
function collectCurrent(reader: TableReader, span: KeySpan, revision: number, rowsMax: number): CollectedCurrent {
  const versions: KeyVersion[] = [];
  const superseded: ByteString[] = [];
  let rowsSeen = 0;
  for (const row of reader.scan(span.currentTable, span.currentFrom, span.currentTo)) {
    const version = decodeVersionRow(span.keyOfCurrent(row.key), row.value);
    if (version.modRevision <= revision) versions.push(version);
    else if (version.createRevision <= revision) superseded.push(version.key);
    if (++rowsSeen >= rowsMax) return { versions, superseded, decidedTo: version.key, rowsSeen };
  }
  return { versions, superseded, decidedTo: undefined, rowsSeen };
}

/** A row that was lost shows itself only here: its key existed at the revision, and no version of then is found. */
function checkSuperseded(
  superseded: readonly ByteString[],
  history: readonly KeyVersion[],
  decidedTo: ByteString | undefined,
): void {
  let at = 0;
  for (const key of superseded) {
    if (decidedTo !== undefined && key > decidedTo) return;
    while (at < history.length && (history[at] as KeyVersion).key < key) at++;
    if (history[at]?.key !== key) throw new CorruptRecordError("history", key);
  }
}

// A key with more superseded versions than this is left by a new search instead of row by row.
const skipRowsMax = 16;

/** Superseded versions that were the current ones at `revision`. */
function collectHistory(reader: TableReader, span: KeySpan, revision: number, rowsMax: number): Collected {
  const versions: KeyVersion[] = [];
  let rowsSeen = 0;
  let from = span.historyFrom;
  search: for (;;) {
    let key: ByteString | undefined;
    let isDecided = false;
    let keyRows = 0;
    for (const row of reader.scan(span.historyTable, from, span.historyTo)) {
      rowsSeen++;
      const rowKey = span.keyOfHistory(row.key);
      if (rowKey !== key) {
        if (key !== undefined && rowsSeen >= rowsMax) return { versions, decidedTo: key, rowsSeen };
        key = rowKey;
        isDecided = false;
        keyRows = 0;
      }
      const keyEnd = escapedKeyEnd(row.key, span.historyKeyStart);
      const supersededAt = uint48FromByteString(row.key, keyEnd);
      if (!isDecided && supersededAt > revision) {
        // A key's rows are ordered by when they were superseded: the first one after the revision decides.
        const version = decodeVersionRow(rowKey, row.value, supersededAt);
        if (version.modRevision <= revision) versions.push(version);
        else if (version.createRevision <= revision) throw new CorruptRecordError(span.historyTable, row.key);
        isDecided = true;
      }
      if (++keyRows < skipRowsMax) continue;
      if (isDecided && rowsSeen >= rowsMax) return { versions, decidedTo: rowKey, rowsSeen };
      from = isDecided ? after(span, rowKey).historyFrom : row.key.slice(0, keyEnd) + uint48ToByteString(revision + 1);
      continue search;
    }
    return { versions, decidedTo: undefined, rowsSeen };
  }
}

function smaller(a: ByteString | undefined, b: ByteString | undefined): ByteString | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}

/** Both lists are in key order and share no key: a current version as old as the revision was never superseded. */
function* mergeByKey(a: readonly KeyVersion[], b: readonly KeyVersion[]): IterableIterator<KeyVersion> {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const left = a[i];
    const right = b[j];
    if (right === undefined || (left !== undefined && left.key < right.key)) {
      yield left as KeyVersion;
      i++;
    } else {
      yield right;
      j++;
    }
  }
}
