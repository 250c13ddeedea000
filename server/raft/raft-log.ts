// The whole log as raft sees it: the durable part read through the host's LogReader, the unsaved tail behind it, and
// the cursors commit, handed-out and applied. Knows no roles and no quorums.
import { assert } from "../lib/assert.ts";
import type { LogGap, LogReader } from "./log-reader.ts";
import { mutated } from "./mutations.ts";
import type { Save } from "./ready.ts";
import { SaveLedger } from "./save-ledger.ts";
import { type Entry, type EntryId, entrySizeBytes, type HardState, type MemberId, type SnapshotMeta } from "./types.ts";
import { Unstable } from "./unstable.ts";

/** How much is read at once when a node looks through its log. */
const scanBytesMax = 1024 * 1024;

/** What an acknowledged save changed. */
export type SaveOutcome = {
  readonly hardState: HardState;
  /** A snapshot was installed: this is what is applied now. */
  readonly installed: SnapshotMeta | undefined;
};

/**
 * Order of the cursors: `applied <= applying <= committed <= lastIndex`, and `applying <= durable`: what is applied
 * here is durable here, or the state could survive a crash that its own log did not.
 *
 * A membership change is a special case. Once its entry counts anywhere, members may leave for good on the strength of
 * it. So a member neither applies one nor tells others that it is committed before it will know so after a crash.
 */
export class RaftLog {
  readonly #reader: LogReader;
  readonly #unstable: Unstable;
  readonly #ledger = new SaveLedger();
  #committed: number;
  #applying: number;
  #applied: number;
  /** The commit index this member will know after a crash. */
  #durableCommit: number;
  /** The indexes of the membership changes after `#applied`, rising. */
  #confChanges: number[] = [];
  // The last entry's term, read for every append, election and proposal.
  #lastTerm: number;

  constructor(reader: LogReader, commit: number, applied: number) {
    this.#reader = reader;
    const lastIndex = reader.lastIndex();
    const compacted = reader.firstIndex() - 1;
    assert(compacted <= lastIndex, () => `the log starts at ${compacted + 1} and ends at ${lastIndex}`);
    assert(
      applied >= compacted && applied <= lastIndex,
      () => `state is applied up to ${applied}, but the log holds ${compacted + 1}..${lastIndex}`,
    );
    // What was applied was committed, even if no save recorded it.
    this.#committed = Math.max(commit, applied);
    assert(
      this.#committed <= lastIndex,
      () => `${commit} was committed, but the log ends at ${lastIndex}: data is lost`,
    );
    this.#applying = applied;
    this.#applied = applied;
    this.#durableCommit = this.#committed;
    this.#unstable = new Unstable(lastIndex);
    this.#lastTerm = this.#knownTerm(lastIndex);
    for (let low = applied + 1; low <= lastIndex; ) {
      const entries = reader.entries(low, lastIndex + 1, scanBytesMax);
      assert(typeof entries !== "string", () => `entry ${low}, which is not applied yet, cannot be read: ${entries}`);
      this.#noteConfChanges(entries);
      low += entries.length;
    }
  }

  get committed(): number {
    return this.#committed;
  }

  /** The commit index that others may be told. */
  get announcedCommit(): number {
    if (this.#confChanges.length === 0 || mutated("raft/conf-change-applied-before-known")) return this.#committed;
    const held = this.#confChanges.find((index) => index > this.#durableCommit);
    return held === undefined ? this.#committed : Math.min(this.#committed, held - 1);
  }

  /** The commit index this member will know after a crash. */
  get durableCommit(): number {
    return this.#durableCommit;
  }

  /** Everything up to it was handed out for applying. */
  get applying(): number {
    return this.#applying;
  }

  get applied(): number {
    return this.#applied;
  }

  /** Everything up to it is durable. 0 while a snapshot is being installed. */
  get durable(): number {
    return this.#unstable.snapshot === undefined ? this.#unstable.offset - 1 : 0;
  }

  get lastIndex(): number {
    return this.#unstable.lastIndex;
  }

  get lastId(): EntryId {
    return { index: this.lastIndex, term: this.#lastTerm };
  }

  /** The last entry known to be committed. */
  get committedId(): EntryId {
    const term = this.term(this.#committed);
    assert(typeof term === "number", () => `the term of the committed entry ${this.#committed} is not known`);
    return { index: this.#committed, term };
  }

  get lastTerm(): number {
    return this.#lastTerm;
  }

  /** The oldest entry that can be read. */
  get firstIndex(): number {
    const snapshot = this.#unstable.snapshot;
    return snapshot === undefined ? this.#reader.firstIndex() : snapshot.index + 1;
  }

  get pendingSnapshot(): SnapshotMeta | undefined {
    return this.#unstable.snapshot;
  }

  /** A snapshot to send. */
  get snapshotToSend(): SnapshotMeta | undefined {
    return this.#unstable.snapshot === undefined ? this.#reader.snapshot() : undefined;
  }

  term(index: number): number | LogGap {
    if (index === this.lastIndex) return this.#lastTerm;
    if (index > this.lastIndex) return "unavailable";
    if (index >= this.#unstable.offset) return this.#unstable.entry(index).term;
    const snapshot = this.#unstable.snapshot;
    if (snapshot !== undefined) return index === snapshot.index ? snapshot.term : "compacted";
    return this.#reader.term(index);
  }

  /** Whether the log holds the entry `id`. A term that is not known matches nothing. */
  matches(id: EntryId): boolean {
    const term = this.term(id.index);
    if (mutated("raft/unknown-term-matches-zero")) return (typeof term === "number" ? term : 0) === id.term;
    return term === id.term;
  }

  /** Whether a log that ends with `last` has at least all this one has that may be committed (Raft §5.4.1). */
  isUpToDate(last: EntryId): boolean {
    if (mutated("raft/vote-ignores-log")) return true;
    return last.term > this.#lastTerm || (last.term === this.#lastTerm && last.index >= this.lastIndex);
  }

  /**
   * The last entry at or before `index` whose term is at most `term`. It bounds where two logs may part: terms never
   * fall along a log, so a bisection finds it.
   */
  lastWithTermAtMost(index: number, term: number): EntryId {
    const floor = this.firstIndex - 1;
    // `low` fits or is the floor; everything above `high` does not fit.
    let low = Math.min(floor, index);
    let high = Math.min(index, this.lastIndex);
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const found = this.term(middle);
      if (typeof found === "number" && found <= term) low = middle;
      else high = middle - 1;
    }
    const found = this.term(low);
    return { index: low, term: typeof found === "number" ? found : 0 };
  }

  /** Appends a leader's own entry. */
  append(entry: Entry): void {
    this.#unstable.push(entry);
    this.#lastTerm = entry.term;
    if (entry.kind === "conf-change") this.#noteConfChanges([entry]);
  }

  /**
   * Takes a leader's entries after `previous` (Raft §5.3, receiver steps 2 to 4). Returns the index up to which the log
   * now equals the leader's, or `undefined` when it does not hold `previous`. Entries that are there already stay:
   * a late message must not cut off what came after it.
   */
  tryAppend(previous: EntryId, entries: readonly Entry[]): number | undefined {
    if (!this.matches(previous)) return undefined;
    const fresh = mutated("raft/late-append-truncates") ? 0 : entries.findIndex((entry) => !this.matches(entry));
    if (fresh !== -1 && entries.length > 0) this.#overwrite(fresh === 0 ? entries : entries.slice(fresh));
    return previous.index + entries.length;
  }

  #overwrite(entries: readonly Entry[]): void {
    const first = entries[0] as Entry;
    if (first.index <= this.lastIndex) {
      assert(
        first.index > this.#committed,
        () => `entry ${first.index} of term ${first.term} contradicts a committed one (commit ${this.#committed})`,
      );
      this.#unstable.truncateFrom(first.index);
      this.#ledger.truncatedFrom(first.index);
      this.#confChanges = this.#confChanges.filter((index) => index < first.index);
    }
    assert(first.index === this.lastIndex + 1, () => `entry ${first.index} leaves a hole after ${this.lastIndex}`);
    for (const entry of entries) this.#unstable.push(entry);
    this.#lastTerm = (entries.at(-1) as Entry).term;
    this.#noteConfChanges(entries);
  }

  /**
   * A leader proposes a membership change only after it has applied the one before. So of two in any log, the earlier
   * is committed, whether anybody said so or not. Without this a member could campaign under a configuration two
   * changes old, whose majorities need not meet the present ones.
   */
  #noteConfChanges(entries: readonly Entry[]): void {
    for (const { kind, index } of entries) {
      if (kind !== "conf-change") continue;
      const before = this.#confChanges.at(-1);
      if (before !== undefined) this.commitTo(before);
      this.#confChanges.push(index);
    }
  }

  /** Whether a committed membership change was not applied yet, so that the present configuration is an old one. */
  get hasUnappliedConfChange(): boolean {
    const first = this.#confChanges[0];
    return first !== undefined && first <= this.#committed;
  }

  /** Whether a membership change is committed that a hard state with `commit` does not tell of. */
  hasConfChangeCommittedAfter(commit: number): boolean {
    return (
      this.#confChanges.length > 0 && this.#confChanges.some((index) => index > commit && index <= this.#committed)
    );
  }

  /** Moves the commit index up, never down. Returns whether it moved. */
  commitTo(index: number): boolean {
    if (index <= this.#committed) return false;
    assert(
      index <= this.lastIndex,
      () => `${index} is committed, but this log ends at ${this.lastIndex}: it lost what it had acknowledged`,
    );
    this.#committed = index;
    return true;
  }

  /** Puts a snapshot in place of the log. What was handed out for applying before is the host's to finish or drop. */
  restore(snapshot: SnapshotMeta): void {
    assert(snapshot.index > this.#committed, () => `snapshot ${snapshot.index} is not ahead of ${this.#committed}`);
    this.#unstable.restore(snapshot);
    this.#ledger.truncatedFrom(0);
    this.#confChanges = [];
    this.#committed = snapshot.index;
    this.#applying = snapshot.index;
    this.#lastTerm = snapshot.term;
  }

  /** Entries from `low` up to and without `high`, at least one and at most `bytesMax`, from wherever they are. */
  entries(low: number, high: number, bytesMax: number): readonly Entry[] | LogGap {
    assert(
      low < high && high <= this.lastIndex + 1,
      () => `no entries ${low}..${high} in a log up to ${this.lastIndex}`,
    );
    const offset = this.#unstable.offset;
    if (low >= offset) return this.#unstable.slice(low, high, bytesMax);
    if (this.#unstable.snapshot !== undefined) return "compacted";
    const durable = this.#reader.entries(low, Math.min(high, offset), bytesMax);
    if (typeof durable === "string" || high <= offset || low + durable.length < offset) return durable;
    let room = bytesMax;
    for (const entry of durable) room -= entrySizeBytes(entry);
    const first = this.#unstable.entry(offset);
    return room < entrySizeBytes(first) ? durable : [...durable, ...this.#unstable.slice(offset, high, room)];
  }

  // --- What is handed to the host, and what it reports back.

  get hasUnsaved(): boolean {
    return this.#unstable.hasNew;
  }

  /** All that was handed out is known to be durable. */
  get savesSettled(): boolean {
    return this.#ledger.settled;
  }

  /**
   * Opens a save of everything new. With a snapshot it holds that alone; entries behind it follow in the next one.
   * `commitHanded` is the commit index of the save before.
   */
  handOutForSave(term: number, vote: MemberId | undefined, commitHanded: number): Omit<Save, "messagesAfter"> {
    const { snapshot, entries } = this.#unstable.handOut();
    const lastIndex = snapshot?.index ?? this.lastIndex;
    const first = entries[0];
    const commit =
      snapshot !== undefined
        ? commitHanded
        : first === undefined || mutated("raft/commit-saved-ahead")
          ? this.#committed
          : Math.min(this.#committed, first.index - 1);
    const hardState: HardState = { term, vote, commit };
    return { id: this.#ledger.issue(lastIndex, snapshot?.index, hardState), hardState, snapshot, entries };
  }

  /** Save `id` and all before it are durable. `undefined` when that was known. */
  saved(id: number): SaveOutcome | undefined {
    const saved = this.#ledger.acknowledge(id);
    if (saved === undefined) return undefined;
    const installed = saved.snapshotIndex === undefined ? undefined : this.#unstable.snapshotSaved(saved.snapshotIndex);
    if (installed !== undefined) this.appliedTo(installed.index);
    this.#unstable.savedTo(saved.lastIndex);
    this.#durableCommit = Math.max(this.#durableCommit, saved.hardState.commit, installed?.index ?? 0);
    return { hardState: saved.hardState, installed };
  }

  /** There are committed and durable entries that were not handed out for applying. */
  get hasUnapplied(): boolean {
    return this.#applyMax > this.#applying;
  }

  get #applyMax(): number {
    return mutated("raft/apply-before-save") ? this.#committed : Math.min(this.announcedCommit, this.durable);
  }

  /** Hands out the next entries to apply, at most `bytesMax`. None when the durable log cannot be read just now. */
  handOutForApply(bytesMax: number): readonly Entry[] {
    if (!this.hasUnapplied) return [];
    const found = this.entries(this.#applying + 1, this.#applyMax + 1, bytesMax);
    assert(found !== "compacted", () => `entry ${this.#applying + 1} was compacted before it was applied`);
    if (typeof found === "string") return [];
    this.#applying += found.length;
    return found;
  }

  /** The state machine has applied everything up to `index`. */
  appliedTo(index: number): void {
    if (index <= this.#applied) return;
    assert(index <= this.#applying, () => `${index} is applied, but only ${this.#applying} was handed out`);
    this.#applied = index;
    while (this.#confChanges[0] !== undefined && this.#confChanges[0] <= index) this.#confChanges.shift();
  }

  #knownTerm(index: number): number {
    const term = this.#reader.term(index);
    assert(typeof term === "number", () => `the log cannot tell the term of entry ${index}: ${term}`);
    return term;
  }
}
