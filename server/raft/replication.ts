// A leader's sending side: appends, snapshots, heartbeats, and the commit index that follows from what came back.
// Nothing is sent while a message is handled; everything that is due goes out once, when the next `Ready` is made, so
// that a thousand proposals of one turn travel in one append.
import { membersOf } from "./conf-change.ts";
import { mutated } from "./mutations.ts";
import type { Progress } from "./progress.ts";
import type { RaftState } from "./raft-state.ts";
import { type Entry, entrySizeBytes } from "./types.ts";

/** Queues all appends that are due. */
export function sendAppends(raft: RaftState): void {
  raft.appendsDue = false;
  for (const progress of raft.tracker.members)
    if (progress.id !== raft.id) while (isAppendDue(raft, progress) && sendAppend(raft, progress));
}

/** Whether `sendAppends` would send something. */
export function hasAppendsDue(raft: RaftState): boolean {
  return raft.tracker.members.some((progress) => progress.id !== raft.id && isAppendDue(raft, progress));
}

function isAppendDue(raft: RaftState, progress: Progress): boolean {
  if (progress.state === "snapshot" || (progress.state === "probe" && progress.probeSent)) return false;
  if (progress.appendOwed) return true;
  if (isWindowFull(progress)) return false;
  return progress.next <= raft.log.lastIndex || isCommitDue(raft, progress);
}

/** Whether the member is to be told the commit index even if there is nothing else to send. */
function isCommitDue(raft: RaftState, progress: Progress): boolean {
  if (progress.commitSent >= raft.log.announcedCommit) return false;
  if (!raft.options.holdCommits) return true;
  return progress.commitSent < Math.max(progress.commitAwaited, raft.leadership?.commitCalled ?? 0);
}

/** The commit index, when somebody was not told it yet for want of a message to send it with. */
export function heldCommit(raft: RaftState): number | undefined {
  const commit = raft.log.announcedCommit;
  if (!raft.options.holdCommits || raft.leadership === undefined || raft.leadership.commitCalled >= commit)
    return undefined;
  const isHeld = ({ id, state, commitSent }: Progress): boolean =>
    id !== raft.id && state === "replicate" && commitSent < commit;
  return raft.tracker.members.some(isHeld) ? commit : undefined;
}

/** Notes that a member waits for the commit index to reach `index`. */
export function awaitCommit(raft: RaftState, progress: Progress, index: number): void {
  progress.commitAwaited = Math.max(progress.commitAwaited, index);
  raft.appendsDue = true;
}

function isWindowFull(progress: Progress): boolean {
  return progress.inflights.full && !mutated("raft/inflight-limit-ignored");
}

/** Queues one append, or a snapshot when the log no longer reaches back far enough. False: nothing can be sent now. */
function sendAppend(raft: RaftState, progress: Progress): boolean {
  const { log, options } = raft;
  const previousIndex = progress.next - 1;
  const previousTerm = log.term(previousIndex);
  let entries: readonly Entry[] = [];
  let gap = typeof previousTerm === "string" ? previousTerm : undefined;
  if (mutated("raft/unknown-term-matches-zero")) gap = undefined;
  // A full window still lets an empty append through: only its answer can tell that appends were lost.
  if (gap === undefined && progress.next <= log.lastIndex && !isWindowFull(progress)) {
    // A probe looks for the place where the logs part; what it carries is mostly refused, so it carries one entry.
    const found = log.entries(
      progress.next,
      log.lastIndex + 1,
      progress.state === "probe" ? 1 : options.appendBytesMax,
    );
    if (typeof found === "string") gap = found;
    else entries = found;
  }
  if (gap === "compacted") return sendSnapshot(raft, progress);
  if (gap === "unavailable") {
    wait(progress);
    return false;
  }
  const commit = log.announcedCommit;
  raft.send({
    type: "append",
    from: raft.id,
    to: progress.id,
    term: raft.term,
    previous: { index: previousIndex, term: typeof previousTerm === "number" ? previousTerm : 0 },
    entries,
    commit,
  });
  let sizeBytes = 0;
  for (const entry of entries) sizeBytes += entrySizeBytes(entry);
  progress.appendSent(previousIndex + entries.length, sizeBytes, commit);
  return true;
}

function sendSnapshot(raft: RaftState, progress: Progress): boolean {
  // A member that does not answer would only keep a transfer busy. It is asked for signs of life by heartbeats.
  const silent = raft.nowTicks - progress.contactTicks >= raft.options.electionTicks;
  const snapshot = silent ? undefined : raft.log.snapshotToSend;
  // A state from before the member was added would tell it that it does not belong; the next one will do.
  if (snapshot === undefined || !membersOf(snapshot.confState).includes(progress.id)) {
    wait(progress);
    return false;
  }
  progress.becomeSnapshot(snapshot.index);
  raft.send({ type: "snapshot", from: raft.id, to: progress.id, term: raft.term, snapshot });
  return true;
}

/** Nothing can be sent for the moment: try again when the member answers the next heartbeat. */
function wait(progress: Progress): void {
  if (progress.state === "replicate") progress.becomeProbe();
  progress.probeSent = true;
}

/** Queues a heartbeat to everybody, learners too: they learn the commit index from it and answer to be counted alive. */
export function sendHeartbeats(raft: RaftState): void {
  for (const progress of raft.tracker.members) if (progress.id !== raft.id) sendHeartbeat(raft, progress);
}

/** Starts the quorum round that waiting reads need, and closes it at once when nobody else has a vote. */
export function startReadRound(raft: RaftState): void {
  raft.reads.startRound();
  for (const progress of raft.tracker.members)
    if (progress.id !== raft.id && raft.tracker.isVoter(progress.id)) sendHeartbeat(raft, progress);
  confirmReads(raft);
}

function sendHeartbeat(raft: RaftState, progress: Progress): void {
  // Not beyond what the member is known to hold: it takes the index on trust.
  const commit = Math.min(progress.match, raft.log.announcedCommit);
  progress.commitSent = Math.max(progress.commitSent, commit);
  raft.send({
    type: "heartbeat",
    from: raft.id,
    to: progress.id,
    term: raft.term,
    commit: mutated("raft/heartbeat-commit-unbounded") ? raft.log.announcedCommit : commit,
    round: raft.reads.round,
  });
}

/** Answers the reads that a quorum has confirmed. */
export function confirmReads(raft: RaftState): void {
  if (raft.reads.length === 0) return;
  const round = mutated("raft/read-without-quorum")
    ? raft.reads.round
    : raft.tracker.reachedByQuorum((progress) => (progress.id === raft.id ? raft.reads.round : progress.roundAcked));
  for (const { request, index } of raft.reads.confirmedTo(round)) {
    const { from, session, id } = request;
    if (from === raft.id) {
      raft.localReads.confirmed(session, id, index);
      continue;
    }
    raft.send({ type: "read-response", from: raft.id, to: from, term: raft.term, session, id, index });
    const reader = raft.tracker.progress(from);
    if (reader !== undefined) awaitCommit(raft, reader, index);
  }
}

/** Whether the leader has committed an entry of its own term. Only then does it know how far the commit index is. */
export function hasCommittedInTerm(raft: RaftState): boolean {
  return raft.leadership !== undefined && raft.log.committed >= raft.leadership.openedAt;
}

/**
 * Moves the commit index to what a quorum holds durably. Only entries of the present term are committed by counting;
 * earlier ones go along with them (Raft §5.4.2, figure 8). Returns whether it moved.
 */
export function advanceCommit(raft: RaftState): boolean {
  const index = raft.tracker.reachedByQuorum((progress) => progress.match);
  if (index <= raft.log.committed) return false;
  if (raft.log.term(index) !== raft.term && !mutated("raft/old-term-committed-by-counting")) return false;
  raft.log.commitTo(index);
  raft.appendsDue = true;
  raft.reads.termCommitted(index);
  return true;
}
