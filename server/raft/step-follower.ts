// What a follower does with its leader's messages: entries, heartbeats, snapshots, and the call to take over.

import { membersOf } from "./conf-change.ts";
import type { AppendMessage, HeartbeatMessage, Message, SnapshotMessage } from "./message.ts";
import { mutated } from "./mutations.ts";
import type { RaftState } from "./raft-state.ts";
import { campaign } from "./step-candidate.ts";

/** Handles a message of the present term that does not come from the leader's office: those are `stepFromLeader`'s. */
export function stepFollower(raft: RaftState, message: Message): void {
  switch (message.type) {
    case "timeout-now":
      if (message.from === raft.leader) campaign(raft, true);
      return;
    case "propose-refused":
      raft.forwards.refused(message);
      return;
    case "read-response":
      raft.localReads.confirmed(message.session, message.id, message.index);
      return;
    default:
      return;
  }
}

/** Handles what only the present term's leader sends. */
export function stepFromLeader(raft: RaftState, message: AppendMessage | HeartbeatMessage | SnapshotMessage): void {
  raft.followLeader(message.from);
  switch (message.type) {
    case "append":
      handleAppend(raft, message);
      return;
    case "heartbeat":
      raft.log.commitTo(message.commit);
      raft.send({
        type: "heartbeat-response",
        from: raft.id,
        to: message.from,
        term: raft.term,
        round: message.round,
        commit: raft.log.durableCommit,
      });
      return;
    case "snapshot":
      handleSnapshot(raft, message);
      return;
    default:
      message satisfies never;
  }
}

function handleAppend(raft: RaftState, { from, previous, entries, commit }: AppendMessage): void {
  const { log } = raft;
  // What is committed here is equal in every leader's log; the leader learns how far that goes.
  if (previous.index < log.committed && !mutated("raft/late-append-truncates")) {
    accept(raft, log.committed);
    return;
  }
  const matched = log.tryAppend(previous, entries);
  if (matched === undefined) {
    const hint = log.lastWithTermAtMost(Math.min(previous.index, log.lastIndex), previous.term);
    raft.send({ type: "append-rejected", from: raft.id, to: from, term: raft.term, index: previous.index, hint });
    return;
  }
  // Entries behind `matched` may be a dead leader's: the commit index says nothing about them (Raft figure 2).
  log.commitTo(mutated("raft/commit-beyond-match") ? Math.min(commit, log.lastIndex) : Math.min(commit, matched));
  accept(raft, mutated("raft/accept-beyond-match") ? log.lastIndex : matched);
}

function accept(raft: RaftState, index: number): void {
  const { id: from, leader: to, term, log } = raft;
  if (to !== undefined) raft.promise({ type: "append-accepted", from, to, term, index, commit: log.durableCommit });
}

function handleSnapshot(raft: RaftState, { snapshot }: SnapshotMessage): void {
  const { log } = raft;
  if (snapshot.index <= log.committed && !mutated("raft/old-snapshot-restored")) {
    accept(raft, log.committed);
    return;
  }
  // One installation at a time: the leader will find out what is still missing after it.
  if (log.pendingSnapshot !== undefined && !mutated("raft/snapshot-over-snapshot")) return;
  // A snapshot from before this member was added would tell it that it does not belong.
  if (!membersOf(snapshot.confState).includes(raft.id)) {
    raft.ignoredMessages++;
    return;
  }
  // A log that holds the snapshot's last entry holds everything before it: nothing to install.
  if (log.matches(snapshot)) {
    log.commitTo(snapshot.index);
    accept(raft, log.committed);
    return;
  }
  log.restore(snapshot);
  accept(raft, snapshot.index);
}
