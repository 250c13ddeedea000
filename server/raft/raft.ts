// The door for messages and time: terms are compared here, once, for every message (Raft §5.1); votes are granted
// here, as every role does it alike; all else goes to the file of the present role.

import { adoptConfState, maybeLeaveJoint } from "./membership.ts";
import type { Message, PreVoteRequestMessage, VoteRequestMessage } from "./message.ts";
import { isWellFormed } from "./message-check.ts";
import { mutated } from "./mutations.ts";
import type { RaftState } from "./raft-state.ts";
import { campaign, countOwnVote, stepCandidate } from "./step-candidate.ts";
import { stepFollower, stepFromLeader } from "./step-follower.ts";
import { countOwnSave, receiveForwarded, stepLeader, tickLeader } from "./step-leader.ts";
import { type MemberId, noEntryId } from "./types.ts";

/** One tick of time. */
export function tick(raft: RaftState): void {
  raft.nowTicks++;
  if (raft.leadership !== undefined) {
    tickLeader(raft, raft.leadership);
    return;
  }
  if (raft.nowTicks % raft.options.heartbeatTicks === 0) raft.localReads.repeatUnanswered();
  if (++raft.electionElapsed < raft.electionTimeoutTicks) return;
  raft.restartElectionTimer();
  // Whoever may not ask for votes waits for a new leader; that the old one is gone holds for it as well.
  if (campaign(raft, false) !== undefined) raft.becomeFollower(raft.term, undefined);
}

/** Handles a message from another member. What is not for this member, or makes no sense, is counted and ignored. */
export function step(raft: RaftState, message: Message): void {
  if (message.to !== raft.id || message.from === raft.id || message.from === 0n || !isWellFormed(message)) {
    raft.ignoredMessages++;
    return;
  }
  // A leader may have been removed: what it sends in its office still counts.
  const isOfficial = isFromLeader(message) || message.type === "timeout-now";
  if (raft.removed.has(message.from) && !isOfficial && !mutated("raft/removed-member-heard")) {
    raft.ignoredMessages++;
    return;
  }
  if (!passTermGate(raft, message)) return;
  switch (message.type) {
    case "vote-request":
    case "pre-vote-request":
      answerVoteRequest(raft, message);
      return;
    case "append":
    case "heartbeat":
    case "snapshot":
      // Two leaders in one term cannot be. A message that says so is not followed, or this member would lead no more.
      if (raft.role === "leader" || (raft.leader !== undefined && raft.leader !== message.from)) raft.ignoredMessages++;
      else stepFromLeader(raft, message);
      return;
    case "propose":
      receiveForwarded(raft, message);
      return;
    default:
      if (raft.leadership !== undefined) stepLeader(raft, raft.leadership, message);
      else if (raft.role === "follower") stepFollower(raft, message);
      else stepCandidate(raft, message);
  }
}

/** Compares terms. Afterwards this member's term is at least the message's, except for pre-votes. False: ignore it. */
function passTermGate(raft: RaftState, message: Message): boolean {
  if (message.term < raft.term) {
    answerOldTerm(raft, message);
    return false;
  }
  if (message.term === raft.term) return true;
  const asks = message.type === "pre-vote-request" || (message.type === "vote-request" && !message.transfer);
  // While the leader is heard, nobody can depose it by asking: not a member that was cut off, and not one that was
  // removed and does not know (dissertation §4.2.3).
  if (asks && raft.leaderIsAlive && !mutated("raft/votes-under-live-leader")) return false;
  // A pre-vote is about a term that has not begun, and so is its granting answer.
  if (message.type === "pre-vote-request") return true;
  if (message.type === "pre-vote-response" && message.granted) return true;
  raft.becomeFollower(message.term, isFromLeader(message) ? message.from : undefined);
  return true;
}

function isFromLeader(message: Message): boolean {
  return message.type === "append" || message.type === "heartbeat" || message.type === "snapshot";
}

/**
 * Answers where silence would leave the sender stuck: a leader that was replaced must learn it even if this member,
 * being ahead in terms, will never be asked anything else; a candidate of an old term would ask in vain.
 */
function answerOldTerm(raft: RaftState, message: Message): void {
  if (isFromLeader(message)) raft.send({ type: "newer-term", from: raft.id, to: message.from, term: raft.term });
  else if (message.type === "vote-request" || message.type === "pre-vote-request") raft.send(refusal(raft, message));
}

function refusal(raft: RaftState, request: VoteRequestMessage | PreVoteRequestMessage): Message {
  const type = request.type === "vote-request" ? "vote-response" : "pre-vote-response";
  const { id: from, term, log } = raft;
  return {
    type,
    from,
    to: request.from,
    term,
    granted: false,
    committed: mutated("raft/vote-answer-hides-commit") ? noEntryId : log.committedId,
  };
}

/**
 * Grants a vote to the first candidate of a term whose log has all that may be committed (Raft §5.2, §5.4.1). A learner
 * votes like everybody else: it may be a voter by now and not know it yet, and its vote may be the one that is missing.
 */
function answerVoteRequest(raft: RaftState, message: VoteRequestMessage | PreVoteRequestMessage): void {
  const { from: to, last } = message;
  const isPreVote = message.type === "pre-vote-request";
  const isFree = isPreVote ? message.term > raft.term : isVoteFree(raft, to);
  const isBarred = mutated("raft/learner-refuses-vote") && !raft.tracker.isVoter(raft.id);
  if (!isFree || !raft.log.isUpToDate(last) || isBarred) {
    raft.send(refusal(raft, message));
    return;
  }
  const answer = { from: raft.id, to, term: message.term, granted: true, committed: raft.log.committedId } as const;
  if (isPreVote) {
    raft.send({ type: "pre-vote-response", ...answer });
    return;
  }
  raft.vote = to;
  raft.restartElectionTimer();
  raft.promise({ type: "vote-response", ...answer });
}

function isVoteFree(raft: RaftState, candidate: MemberId): boolean {
  if (raft.vote === candidate || mutated("raft/votes-twice-in-term")) return true;
  return raft.vote === undefined && raft.leader === undefined;
}

/** Save `id` and all before it are durable. */
export function saved(raft: RaftState, id: number): void {
  const outcome = raft.log.saved(id);
  if (outcome === undefined) return;
  // Not when the snapshot arrived: until it is installed, changes from before it may still be applied here.
  if (outcome.installed !== undefined) adoptConfState(raft, outcome.installed.confState);
  const { term, vote } = outcome.hardState;
  if (raft.role === "candidate" && term === raft.term && vote === raft.id) countOwnVote(raft);
  else if (raft.role === "leader") countOwnSave(raft);
}

/** The state machine has applied everything up to `index`. */
export function applied(raft: RaftState, index: number): void {
  raft.log.appliedTo(index);
  maybeLeaveJoint(raft);
}
