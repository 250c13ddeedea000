// A map from byte strings to values that can also be walked in key order. Point access is a hash look-up; order is
// kept in a list of sorted chunks, so an insertion moves at most one chunk. Built for the write buffer of the store:
// many inserts and look-ups, some ordered walks, dropped as a whole.
import type { ByteString } from "./byte-string.ts";
import { lowerBound } from "./lower-bound.ts";

// Insertion cost grows with the chunk, look-up of the chunk with their number; both are small at this size up to
// some hundred thousand keys.
const chunkKeysMax = 512;

export class OrderedMap<V> {
  readonly #values = new Map<ByteString, V>();
  readonly #chunks: ByteString[][] = [];

  get size(): number {
    return this.#values.size;
  }

  get(key: ByteString): V | undefined {
    return this.#values.get(key);
  }

  has(key: ByteString): boolean {
    return this.#values.has(key);
  }

  set(key: ByteString, value: V): void {
    const before = this.#values.size;
    this.#values.set(key, value);
    if (this.#values.size !== before) this.#insertKey(key);
  }

  delete(key: ByteString): boolean {
    if (!this.#values.delete(key)) return false;
    const chunkIndex = this.#chunkFor(key);
    const chunk = this.#chunks[chunkIndex] as ByteString[];
    chunk.splice(lowerBound(chunk, key), 1);
    if (chunk.length === 0) this.#chunks.splice(chunkIndex, 1);
    return true;
  }

  /** Entries in no particular order; quicker than an ordered walk. */
  entries(): IterableIterator<[ByteString, V]> {
    return this.#values.entries();
  }

  /** Keys in [from, to) in order; `to` undefined means no upper end. The map must not change during the walk. */
  *keys(from: ByteString, to: ByteString | undefined): IterableIterator<ByteString> {
    if (this.#chunks.length === 0) return;
    let chunkIndex = this.#chunkFor(from);
    let at = lowerBound(this.#chunks[chunkIndex] as ByteString[], from);
    for (; chunkIndex < this.#chunks.length; chunkIndex++, at = 0) {
      const chunk = this.#chunks[chunkIndex] as ByteString[];
      for (; at < chunk.length; at++) {
        const key = chunk[at] as ByteString;
        if (to !== undefined && key >= to) return;
        yield key;
      }
    }
  }

  /** The smallest key >= `from`, or undefined. */
  ceiling(from: ByteString): ByteString | undefined {
    if (this.#chunks.length === 0) return undefined;
    const chunkIndex = this.#chunkFor(from);
    const chunk = this.#chunks[chunkIndex] as ByteString[];
    return chunk[lowerBound(chunk, from)] ?? this.#chunks[chunkIndex + 1]?.[0];
  }

  /** The greatest key < `to`, or undefined. */
  below(to: ByteString): ByteString | undefined {
    if (this.#chunks.length === 0) return undefined;
    const chunkIndex = this.#chunkFor(to);
    const chunk = this.#chunks[chunkIndex] as ByteString[];
    return chunk[lowerBound(chunk, to) - 1] ?? this.#chunks[chunkIndex - 1]?.at(-1);
  }

  /** Index of the chunk that holds `key` or would: the last one that starts at or below it, or the first. */
  #chunkFor(key: ByteString): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (((this.#chunks[middle] as ByteString[])[0] as ByteString) <= key) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : low - 1;
  }

  #insertKey(key: ByteString): void {
    const lastChunk = this.#chunks.at(-1);
    // Revisions only grow: appending at the very end is the common case of the biggest table.
    if (lastChunk === undefined || (lastChunk.at(-1) as ByteString) < key) {
      if (lastChunk === undefined || lastChunk.length >= chunkKeysMax) this.#chunks.push([key]);
      else lastChunk.push(key);
      return;
    }
    const chunkIndex = this.#chunkFor(key);
    const chunk = this.#chunks[chunkIndex] as ByteString[];
    chunk.splice(lowerBound(chunk, key), 0, key);
    if (chunk.length > chunkKeysMax) this.#chunks.splice(chunkIndex + 1, 0, chunk.splice(chunkKeysMax >>> 1));
  }
}
