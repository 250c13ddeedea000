// What a leader does with proposals, with answers from its members, and with time.
import { assert } from "../lib/assert.ts";
import { maybeLeaveJoint, maybeResign, refuseConfChange } from "./membership.ts";
import type {
  AppendAcceptedMessage,
  AppendRejectedMessage,
  HeartbeatResponseMessage,
  Message,
  Proposal,
  ProposalRefusal,
  ProposeMessage,
} from "./message.ts";
import { mutated } from "./mutations.ts";
import type { Progress } from "./progress.ts";
import type { Leadership, RaftState } from "./raft-state.ts";
import { advanceCommit, awaitCommit, confirmReads, hasCommittedInTerm, sendHeartbeats } from "./replication.ts";
import { entryOverheadBytes, type MemberId } from "./types.ts";

/** Takes a proposal into the log. Returns the index it got, or why it was refused. */
export function proposeAsLeader(
  raft: RaftState,
  leadership: Leadership,
  kind: Proposal["kind"],
  data: Uint8Array,
): number | ProposalRefusal {
  if (raft.tracker.progress(raft.id) === undefined) return "no-leader";
  // Entries appended now would keep the target from ever being up to date (dissertation §3.10, step 1).
  if (leadership.transferee !== undefined && !mutated("raft/propose-during-transfer")) return "leader-transfer";
  const sizeBytes = data.length + entryOverheadBytes;
  const waiting = leadership.uncommittedBytes;
  if (waiting > 0 && waiting + sizeBytes > raft.options.uncommittedBytesMax && !mutated("raft/uncommitted-unbounded"))
    return "uncommitted-full";
  if (kind === "conf-change") {
    const refusal = refuseConfChange(raft, leadership, data);
    if (refusal !== undefined) return refusal;
  }
  const index = raft.appendEntry(leadership, kind, data);
  if (kind === "conf-change") leadership.confChangeIndex = index;
  return index;
}

/** Handles a message of the present term that a leader cares for. */
export function stepLeader(raft: RaftState, leadership: Leadership, message: Message): void {
  const progress = raft.tracker.progress(message.from);
  if (progress === undefined) {
    raft.ignoredMessages++;
    return;
  }
  if (message.term === raft.term) progress.contactTicks = raft.nowTicks;
  switch (message.type) {
    case "append-accepted":
      handleAccepted(raft, leadership, progress, message);
      return;
    case "append-rejected":
      handleRejected(raft, progress, message);
      return;
    case "heartbeat-response":
      handleHeartbeatResponse(raft, progress, message);
      return;
    case "read-request":
      if (raft.reads.length >= raft.options.readsMax) return;
      raft.reads.add(message, raft.log.committed, hasCommittedInTerm(raft));
      return;
    default:
      // Answers to an election that is over, and what is meant for followers.
      return;
  }
}

function handleAccepted(
  raft: RaftState,
  leadership: Leadership,
  progress: Progress,
  { index, commit }: AppendAcceptedMessage,
): void {
  // No member can hold more of this term's log than its leader.
  if (index > raft.log.lastIndex) {
    raft.ignoredMessages++;
    return;
  }
  const news = progress.accepted(index);
  switch (progress.state) {
    case "probe":
      // Also without news: a member that has everything already shows by its answer where the logs agree.
      if (index === progress.match) progress.becomeReplicate();
      break;
    case "replicate":
      progress.inflights.freeTo(index);
      break;
    case "snapshot":
      // Not only the snapshot itself: whatever brings the member back into reach of the log will do.
      if (news && progress.match + 1 >= raft.log.firstIndex) progress.becomeReplicate();
      break;
    default:
      progress.state satisfies never;
  }
  raft.appendsDue = true;
  if (news) advanceCommit(raft);
  noteCommitKept(raft, progress, commit);
  if (raft.role === "leader" && leadership.transferee === progress.id) maybeSendTimeoutNow(raft, progress);
}

function handleRejected(raft: RaftState, progress: Progress, { index, hint }: AppendRejectedMessage): void {
  // The member's entries after the hint cannot match. Of those up to it, only such can as this log has with a term no
  // greater: each round trip leaves a whole term of one of the logs behind.
  const sharedMax = mutated("raft/conflict-hint-ignored")
    ? index - 1
    : raft.log.lastWithTermAtMost(hint.index, hint.term).index;
  if (progress.rejected(index, sharedMax)) raft.appendsDue = true;
}

function handleHeartbeatResponse(
  raft: RaftState,
  progress: Progress,
  { round, commit }: HeartbeatResponseMessage,
): void {
  progress.answered();
  // Something may have been lost; an append, be it empty, finds out.
  if (progress.state !== "snapshot" && (progress.match < raft.log.lastIndex || progress.state === "probe")) {
    progress.appendOwed = true;
    raft.appendsDue = true;
  }
  if (round > progress.roundAcked && round <= raft.reads.round) {
    progress.roundAcked = round;
    confirmReads(raft);
  }
  noteCommitKept(raft, progress, commit);
}

function noteCommitKept(raft: RaftState, progress: Progress, commit: number): void {
  if (commit <= progress.commitKept) return;
  progress.commitKept = commit;
  maybeResign(raft);
}

/** Handles proposals that a follower has forwarded, or that reach this member when it leads no more. */
export function receiveForwarded(raft: RaftState, message: ProposeMessage): void {
  const { from, session, sequence, proposals } = message;
  const last = sequence + proposals.length - 1;
  const sender = raft.tracker.progress(from);
  // Without the whole account of this term, nothing definite can be said: the proposal may be in the log already.
  const isKnown = raft.forwardLedger.covers(raft.term);
  if (sender === undefined || !isKnown || !raft.forwardLedger.take(from, session, sequence, last)) {
    raft.ignoredMessages++;
    return;
  }
  const { leadership } = raft;
  for (const [i, { kind, data }] of proposals.entries()) {
    const outcome = leadership === undefined ? "not-leader" : proposeAsLeader(raft, leadership, kind, data);
    if (typeof outcome === "string") refuseForwarded(raft, message, sequence + i, outcome);
    else awaitCommit(raft, sender, outcome);
  }
}

/** Tells the sender. Neighbours refused for the same reason share a message. */
function refuseForwarded(
  raft: RaftState,
  { from, session }: ProposeMessage,
  sequence: number,
  reason: ProposalRefusal,
): void {
  const last = raft.outbox.at(-1);
  const refusal = { type: "propose-refused", from: raft.id, to: from, term: raft.term, session, reason } as const;
  if (
    last?.type === "propose-refused" &&
    last.to === from &&
    last.session === session &&
    last.reason === reason &&
    last.sequence + last.count === sequence
  )
    raft.outbox[raft.outbox.length - 1] = { ...refusal, sequence: last.sequence, count: last.count + 1 };
  else raft.send({ ...refusal, sequence, count: 1 });
}

/** Why leadership cannot be handed to that member. */
export type TransferRefusal = "not-leader" | "unknown-member" | "not-voter" | "already-leader";

/**
 * Begins to hand leadership to `target`: proposals are refused until it has the whole log and took over, or an election
 * timeout has passed (dissertation §3.10). A second call replaces the first one's target.
 */
export function transferLeader(raft: RaftState, target: MemberId): TransferRefusal | undefined {
  const { leadership } = raft;
  if (leadership === undefined) return "not-leader";
  if (target === raft.id) return "already-leader";
  const progress = raft.tracker.progress(target);
  if (progress === undefined) return "unknown-member";
  if (!raft.tracker.isVoter(target)) return "not-voter";
  if (leadership.transferee === target) return undefined;
  leadership.transferee = target;
  leadership.transferTicks = 0;
  progress.appendOwed = progress.state !== "snapshot";
  raft.appendsDue = true;
  maybeSendTimeoutNow(raft, progress);
  return undefined;
}

function maybeSendTimeoutNow(raft: RaftState, target: Progress): void {
  if (target.match < raft.log.lastIndex) return;
  raft.send({ type: "timeout-now", from: raft.id, to: target.id, term: raft.term });
}

/** One tick of a leader: step down without a quorum, give up a transfer that takes too long, speak up. */
export function tickLeader(raft: RaftState, leadership: Leadership): void {
  const { electionTicks, heartbeatTicks } = raft.options;
  // A leader cut off from its quorum must stop taking itself for one (dissertation §6.2).
  const heard = raft.tracker.reachedByQuorum(({ id, contactTicks }) => (id === raft.id ? raft.nowTicks : contactTicks));
  if (raft.nowTicks - heard >= electionTicks && !mutated("raft/leader-without-quorum-stays")) {
    raft.becomeFollower(raft.term, undefined);
    return;
  }
  if (leadership.transferee !== undefined && ++leadership.transferTicks >= electionTicks)
    if (!mutated("raft/transfer-never-aborted")) leadership.transferee = undefined;
  maybeLeaveJoint(raft);
  if (++leadership.heartbeatElapsed < heartbeatTicks) return;
  leadership.heartbeatElapsed = 0;
  sendHeartbeats(raft);
}

/** A leader's own entries became durable: only now does it count itself (Raft §5.3; dissertation §10.2.1). */
export function countOwnSave(raft: RaftState): void {
  const own = raft.tracker.progress(raft.id);
  if (own === undefined) return;
  assert(raft.role === "leader", () => `${raft.role} ${raft.id} counts itself`);
  if (own.accepted(raft.log.durable)) advanceCommit(raft);
}
