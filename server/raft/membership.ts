// When a leader may propose a membership change, and what a member does when one is applied. What changes are legal is
// in conf-change.ts. A configuration counts from the moment its entry is applied, not appended; see DESIGN.md.
import { assert } from "../lib/assert.ts";
import { type ConfChange, changeConfiguration, isJoint, leavesJoint, membersOf } from "./conf-change.ts";
import { decodeConfChange, encodeConfChange } from "./conf-change-codec.ts";
import type { ProposalRefusal } from "./message.ts";
import { mutated } from "./mutations.ts";
import type { Leadership, RaftState } from "./raft-state.ts";
import { advanceCommit, confirmReads, sendAppends } from "./replication.ts";
import { type ConfState, type Entry, type MemberId, noBytes } from "./types.ts";

const leaveJointChange: ConfChange = { transition: "auto", steps: [], context: noBytes };

/**
 * Why the leader must not propose this change now, or `undefined` when it may.
 *
 * One change is in flight at a time, and the first one of a term waits until the term's no-op is applied: by then
 * everything the leader inherited is applied too. A leader that skips this can commit a change under a configuration
 * whose majorities need not meet those of another leader's unfinished change.
 */
export function refuseConfChange(
  raft: RaftState,
  leadership: Leadership,
  data: Uint8Array,
): ProposalRefusal | undefined {
  const change = decodeConfChange(data);
  if (change === undefined) return "conf-change-invalid";
  if (leadership.confChangeIndex > raft.log.applied && !mutated("raft/two-conf-changes-in-flight"))
    return leadership.confChangeIndex === leadership.openedAt ? "leader-not-ready" : "conf-change-in-flight";
  if (isJoint(raft.tracker.confState) && !leavesJoint(change)) return "conf-change-in-flight";
  return changeConfiguration(raft.tracker.confState, change).kind === "refused" ? "conf-change-invalid" : undefined;
}

/** Makes a committed change the configuration of this member. */
export function applyConfChange(raft: RaftState, entry: Entry): ConfState {
  const change = entry.kind === "conf-change" ? decodeConfChange(entry.data) : undefined;
  assert(change !== undefined, () => `entry ${entry.index} is no membership change`);
  const result = changeConfiguration(raft.tracker.confState, change);
  assert(result.kind === "changed", () => `a committed membership change is not legal: ${JSON.stringify(result)}`);
  // The last chance to tell members that are about to go that their removal is committed.
  if (raft.role === "leader") sendAppends(raft);
  adoptConfState(raft, result.confState);
  if (raft.leadership !== undefined) followUpAsLeader(raft, raft.leadership, entry.index);
  return raft.tracker.confState;
}

/** Takes over a configuration, from a change or a snapshot, and remembers who is gone. */
export function adoptConfState(raft: RaftState, confState: ConfState): void {
  const before = membersOf(raft.tracker.confState);
  raft.tracker.reconfigure(confState, raft.log.lastIndex + 1, raft.nowTicks);
  for (const id of before) if (raft.tracker.progress(id) === undefined) raft.removed.add(id);
  for (const { id } of raft.tracker.members) raft.removed.delete(id);
}

function followUpAsLeader(raft: RaftState, leadership: Leadership, index: number): void {
  raft.appendsDue = true;
  const { transferee } = leadership;
  if (transferee !== undefined && !raft.tracker.isVoter(transferee) && !mutated("raft/transfer-to-removed"))
    leadership.transferee = undefined;
  // With fewer voters, what was short of a quorum may have one now.
  advanceCommit(raft);
  confirmReads(raft);
  leadership.removedAt = raft.tracker.isVoter(raft.id) ? undefined : index;
  maybeResign(raft);
}

/**
 * A leader that is no voter any more steps down (dissertation §4.2.2), once a majority of those that remain will know
 * even after a crash that it was removed: until then they may need its vote. It spares them the wait for an election by
 * asking the one that has most of the log to start it.
 */
export function maybeResign(raft: RaftState): void {
  const removedAt = raft.leadership?.removedAt;
  if (removedAt === undefined || mutated("raft/removed-leader-stays")) return;
  if (raft.tracker.reachedByQuorum(({ commitKept }) => commitKept) < removedAt) return;
  sendAppends(raft);
  let heir: { readonly id: MemberId; readonly match: number } | undefined;
  for (const { id, match } of raft.tracker.members)
    if (raft.tracker.isVoter(id) && (heir === undefined || match > heir.match)) heir = { id, match };
  if (heir !== undefined) raft.send({ type: "timeout-now", from: raft.id, to: heir.id, term: raft.term });
  raft.becomeFollower(raft.term, undefined);
}

/** Proposes to leave a joint configuration that is to be left by itself, as soon as nothing stands in the way. */
export function maybeLeaveJoint(raft: RaftState): void {
  const { leadership } = raft;
  if (leadership === undefined || !raft.tracker.confState.autoLeave || leadership.transferee !== undefined) return;
  const data = encodeConfChange(leaveJointChange);
  if (refuseConfChange(raft, leadership, data) !== undefined) return;
  leadership.confChangeIndex = raft.appendEntry(leadership, "conf-change", data);
}
