// Everybody's progress under the current configuration, and the questions a leader asks of all of them together.
import { assert } from "../lib/assert.ts";
import { isVoter, membersOf, normalizeConfState } from "./conf-change.ts";
import { Progress } from "./progress.ts";
import { type JointConfig, jointReached, jointVote, type VoteResult } from "./quorum.ts";
import { type ConfState, emptyConfState, type MemberId } from "./types.ts";

export type TrackerOptions = { readonly inflightMessagesMax: number; readonly inflightBytesMax: number };

export class Tracker {
  readonly #options: TrackerOptions;
  #confState: ConfState = emptyConfState;
  #quorum: JointConfig = { incoming: [], outgoing: [] };
  /** Sorted by id: whatever runs over the members runs in the same order everywhere. */
  #members: readonly Progress[] = [];
  readonly #byId = new Map<MemberId, Progress>();
  readonly #votes = new Map<MemberId, boolean>();

  constructor(options: TrackerOptions) {
    this.#options = options;
  }

  get confState(): ConfState {
    return this.#confState;
  }

  /** Voters of both halves and learners, sorted by id. */
  get members(): readonly Progress[] {
    return this.#members;
  }

  progress(id: MemberId): Progress | undefined {
    return this.#byId.get(id);
  }

  isVoter(id: MemberId): boolean {
    return isVoter(this.#confState, id);
  }

  /**
   * Takes over a configuration. Members that stay keep their progress; new ones start with a probe at `next` and count
   * as heard at `nowTicks`, or a leader would step down over a member that had no time to answer.
   */
  reconfigure(confState: ConfState, next: number, nowTicks: number): void {
    const normalized = normalizeConfState(confState);
    for (const id of normalized.learners)
      assert(!isVoter(normalized, id), () => `member ${id} is both learner and voter`);
    this.#confState = normalized;
    this.#quorum = { incoming: normalized.voters, outgoing: normalized.votersOutgoing };
    const members = membersOf(normalized).map(
      (id) => this.#byId.get(id) ?? new Progress({ id, next, nowTicks, ...this.#options }),
    );
    this.#adopt(members);
  }

  /** Forgets all progress: a new leader knows nothing of the others. */
  reset(next: number, nowTicks: number): void {
    this.#votes.clear();
    this.#adopt(this.#members.map(({ id }) => new Progress({ id, next, nowTicks, ...this.#options })));
  }

  /** The highest value reached by a quorum. Learners do not count. */
  reachedByQuorum(value: (progress: Progress) => number): number {
    return jointReached(this.#quorum, (id) => {
      const progress = this.#byId.get(id);
      return progress === undefined ? 0 : value(progress);
    });
  }

  clearVotes(): void {
    this.#votes.clear();
  }

  /** Notes a vote; the first one of a member counts. */
  recordVote(id: MemberId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  hasVoted(id: MemberId): boolean {
    return this.#votes.has(id);
  }

  voteResult(): VoteResult {
    return jointVote(this.#quorum, (id) => this.#votes.get(id));
  }

  #adopt(members: readonly Progress[]): void {
    this.#members = members;
    this.#byId.clear();
    for (const progress of members) this.#byId.set(progress.id, progress);
  }
}
