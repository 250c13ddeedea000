// From a failed call to the error that the caller sees. The one place that reads etcd's error texts: its codes alone do
// not tell a compacted revision from a future one, nor whether a refused write can still happen.
import {
  AbortError,
  AuthError,
  ClientError,
  type ClientErrorCode,
  type ClientErrorDetails,
  ClosedError,
  CompactedError,
  DeadlineError,
  IndeterminateError,
  InvalidArgumentError,
  type Outcome,
  UnavailableError,
} from "./errors.ts";
import { type CallFailure, grpcStatus } from "./grpc-status.ts";

/** Whether a call can change the store. Only reads are repeated after an answer was lost. */
export type CallKind = "read" | "write";

/**
 * Texts that decide more than their status code. etcd matches its own errors by these texts too, so they are stable.
 * `isDefinite`: the server answers this only when the request will never be applied.
 */
const texts: readonly {
  readonly text: string;
  readonly code: ClientErrorCode;
  readonly isDefinite: boolean;
  readonly retryable?: true;
}[] = [
  { text: "required revision has been compacted", code: "COMPACTED", isDefinite: true },
  { text: "required revision is a future revision", code: "FUTURE_REVISION", isDefinite: true },
  { text: "requested lease not found", code: "LEASE_NOT_FOUND", isDefinite: true },
  { text: "lease already exists", code: "LEASE_EXISTS", isDefinite: true },
  { text: "database space exceeded", code: "NO_SPACE", isDefinite: true },
  { text: "request is too large", code: "INVALID_ARGUMENT", isDefinite: true },
  { text: "too many requests", code: "RESOURCE_EXHAUSTED", isDefinite: true, retryable: true },
  { text: "invalid auth token", code: "UNAUTHENTICATED", isDefinite: true },
  { text: "revision of auth store is old", code: "UNAUTHENTICATED", isDefinite: true },
  { text: "user name is empty", code: "UNAUTHENTICATED", isDefinite: true },
  { text: "authentication failed", code: "AUTH_FAILED", isDefinite: true },
  { text: "authentication is not enabled", code: "FAILED_PRECONDITION", isDefinite: true },
  { text: "user name already exists", code: "ALREADY_EXISTS", isDefinite: true },
  { text: "role name already exists", code: "ALREADY_EXISTS", isDefinite: true },
  { text: "member ID already exist", code: "ALREADY_EXISTS", isDefinite: true },
  { text: "Peer URLs already exists", code: "ALREADY_EXISTS", isDefinite: true },
  { text: "user name not found", code: "NOT_FOUND", isDefinite: true },
  { text: "role name not found", code: "NOT_FOUND", isDefinite: true },
  { text: "member not found", code: "NOT_FOUND", isDefinite: true },
  { text: "corrupt cluster", code: "DATA_LOSS", isDefinite: true },
  { text: "rpc not supported for learner", code: "UNAVAILABLE", isDefinite: true, retryable: true },
  { text: "not enough started members", code: "FAILED_PRECONDITION", isDefinite: true },
  { text: "unhealthy cluster", code: "UNAVAILABLE", isDefinite: true, retryable: true },
  { text: "watcher range is empty", code: "INVALID_ARGUMENT", isDefinite: true },
  { text: "raft proposal dropped", code: "UNAVAILABLE", isDefinite: true, retryable: true },
  // Said instead of taking the request on; one that was taken on and lost is answered with a timeout or a changed leader.
  { text: "etcdserver: no leader", code: "UNAVAILABLE", isDefinite: true, retryable: true },
];

/** Codes of statuses without a telling text. What is not listed is not definite. */
const statuses: { readonly [status: number]: { readonly code: ClientErrorCode; readonly isDefinite: boolean } } = {
  [grpcStatus.invalidArgument]: { code: "INVALID_ARGUMENT", isDefinite: true },
  [grpcStatus.notFound]: { code: "NOT_FOUND", isDefinite: true },
  [grpcStatus.alreadyExists]: { code: "ALREADY_EXISTS", isDefinite: true },
  [grpcStatus.permissionDenied]: { code: "PERMISSION_DENIED", isDefinite: true },
  [grpcStatus.resourceExhausted]: { code: "RESOURCE_EXHAUSTED", isDefinite: true },
  [grpcStatus.failedPrecondition]: { code: "FAILED_PRECONDITION", isDefinite: true },
  [grpcStatus.outOfRange]: { code: "INVALID_ARGUMENT", isDefinite: true },
  [grpcStatus.unimplemented]: { code: "UNIMPLEMENTED", isDefinite: true },
  [grpcStatus.unauthenticated]: { code: "UNAUTHENTICATED", isDefinite: true },
  [grpcStatus.dataLoss]: { code: "DATA_LOSS", isDefinite: false },
  [grpcStatus.unavailable]: { code: "UNAVAILABLE", isDefinite: false },
  [grpcStatus.deadlineExceeded]: { code: "DEADLINE_EXCEEDED", isDefinite: false },
  [grpcStatus.internal]: { code: "INTERNAL", isDefinite: false },
};

/** True for answers that a fresh token may turn into success. The server looked no further than the token. */
export function isTokenRefused(failure: CallFailure): boolean {
  return failure.progress === "answered" && codeOf(failure).code === "UNAUTHENTICATED";
}

/** True when the call provably changed nothing and another member may well take it. */
export function isUnprocessed(failure: CallFailure): boolean {
  return failure.progress === "unsent" || failure.message.includes("rpc not supported for learner");
}

/** True when a read may succeed at another try: no answer came, or the member said that it cannot serve just now. */
export function isTransient(failure: CallFailure): boolean {
  if (failure.status === grpcStatus.resourceExhausted) return false;
  if (failure.progress !== "answered") return failure.status === grpcStatus.unavailable;
  return codeOf(failure).code === "UNAVAILABLE" || failure.status === grpcStatus.canceled;
}

/** What became of a write that ended like this. */
export function outcomeOf(failure: CallFailure, kind: CallKind): Outcome {
  if (kind === "read" || failure.progress === "unsent") return "notApplied";
  return failure.progress === "answered" && codeOf(failure).isDefinite ? "notApplied" : "unknown";
}

function codeOf(failure: CallFailure): { code: ClientErrorCode; isDefinite: boolean; retryable?: true } {
  const byText = texts.find(({ text }) => failure.message.includes(text));
  return byText ?? statuses[failure.status] ?? { code: "INTERNAL", isDefinite: false };
}

/** The error for a failed call of `kind` to `endpoint`. */
export function toClientError(failure: CallFailure, kind: CallKind, endpoint: string | undefined): ClientError {
  const outcome = outcomeOf(failure, kind);
  const details: ClientErrorDetails = {
    outcome,
    endpoint,
    grpcStatus: failure.status,
    cause: failure.progress === "answered" ? undefined : failure,
  };
  const { message } = failure;
  if (failure.progress !== "answered") {
    if (failure.status === grpcStatus.canceled) return new AbortError(message, details);
    if (failure.status === grpcStatus.deadlineExceeded) return new DeadlineError(message, details);
    if (outcome === "unknown") return new IndeterminateError(`no answer to a write: ${message}`, details);
    if (failure.status === grpcStatus.resourceExhausted) return new ClientError("RESOURCE_EXHAUSTED", message, details);
    if (failure.status !== grpcStatus.unavailable) return new ClientError("INTERNAL", message, details);
    return new UnavailableError(message, details);
  }
  const { code, retryable = false } = codeOf(failure);
  if (outcome === "unknown" && code !== "DEADLINE_EXCEEDED") {
    return new IndeterminateError(`the member cannot say whether the write happened: ${message}`, details);
  }
  return errorFor(code, message, { ...details, retryable });
}

function errorFor(code: ClientErrorCode, message: string, details: ClientErrorDetails): ClientError {
  switch (code) {
    case "COMPACTED":
      return new CompactedError(message, undefined, details);
    case "INVALID_ARGUMENT":
      return new InvalidArgumentError(message, details);
    case "UNAUTHENTICATED":
    case "AUTH_FAILED":
    case "PERMISSION_DENIED":
      return new AuthError(code, message, details);
    case "UNAVAILABLE":
      return new UnavailableError(message, { ...details, retryable: true });
    case "DEADLINE_EXCEEDED":
      return new DeadlineError(message, { ...details, retryable: details.outcome !== "unknown" });
    default:
      return new ClientError(code, message, details);
  }
}

/** The error for a call that the caller's signal ended. */
export function abortError(signal: AbortSignal, outcome: Outcome, endpoint?: string): AbortError {
  return new AbortError("given up by the caller", { cause: signal.reason, outcome, endpoint });
}

/** The error for what was closed while, or before, it was used. */
export const closedError = (what: string, outcome: Outcome = "notApplied"): ClosedError =>
  new ClosedError(`${what} is closed`, { outcome });
