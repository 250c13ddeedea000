// Proposals that reach a follower and are handed on to the leader: what waits to be sent, and the leader's account of
// what it has taken, so that no copy of a message puts a proposal into the log twice.

import type { Proposal, ProposalRefusal, ProposeRefusedMessage } from "./message.ts";
import { mutated } from "./mutations.ts";
import type { ForwardRefusal } from "./ready.ts";
import { entrySizeBytes, type MemberId } from "./types.ts";

/** A follower's side. */
export class ForwardQueue {
  readonly session: number;
  readonly #bytesMax: number;
  #proposals: Proposal[] = [];
  #bytes = 0;
  /** The number of the first of `#proposals`. */
  #sequence = 1;
  #refusals: ForwardRefusal[] = [];

  constructor(session: number, bytesMax: number) {
    this.session = session;
    this.#bytesMax = bytesMax;
  }

  get isEmpty(): boolean {
    return this.#proposals.length === 0;
  }

  get hasRefusals(): boolean {
    return this.#refusals.length > 0;
  }

  /** Queues a proposal and returns its number, or `undefined` when the queue is full. A first one is always taken. */
  add(proposal: Proposal): number | undefined {
    const sizeBytes = entrySizeBytes(proposal);
    if (this.#bytes > 0 && this.#bytes + sizeBytes > this.#bytesMax) return undefined;
    this.#bytes += sizeBytes;
    this.#proposals.push(proposal);
    return this.#sequence + this.#proposals.length - 1;
  }

  /** Takes out all that waits, to be sent. Its numbers are used up. */
  take(): { readonly sequence: number; readonly proposals: readonly Proposal[] } {
    const taken = { sequence: this.#sequence, proposals: this.#proposals };
    this.#sequence += this.#proposals.length;
    this.#proposals = [];
    this.#bytes = 0;
    return taken;
  }

  /** Gives up all that waits: it was never sent. */
  refuseAll(reason: ProposalRefusal): void {
    const { sequence, proposals } = this.take();
    if (proposals.length > 0) this.#refusals.push({ sequence, count: proposals.length, reason });
  }

  /** The leader has refused proposals. Words for another life of this process are ignored. */
  refused({ session, sequence, count, reason }: ProposeRefusedMessage): void {
    if (session === this.session) this.#refusals.push({ sequence, count, reason });
  }

  takeRefusals(): readonly ForwardRefusal[] {
    const refusals = this.#refusals;
    if (refusals.length > 0) this.#refusals = [];
    return refusals;
  }
}

const sessionsMax = 64;

/** A leader's side: the highest number taken from each sender's session, in one term. */
export class ForwardLedger {
  /** The term the account is for. Only in this term does it prove that a number was not taken before. */
  #term = 0;
  readonly #taken = new Map<MemberId, Map<number, number>>();

  /** Starts the account of a term that this member leads. */
  open(term: number): void {
    this.#term = term;
    this.#taken.clear();
  }

  /** Whether this process has led `term`, so that the account is whole. */
  covers(term: number): boolean {
    return this.#term === term;
  }

  /** Takes note of numbers up to `last`. False when the first of them was taken before, or overtaken by later ones. */
  take(from: MemberId, session: number, first: number, last: number): boolean {
    let sessions = this.#taken.get(from);
    if (sessions === undefined) this.#taken.set(from, (sessions = new Map()));
    const taken = sessions.get(session);
    if (taken !== undefined && first <= taken && !mutated("raft/forwarded-twice")) return false;
    // A sender that restarts over and over must not fill the memory; its oldest lives are the least likely to speak.
    if (taken === undefined && sessions.size >= sessionsMax) sessions.delete(sessions.keys().next().value as number);
    sessions.set(session, last);
    return true;
  }
}
