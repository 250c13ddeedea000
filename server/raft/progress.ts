// What a leader knows of one member's log, and whether it may send to it. All transitions between the three states
// are here; DESIGN.md draws them.
import { assert } from "../lib/assert.ts";
import { Inflights } from "./inflights.ts";
import type { MemberId } from "./types.ts";

/**
 * - `probe`: where the logs part is not known. One append at a time, of at most one entry.
 * - `replicate`: appends are sent ahead of their acknowledgements, as far as the window allows.
 * - `snapshot`: the member needs a snapshot, which is on its way. No appends.
 */
export type ProgressState = "probe" | "replicate" | "snapshot";

export type ProgressOptions = {
  readonly id: MemberId;
  /** The first index to try. */
  readonly next: number;
  /** The tick from which on the member's silence counts. */
  readonly nowTicks: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
};

/** One member, as its leader sees it. Lives as long as the leader's term. */
export class Progress {
  readonly id: MemberId;
  readonly inflights: Inflights;
  state: ProgressState = "probe";
  /** Everything up to it is durable at the member and equal to the leader's log. Never falls. */
  match = 0;
  /** The first entry to send next. Above `match` always; in `replicate` everything below it was sent. */
  next: number;
  /** In `snapshot`: the index of the snapshot on its way. 0 otherwise. */
  pendingSnapshot = 0;
  /** In `probe`: a probe is out, the next one waits for an answer or the next heartbeat's. */
  probeSent = false;
  /** An append is due even if it has neither entries nor a new commit index: the answer is what is wanted. */
  appendOwed = true;
  /** The highest commit index told to the member. */
  commitSent = 0;
  /** The member waits to hear that entries up to this one are committed: its clients' proposals, or reads of theirs. */
  commitAwaited = 0;
  /** The commit index that the member will know after a crash, as far as it has said. Never falls. */
  commitKept = 0;
  /** The newest quorum round the member has answered. Never falls. */
  roundAcked = 0;
  /** The tick at which the member was last heard. */
  contactTicks: number;

  constructor(options: ProgressOptions) {
    this.id = options.id;
    this.next = options.next;
    this.contactTicks = options.nowTicks;
    this.inflights = new Inflights(options.inflightMessagesMax, options.inflightBytesMax);
  }

  becomeProbe(): void {
    // A snapshot that has arrived moves the probe behind it even when the acknowledgement is still under way.
    this.next = this.state === "snapshot" ? Math.max(this.match, this.pendingSnapshot) + 1 : this.match + 1;
    this.#enter("probe");
    this.appendOwed = true;
  }

  becomeReplicate(): void {
    this.#enter("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.appendOwed = false;
  }

  /** Notes an append with entries up to `lastIndex`, or without entries (`sizeBytes` 0, `lastIndex` = `next - 1`). */
  appendSent(lastIndex: number, sizeBytes: number, commit: number): void {
    assert(this.state !== "snapshot", () => `an append was sent to ${this.id} while a snapshot is on its way`);
    const hasEntries = lastIndex >= this.next;
    if (this.state === "probe") this.probeSent = true;
    else if (hasEntries) {
      this.next = lastIndex + 1;
      this.inflights.add(lastIndex, sizeBytes);
    }
    this.appendOwed = false;
    this.commitSent = Math.max(this.commitSent, commit);
  }

  /** Takes note that the member holds everything up to `index`. Returns whether that is news. */
  accepted(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    return true;
  }

  /**
   * Takes note that the member refused an append after `rejected`, and that `sharedMax` is the highest index at which
   * the logs may agree. Returns false when the rejection is stale: doubled, or overtaken by later answers.
   */
  rejected(rejected: number, sharedMax: number): boolean {
    if (this.state === "snapshot") return false;
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      // An append before this one was lost. What the member has is known: start again right behind it.
      this.becomeProbe();
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, sharedMax + 1), this.match + 1);
    this.probeSent = false;
    this.appendOwed = true;
    return true;
  }

  /** The member answers again or still: a probe that was lost may be repeated. */
  answered(): void {
    this.probeSent = false;
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.probeSent = false;
    this.pendingSnapshot = 0;
    this.inflights.clear();
  }
}
