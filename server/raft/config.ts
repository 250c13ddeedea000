// What a node is made with, the defaults, and the check that it makes sense.
import type { Random } from "../lib/random.ts";
import { membersOf, normalizeConfState } from "./conf-change.ts";
import type { LogReader } from "./log-reader.ts";
import { type ConfState, emptyConfState, type HardState, type MemberId, type SnapshotMeta } from "./types.ts";

/** The settings that have defaults. */
export type RaftOptions = {
  /**
   * Without word from a leader for this many ticks, and up to twice that by chance, a member asks for votes; a leader
   * that a quorum has not answered for this many ticks steps down. Default 10. The finer the ticks, the rarer do two
   * members ask at the same one and split the vote.
   */
  readonly electionTicks: number;
  /** A leader speaks up this often. Default 1. Well below `electionTicks`: some heartbeats are lost. */
  readonly heartbeatTicks: number;
  /** Ask whether an election could be won before starting one, so that nobody disturbs a working leader. Default true. */
  readonly preVote: boolean;
  /** Hand proposals that reach a follower on to the leader; otherwise they are refused. Default true. */
  readonly forwardProposals: boolean;
  /**
   * A new commit index travels with the next append or heartbeat, or when the host calls for it (`announceCommit`),
   * instead of in messages of its own; but those who wait for it are told at once. Default false: all are.
   */
  readonly holdCommits: boolean;
  /** One append carries at most this much; a single larger entry goes alone. Default 1 MiB. */
  readonly appendBytesMax: number;
  /** Appends with entries that one member may owe an answer to. Default 256. */
  readonly inflightMessagesMax: number;
  /** Bytes that one member may owe an answer to; the last append may go beyond. Default 16 MiB. */
  readonly inflightBytesMax: number;
  /**
   * Bytes of a leader's entries that are not yet handed out for applying, for want of a quorum or because applying is
   * slow. Beyond it proposals are refused; a first one is always taken. Also bounds what a follower gathers for
   * forwarding in one turn. Default 64 MiB.
   */
  readonly uncommittedBytesMax: number;
  /** One `Ready` hands out at most this much to apply; a single larger entry goes alone. Default 4 MiB. */
  readonly applyBytesMax: number;
  /** Bytes handed out and not reported as applied; beyond it nothing more is handed out. Default 64 MiB. */
  readonly applyingBytesMax: number;
  /** Reads a leader holds until a quorum confirms it, or a follower until the leader answers. Default 10,000. */
  readonly readsMax: number;
};

/** What a node starts from: what its host found on disk, or the empty values for a new member. */
export type RaftConfig = Partial<RaftOptions> & {
  /** Not zero, and never used by another member before: a name comes back only with the disk it had. */
  readonly id: MemberId;
  readonly log: LogReader;
  /** Must differ from one life of the process to the next: proposals and reads of one life are told apart by it. */
  readonly random: Random;
  readonly hardState: HardState;
  /** The membership as of `appliedIndex`. For the first start of a cluster see {@link bootstrapSnapshot}. */
  readonly confState: ConfState;
  /** Up to where the state machine has applied the log. */
  readonly appliedIndex: number;
  /** Members that were removed for good; what they ask for is ignored. Changes applied later add to it. */
  readonly removed?: readonly MemberId[];
};

export const defaultRaftOptions: RaftOptions = {
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: true,
  forwardProposals: true,
  holdCommits: false,
  appendBytesMax: 1024 * 1024,
  inflightMessagesMax: 256,
  inflightBytesMax: 16 * 1024 * 1024,
  uncommittedBytesMax: 64 * 1024 * 1024,
  applyBytesMax: 4 * 1024 * 1024,
  applyingBytesMax: 64 * 1024 * 1024,
  readsMax: 10_000,
};

/**
 * What a new cluster starts from. Each of its first members begins as if it had installed this snapshot: log compacted
 * up to its index, state applied up to it, hard state `{ term, vote: undefined, commit: index }`. So the first membership
 * lies before the log and not outside of it: a member that joins later with nothing at all finds that the log does not
 * reach back to its beginning, and is sent a snapshot, which holds the membership.
 */
export function bootstrapSnapshot(voters: readonly MemberId[], learners: readonly MemberId[] = []): SnapshotMeta {
  return { index: 1, term: 1, confState: normalizeConfState({ ...emptyConfState, voters, learners }) };
}

/** The options with defaults filled in. Throws a RangeError that names the setting when they make no sense. */
export function resolveOptions(config: RaftConfig): RaftOptions {
  const options: RaftOptions = { ...defaultRaftOptions, ...withoutUndefined(config) };
  const limits = [
    "electionTicks",
    "heartbeatTicks",
    "appendBytesMax",
    "inflightMessagesMax",
    "inflightBytesMax",
    "uncommittedBytesMax",
    "applyBytesMax",
    "applyingBytesMax",
    "readsMax",
  ] as const;
  for (const name of limits)
    if (!Number.isSafeInteger(options[name]) || options[name] < 1)
      throw new RangeError(`${name} must be a whole number of at least 1, not ${options[name]}`);
  if (options.electionTicks <= options.heartbeatTicks)
    throw new RangeError(
      `electionTicks (${options.electionTicks}) must be greater than heartbeatTicks (${options.heartbeatTicks})`,
    );
  if (config.id === 0n) throw new RangeError("a member's id must not be 0");
  if (membersOf(config.confState).includes(0n)) throw new RangeError("the membership must not contain the id 0");
  return options;
}

function withoutUndefined(config: RaftConfig): Partial<RaftOptions> {
  const given = Object.entries(config).filter(([name, value]) => name in defaultRaftOptions && value !== undefined);
  return Object.fromEntries(given);
}
