// The end of the log that is not known to be durable: entries and possibly a snapshot, handed out for saving step by
// step and dropped once saved.
import { assert } from "../lib/assert.ts";
import { type Entry, entrySizeBytes, type SnapshotMeta } from "./types.ts";

/**
 *   log:  ... 7 8 | 9 10 11 | 12 13
 *        durable  | handed  | new        `offset` is 9, `handedTo` is 11
 *
 * With a snapshot, it stands in place of everything before `offset`, which is one after its index.
 */
export class Unstable {
  // `#entries[#start]` has index `offset`; what is before `#start` was dropped and waits for the array to be cut, so that
  // dropping a few of many costs nothing.
  #entries: Entry[] = [];
  #start = 0;
  #offset: number;
  #handedTo: number;
  #snapshot: SnapshotMeta | undefined;
  #snapshotHanded = false;

  /** `lastDurable` is the index of the last durable entry. */
  constructor(lastDurable: number) {
    this.#offset = lastDurable + 1;
    this.#handedTo = lastDurable;
  }

  /** The index of the first entry that is not known to be durable, or the one it would get. */
  get offset(): number {
    return this.#offset;
  }

  get lastIndex(): number {
    return this.#offset + this.#entries.length - this.#start - 1;
  }

  get snapshot(): SnapshotMeta | undefined {
    return this.#snapshot;
  }

  /** There is something that was not handed out yet. */
  get hasNew(): boolean {
    return this.#handedTo < this.lastIndex || (this.#snapshot !== undefined && !this.#snapshotHanded);
  }

  entry(index: number): Entry {
    const entry = this.#entries[index - this.#offset + this.#start];
    assert(entry !== undefined, () => `entry ${index} is not in the unsaved tail ${this.#offset}..${this.lastIndex}`);
    return entry;
  }

  /** The entries from `low` up to and without `high`: the first one always, then as many as fit into `bytesMax`. */
  slice(low: number, high: number, bytesMax: number): Entry[] {
    assert(low >= this.#offset && high <= this.lastIndex + 1, () => `${low}..${high} leaves the unsaved tail`);
    const from = low - this.#offset + this.#start;
    const end = high - this.#offset + this.#start;
    if (bytesMax === Number.POSITIVE_INFINITY) return this.#entries.slice(from, end);
    let to = Math.min(from + 1, end);
    let bytes = to > from ? entrySizeBytes(this.#entries[from] as Entry) : 0;
    while (to < end && (bytes += entrySizeBytes(this.#entries[to] as Entry)) <= bytesMax) to++;
    return this.#entries.slice(from, to);
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
  }

  /** Cuts the log so that `index` is the next one. It may lie in the durable part, which is then to be overwritten. */
  truncateFrom(index: number): void {
    assert(
      this.#snapshot === undefined || index > this.#snapshot.index,
      () => `the log was to be cut at ${index}, inside the snapshot ${this.#snapshot?.index}`,
    );
    if (index <= this.#offset) {
      this.#entries = [];
      this.#start = 0;
      this.#offset = index;
    } else this.#entries.length = index - this.#offset + this.#start;
    this.#handedTo = Math.min(this.#handedTo, index - 1);
  }

  /** Puts a snapshot in place of the whole log. */
  restore(snapshot: SnapshotMeta): void {
    this.#entries = [];
    this.#start = 0;
    this.#offset = snapshot.index + 1;
    this.#handedTo = snapshot.index;
    this.#snapshot = snapshot;
    this.#snapshotHanded = false;
  }

  /** What was not handed out yet: a snapshot alone, or entries. */
  handOut(): { readonly snapshot: SnapshotMeta | undefined; readonly entries: readonly Entry[] } {
    if (this.#snapshot !== undefined && !this.#snapshotHanded) {
      this.#snapshotHanded = true;
      return { snapshot: this.#snapshot, entries: [] };
    }
    const entries = this.slice(this.#handedTo + 1, this.lastIndex + 1, Number.POSITIVE_INFINITY);
    this.#handedTo = this.lastIndex;
    return { snapshot: undefined, entries };
  }

  /** Drops the snapshot at `index` and returns it: it is installed. */
  snapshotSaved(index: number): SnapshotMeta {
    const snapshot = this.#snapshot;
    assert(
      snapshot?.index === index,
      () => `snapshot ${index} is installed, but the one under way is ${snapshot?.index}`,
    );
    this.#snapshot = undefined;
    return snapshot;
  }

  /** Drops the entries up to `index`: they are durable. */
  savedTo(index: number): void {
    if (index < this.#offset) return;
    assert(index <= this.#handedTo, () => `${index} is saved, but only ${this.#handedTo} was handed out`);
    this.#start += index + 1 - this.#offset;
    this.#offset = index + 1;
    if (this.#start === this.#entries.length) {
      this.#entries = [];
      this.#start = 0;
    } else if (this.#start > 1024 && this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
  }
}
