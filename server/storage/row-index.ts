// Finds the rows of a layer by their key: a hash table of row numbers. Keys stay where the rows are, so the table is
// two arrays of numbers, whatever it holds.
import type { ByteString } from "../lib/byte-string.ts";

/** What knows the keys. */
export interface RowKeys {
  /** Whether the row of this number has this key. */
  hasKey(row: number, key: ByteString): boolean;
}

const slotsMin = 64;
const emptySlot = 0;
const deletedSlot = -1;

export class RowIndex {
  readonly #keys: RowKeys;
  /** A row's number plus one in each slot; a slot is looked for from the hash on. */
  #slots = new Int32Array(slotsMin);
  /** Hashes of the keys in the slots: most slots are passed by without a look at the key. */
  #hashes = new Int32Array(slotsMin);
  #used = 0;

  constructor(keys: RowKeys) {
    this.#keys = keys;
  }

  /** Number of the row with this key, or -1. */
  find(key: ByteString): number {
    const slot = this.#slotOf(key, hashOf(key));
    return slot === -1 ? -1 : (this.#slots[slot] as number) - 1;
  }

  #slotOf(key: ByteString, hash: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot] as number;
      if (entry === emptySlot) return -1;
      if (entry !== deletedSlot && this.#hashes[slot] === hash && this.#keys.hasKey(entry - 1, key)) return slot;
    }
  }

  /** Adds a row, of whose key there is none. */
  add(key: ByteString, row: number): void {
    // At most half of the slots are in use, so that the way to an empty one is short.
    if (this.#used * 2 >= this.#slots.length) this.#rebuild();
    this.#used++;
    this.#place(hashOf(key), row + 1);
  }

  #place(hash: number, entry: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== emptySlot) slot = (slot + 1) & mask;
    this.#slots[slot] = entry;
    this.#hashes[slot] = hash;
  }

  /** Takes out a key, which is there. */
  delete(key: ByteString): void {
    this.#slots[this.#slotOf(key, hashOf(key))] = deletedSlot;
  }

  /** Leaves out what was deleted, and makes room for twice the rest. */
  #rebuild(): void {
    const slots = this.#slots;
    const hashes = this.#hashes;
    let rows = 0;
    for (const entry of slots) if (entry > 0) rows++;
    let size = slotsMin;
    while (size < rows * 4) size *= 2;
    this.#slots = new Int32Array(size);
    this.#hashes = new Int32Array(size);
    this.#used = rows;
    for (let slot = 0; slot < slots.length; slot++) {
      const entry = slots[slot] as number;
      if (entry > 0) this.#place(hashes[slot] as number, entry);
    }
  }
}

/** FNV-1a over the bytes, its upper bits mixed into the lower ones. */
function hashOf(key: ByteString): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}
