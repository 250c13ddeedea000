// A log kept in memory: the log reader of tests and the simulator's durable image. It holds what was saved and follows
// the rules that `Save` states; it is no store for production.
import { assert } from "../lib/assert.ts";
import type { LogGap, LogReader } from "./log-reader.ts";
import type { Save } from "./ready.ts";
import {
  type Entry,
  type EntryId,
  emptyHardState,
  entrySizeBytes,
  type HardState,
  noEntryId,
  type SnapshotMeta,
} from "./types.ts";

export class MemoryLog implements LogReader {
  // `#entries[i]` has index `#compacted.index + 1 + i`.
  #entries: Entry[] = [];
  #compacted: EntryId = noEntryId;
  #snapshot: SnapshotMeta | undefined;
  hardState: HardState = emptyHardState;

  firstIndex(): number {
    return this.#compacted.index + 1;
  }

  lastIndex(): number {
    return this.#compacted.index + this.#entries.length;
  }

  term(index: number): number | LogGap {
    if (index === this.#compacted.index) return this.#compacted.term;
    if (index < this.#compacted.index) return "compacted";
    return this.#entries[index - this.firstIndex()]?.term ?? "unavailable";
  }

  entries(low: number, high: number, bytesMax: number): readonly Entry[] | LogGap {
    if (low < this.firstIndex()) return "compacted";
    if (low > this.lastIndex()) return "unavailable";
    const from = low - this.firstIndex();
    const end = Math.min(high - this.firstIndex(), this.#entries.length);
    let to = from;
    let bytes = 0;
    while (to < end && (to === from || bytes + entrySizeBytes(this.#entries[to] as Entry) <= bytesMax))
      bytes += entrySizeBytes(this.#entries[to++] as Entry);
    return this.#entries.slice(from, to);
  }

  snapshot(): SnapshotMeta | undefined {
    return this.#snapshot;
  }

  /** Makes a save durable, whole. */
  save(save: Save): void {
    this.hardState = save.hardState;
    if (save.snapshot !== undefined) this.install(save.snapshot);
    this.append(save.entries);
  }

  /** Appends, after cutting what the first entry overwrites. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(
      first.index > this.#compacted.index && first.index <= this.lastIndex() + 1,
      () => `entry ${first.index} does not fit onto a log of ${this.firstIndex()}..${this.lastIndex()}`,
    );
    this.#entries.length = first.index - this.firstIndex();
    for (const entry of entries) this.#entries.push(entry);
  }

  /** Replaces the whole log by a snapshot. */
  install(snapshot: SnapshotMeta): void {
    this.#entries = [];
    this.#compacted = { index: snapshot.index, term: snapshot.term };
    this.#snapshot = snapshot;
  }

  /** Offers a snapshot of applied state for sending. */
  offerSnapshot(snapshot: SnapshotMeta): void {
    assert(snapshot.index >= this.#compacted.index, () => `a snapshot at ${snapshot.index} is older than the log`);
    this.#snapshot = snapshot;
  }

  /** Drops the entries up to `index`, which must be covered by the snapshot on offer. */
  compactTo(index: number): void {
    assert(
      index <= (this.#snapshot?.index ?? 0) && index <= this.lastIndex(),
      () => `compaction to ${index} goes beyond the snapshot ${this.#snapshot?.index} or the log ${this.lastIndex()}`,
    );
    if (index <= this.#compacted.index) return;
    const term = this.term(index);
    assert(typeof term === "number", () => `no term at ${index}`);
    this.#entries = this.#entries.slice(index - this.#compacted.index);
    this.#compacted = { index, term };
  }

  /** A log with the same contents that goes its own way from here on. */
  copy(): MemoryLog {
    const copy = new MemoryLog();
    copy.#entries = this.#entries.slice();
    copy.#compacted = this.#compacted;
    copy.#snapshot = this.#snapshot;
    copy.hardState = this.hardState;
    return copy;
  }
}
