// One member's state and its changes of role. Plain fields, shared by the files that step each role; nothing outside this
// folder sees them. How messages drive the changes is in raft.ts and the step files.
import { assert } from "../lib/assert.ts";
import type { Random } from "../lib/random.ts";
import { type RaftConfig, type RaftOptions, resolveOptions } from "./config.ts";
import { ForwardLedger, ForwardQueue } from "./forwarding.ts";
import type { Message } from "./message.ts";
import { mutated } from "./mutations.ts";
import { queuePromise } from "./promises.ts";
import { RaftLog } from "./raft-log.ts";
import { LocalReads, ReadQueue } from "./read-only.ts";
import { Tracker } from "./tracker.ts";
import { type EntryKind, entrySizeBytes, type MemberId, noBytes, type Role } from "./types.ts";

/** What only a leader has. Made anew for each term. */
export type Leadership = {
  /** The index of the no-op that opened the term. */
  readonly openedAt: number;
  /** No membership change may be proposed before this index is applied: it holds the last one, or the term's no-op. */
  confChangeIndex: number;
  /** The sum of the sizes of this term's entries that were not handed out for applying. */
  uncommittedBytes: number;
  /** The member that leadership is being handed to. */
  transferee: MemberId | undefined;
  transferTicks: number;
  heartbeatElapsed: number;
  /** The host wants everybody to know by now that entries up to this one are committed. */
  commitCalled: number;
  /** The membership change by which this leader is no voter any more; it leads on until others can go on without it. */
  removedAt: number | undefined;
};

export class RaftState {
  readonly id: MemberId;
  readonly options: RaftOptions;
  readonly log: RaftLog;
  readonly tracker: Tracker;
  readonly #random: Random;

  term: number;
  vote: MemberId | undefined;
  role: Role = "follower";
  leader: MemberId | undefined;
  leadership: Leadership | undefined;

  /** Leave with the next `Ready`. */
  outbox: Message[] = [];
  /** Leave when everything of the next `Ready` is durable. */
  promises: Message[] = [];
  /** Something happened after which members may be sent appends; looked at when the next `Ready` is made. */
  appendsDue = false;

  nowTicks = 0;
  electionElapsed = 0;
  /** Drawn anew with each wait, so that members seldom ask for votes at the same time (Raft §5.2). */
  electionTimeoutTicks = 0;

  readonly reads = new ReadQueue();
  readonly localReads: LocalReads;
  readonly forwards: ForwardQueue;
  readonly forwardLedger = new ForwardLedger();
  /** Members removed for good. Their requests are ignored (dissertation §4.2.3). */
  readonly removed: Set<MemberId>;
  /** Messages that were not for this member, came from nowhere, or made no sense. */
  ignoredMessages = 0;

  constructor(config: RaftConfig) {
    this.id = config.id;
    this.options = resolveOptions(config);
    this.#random = config.random;
    const { term, vote, commit } = config.hardState;
    this.term = term;
    this.vote = vote;
    this.log = new RaftLog(config.log, commit, config.appliedIndex);
    assert(
      this.log.lastTerm <= term,
      () => `the log ends with term ${this.log.lastTerm}, but the saved term is ${term}: a hard state was lost`,
    );
    this.tracker = new Tracker(this.options);
    this.tracker.reconfigure(config.confState, this.log.lastIndex + 1, 0);
    this.removed = new Set(config.removed ?? []);
    const session = config.random.below(0x1_0000_0000);
    this.localReads = new LocalReads(session);
    this.forwards = new ForwardQueue(session, this.options.uncommittedBytesMax);
    this.restartElectionTimer();
  }

  /** Whether this member may ask for votes at all: a voter that is not about to replace its log by a snapshot. */
  get promotable(): boolean {
    return this.tracker.isVoter(this.id) && this.log.pendingSnapshot === undefined;
  }

  /** Whether there is nobody else, not even a learner. */
  get alone(): boolean {
    return this.tracker.members.length === 1 && this.tracker.isVoter(this.id);
  }

  /** A leader was heard recently, or this is one: no reason to help anybody to an election (dissertation §6.2, §4.2.3). */
  get leaderIsAlive(): boolean {
    if (this.role === "leader") return true;
    return this.leader !== undefined && this.electionElapsed < this.options.electionTicks;
  }

  /** Queues a message that may leave at once. */
  send(message: Message): void {
    this.outbox.push(message);
  }

  /** Queues a message that states that something is durable. */
  promise(message: Message): void {
    const early =
      (mutated("raft/vote-before-save") && message.type === "vote-response") ||
      (mutated("raft/vote-request-before-save") && message.type === "vote-request") ||
      (mutated("raft/accept-before-save") && message.type === "append-accepted");
    queuePromise(early ? this.outbox : this.promises, message);
  }

  /**
   * Follows, whether or not anybody leads. A higher term alone does not make the member wait anew: one that asks over
   * and over and cannot win, its log being too short, would keep the one that can from ever asking (Raft §5.2).
   */
  becomeFollower(term: number, leader: MemberId | undefined): void {
    const led = this.role === "leader";
    this.#changeRole("follower", term, leader);
    if (led || leader !== undefined) this.restartElectionTimer();
  }

  /** Asks around before an election. Neither term nor vote change, so nobody is disturbed (dissertation §9.6). */
  becomePreCandidate(): void {
    assert(this.role !== "leader", () => `leader ${this.id} of term ${this.term} was to ask for votes`);
    this.#changeRole("pre-candidate", mutated("raft/pre-vote-raises-term") ? this.term + 1 : this.term, undefined);
    this.restartElectionTimer();
    this.tracker.clearVotes();
  }

  becomeCandidate(): void {
    assert(this.role !== "leader", () => `leader ${this.id} of term ${this.term} was to start an election`);
    this.#changeRole("candidate", this.term + 1, undefined);
    this.restartElectionTimer();
    this.vote = this.id;
    this.tracker.clearVotes();
  }

  /**
   * Takes up leadership and opens the term with a no-op: entries of earlier terms are committed by the first one of
   * this term that is (Raft §5.4.2, §8).
   */
  becomeLeader(): void {
    assert(
      this.role === "candidate",
      () => `${this.role} ${this.id} was to lead term ${this.term} without an election`,
    );
    this.#changeRole("leader", this.term, this.id);
    const openedAt = this.log.lastIndex + 1;
    this.leadership = {
      openedAt,
      confChangeIndex: mutated("raft/conf-change-before-applied") ? 0 : openedAt,
      uncommittedBytes: 0,
      transferee: undefined,
      transferTicks: 0,
      heartbeatElapsed: 0,
      commitCalled: 0,
      removedAt: undefined,
    };
    this.forwardLedger.open(this.term);
    this.tracker.reset(openedAt, this.nowTicks);
    const own = this.tracker.progress(this.id);
    assert(own !== undefined, () => `${this.id} leads, but is no member`);
    own.becomeReplicate();
    own.accepted(this.log.durable);
    this.appendEntry(this.leadership, "no-op", noBytes);
  }

  /** Appends an entry of the leader's own. Returns its index. */
  appendEntry(leadership: Leadership, kind: EntryKind, data: Uint8Array): number {
    const index = this.log.lastIndex + 1;
    const entry = { term: this.term, index, kind, data };
    this.log.append(entry);
    leadership.uncommittedBytes += entrySizeBytes(entry);
    this.appendsDue = true;
    if (mutated("raft/leader-counts-itself-early")) this.tracker.progress(this.id)?.accepted(index);
    return index;
  }

  #changeRole(role: Role, term: number, leader: MemberId | undefined): void {
    assert(term >= this.term, () => `the term was to fall from ${this.term} to ${term}`);
    if (term !== this.term || leader !== this.leader) this.localReads.dropAll();
    if (term !== this.term) this.vote = undefined;
    if (!mutated("raft/reads-survive-term")) this.reads.clear();
    this.term = term;
    this.role = role;
    this.leader = leader;
    this.leadership = undefined;
  }

  /** A leader made itself known in the present term. */
  followLeader(leader: MemberId): void {
    if (this.role !== "follower") this.becomeFollower(this.term, leader);
    assert(
      this.leader === undefined || this.leader === leader,
      () => `term ${this.term} has two leaders, ${this.leader} and ${leader}`,
    );
    this.leader = leader;
    this.electionElapsed = 0;
  }

  /**
   * Waits anew before asking for votes. From just above `electionTicks`, so that when the first member asks, the others
   * have given the leader up as well. Who is asking already has no leader to spare and tries again sooner: a split vote
   * should not cost a second wait.
   */
  restartElectionTimer(): void {
    const { electionTicks } = this.options;
    const isAsking = this.role === "candidate" || this.role === "pre-candidate";
    const ticksMin = isAsking ? Math.ceil(electionTicks / 2) : electionTicks;
    this.electionElapsed = 0;
    this.electionTimeoutTicks = ticksMin + 1 + this.#random.below(electionTicks);
  }
}
