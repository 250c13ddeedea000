// Lets keys of any length live, in byte order, in tables whose own keys are short.
//
// A key of up to 900 bytes is its own table key. Of a longer one, each leading piece of 900 bytes is given a number
// ("prefix"), and the key becomes that number and the rest. Pieces nest: prefix 7 may stand for prefix 3 plus 900
// bytes more. Numbers are a matter of this member's tables alone; nothing replicated or shown depends on them.
//
//     "a" x 1000          ->  prefix 1 = (0, "a" x 900);  key = 1 + "a" x 100
//     "a" x 2000          ->  prefix 2 = (1, "a" x 900);  key = 2 + "a" x 200
//
// Order within a prefix: a rest r of at most 900 bytes sorts before every key that continues r, and a continuation is
// exactly 900 bytes long; so a walk takes the rests up to a continuation, then what the continuation holds, then goes
// on. `spans` yields those stretches. Without long keys there is one stretch, the whole range.
import {
  type ByteString,
  byteStringFrom,
  uint48FromByteString,
  uint48ToByteString,
  writeByteString,
} from "../../lib/byte-string.ts";
import { crc32OfByteString } from "../../lib/crc32.ts";
import type { Backend, TableReader } from "../../storage/backend.ts";
import type { TableName } from "../../storage/tables.ts";
import { CorruptRecordError } from "../errors.ts";
import { escapeKey, unescapeKey } from "./key-escape.ts";

/** Bytes of a key that a table key holds at most. Twice this, for escapes, and the rest must fit a table key. */
export const pieceBytes = 900;

const noPrefix = 0;

/** Where a key's rows are. */
export interface KeyLocation {
  readonly currentTable: TableName;
  readonly currentKey: ByteString;
  readonly historyTable: TableName;
  /** 0 for keys that are their own table key. */
  readonly prefix: number;
  readonly rest: ByteString;
}

/** Table key of the version that was valid until `supersededAt`. */
export function historyKeyOf(location: KeyLocation, supersededAt: number): ByteString {
  const number = location.prefix === noPrefix ? "" : uint48ToByteString(location.prefix);
  return number + escapeKey(location.rest) + uint48ToByteString(supersededAt);
}

/** A stretch of table keys without a continuation in between. */
export interface KeySpan {
  readonly currentTable: TableName;
  readonly historyTable: TableName;
  readonly currentFrom: ByteString;
  readonly currentTo: ByteString | undefined;
  readonly historyFrom: ByteString;
  readonly historyTo: ByteString | undefined;
  /** Where the escaped key begins in a table key of the history. */
  readonly historyKeyStart: number;
  /** The user key that a row of the current table belongs to. */
  keyOfCurrent(tableKey: ByteString): ByteString;
  /** The user key that a row of the history table belongs to. */
  keyOfHistory(tableKey: ByteString): ByteString;
  /** The part of this stretch from `key` on, which lies in it. */
  startingAt(key: ByteString): KeySpan;
}

export class KeySpace {
  readonly #backend: Backend;
  /** While false there are no long keys and no look-up is spent on them. */
  #hasPrefixes = false;
  #lastPrefix = noPrefix;

  constructor(backend: Backend) {
    this.#backend = backend;
    this.reload();
  }

  /** Takes up what the tables hold: at the start, and when a snapshot has replaced them. */
  reload(): void {
    this.#lastPrefix = noPrefix;
    // Numbers are given in ascending order and may be given again once free, so the highest one decides.
    for (const { key } of this.#backend.scan("prefixParents", "", undefined)) {
      this.#lastPrefix = Math.max(this.#lastPrefix, uint48FromByteString(key, 0));
    }
    this.#hasPrefixes = this.#lastPrefix !== noPrefix;
  }

  /** Where the rows of `key` are; undefined when no row can exist. */
  find(key: ByteString): KeyLocation | undefined {
    if (key.length <= pieceBytes) return shortLocation(key);
    if (!this.#hasPrefixes) return undefined;
    let prefix = noPrefix;
    let at = 0;
    for (; key.length - at > pieceBytes; at += pieceBytes) {
      const tableKey = uint48ToByteString(prefix) + key.slice(at, at + pieceBytes);
      const row = this.#backend.get("prefixes", tableKey);
      if (row === undefined) return undefined;
      prefix = readPrefixNumber(tableKey, row);
    }
    return longLocation(prefix, key.slice(at));
  }

  /** Where the rows of `key` are or will be. Gives its leading pieces numbers when they have none. */
  findOrCreate(key: ByteString): KeyLocation {
    if (key.length <= pieceBytes) return shortLocation(key);
    let prefix = noPrefix;
    let at = 0;
    for (; key.length - at > pieceBytes; at += pieceBytes) {
      const tableKey = uint48ToByteString(prefix) + key.slice(at, at + pieceBytes);
      const row = this.#backend.get("prefixes", tableKey);
      prefix = row === undefined ? this.#createPrefix(tableKey) : readPrefixNumber(tableKey, row);
    }
    return longLocation(prefix, key.slice(at));
  }

  #createPrefix(tableKey: ByteString): number {
    this.#lastPrefix++;
    this.#hasPrefixes = true;
    const number = uint48ToByteString(this.#lastPrefix);
    this.#backend.insert("prefixes", tableKey, encodePrefixRow(tableKey, number));
    this.#backend.insert("prefixParents", number, encodePrefixRow(number, tableKey));
    return this.#lastPrefix;
  }

  /** Gives a prefix up once nothing is left under it. To be called after rows under it were removed. */
  releaseIfUnused(prefix: number): void {
    let unused = prefix;
    while (unused !== noPrefix && !this.#isUsed(unused)) {
      const number = uint48ToByteString(unused);
      const row = this.#backend.get("prefixParents", number);
      if (row === undefined) return;
      const tableKey = decodePrefixRow("prefixParents", number, row);
      this.#backend.remove("prefixParents", number);
      this.#backend.remove("prefixes", tableKey);
      unused = uint48FromByteString(tableKey, 0);
    }
  }

  #isUsed(prefix: number): boolean {
    const from = uint48ToByteString(prefix);
    const to = uint48ToByteString(prefix + 1);
    const tables = ["longCurrent", "longHistory", "prefixes"] as const;
    return tables.some((table) => this.#backend.first(table, from, to) !== undefined);
  }

  /** The bytes that a prefix stands for. */
  expand(prefix: number): ByteString {
    const pieces: ByteString[] = [];
    let current = prefix;
    while (current !== noPrefix) {
      const number = uint48ToByteString(current);
      const row = this.#backend.get("prefixParents", number);
      if (row === undefined) throw new CorruptRecordError("prefixParents", number);
      const tableKey = decodePrefixRow("prefixParents", number, row);
      pieces.push(tableKey.slice(6));
      current = uint48FromByteString(tableKey, 0);
    }
    return pieces.reverse().join("");
  }

  /** The stretches that together hold the keys in [from, to), in order; no `to` means to the end. */
  *spans(from: ByteString, to: ByteString | undefined): IterableIterator<KeySpan> {
    if (this.#hasPrefixes) yield* spansUnder(this.#backend, noPrefix, "", from, to);
    else yield shortSpan(clamp(from), to === undefined ? undefined : clamp(to));
  }
}

function shortLocation(key: ByteString): KeyLocation {
  return {
    currentTable: "current",
    currentKey: key,
    historyTable: "history",
    prefix: noPrefix,
    rest: key,
  };
}

function longLocation(prefix: number, rest: ByteString): KeyLocation {
  return {
    currentTable: "longCurrent",
    currentKey: uint48ToByteString(prefix) + rest,
    historyTable: "longHistory",
    prefix,
    rest,
  };
}

// Rows of both tables: what the key stands for, crc 4 over both.

function encodePrefixRow(tableKey: ByteString, meaning: ByteString): Uint8Array {
  const row = Buffer.allocUnsafe(meaning.length + 4);
  writeByteString(row, meaning, 0);
  row.writeUInt32BE(crc32OfByteString(meaning, crc32OfByteString(tableKey)), meaning.length);
  return row;
}

function decodePrefixRow(table: TableName, tableKey: ByteString, bytes: Uint8Array): ByteString {
  const row = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const meaning = byteStringFrom(row, 0, Math.max(0, row.length - 4));
  if (row.length < 10 || row.readUInt32BE(meaning.length) !== crc32OfByteString(meaning, crc32OfByteString(tableKey))) {
    throw new CorruptRecordError(table, tableKey);
  }
  return meaning;
}

function readPrefixNumber(tableKey: ByteString, row: Uint8Array): number {
  return uint48FromByteString(decodePrefixRow("prefixes", tableKey, row), 0);
}

/** A bound longer than any rest, as the bound that parts the rests in the same place. */
function clamp(bound: ByteString): ByteString {
  return bound.length > pieceBytes ? `${bound.slice(0, pieceBytes)}\0` : bound;
}

function shortSpan(from: ByteString, to: ByteString | undefined): KeySpan {
  return {
    currentTable: "current",
    historyTable: "history",
    currentFrom: from,
    currentTo: to,
    historyFrom: escapeKey(from),
    historyTo: to === undefined ? undefined : escapeKey(to),
    historyKeyStart: 0,
    keyOfCurrent: (tableKey) => tableKey,
    keyOfHistory: (tableKey) => unescapeKey(tableKey, 0),
    startingAt: (key) => shortSpan(key, to),
  };
}

function longSpan(prefix: number, base: ByteString, from: ByteString, to: ByteString | undefined): KeySpan {
  const number = uint48ToByteString(prefix);
  const end = uint48ToByteString(prefix + 1);
  return {
    currentTable: "longCurrent",
    historyTable: "longHistory",
    currentFrom: number + from,
    currentTo: to === undefined ? end : number + to,
    historyFrom: number + escapeKey(from),
    historyTo: to === undefined ? end : number + escapeKey(to),
    historyKeyStart: 6,
    keyOfCurrent: (tableKey) => base + tableKey.slice(6),
    keyOfHistory: (tableKey) => base + unescapeKey(tableKey, 6),
    startingAt: (key) => longSpan(prefix, base, key.slice(base.length), to),
  };
}

/** Spans under one prefix. `base` is what the prefix stands for; `from` and `to` are relative to it. */
function* spansUnder(
  reader: TableReader,
  prefix: number,
  base: ByteString,
  from: ByteString,
  to: ByteString | undefined,
): IterableIterator<KeySpan> {
  const make = (lower: ByteString, upper: ByteString | undefined): KeySpan =>
    prefix === noPrefix ? shortSpan(lower, upper) : longSpan(prefix, base, lower, upper);
  const number = uint48ToByteString(prefix);
  const end = uint48ToByteString(prefix + 1);
  let lower = clamp(from);
  let seekFrom = number + from.slice(0, pieceBytes);
  // Each continuation is looked up anew: the store may change between two spans.
  for (;;) {
    const continuation = reader.first("prefixes", seekFrom, end);
    if (continuation === undefined) break;
    const piece = continuation.key.slice(6);
    if (to !== undefined && piece >= to) break;
    const afterPiece = `${piece}\0`;
    seekFrom = number + afterPiece;
    if (lower < afterPiece) yield make(lower, to !== undefined && to < afterPiece ? clamp(to) : afterPiece);
    const childFrom = from.startsWith(piece) ? from.slice(pieceBytes) : "";
    const childTo = to?.startsWith(piece) ? to.slice(pieceBytes) : undefined;
    if (childTo !== "") {
      const child = readPrefixNumber(continuation.key, continuation.value);
      yield* spansUnder(reader, child, base + piece, childFrom, childTo);
    }
    if (lower < afterPiece) lower = afterPiece;
  }
  const upper = to === undefined ? undefined : clamp(to);
  if (upper === undefined || lower < upper) yield make(lower, upper);
}
