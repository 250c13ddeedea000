// Elections: asking for pre-votes and votes, and counting the answers.
import type { Message } from "./message.ts";
import { mutated } from "./mutations.ts";
import type { RaftState } from "./raft-state.ts";
import type { EntryId } from "./types.ts";

/** Why a member does not ask for votes. */
export type CampaignRefusal = "already-leader" | "not-promotable" | "conf-change-pending";

/**
 * Asks for votes, or for pre-votes first. With `transfer` the leader itself has asked for it: no pre-vote, and members
 * that still hear the leader grant their vote as well.
 */
export function campaign(raft: RaftState, transfer: boolean): CampaignRefusal | undefined {
  if (raft.role === "leader") return "already-leader";
  if (!raft.promotable) return "not-promotable";
  // It would count votes under a configuration that is known to be an old one.
  if (raft.log.hasUnappliedConfChange && !mutated("raft/campaign-under-old-configuration"))
    return "conf-change-pending";
  if (raft.options.preVote && !transfer && !raft.alone) startPreVote(raft);
  else startElection(raft, transfer);
  return undefined;
}

function startPreVote(raft: RaftState): void {
  raft.becomePreCandidate();
  raft.tracker.recordVote(raft.id, true);
  for (const id of votersToAsk(raft))
    raft.send({ type: "pre-vote-request", from: raft.id, to: id, term: raft.term + 1, last: raft.log.lastId });
  countPreVotes(raft);
}

function startElection(raft: RaftState, transfer: boolean): void {
  raft.becomeCandidate();
  // Nobody else hears of the term before its first entries are durable, and the vote with them.
  if (raft.alone) {
    raft.tracker.recordVote(raft.id, true);
    raft.becomeLeader();
    return;
  }
  for (const id of votersToAsk(raft))
    raft.promise({ type: "vote-request", from: raft.id, to: id, term: raft.term, last: raft.log.lastId, transfer });
  if (mutated("raft/own-vote-before-save")) countOwnVote(raft);
}

function votersToAsk(raft: RaftState) {
  return raft.tracker.members.map(({ id }) => id).filter((id) => id !== raft.id && raft.tracker.isVoter(id));
}

/** Handles a message of the present term, or a granted pre-vote for the next one. */
export function stepCandidate(raft: RaftState, message: Message): void {
  if (message.type !== "pre-vote-response" && message.type !== "vote-response") return;
  learnCommit(raft, message.committed);
  if (message.type === "pre-vote-response" && raft.role === "pre-candidate") {
    if (message.granted && message.term !== raft.term + 1) return;
    raft.tracker.recordVote(message.from, message.granted);
    countPreVotes(raft);
  } else if (message.type === "vote-response" && raft.role === "candidate") {
    raft.tracker.recordVote(message.from, message.granted);
    countVotes(raft);
  }
}

/**
 * An entry that another member knows to be committed is committed here as well, if it is here. When that shows that the
 * configuration is an old one, the election is off until the new one is applied.
 */
function learnCommit(raft: RaftState, committed: EntryId): void {
  if (!raft.log.matches(committed) || !raft.log.commitTo(committed.index)) return;
  if (raft.log.hasUnappliedConfChange) raft.becomeFollower(raft.term, undefined);
}

function countPreVotes(raft: RaftState): void {
  const result = raft.tracker.voteResult();
  if (result === "won") startElection(raft, false);
  else if (result === "lost") raft.becomeFollower(raft.term, undefined);
}

/** This member's own vote is durable. */
export function countOwnVote(raft: RaftState): void {
  raft.tracker.recordVote(raft.id, true);
  countVotes(raft);
}

/**
 * A candidate waits for its own vote even when it has a majority without it, and its requests leave after the save.
 * Otherwise it could lead, send entries, lose the term in a crash, be elected for the same term once more (its voters
 * would grant again) and put other entries at the same places of the same term. Or a vote granted to its log could
 * elect what is left of that log after a crash.
 */
function countVotes(raft: RaftState): void {
  const result = raft.tracker.voteResult();
  if (result === "lost") raft.becomeFollower(raft.term, undefined);
  else if (result === "won" && raft.tracker.hasVoted(raft.id)) raft.becomeLeader();
}
