// The one table from our errors to the wire. Codes and texts are etcd's: clients match on both, and its Go client
// retries by code.
import { ServerError, Status } from "nice-grpc-common";
import type { Logger } from "../../lib/logger.ts";
import { ReplicaError, type ReplicaErrorCode } from "../../replica/errors.ts";
import { CorruptRecordError, StateError, type StateErrorCode } from "../../state/errors.ts";
import { RequestError, type RequestErrorCode } from "./checks.ts";

type WireStatus = readonly [code: Status, details: string];

const requestStatuses: { readonly [C in RequestErrorCode]: WireStatus } = {
  "empty-key": [Status.INVALID_ARGUMENT, "etcdserver: key is not provided"],
  "key-not-found": [Status.INVALID_ARGUMENT, "etcdserver: key not found"],
  "value-provided": [Status.INVALID_ARGUMENT, "etcdserver: value is provided"],
  "lease-provided": [Status.INVALID_ARGUMENT, "etcdserver: lease is provided"],
  "too-many-operations": [Status.INVALID_ARGUMENT, "etcdserver: too many operations in txn request"],
  "duplicate-key": [Status.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"],
  "invalid-sort-option": [Status.INVALID_ARGUMENT, "etcdserver: invalid sort option"],
};

const stateStatuses: { readonly [C in StateErrorCode]: WireStatus } = {
  "key-not-found": requestStatuses["key-not-found"],
  compacted: [Status.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"],
  "future-revision": [Status.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"],
  "lease-not-found": [Status.NOT_FOUND, "etcdserver: requested lease not found"],
  "lease-exists": [Status.FAILED_PRECONDITION, "etcdserver: lease already exists"],
  "lease-ttl-too-large": [Status.OUT_OF_RANGE, "etcdserver: too large lease TTL"],
  "no-space": [Status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"],
  corrupt: [Status.DATA_LOSS, "etcdserver: corrupt cluster"],
  "member-exists": [Status.FAILED_PRECONDITION, "etcdserver: member ID already exist"],
  "member-not-found": [Status.NOT_FOUND, "etcdserver: member not found"],
  "member-not-learner": [Status.FAILED_PRECONDITION, "etcdserver: can only promote a learner member"],
  "peer-url-exists": [Status.FAILED_PRECONDITION, "etcdserver: Peer URLs already exists"],
  "too-many-learners": [Status.FAILED_PRECONDITION, "etcdserver: too many learner members in cluster"],
};

const replicaStatuses: { readonly [C in ReplicaErrorCode]: WireStatus } = {
  "no-leader": [Status.UNAVAILABLE, "etcdserver: no leader"],
  "not-leader": [Status.FAILED_PRECONDITION, "etcdserver: not leader"],
  "not-for-learners": [Status.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner"],
  "member-urls-invalid": [Status.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid"],
  // As with too many requests: etcd means another code.
  "not-enough-started": [Status.UNKNOWN, "etcdserver: re-configuration failed due to not enough started members"],
  unhealthy: [Status.UNAVAILABLE, "etcdserver: unhealthy cluster"],
  "learner-not-ready": [
    Status.FAILED_PRECONDITION,
    "etcdserver: can only promote a learner member which is in sync with leader",
  ],
  "bad-transferee": [Status.FAILED_PRECONDITION, "etcdserver: bad leader transferee"],
  "transfer-timed-out": [Status.UNKNOWN, "etcdserver: request timed out, leader transfer took too long"],
  "leader-changed": [Status.UNAVAILABLE, "etcdserver: leader changed"],
  // etcd means to say RESOURCE_EXHAUSTED and says this; clients know it as it is.
  "too-many-requests": [Status.UNKNOWN, "etcdserver: too many requests"],
  "too-large": [Status.INVALID_ARGUMENT, "etcdserver: request is too large"],
  "no-space": stateStatuses["no-space"],
  stopped: [Status.UNAVAILABLE, "etcdserver: server stopped"],
  "stopped-waiting": [Status.UNAVAILABLE, "etcdserver: server stopped"],
  "timed-out": [Status.UNAVAILABLE, "etcdserver: request timed out"],
};

/** The status of an error that has one; undefined for anything unexpected. */
export function wireStatusOf(error: unknown): WireStatus | undefined {
  if (error instanceof RequestError) return requestStatuses[error.code];
  if (error instanceof StateError) return stateStatuses[error.code];
  if (error instanceof ReplicaError) return replicaStatuses[error.code];
  if (error instanceof CorruptRecordError) return stateStatuses.corrupt;
  return undefined;
}

/** What the client gets to see. Unexpected errors are logged, and told as such without their insides. */
export function toServerError(error: unknown, logger: Logger): ServerError {
  if (error instanceof ServerError) return error;
  const status = wireStatusOf(error);
  if (error instanceof CorruptRecordError)
    logger.log("error", "refused to serve a damaged record", { error: error.message });
  if (status !== undefined) return new ServerError(status[0], status[1]);
  logger.log("error", "unexpected error in a request", { error: error instanceof Error ? error.stack : String(error) });
  return new ServerError(Status.UNKNOWN, "etcdserver: unexpected error, see the member's log");
}

/** What an RPC answers that this version does not offer. */
export function notOffered(rpc: string): ServerError {
  return new ServerError(Status.UNIMPLEMENTED, `etcdserver: ${rpc} is not offered by this version of Quorate`);
}
