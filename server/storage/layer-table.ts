// The rows of one table in a layer of the buffered backend: point access and ordered walks over what was written since
// the layer began. A row is a record of a batch (batch-codec.ts), written once where it is written and copied from there
// to the store; beside it there is a number in the table's order. Order lies in chunks, so an insertion moves at most one
// chunk; a table that is looked up by key all the time has an index as well. Tables whose keys only grow take new rows
// at the end, at no cost, and their blocks are a batch as they lie.
import { type ByteString, byteStringFrom } from "../lib/byte-string.ts";
import type { RowSpace, RowSpan } from "./backend.ts";
import { changeHeadBytes, keyLengthAt, putChangeHead, valueLengthAt } from "./batch-codec.ts";
import { RowBlocks } from "./row-blocks.ts";
import { RowIndex } from "./row-index.ts";

/** Counts the memory of tables that belong together. */
export interface MemoryMeter {
  bytes: number;
}

// Insertion cost grows with the chunk, look-up of the chunk with their number; both are small at this size up to
// some hundred thousand rows.
const chunkRowsMax = 512;
/** What a row takes beside its record: its place, its number in the order and in the index. */
const rowOverheadBytes = 32;
const placesMin = 64;

// Kinds of changes, with a bit that only layers look at.
const putKind = 1;
const newKind = 2;

export class LayerTable implements RowSpan {
  readonly #tableNumber: number;
  readonly #meter: MemoryMeter;
  readonly #blocks = new RowBlocks();
  /** Where the record of each row is, by the row's number, which it keeps. */
  #places = new Int32Array(placesMin);
  #rowCount = 0;
  #size = 0;
  /** Numbers of rows in the order of their keys. */
  readonly #chunks: number[][] = [];
  readonly #index: RowIndex | undefined;
  #greatestKey: ByteString | undefined;
  /** All records are of rows that are there, and lie in key order. */
  #isBatch = true;
  /** The key that was looked up last, and what was found: a row is mostly read right before it is written. */
  #lastKey: ByteString | undefined;
  #lastRow = -1;
  /** Where the last search by order ended: in this chunk, before this row. A row that is added goes there. */
  #foundChunk = 0;
  #foundAt = 0;
  bytes: Buffer = Buffer.alloc(0);
  at = 0;
  length = 0;

  /**
   * @param isIndexed Whether single rows are looked up often.
   * @param meter Is told of the memory that rows take; what was overwritten goes on counting, since it stays.
   */
  constructor(tableNumber: number, isIndexed: boolean, meter: MemoryMeter) {
    this.#tableNumber = tableNumber;
    this.#meter = meter;
    this.#index = isIndexed ? new RowIndex(this) : undefined;
  }

  get size(): number {
    return this.#size;
  }

  /** Number of the row that the layer has for a key, be it that the key was removed; -1 for none. */
  find(key: ByteString): number {
    if (key === this.#lastKey) return this.#lastRow;
    this.#lastKey = key;
    this.#lastRow = this.#index === undefined ? this.#search(key) : this.#index.find(key);
    return this.#lastRow;
  }

  #search(key: ByteString): number {
    if (this.#greatestKey === undefined || key > this.#greatestKey) return -1;
    this.#locate(key);
    const row = (this.#chunks[this.#foundChunk] as number[])[this.#foundAt];
    return row !== undefined && this.hasKey(row, key) ? row : -1;
  }

  #locate(key: ByteString): void {
    this.#foundChunk = this.#chunkFor(key);
    this.#foundAt = this.#lowerBound(this.#chunks[this.#foundChunk] as number[], key);
  }

  /** Whether the layers below have no row for this one's key. */
  isNew(row: number): boolean {
    return (this.#kindOf(row) & newKind) !== 0;
  }

  /** Whether the row has a value; without one it says that its key was removed. */
  hasValue(row: number): boolean {
    return (this.#kindOf(row) & putKind) !== 0;
  }

  #kindOf(row: number): number {
    const place = this.#places[row] as number;
    return this.#blocks.blockAt(place)[this.#blocks.offsetAt(place) + 1] as number;
  }

  keyOf(row: number): ByteString {
    const place = this.#places[row] as number;
    const bytes = this.#blocks.blockAt(place);
    const offset = this.#blocks.offsetAt(place);
    const keyAt = offset + changeHeadBytes;
    return byteStringFrom(bytes, keyAt, keyAt + keyLengthAt(bytes, offset));
  }

  /** A view of the row's value, which never changes. */
  valueOf(row: number): Uint8Array | undefined {
    if (!this.hasValue(row)) return undefined;
    const place = this.#places[row] as number;
    const bytes = this.#blocks.blockAt(place);
    const offset = this.#blocks.offsetAt(place);
    const valueAt = offset + changeHeadBytes + keyLengthAt(bytes, offset);
    return bytes.subarray(valueAt, valueAt + valueLengthAt(bytes, offset));
  }

  /** Where the row's value is, if it has one. */
  locate(row: number): RowSpan | undefined {
    if (!this.hasValue(row)) return undefined;
    const place = this.#places[row] as number;
    const offset = this.#blocks.offsetAt(place);
    this.bytes = this.#blocks.blockAt(place);
    this.at = offset + changeHeadBytes + keyLengthAt(this.bytes, offset);
    this.length = valueLengthAt(this.bytes, offset);
    return this;
  }

  hasKey(row: number, key: ByteString): boolean {
    return this.#compare(row, key) === 0;
  }

  /** Below, at or above zero as the row's key is below, at or above `key`. */
  #compare(row: number, key: ByteString): number {
    const place = this.#places[row] as number;
    const bytes = this.#blocks.blockAt(place);
    const offset = this.#blocks.offsetAt(place);
    const length = keyLengthAt(bytes, offset);
    const common = Math.min(length, key.length);
    const keyAt = offset + changeHeadBytes;
    for (let i = 0; i < common; i++) {
      const difference = (bytes[keyAt + i] as number) - key.charCodeAt(i);
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  /**
   * Adds a row, of whose key the table has none.
   * @param valueBytes Length of the value, to be written where the answer says; undefined for a removed row.
   */
  add(key: ByteString, valueBytes: number | undefined, isNew: boolean): RowSpace {
    const row = this.#rowCount++;
    this.#meter.bytes += rowOverheadBytes;
    if (row === this.#places.length) {
      const grown = new Int32Array(row * 2);
      grown.set(this.#places);
      this.#places = grown;
    }
    this.#write(row, key, valueBytes, isNew);
    this.#size++;
    this.#order(key, row);
    this.#index?.add(key, row);
    this.#lastKey = key;
    this.#lastRow = row;
    return this;
  }

  /** Gives a row another value, or none. The old one stays for whoever has a view of it. */
  change(row: number, key: ByteString, valueBytes: number | undefined): RowSpace {
    this.#write(row, key, valueBytes, this.isNew(row));
    this.#isBatch = false;
    return this;
  }

  #write(row: number, key: ByteString, valueBytes: number | undefined, isNew: boolean): void {
    const recordBytes = changeHeadBytes + key.length + (valueBytes ?? 0);
    const place = this.#blocks.take(recordBytes);
    this.#places[row] = place;
    this.#meter.bytes += recordBytes;
    const kind = (valueBytes === undefined ? 0 : putKind) | (isNew ? newKind : 0);
    this.bytes = this.#blocks.blockAt(place);
    this.at = putChangeHead(this.bytes, this.#blocks.offsetAt(place), this.#tableNumber, kind, key, valueBytes ?? 0);
  }

  #order(key: ByteString, row: number): void {
    if (this.#greatestKey === undefined || key > this.#greatestKey) {
      this.#greatestKey = key;
      const last = this.#chunks[this.#chunks.length - 1];
      if (last === undefined || last.length >= chunkRowsMax) this.#chunks.push([row]);
      else last.push(row);
      return;
    }
    this.#isBatch = false;
    // Without an index the look-up that found nothing has found the place.
    if (this.#index !== undefined || key !== this.#lastKey) this.#locate(key);
    const chunk = this.#chunks[this.#foundChunk] as number[];
    chunk.splice(this.#foundAt, 0, row);
    if (chunk.length > chunkRowsMax) this.#chunks.splice(this.#foundChunk + 1, 0, chunk.splice(chunkRowsMax >>> 1));
  }

  /** Takes out a row as if it had never been. */
  delete(row: number, key: ByteString): void {
    this.#isBatch = false;
    this.#index?.delete(key);
    this.#size--;
    this.#lastKey = undefined;
    this.#lastRow = -1;
    const chunkIndex = this.#chunkFor(key);
    const chunk = this.#chunks[chunkIndex] as number[];
    chunk.splice(chunk.indexOf(row), 1);
    if (chunk.length === 0) this.#chunks.splice(chunkIndex, 1);
    if (key !== this.#greatestKey) return;
    const greatest = this.#chunks.at(-1)?.at(-1);
    this.#greatestKey = greatest === undefined ? undefined : this.keyOf(greatest);
  }

  /** Whether there is a row in [from, to); `to` undefined means no upper end. */
  hasAny(from: ByteString, to: ByteString | undefined): boolean {
    return this.walk(from, to).row !== -1;
  }

  /** Walks the rows in [from, to) in key order. None may be added or taken out meanwhile, though they may change. */
  walk(from: ByteString, to: ByteString | undefined): LayerWalk {
    if (this.#greatestKey === undefined || from > this.#greatestKey) return new LayerWalk(this, [], 0, 0, to);
    const chunkIndex = from === "" ? 0 : this.#chunkFor(from);
    const at = from === "" ? 0 : this.#lowerBound(this.#chunks[chunkIndex] as number[], from);
    return new LayerWalk(this, this.#chunks, chunkIndex, at, to);
  }

  /** Whether a row's key is below `key`. */
  isBelow(row: number, key: ByteString): boolean {
    return this.#compare(row, key) < 0;
  }

  /** All rows as changes in batch form, in key order, some at a time. */
  *batch(): Iterable<Uint8Array> {
    if (this.#isBatch) {
      yield* this.#blocks.contents();
      return;
    }
    for (const chunk of this.#chunks) {
      for (const row of chunk) {
        const place = this.#places[row] as number;
        const bytes = this.#blocks.blockAt(place);
        const offset = this.#blocks.offsetAt(place);
        const length = changeHeadBytes + keyLengthAt(bytes, offset) + valueLengthAt(bytes, offset);
        yield bytes.subarray(offset, offset + length);
      }
    }
  }

  /** Where in a chunk the first row is whose key is not below `key`. */
  #lowerBound(chunk: readonly number[], key: ByteString): number {
    let low = 0;
    let high = chunk.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.isBelow(chunk[middle] as number, key)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the chunk that holds `key` or would: the last one that starts at or below it, or the first. */
  #chunkFor(key: ByteString): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare((this.#chunks[middle] as number[])[0] as number, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : low - 1;
  }
}

/** Where a walk stands: `row` is the number of its row, -1 at the end. */
export class LayerWalk {
  row = -1;
  readonly table: LayerTable;
  readonly #chunks: readonly (readonly number[])[];
  readonly #to: ByteString | undefined;
  #chunkIndex: number;
  #at: number;
  #key: ByteString | undefined;

  constructor(
    table: LayerTable,
    chunks: readonly (readonly number[])[],
    chunkIndex: number,
    at: number,
    to: ByteString | undefined,
  ) {
    this.table = table;
    this.#chunks = chunks;
    this.#chunkIndex = chunkIndex;
    this.#at = at - 1;
    this.#to = to;
    this.next();
  }

  /** Key of the row; undefined at the end. */
  get key(): ByteString | undefined {
    if (this.row !== -1) this.#key ??= this.table.keyOf(this.row);
    return this.#key;
  }

  /** Goes to the next row. */
  next(): void {
    this.#at++;
    let chunk = this.#chunks[this.#chunkIndex];
    if (chunk !== undefined && this.#at >= chunk.length) {
      chunk = this.#chunks[++this.#chunkIndex];
      this.#at = 0;
    }
    const row = chunk?.[this.#at] ?? -1;
    this.row = row === -1 || (this.#to !== undefined && !this.table.isBelow(row, this.#to)) ? -1 : row;
    this.#key = undefined;
  }
}
