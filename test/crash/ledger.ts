// What clients asked for, what they were told, and what a watch on everything saw: the books that a member's answers over
// many lives are held against. Every value that is written is unique, so every change can be told whose it was.
import assert from "node:assert/strict";

export interface Change {
  readonly key: string;
  /** Undefined: the key was deleted. */
  readonly value: string | undefined;
}

/** A write that was sent. */
export interface Attempt {
  readonly changes: readonly Change[];
  /** The highest revision that any client had been told when it was sent. */
  readonly floor: number;
  /** `unknown` until an answer comes. `void`: the answer said that nothing was changed. */
  outcome: "unknown" | "void" | { readonly revision: number };
}

export interface KeyState {
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** A read that was answered. `state` is what it found. */
export interface Reading {
  readonly key: string;
  readonly floor: number;
  readonly revision: number;
  readonly state: KeyState | undefined;
}

export class Ledger {
  readonly #attempts: Attempt[] = [];
  readonly #readings: Reading[] = [];
  /** Everything that the watch delivered, by revision; the first change of a new store is revision 2. */
  readonly #watched: (readonly Change[])[] = [];
  #told = 1;

  /** The revision that the watch has to go on from. */
  get nextRevision(): number {
    return this.#watched.length + 2;
  }

  /** The highest revision that any client was told of. */
  get told(): number {
    return this.#told;
  }

  get counts(): { readonly attempts: number; readonly unknown: number; readonly readings: number } {
    const unknown = this.#attempts.filter(({ outcome }) => outcome === "unknown").length;
    return { attempts: this.#attempts.length, unknown, readings: this.#readings.length };
  }

  /** A client was told that the store is at this revision. */
  noteRevision(revision: number): void {
    this.#told = Math.max(this.#told, revision);
  }

  begin(changes: readonly Change[]): Attempt {
    const attempt: Attempt = { changes, floor: this.#told, outcome: "unknown" };
    this.#attempts.push(attempt);
    return attempt;
  }

  /** `revision` undefined: nothing was changed. */
  end(attempt: Attempt, revision: number | undefined): void {
    attempt.outcome = revision === undefined ? "void" : { revision };
    if (revision === undefined) return;
    assert(revision > attempt.floor, `revision ${revision} was given to a write, ${attempt.floor} was told before it`);
    this.noteRevision(revision);
  }

  noteReading(reading: Reading): void {
    this.#readings.push(reading);
    this.noteRevision(reading.revision);
  }

  /** The watch delivered a revision, whole. */
  noteWatched(revision: number, changes: readonly Change[]): void {
    assert.equal(revision, this.nextRevision, "a watch skipped or repeated a revision");
    this.#watched.push(changes);
    this.noteRevision(revision);
  }

  /**
   * Checks it all.
   * @param isFree Keys of which deletes need nobody to have asked for them.
   * @returns The state that the store must have.
   */
  check(isFree: (key: string) => boolean): ReadonlyMap<string, KeyState> {
    assert.equal(this.nextRevision, this.#told + 1, "the watch has not seen all that clients were told of");
    this.#checkAttempts(isFree);
    return this.#replay();
  }

  /** Acknowledged writes are there, where they were said to be; nothing is there that nobody asked for, or twice. */
  #checkAttempts(isFree: (key: string) => boolean): void {
    const owners = new Map<number, Attempt>();
    const open = new Map<string, Attempt[]>();
    for (const attempt of this.#attempts) {
      const { outcome, changes } = attempt;
      if (typeof outcome === "object") {
        assert(!owners.has(outcome.revision), `revision ${outcome.revision} was given to two writes`);
        assert.deepEqual(textOf(this.#at(outcome.revision)), textOf(changes), `lost: revision ${outcome.revision}`);
        owners.set(outcome.revision, attempt);
      } else if (outcome === "unknown") {
        const text = textOf(changes);
        open.set(text, [...(open.get(text) ?? []), attempt]);
      }
    }
    for (let revision = 2; revision < this.nextRevision; revision++) {
      if (owners.has(revision)) continue;
      const changes = this.#at(revision);
      const owner = open.get(textOf(changes))?.shift();
      const isExpiry = changes.every(({ key, value }) => value === undefined && isFree(key));
      assert(owner !== undefined || isExpiry, `nobody asked for revision ${revision}: ${textOf(changes)}`);
      assert(owner === undefined || revision > owner.floor, `revision ${revision} came before it was asked for`);
    }
  }

  #at(revision: number): readonly Change[] {
    return this.#watched[revision - 2] ?? [];
  }

  /** Follows the changes, and checks what was read on the way. */
  #replay(): ReadonlyMap<string, KeyState> {
    const readings = [...this.#readings].sort((a, b) => a.revision - b.revision);
    const state = new Map<string, KeyState>();
    let next = 0;
    for (let revision = 1; revision < this.nextRevision; revision++) {
      for (const { key, value } of this.#at(revision)) {
        const before = state.get(key);
        if (value === undefined) assert(state.delete(key), `revision ${revision} deletes ${key}, which is not there`);
        else {
          const { createRevision = revision, version = 0 } = before ?? {};
          state.set(key, { value, createRevision, modRevision: revision, version: version + 1 });
        }
      }
      for (; readings[next]?.revision === revision; next++) {
        const { key, floor, state: found } = readings[next] as Reading;
        assert(revision >= floor, `a read of ${key} saw revision ${revision}, ${floor} was told before it`);
        assert.deepEqual(found, state.get(key), `a read of ${key} at revision ${revision}`);
      }
    }
    return state;
  }
}

function textOf(changes: readonly Change[]): string {
  const lines = changes.map(({ key, value }) => `${key} ${value === undefined ? "deleted" : value.slice(0, 40)}`);
  return lines.sort().join("; ");
}
