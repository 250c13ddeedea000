// Reads that want to be current without writing to the log (dissertation §6.4): the leader's queue of reads waiting
// for a quorum round, and every member's list of its own reads that wait for an answer.
import { mutated } from "./mutations.ts";
import type { ReadState } from "./ready.ts";
import type { MemberId } from "./types.ts";

/** A read somebody asked for: the member itself or one of its followers. */
export type ReadRequest = { readonly from: MemberId; readonly session: number; readonly id: number };

/** A read with the index it will be answered with, and the first round whose quorum confirms it. */
type QueuedRead = { readonly request: ReadRequest; readonly index: number; readonly round: number };

/**
 * A leader's reads. Rounds are numbered and never used twice. A read is confirmed by a quorum that answered a round
 * which began *after* the read came in: such answers prove that at that time nobody else had been elected, so the commit
 * index noted with the read includes every write acknowledged before it. Answers to earlier rounds, however late they
 * come, prove nothing for it.
 */
export class ReadQueue {
  /** The newest round that was started. */
  round = 0;
  /** Came in before the leader had committed an entry of its own term: its commit index may be behind (§6.4, step 1). */
  #early: ReadRequest[] = [];
  #queue: QueuedRead[] = [];

  get length(): number {
    return this.#early.length + this.#queue.length;
  }

  /** Reads wait for a round that was not started yet. */
  get roundDue(): boolean {
    return this.#queue.length > 0 && (this.#queue.at(-1) as QueuedRead).round > this.round;
  }

  add(request: ReadRequest, commit: number, termCommitted: boolean): void {
    if (!termCommitted && !mutated("raft/read-before-term-commit")) this.#early.push(request);
    else this.#enqueue(request, commit);
  }

  /** The leader has committed an entry of its term: the early reads may be counted now. */
  termCommitted(commit: number): void {
    for (const request of this.#early) this.#enqueue(request, commit);
    this.#early = [];
  }

  /** Starts a round for everything queued and returns its number. */
  startRound(): number {
    return ++this.round;
  }

  /** Takes out the reads that a quorum's answers to `round` confirm. */
  confirmedTo(round: number): readonly { readonly request: ReadRequest; readonly index: number }[] {
    const waiting = this.#queue.findIndex((read) => read.round > round);
    return this.#queue.splice(0, waiting === -1 ? this.#queue.length : waiting);
  }

  /** Forgets all reads: whoever asked is told by its own node, or asks again. The round numbers go on. */
  clear(): void {
    this.#early = [];
    this.#queue = [];
  }

  #enqueue(request: ReadRequest, index: number): void {
    const round = mutated("raft/read-joins-running-round") ? this.round : this.round + 1;
    this.#queue.push({ request, index, round });
  }
}

/** This member's own reads. Ids rise and are never used twice in a session. */
export class LocalReads {
  /** Tells this life of the process from others, so that an answer to a former life's read confirms nothing. */
  readonly session: number;
  #idLast = 0;
  /** The newest id that was sent to a leader. */
  #idSent = 0;
  /** What `#idSent` was when it was last looked at. */
  #idWatched = 0;
  #open: number[] = [];
  #states: ReadState[] = [];

  constructor(session: number) {
    this.session = session;
  }

  get openCount(): number {
    return this.#open.length;
  }

  get hasStates(): boolean {
    return this.#states.length > 0;
  }

  /** Opens a read under a fresh id. */
  open(): number {
    const id = mutated("raft/read-id-reused") ? 1 : ++this.#idLast;
    this.#open.push(id);
    return id;
  }

  /** The newest open read's id, when it was not sent yet. One request for it answers all before it. */
  takeUnsent(): number | undefined {
    const newest = this.#open.at(-1);
    if (newest === undefined || (newest <= this.#idSent && !mutated("raft/read-id-reused"))) return undefined;
    this.#idSent = newest;
    return newest;
  }

  /**
   * To be called now and then. When the newest request is the same as the last time and not answered yet, it or its
   * answer may be lost: one more is sent. The reads keep their ids: every request for them was sent after they were
   * asked for, so an answer to any is good.
   */
  repeatUnanswered(): void {
    if (this.#open.length > 0 && this.#idSent > 0 && this.#idSent === this.#idWatched) this.#idSent = 0;
    this.#idWatched = this.#idSent;
  }

  /** There is an open read that no request was sent for. */
  get hasUnsent(): boolean {
    return this.#open.length > 0 && (this.#open.at(-1) as number) > this.#idSent;
  }

  /** An answer: reads up to `id` are current at `index`. Answers to reads that are no longer open are ignored. */
  confirmed(session: number, id: number, index: number): void {
    if (session !== this.session) return;
    const rest = this.#open.findIndex((open) => open > id);
    for (const open of this.#open.splice(0, rest === -1 ? this.#open.length : rest))
      this.#states.push({ kind: "confirmed", id: open, index });
  }

  /** The leader who was to answer is gone. */
  dropAll(): void {
    for (const id of this.#open) this.#states.push({ kind: "dropped", id });
    this.#open = [];
  }

  takeStates(): readonly ReadState[] {
    const states = this.#states;
    if (states.length > 0) this.#states = [];
    return states;
  }
}
