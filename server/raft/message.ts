// What members say to each other. Plain values; the peer transport's codec turns them into bytes. Delivery may be lost,
// doubled, late or out of order: no rule in this folder depends on the network being better than that.
import type { Entry, EntryId, EntryKind, MemberId, SnapshotMeta } from "./types.ts";

type Envelope = {
  readonly from: MemberId;
  readonly to: MemberId;
  /** The sender's term; for `pre-vote-request` and its granting answer the term that the candidate would start. */
  readonly term: number;
};

/** Leader to member: entries after `previous`. Empty entries: a probe, or news of `commit` (Raft §5.3). */
export type AppendMessage = Envelope & {
  readonly type: "append";
  readonly previous: EntryId;
  readonly entries: readonly Entry[];
  readonly commit: number;
};

/**
 * The sender's log is durable and equal to the leader's up to `index`, and the sender will know after a crash that it is
 * committed up to `commit`. Promises durability: leaves after the save.
 */
export type AppendAcceptedMessage = Envelope & {
  readonly type: "append-accepted";
  readonly index: number;
  readonly commit: number;
};

/**
 * The sender's log does not hold `previous` of the append. `index` repeats `previous.index`, which tells stale
 * rejections apart. `hint` is the sender's last entry that may still be shared: its index is at most `index` and its
 * term at most that of `previous`, so that catching up takes one round trip per term, not per entry (Raft §5.3, end).
 */
export type AppendRejectedMessage = Envelope & {
  readonly type: "append-rejected";
  readonly index: number;
  readonly hint: EntryId;
};

/**
 * Leader to member, every `heartbeatTicks`. `commit` never goes beyond what the receiver is known to hold. `round`
 * numbers the leader's quorum rounds: an answer with it confirms that the leader still led when the round began.
 */
export type HeartbeatMessage = Envelope & {
  readonly type: "heartbeat";
  readonly commit: number;
  readonly round: number;
};

/** `commit` as in `append-accepted`. */
export type HeartbeatResponseMessage = Envelope & {
  readonly type: "heartbeat-response";
  readonly round: number;
  readonly commit: number;
};

/**
 * Leader to member: the log before the receiver's next entry is compacted, take a snapshot instead. The host moves the
 * contents on a stream of its own and steps this message at the receiver only when they are there complete and
 * verified. The host may put a newer snapshot in place of `snapshot`, never an older one. It must tell the leader's
 * node the end through `reportSnapshot`.
 */
export type SnapshotMessage = Envelope & { readonly type: "snapshot"; readonly snapshot: SnapshotMeta };

/**
 * `last` is the candidate's last entry (Raft §5.4.1). `transfer` lets it pass members that still hear the leader.
 * States that term, vote and log are durable: it leaves after the save.
 */
export type VoteRequestMessage = Envelope & {
  readonly type: "vote-request";
  readonly last: EntryId;
  readonly transfer: boolean;
};

/**
 * A granted vote promises durability: it leaves after the save. `committed` is the last entry the sender knows to be
 * committed. A candidate that holds it learns so; without this, members that must apply a membership change before they
 * can win, and those that know it is committed but are no members any more, could wait for each other for ever.
 */
export type VoteResponseMessage = Envelope & {
  readonly type: "vote-response";
  readonly granted: boolean;
  readonly committed: EntryId;
};

/** Asks whether an election could be won, without changing anybody's term (dissertation §9.6). */
export type PreVoteRequestMessage = Envelope & { readonly type: "pre-vote-request"; readonly last: EntryId };

/** `committed` as in `vote-response`. */
export type PreVoteResponseMessage = Envelope & {
  readonly type: "pre-vote-response";
  readonly granted: boolean;
  readonly committed: EntryId;
};

/** Leader to the member it hands leadership to: campaign at once (dissertation §3.10). */
export type TimeoutNowMessage = Envelope & { readonly type: "timeout-now" };

/** What is to become an entry. */
export type Proposal = { readonly kind: Exclude<EntryKind, "no-op">; readonly data: Uint8Array };

/**
 * Follower to leader: forwarded proposals, numbered `sequence`, `sequence + 1`, ... within the sender's `session` (one
 * life of its process). The leader takes numbers in rising order and within its term only, so that a doubled or late
 * copy never enters the log a second time.
 */
export type ProposeMessage = Envelope & {
  readonly type: "propose";
  readonly session: number;
  readonly sequence: number;
  readonly proposals: readonly Proposal[];
};

/** Leader to follower: the forwarded proposals from number `sequence`, `count` of them, will never enter the log. */
export type ProposeRefusedMessage = Envelope & {
  readonly type: "propose-refused";
  readonly session: number;
  readonly sequence: number;
  readonly count: number;
  readonly reason: ProposalRefusal;
};

/** Follower to leader: which index must be applied before a read asked for up to now is current (dissertation §6.4)? */
export type ReadRequestMessage = Envelope & {
  readonly type: "read-request";
  readonly session: number;
  readonly id: number;
};

/** Answers every read of `session` with an id up to `id`. */
export type ReadResponseMessage = Envelope & {
  readonly type: "read-response";
  readonly session: number;
  readonly id: number;
  readonly index: number;
};

/** Answer to a leader of an older term; only its term matters. Without it a member with a higher term stays apart. */
export type NewerTermMessage = Envelope & { readonly type: "newer-term" };

export type Message =
  | AppendMessage
  | AppendAcceptedMessage
  | AppendRejectedMessage
  | HeartbeatMessage
  | HeartbeatResponseMessage
  | SnapshotMessage
  | VoteRequestMessage
  | VoteResponseMessage
  | PreVoteRequestMessage
  | PreVoteResponseMessage
  | TimeoutNowMessage
  | ProposeMessage
  | ProposeRefusedMessage
  | ReadRequestMessage
  | ReadResponseMessage
  | NewerTermMessage;

export type MessageType = Message["type"];

/**
 * Why a proposal was not taken. All of these are definite: the proposal is in nobody's log.
 * - `no-leader`: this member leads not and knows no leader, or leads but was removed.
 * - `not-leader`: the member that leads is another one and forwarding is off, or it got the proposal and led no more.
 * - `leader-transfer`: leadership is being handed over; try again in a moment.
 * - `uncommitted-full`: the bytes that wait for a quorum have reached `uncommittedBytesMax`.
 * - `conf-change-in-flight`: an earlier change of the membership is not applied yet, or the configuration is joint.
 * - `leader-not-ready`: the leader has not yet applied an entry of its own term.
 * - `conf-change-invalid`: the change cannot be made from the present configuration.
 */
export type ProposalRefusal =
  | "no-leader"
  | "not-leader"
  | "leader-transfer"
  | "uncommitted-full"
  | "conf-change-in-flight"
  | "leader-not-ready"
  | "conf-change-invalid";
