// The newest entries of the log, in memory. Followers that keep up and the apply loop never touch the disk.
import { assert } from "../lib/assert.ts";
import { type Entry, entrySizeBytes } from "../raft/types.ts";

export class EntryCache {
  readonly #bytesMax: number;
  #entries: Entry[] = [];
  /** Entries before this one in the array are gone already; the array is cut now and then. */
  #head = 0;
  #firstIndex: number;
  #bytes = 0;

  constructor(bytesMax: number, firstIndex: number) {
    this.#bytesMax = bytesMax;
    this.#firstIndex = firstIndex;
  }

  /** Adds the next entry, or one that replaces those from its index on. */
  add(entry: Entry): void {
    if (entry.index < this.#firstIndex) this.reset(entry.index);
    const position = this.#head + entry.index - this.#firstIndex;
    assert(position <= this.#entries.length, () => `entry ${entry.index} leaves a hole in the cache`);
    while (this.#entries.length > position) this.#bytes -= entrySizeBytes(this.#entries.pop() as Entry);
    this.#entries.push(entry);
    this.#bytes += entrySizeBytes(entry);
    this.#trim();
  }

  /** Drops entries up to and with `index`. */
  forget(index: number): void {
    while (this.#firstIndex <= index && this.#entries.length > this.#head) this.#dropFirst();
    this.#cut();
  }

  #trim(): void {
    while (this.#bytes > this.#bytesMax && this.#entries.length - this.#head > 1) this.#dropFirst();
    this.#cut();
  }

  #dropFirst(): void {
    this.#bytes -= entrySizeBytes(this.#entries[this.#head] as Entry);
    // Cleared at once: the array itself is cut only when half of it is empty.
    this.#entries[this.#head] = undefined as unknown as Entry;
    this.#head++;
    this.#firstIndex++;
  }

  #cut(): void {
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Empties the cache; the next entry has this index. */
  reset(firstIndex: number): void {
    this.#entries = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#firstIndex = firstIndex;
  }

  holds(index: number): boolean {
    return index >= this.#firstIndex && index < this.#firstIndex + this.#entries.length - this.#head;
  }

  /** Entries from `low`, which is held, up to and without `high`: the first always, then as many as fit. */
  slice(low: number, high: number, bytesMax: number): readonly Entry[] {
    const start = this.#head + low - this.#firstIndex;
    const end = Math.min(this.#head + high - this.#firstIndex, this.#entries.length);
    let bytes = 0;
    for (let at = start; at < end; at++) {
      bytes += entrySizeBytes(this.#entries[at] as Entry);
      if (bytes > bytesMax && at > start) return this.#entries.slice(start, at);
    }
    return this.#entries.slice(start, end);
  }
}
