// Changes of who belongs to the cluster: may this one be made now, and what it means when it takes effect.
import type { ConfChangeStep } from "../raft/conf-change.ts";
import type { Status } from "../raft/status.ts";
import type { Member } from "../state/cluster/member-codec.ts";
import type { MembershipCommand } from "../state/command.ts";
import { ReplicaError } from "./errors.ts";
import type { Transport } from "./transport.ts";

export interface MembershipCheckOptions {
  readonly ownId: bigint;
  readonly members: readonly Member[];
  readonly transport: Pick<Transport, "connectedMs">;
  /** Whether changes that could cost the quorum are refused. */
  readonly isStrict: boolean;
}

/** How long a member must have been connected to count as working, as in etcd. */
const connectedForMs = 5000;
/** What part of the leader's log a learner must have to be promoted. */
const readyShare = 0.9;

/** What a command is to raft. */
export function stepsOf(command: MembershipCommand): readonly ConfChangeStep[] {
  switch (command.kind) {
    case "member-add":
      return [{ kind: command.member.isLearner ? "add-learner" : "add-voter", id: command.member.id }];
    case "member-remove":
      return [{ kind: "remove", id: command.id }];
    case "member-update":
      return [{ kind: "update", id: command.id }];
    case "member-promote":
      return [{ kind: "add-voter", id: command.id }];
  }
}

/**
 * Refuses a change after which the members that work would not be a quorum.
 * @throws ReplicaError `not-enough-started`, `unhealthy`
 */
export function checkReconfiguration(command: MembershipCommand, options: MembershipCheckOptions): void {
  if (!options.isStrict) return;
  if (command.kind === "member-add" && !command.member.isLearner) checkMoreVoters(options, undefined);
  else if (command.kind === "member-promote") checkMoreVoters(options, command.id);
  else if (command.kind === "member-remove") checkFewerVoters(options, command.id);
}

/** @param promotedId The learner that becomes a voter; undefined for a new member, which has not started yet. */
function checkMoreVoters(options: MembershipCheckOptions, promotedId: bigint | undefined): void {
  const voters = options.members.filter(({ isLearner }) => !isLearner);
  const isPromotedStarted = options.members.some(({ id, name }) => id === promotedId && name !== "");
  const started = voters.filter(({ name }) => name !== "").length + (isPromotedStarted ? 1 : 0);
  const size = voters.length + 1;
  // A single member may always take a second one in, or no cluster could ever grow.
  if (started === 1 && size === 2) return;
  if (started < quorumOf(size)) throw new ReplicaError("not-enough-started");
  if (workingVoters(options, voters) < quorumOf(size)) throw new ReplicaError("unhealthy");
}

function checkFewerVoters(options: MembershipCheckOptions, removedId: bigint): void {
  const removed = options.members.find(({ id }) => id === removedId);
  if (removed === undefined || removed.isLearner) return;
  const remaining = options.members.filter(({ id, isLearner }) => id !== removedId && !isLearner);
  const started = remaining.filter(({ name }) => name !== "").length;
  if (remaining.length === 0 || started < quorumOf(remaining.length)) throw new ReplicaError("not-enough-started");
  // Taking away one that does not work costs nothing.
  const isDown = removedId !== options.ownId && options.transport.connectedMs(removedId) === undefined;
  if (!isDown && workingVoters(options, remaining) < quorumOf(remaining.length)) throw new ReplicaError("unhealthy");
}

function workingVoters(options: MembershipCheckOptions, voters: readonly Member[]): number {
  return voters.filter(({ id }) => id === options.ownId || (options.transport.connectedMs(id) ?? -1) >= connectedForMs)
    .length;
}

function quorumOf(size: number): number {
  return Math.floor(size / 2) + 1;
}

/**
 * Refuses to promote a learner that is far behind. Only the leader knows.
 * @throws ReplicaError `learner-not-ready`
 */
export function checkLearnerReady(status: Status, id: bigint): void {
  const learner = status.progress.find((progress) => progress.id === id);
  if (learner === undefined) return;
  if (learner.match < status.lastIndex * readyShare) throw new ReplicaError("learner-not-ready");
}
