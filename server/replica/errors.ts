// Why a request could not be carried out by this member, as values with a name. Unlike a StateError they are this
// member's own and say nothing about the replicated state. services/grpc/errors.ts translates them for the wire.
import type { ProposalRefusal } from "../raft/message.ts";
import { StorageError } from "../storage/backend.ts";

/**
 * Definite, nothing was done:
 * - `no-leader`: there is none at the moment.
 * - `too-many-requests`: applying lags too far behind what is committed, or too much waits for a quorum.
 * - `too-large`: the command is larger than a request may be.
 * - `no-space`: the disk, or the quota, has no room.
 * - `stopped`: the member is stopping, or cannot go on.
 * - `not-leader`: only the leader can do it, and this member does not lead.
 * - `not-for-learners`: a learner does not answer this.
 * - `member-urls-invalid`: a peer URL makes no sense.
 * - `not-enough-started`: after the change too few members would be running for a quorum.
 * - `unhealthy`: too few members are connected for the change to be safe.
 * - `learner-not-ready`: the learner is too far behind to be promoted.
 * - `bad-transferee`: leadership cannot go to that member.
 *
 * Unknown, it may have been done or still be:
 * - `timed-out`: no outcome within the request timeout.
 * - `transfer-timed-out`: the other member has not taken leadership over yet.
 * - `leader-changed`: leadership moved on before the outcome was known, or is moving just now.
 * - `stopped-waiting`: the member stopped before the outcome was known.
 */
export type ReplicaErrorCode =
  | "no-leader"
  | "too-many-requests"
  | "too-large"
  | "no-space"
  | "stopped"
  | "not-leader"
  | "not-for-learners"
  | "member-urls-invalid"
  | "not-enough-started"
  | "unhealthy"
  | "learner-not-ready"
  | "bad-transferee"
  | "transfer-timed-out"
  | "timed-out"
  | "leader-changed"
  | "stopped-waiting";

export class ReplicaError extends Error {
  override readonly name = "ReplicaError";
  readonly code: ReplicaErrorCode;

  constructor(code: ReplicaErrorCode, message: string = code, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A proposal that raft refused; it is in nobody's log. */
export function refusalError(reason: ProposalRefusal): ReplicaError {
  switch (reason) {
    case "no-leader":
      return new ReplicaError("no-leader");
    case "leader-transfer":
    case "not-leader":
      return new ReplicaError("leader-changed", reason);
    case "conf-change-invalid":
      // The one change that raft itself finds impossible is to be left without voters.
      return new ReplicaError("not-enough-started");
    case "uncommitted-full":
    case "conf-change-in-flight":
    case "leader-not-ready":
      return new ReplicaError("too-many-requests", reason);
  }
}

/** A flush that failed, for one who waited for it: a full disk has refused nothing, what is to be written waits. */
export function fromLateFlush(error: unknown): unknown {
  if (!(error instanceof StorageError) || error.code !== "no-space") return error;
  return new ReplicaError("timed-out", "the disk is full", { cause: error });
}
