// Answers to ranges that are asked for again and again, kept current: every write goes through here and patches the
// ranges it falls into. Service discovery and controllers read the same prefixes over and over; from the tables such
// an answer costs a look-up and a checksum a key, from here it is there already.
//
// A range is taken in with its second read and dropped when it is too large, when others are read more, or when it is
// written to without being read. Only answers at the store's newest revision live here.
import type { ByteString } from "../../lib/byte-string.ts";
import { IntervalTree } from "../../lib/interval-tree.ts";
import { lowerBound } from "../../lib/lower-bound.ts";

/** All ranges together; each answer counts twice, since whoever encodes it may keep what it came to. */
const bytesMax = 32 * 1024 * 1024;
const rangeBytesMax = bytesMax / 4;
const rangesMax = 256;
/** Ranges that were read once are remembered, this many of them. */
const seenMax = 1024;
/** A write into a range costs time, which a read has to earn. */
const writesPerReadMax = 256;
/** What a key costs beside its bytes: two references, a string and a view of memory. */
const keyOverheadBytes = 160;

interface Entry {
  readonly from: ByteString;
  readonly to: ByteString | undefined;
  keys: ByteString[];
  keyValues: Uint8Array[];
  bytes: number;
  /** The arrays are in somebody's hands and must not change. */
  isHandedOut: boolean;
  writesSinceRead: number;
}

export class RangeCache {
  readonly #ranges = new IntervalTree<Entry>();
  /** The least recently read first. */
  readonly #byUse = new Set<Entry>();
  readonly #seen = new Set<string>();
  #bytes = 0;

  /** About what the answers kept here take. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#byUse.size;
  }

  /**
   * What [from, to) holds now, if that is known: mvccpb.KeyValue each, in wire form and key order. The array never
   * changes; a write makes a new one.
   */
  find(from: ByteString, to: ByteString | undefined): readonly Uint8Array[] | undefined {
    if (this.#byUse.size === 0) return undefined;
    const entry = this.#ranges.get(from, to);
    if (entry === undefined) return undefined;
    entry.isHandedOut = true;
    entry.writesSinceRead = 0;
    this.#byUse.delete(entry);
    this.#byUse.add(entry);
    return entry.keyValues;
  }

  /** To be asked after a read from the tables: whether its answer is worth being kept by {@link keep}. */
  isWanted(from: ByteString, to: ByteString | undefined): boolean {
    const name = `${from.length} ${from}${to ?? ""}`;
    if (this.#seen.delete(name)) return true;
    this.#seen.add(name);
    if (this.#seen.size > seenMax) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
    return false;
  }

  /** Takes in what [from, to) holds now. */
  keep(from: ByteString, to: ByteString | undefined, keys: ByteString[], keyValues: readonly Uint8Array[]): void {
    const known = this.#ranges.get(from, to);
    if (known !== undefined) this.#drop(known);
    let bytes = 0;
    for (let i = 0; i < keys.length; i++) bytes += costOf(keys[i] as ByteString, keyValues[i] as Uint8Array);
    if (bytes > rangeBytesMax) return;
    const kept = keyValues.map(toOwnMemory);
    const entry: Entry = { from, to, keys, keyValues: kept, bytes, isHandedOut: false, writesSinceRead: 0 };
    this.#ranges.insert(from, to, entry);
    this.#byUse.add(entry);
    this.#bytes += bytes;
    for (const oldest of this.#byUse) {
      if (this.#bytes <= bytesMax && this.#byUse.size <= rangesMax) break;
      this.#drop(oldest);
    }
  }

  /** A key has a new version, or none any more. To be called with every change, before the next read. */
  onChange(key: ByteString, keyValue: Uint8Array | undefined): void {
    if (this.#byUse.size === 0) return;
    let dropped: Entry[] | undefined;
    let own: Uint8Array | undefined;
    this.#ranges.visitContaining(key, (entry) => {
      const bytesBefore = entry.bytes;
      own ??= keyValue && toOwnMemory(keyValue);
      if (++entry.writesSinceRead <= writesPerReadMax) patch(entry, key, own);
      this.#bytes += entry.bytes - bytesBefore;
      if (entry.writesSinceRead > writesPerReadMax || entry.bytes > rangeBytesMax) {
        dropped ??= [];
        dropped.push(entry);
      }
    });
    for (const entry of dropped ?? []) this.#drop(entry);
  }

  /** Forgets everything: the tables were replaced. */
  clear(): void {
    for (const entry of [...this.#byUse]) this.#drop(entry);
    this.#seen.clear();
  }

  #drop(entry: Entry): void {
    this.#ranges.delete(entry.from, entry.to);
    this.#byUse.delete(entry);
    this.#bytes -= entry.bytes;
  }
}

/** A version as the store hands it out may be a small part of a large piece of memory, which must not live on with it. */
function toOwnMemory(keyValue: Uint8Array): Uint8Array {
  return keyValue.buffer.byteLength <= keyValue.length + keyOverheadBytes ? keyValue : new Uint8Array(keyValue);
}

function costOf(key: ByteString, keyValue: Uint8Array): number {
  return key.length + keyValue.length * 2 + keyOverheadBytes;
}

function patch(entry: Entry, key: ByteString, keyValue: Uint8Array | undefined): void {
  const at = lowerBound(entry.keys, key);
  const isThere = entry.keys[at] === key;
  if (keyValue === undefined && !isThere) return;
  if (entry.isHandedOut) {
    entry.keys = entry.keys.slice();
    entry.keyValues = entry.keyValues.slice();
    entry.isHandedOut = false;
  }
  if (isThere) entry.bytes -= costOf(key, entry.keyValues[at] as Uint8Array);
  if (keyValue === undefined) {
    entry.keys.splice(at, 1);
    entry.keyValues.splice(at, 1);
    return;
  }
  entry.bytes += costOf(key, keyValue);
  if (isThere) entry.keyValues[at] = keyValue;
  else {
    entry.keys.splice(at, 0, key);
    entry.keyValues.splice(at, 0, keyValue);
  }
}
