// Holds what a watch delivered against what happened: nothing missing, nothing twice, nothing old, in order, every
// revision whole, progress never ahead of events, previous versions right, and no end without a reason.
import { drawChange, drawKeys, drawKeyValue } from "./draw.ts";
import { type Change, includesKey, type Keys, type KeyValue, type RevisionChanges } from "./operation.ts";
import { isSameKeyValue } from "./same-result.ts";

export interface WatchRequest {
  readonly keys: Keys;
  /** 0: from the revision after the one that the answer to the creation names. */
  readonly startRevision: number;
  readonly wantsPuts: boolean;
  readonly wantsDeletes: boolean;
  readonly wantsPrevious: boolean;
}

export interface WatchedChange extends Change {
  readonly previous: KeyValue | undefined;
}

/** `revision` is the header's. */
export type WatchResponse =
  | { readonly kind: "created"; readonly revision: number }
  /** `isPart`: a revision is split, and goes on in the next response. */
  | {
      readonly kind: "changes";
      readonly revision: number;
      readonly changes: readonly WatchedChange[];
      readonly isPart: boolean;
    }
  | { readonly kind: "progress"; readonly revision: number }
  /** The server ended the watch. `compactRevision` says why, or is 0 for another reason. */
  | { readonly kind: "canceled"; readonly compactRevision: number };

/** One watcher on one member, from creation to its end. */
export interface WatchRecord {
  readonly name: string;
  readonly request: WatchRequest;
  readonly responses: readonly { readonly time: number; readonly response: WatchResponse }[];
}

/** What really happened. */
export interface WatchTruth {
  /** Of every revision, without a hole, from 2 on. */
  readonly changes: ReadonlyMap<number, RevisionChanges>;
  /** Every compaction that may have happened, with the time from which on. */
  readonly compactions: readonly { readonly revision: number; readonly time: number }[];
  /** A key as it was at a revision. */
  keyAt(key: string, revision: number): KeyValue | undefined;
}

/** A watch and where it stands: all that concerns it before `nextRevision` was delivered, nothing from it on. */
export interface WatchState {
  readonly violations: readonly string[];
  readonly nextRevision: number | undefined;
  readonly isOver: boolean;
}

/** Checks one watcher. */
export function checkWatch(record: WatchRecord, truth: WatchTruth): WatchState {
  const check = new WatchCheck(record, truth);
  for (const { time, response } of record.responses) check.take(time, response);
  return check.state;
}

/**
 * Checks a watch that went on across members: every watcher by itself, and each one asked for from where the one before
 * it stood, so that together they are one watch without a seam.
 * @param isSettled Everything that happened must have been delivered by now.
 */
export function checkWatchAcross(
  records: readonly WatchRecord[],
  truth: WatchTruth,
  isSettled: boolean,
): readonly string[] {
  const violations: string[] = [];
  let last: WatchState | undefined;
  for (const record of records) {
    const from = record.request.startRevision;
    const expected = last?.nextRevision;
    if (expected !== undefined && last?.isOver === false && from !== expected)
      violations.push(`${record.name} goes on from ${from}, but what came before it ended at ${expected}`);
    last = checkWatch(record, truth);
    violations.push(...last.violations);
  }
  const record = records.at(-1);
  if (!isSettled || record === undefined || last === undefined || last.isOver) return violations;
  const from = last.nextRevision;
  if (from === undefined) return [...violations, `${record.name} was never created`];
  for (const missed of missedIn(record.request, truth, from, Number.POSITIVE_INFINITY))
    violations.push(`${record.name} never delivered ${missed}`);
  return violations;
}

class WatchCheck {
  readonly #record: WatchRecord;
  readonly #truth: WatchTruth;
  readonly #violations: string[] = [];
  #next: number | undefined;
  #isOver = false;
  /** Of a revision that is split over responses: what came so far. */
  #part: WatchedChange[] = [];

  constructor(record: WatchRecord, truth: WatchTruth) {
    this.#record = record;
    this.#truth = truth;
    if (record.request.startRevision > 0) this.#next = record.request.startRevision;
  }

  get state(): WatchState {
    return { violations: this.#violations, nextRevision: this.#next, isOver: this.#isOver };
  }

  take(time: number, response: WatchResponse): void {
    if (this.#isOver) this.#fail(`speaks after its end: ${response.kind}`);
    switch (response.kind) {
      case "created":
        this.#next ??= response.revision + 1;
        return;
      case "progress":
        this.#takeProgress(response.revision);
        return;
      case "canceled":
        this.#takeEnd(time, response.compactRevision);
        return;
      case "changes":
        this.#takeChanges(time, response);
    }
  }

  #fail(what: string): void {
    const { name, request } = this.#record;
    this.#violations.push(`${name} on ${drawKeys(request.keys)} ${what}`);
  }

  #takeProgress(revision: number): void {
    if (this.#next === undefined) {
      this.#fail("makes progress before it was created");
      return;
    }
    if (this.#part.length > 0) this.#fail(`makes progress to ${revision} inside a revision`);
    for (const missed of missedIn(this.#record.request, this.#truth, this.#next, revision))
      this.#fail(`made progress to ${revision} without ${missed}`);
    this.#next = Math.max(this.#next, revision + 1);
  }

  #takeEnd(time: number, compactRevision: number): void {
    this.#isOver = true;
    if (compactRevision === 0) return;
    if (this.#next !== undefined && compactRevision <= this.#next)
      this.#fail(`was ended by a compaction to ${compactRevision}, though all it needs is from ${this.#next} on`);
    const isReal = this.#truth.compactions.some((known) => known.revision === compactRevision && known.time <= time);
    if (!isReal) this.#fail(`was ended by a compaction to ${compactRevision} that nobody asked for`);
  }

  #takeChanges(time: number, { revision, changes, isPart }: Extract<WatchResponse, { kind: "changes" }>): void {
    if (this.#next === undefined) {
      this.#fail("delivers before it was created");
      return;
    }
    if (changes.length === 0) this.#fail("delivers nothing");
    const all = [...this.#part, ...changes];
    this.#part = [];
    for (let from = 0; from < all.length; ) {
      const main = (all[from] as WatchedChange).keyValue.modRevision;
      let to = from;
      while (all[to]?.keyValue.modRevision === main) to++;
      if (main > revision) this.#fail(`delivers revision ${main} under a header of ${revision}`);
      if (to === all.length && isPart) this.#part = all.slice(from);
      else this.#takeRevision(time, main, all.slice(from, to));
      from = to;
    }
  }

  #takeRevision(time: number, revision: number, changes: readonly WatchedChange[]): void {
    const { request } = this.#record;
    const next = this.#next as number;
    if (revision < next) {
      this.#fail(`delivers revision ${revision}, being at ${next} already`);
      return;
    }
    for (const missed of missedIn(request, this.#truth, next, revision - 1))
      this.#fail(`delivers revision ${revision} without ${missed}`);
    this.#next = revision + 1;
    const expected = concerning(request, this.#truth.changes.get(revision));
    const isSame =
      expected.length === changes.length &&
      expected.every((change, at) => isSameChange(change, changes[at] as WatchedChange));
    if (!isSame) {
      const [wanted, got] = [expected.map(drawChange).join(", "), changes.map(drawChange).join(", ")];
      this.#fail(`delivers of revision ${revision}: ${got}; what happened is: ${wanted === "" ? "nothing" : wanted}`);
    }
    for (const change of changes) this.#checkPrevious(time, revision, change);
  }

  #checkPrevious(time: number, revision: number, { keyValue, previous }: WatchedChange): void {
    if (!this.#record.request.wantsPrevious) {
      if (previous !== undefined) this.#fail(`delivers a previous version that it was not asked for`);
      return;
    }
    const expected = this.#truth.keyAt(keyValue.key, revision - 1);
    // A previous version may be gone, but only by a compaction that reaches it.
    const mayBeGone = this.#truth.compactions.some((known) => known.revision >= revision && known.time <= time);
    if (previous === undefined && mayBeGone) return;
    if (isSameKeyValue(previous, expected, { ignoresRevisions: false })) return;
    const [wanted, got] = [expected, previous].map((item) => (item === undefined ? "none" : drawKeyValue(item)));
    this.#fail(`gives ${got} as what was before revision ${revision}; it was ${wanted}`);
  }
}

function isSameChange(a: Change, b: Change): boolean {
  return a.kind === b.kind && isSameKeyValue(a.keyValue, b.keyValue, { ignoresRevisions: false });
}

function concerning(request: WatchRequest, revision: RevisionChanges | undefined): readonly Change[] {
  return (revision?.changes ?? []).filter(
    ({ kind, keyValue }) =>
      (kind === "put" ? request.wantsPuts : request.wantsDeletes) && includesKey(request.keys, keyValue.key),
  );
}

/** Changes of the revisions from `from` to `to` that concern a watch. */
function missedIn(request: WatchRequest, { changes }: WatchTruth, from: number, to: number): readonly string[] {
  const missed: string[] = [];
  for (let revision = from; revision <= to; revision++) {
    const there = changes.get(revision);
    // Revisions have no hole: the first one that is not known is one that never happened.
    if (there === undefined && revision > 1) break;
    for (const change of concerning(request, there)) missed.push(drawChange(change));
  }
  return missed;
}
