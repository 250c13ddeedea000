// Which entries the log holds and where: the place it begins after, the term of every entry, the frame each one is in.
// It follows the records in the order they are written, and is rebuilt by reading them in that order.
import { assert } from "../lib/assert.ts";
import type { Entry, EntryId, HardState, SnapshotMeta } from "../raft/types.ts";
import { emptyHardState } from "../raft/types.ts";
import type { LogRecord } from "./frame-codec.ts";

/** A frame on disk, and the entries that are read from it: those that no later frame replaced. */
export interface FrameReference {
  readonly sequence: number;
  readonly offset: number;
  readonly length: number;
  readonly previousChecksum: number;
  readonly firstIndex: number;
  lastIndex: number;
}

interface TermRange {
  readonly firstIndex: number;
  readonly term: number;
}

export class LogIndex {
  #base: EntryId;
  #lastIndex: number;
  #terms: TermRange[] = [];
  readonly #frames: FrameReference[] = [];
  #hardState: HardState = emptyHardState;
  #snapshot: SnapshotMeta | undefined;

  constructor(base: EntryId) {
    this.#base = base;
    this.#lastIndex = base.index;
  }

  /** The place before the first entry. */
  get base(): EntryId {
    return this.#base;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  /** The snapshot that the log last began anew with. */
  get snapshot(): SnapshotMeta | undefined {
    return this.#snapshot;
  }

  /** Term of an entry from the base on; undefined for one that is not here. */
  term(index: number): number | undefined {
    if (index === this.#base.index) return this.#base.term;
    if (index < this.#base.index || index > this.#lastIndex) return undefined;
    let low = 0;
    let high = this.#terms.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#terms[middle] as TermRange).firstIndex <= index) low = middle;
      else high = middle - 1;
    }
    return this.#terms[low]?.term;
  }

  /** The frame that holds an entry. */
  frameOf(index: number): FrameReference | undefined {
    let low = 0;
    let high = this.#frames.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const frame = this.#frames[middle] as FrameReference;
      if (index < frame.firstIndex) high = middle - 1;
      else if (index > frame.lastIndex) low = middle + 1;
      else return frame;
    }
    return undefined;
  }

  /** Follows one record. Entries that replace earlier ones cut them and all behind them off. */
  addRecord(record: LogRecord): void {
    if (record.kind === "hard-state") this.#hardState = record.hardState;
    else if (record.kind === "entry") this.addEntry(record.entry);
    else this.addReset(record.snapshot);
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
  }

  addEntry(entry: Entry): void {
    const { index, term } = entry;
    assert(index <= this.#lastIndex + 1, () => `entry ${index} after ${this.#base.index}..${this.#lastIndex}`);
    if (index <= this.#base.index) {
      // What it replaced was in a file that is gone: 8 and 9 in the first file, 10 in the second, then another 8 there,
      // and the first file was given up when its 8 and 9 had long been of no account.
      this.#beginAfter({ index, term });
      return;
    }
    if (index <= this.#lastIndex) this.#cutFrom(index);
    if (this.#terms.at(-1)?.term !== term) this.#terms.push({ firstIndex: index, term });
    this.#lastIndex = index;
  }

  addReset(snapshot: SnapshotMeta): void {
    this.#beginAfter({ index: snapshot.index, term: snapshot.term });
    this.#snapshot = snapshot;
  }

  #beginAfter(base: EntryId): void {
    this.#base = base;
    this.#lastIndex = base.index;
    this.#terms = [];
    this.#frames.length = 0;
  }

  #cutFrom(index: number): void {
    while ((this.#terms.at(-1)?.firstIndex ?? 0) >= index) this.#terms.pop();
    while ((this.#frames.at(-1)?.firstIndex ?? 0) >= index) this.#frames.pop();
    const last = this.#frames.at(-1);
    if (last !== undefined && last.lastIndex >= index) last.lastIndex = index - 1;
  }

  /** Says that the next entries, those from `firstIndex` to `lastIndex`, are in this frame. */
  addFrame(frame: FrameReference): void {
    this.#frames.push(frame);
  }

  /** Forgets the entries up to `index`, which are not needed any more. */
  dropTo(index: number): void {
    if (index <= this.#base.index) return;
    const term = this.term(index);
    assert(term !== undefined, () => `drop to ${index} of a log that ends at ${this.#lastIndex}`);
    this.#base = { index, term };
    const first = this.#frames.findIndex((frame) => frame.lastIndex > index);
    this.#frames.splice(0, first === -1 ? this.#frames.length : first);
    let keepFrom = 0;
    while ((this.#terms[keepFrom + 1]?.firstIndex ?? Number.POSITIVE_INFINITY) <= index + 1) keepFrom++;
    this.#terms.splice(0, keepFrom);
    if (index === this.#lastIndex) this.#terms = [];
  }
}
