// The saves that were handed out and are not yet known to be durable, and what each of them will prove when it is.
import { assert } from "../lib/assert.ts";
import { mutated } from "./mutations.ts";
import type { HardState } from "./types.ts";

/** What became durable with an acknowledgement. */
export type SavedState = {
  /** Everything in the present log up to here is durable. -1: nothing can be said. */
  readonly lastIndex: number;
  /** The index of the newest snapshot that was installed by these saves, if any. */
  readonly snapshotIndex: number | undefined;
  readonly hardState: HardState;
};

type PendingSave = {
  readonly id: number;
  lastIndex: number;
  readonly snapshotIndex: number | undefined;
  readonly hardState: HardState;
};

/**
 * Numbers saves and keeps account of them until they are acknowledged.
 *
 * An acknowledgement must never vouch for entries that were overwritten while it was under way, even when an equal
 * entry has come back in the meantime:
 *   1. Entry 5 of term 2 is handed out for saving; the save is slow.
 *   2. A leader of term 3 replaces it by its own entry 5, a second save.
 *   3. A leader of term 4, which holds entry 5 of term 2, puts it back, a third save.
 *   4. The first save is acknowledged. Entry 5 looks the same, but the second save is still to overwrite it on disk.
 * So truncating the log shortens what every pending save proves, at once, and only the third one vouches for entry 5.
 */
export class SaveLedger {
  /** Oldest first. What is before `#head` is closed and waits for the array to be cut. */
  readonly #pending: PendingSave[] = [];
  #head = 0;
  #idLast = 0;

  /** Nothing is on its way to the disk. */
  get settled(): boolean {
    return this.#pending.length === this.#head;
  }

  /** Opens a save after which the log is durable up to `lastIndex`, and returns its number. */
  issue(lastIndex: number, snapshotIndex: number | undefined, hardState: HardState): number {
    const id = ++this.#idLast;
    this.#pending.push({ id, lastIndex, snapshotIndex, hardState });
    return id;
  }

  /** Entries from `index` on were replaced or dropped: pending saves prove nothing about them any more. */
  truncatedFrom(index: number): void {
    if (mutated("raft/stale-save-acknowledged")) return;
    for (const save of this.#pending) save.lastIndex = Math.min(save.lastIndex, index - 1);
  }

  /** Closes save `id` and all before it. `undefined` when that is no news. */
  acknowledge(id: number): SavedState | undefined {
    assert(id <= this.#idLast, () => `save ${id} was acknowledged, but the last one handed out is ${this.#idLast}`);
    let newest: PendingSave | undefined;
    let snapshotIndex: number | undefined;
    for (
      let save = this.#pending[this.#head];
      save !== undefined && save.id <= id;
      save = this.#pending[++this.#head]
    ) {
      newest = save;
      snapshotIndex = save.snapshotIndex ?? snapshotIndex;
    }
    if (newest === undefined) return undefined;
    if (this.#head * 2 > this.#pending.length) {
      this.#pending.splice(0, this.#head);
      this.#head = 0;
    }
    return { lastIndex: newest.lastIndex, snapshotIndex, hardState: newest.hardState };
  }
}
