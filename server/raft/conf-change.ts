// Membership changes as pure functions from one configuration to the next (Raft §6, dissertation chapter 4). What is
// legal is decided here alone; when a change may be proposed is step-leader's business, when it is applied the host's.
import { type ConfState, emptyConfState, type MemberId } from "./types.ts";

/**
 * One step of a change. `add-voter` of a learner promotes it, `add-learner` of a voter demotes it; what is already so
 * stays so. `update` changes nothing here and lets a host carry other news of a member. The id zero names nobody: such
 * a step changes nothing either.
 */
export type ConfChangeStep = {
  readonly kind: "add-voter" | "add-learner" | "remove" | "update";
  readonly id: MemberId;
};

/**
 * A membership change as one log entry carries it.
 *
 * - `auto`: at most one step that touches voters goes in one move; more go through a joint configuration that the
 *   leader leaves by itself. `steps` empty: leave the joint configuration.
 * - `joint-implicit`: through a joint configuration in any case, left by the leader.
 * - `joint-explicit`: through a joint configuration that stays until a change without steps is proposed.
 */
export type ConfChange = {
  readonly transition: "auto" | "joint-implicit" | "joint-explicit";
  readonly steps: readonly ConfChangeStep[];
  /** The host's own words about the change (names, addresses). Raft hands them through. */
  readonly context: Uint8Array;
};

/** Why a change cannot be made from a configuration. */
export type ConfChangeRefusal =
  | "already-joint"
  | "joint"
  | "not-joint"
  | "no-voters"
  | "removed-all-voters"
  | "several-voters-changed";

export type ConfChangeResult =
  | { readonly kind: "changed"; readonly confState: ConfState }
  | { readonly kind: "refused"; readonly reason: ConfChangeRefusal };

export function isJoint(confState: ConfState): boolean {
  return confState.votersOutgoing.length > 0;
}

/** Does what `change` says: a simple change, entering a joint configuration, or leaving it. */
export function changeConfiguration(confState: ConfState, change: ConfChange): ConfChangeResult {
  if (leavesJoint(change)) return leaveJoint(confState);
  if (change.transition === "auto" && change.steps.length <= 1) return changeSimply(confState, change.steps);
  return enterJoint(confState, change.transition !== "joint-explicit", change.steps);
}

/** A change without steps leaves the joint configuration. */
export function leavesJoint(change: ConfChange): boolean {
  return change.transition === "auto" && change.steps.length === 0;
}

/**
 * Changes the configuration in one move. At most one voter may come or go (as the sum of all steps): only then does
 * every majority of the old share a member with every majority of the new (dissertation §4.1).
 */
export function changeSimply(confState: ConfState, steps: readonly ConfChangeStep[]): ConfChangeResult {
  if (isJoint(confState)) return refused("joint");
  const next = applySteps(confState, steps);
  if (next.voters.length === 0) return refused("removed-all-voters");
  if (differenceSize(confState.voters, next.voters) > 1) return refused("several-voters-changed");
  return { kind: "changed", confState: next };
}

/**
 * Enters the joint configuration of the present voters and those that `steps` lead to. Until it is left, decisions
 * need both majorities, so any number of voters may change at once.
 */
export function enterJoint(
  confState: ConfState,
  autoLeave: boolean,
  steps: readonly ConfChangeStep[],
): ConfChangeResult {
  if (isJoint(confState)) return refused("already-joint");
  if (confState.voters.length === 0) return refused("no-voters");
  const next = applySteps({ ...confState, votersOutgoing: confState.voters }, steps);
  if (next.voters.length === 0) return refused("removed-all-voters");
  return { kind: "changed", confState: { ...next, autoLeave } };
}

/** Leaves the joint configuration: the outgoing voters have no say any more, those that were demoted are learners. */
export function leaveJoint(confState: ConfState): ConfChangeResult {
  if (!isJoint(confState)) return refused("not-joint");
  const learners = sortIds(new Set([...confState.learners, ...confState.learnersNext]));
  return { kind: "changed", confState: { ...emptyConfState, voters: confState.voters, learners } };
}

/** Everybody the leader sends the log to, sorted: voters of both halves and learners. */
export function membersOf(confState: ConfState): readonly MemberId[] {
  return sortIds(new Set([...confState.voters, ...confState.votersOutgoing, ...confState.learners]));
}

/** Whether the member's vote counts, in either half. */
export function isVoter(confState: ConfState, id: MemberId): boolean {
  return confState.voters.includes(id) || confState.votersOutgoing.includes(id);
}

/** Sorts and removes doubles, so that equal configurations are equal values. */
export function normalizeConfState(confState: ConfState): ConfState {
  return {
    voters: sortIds(new Set(confState.voters)),
    votersOutgoing: sortIds(new Set(confState.votersOutgoing)),
    learners: sortIds(new Set(confState.learners)),
    learnersNext: sortIds(new Set(confState.learnersNext)),
    autoLeave: confState.autoLeave,
  };
}

function applySteps(confState: ConfState, steps: readonly ConfChangeStep[]): ConfState {
  const voters = new Set(confState.voters);
  const outgoing = new Set(confState.votersOutgoing);
  const learners = new Set(confState.learners);
  const learnersNext = new Set(confState.learnersNext);
  for (const { kind, id } of steps) {
    if (id === 0n || kind === "update") continue;
    if (kind === "add-learner" && learners.has(id)) continue;
    voters.delete(id);
    learners.delete(id);
    learnersNext.delete(id);
    if (kind === "add-voter") voters.add(id);
    // An outgoing voter cannot be a learner yet: it still votes in the outgoing half.
    if (kind === "add-learner") (outgoing.has(id) ? learnersNext : learners).add(id);
  }
  return {
    voters: sortIds(voters),
    votersOutgoing: confState.votersOutgoing,
    learners: sortIds(learners),
    learnersNext: sortIds(learnersNext),
    autoLeave: confState.autoLeave,
  };
}

function refused(reason: ConfChangeRefusal): ConfChangeResult {
  return { kind: "refused", reason };
}

function differenceSize(left: readonly MemberId[], right: readonly MemberId[]): number {
  return left.filter((id) => !right.includes(id)).length + right.filter((id) => !left.includes(id)).length;
}

function sortIds(ids: ReadonlySet<MemberId>): MemberId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
