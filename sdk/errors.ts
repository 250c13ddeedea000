// The errors of the SDK. Every failure that a caller can meet is one of these classes; each says what it was (`code`),
// whether the change it asked for happened (`outcome`) and whether asking again can help (`retryable`).
// server-errors.ts turns a server's answer into one of them.

/**
 * What became of the change that a failed call asked for.
 * - `applied`: the store changed, the failure came afterwards;
 * - `notApplied`: the store did not change, and will not change because of this call;
 * - `unknown`: the request left and no answer came. It may have been applied, or may still be.
 *
 * A call that only reads is always `notApplied`.
 */
export type Outcome = "applied" | "notApplied" | "unknown";

/** Stable names for what went wrong; unlike messages they do not change between releases. */
export type ClientErrorCode =
  | "ABORTED"
  | "ALREADY_EXISTS"
  | "AUTH_FAILED"
  | "CLIENT_CLOSED"
  | "CLUSTER_MISMATCH"
  | "CODEC"
  | "COMPACTED"
  | "CONTENTION"
  | "DATA_LOSS"
  | "DEADLINE_EXCEEDED"
  | "FAILED_PRECONDITION"
  | "FUTURE_REVISION"
  | "INDETERMINATE"
  | "INTERNAL"
  | "INVALID_ARGUMENT"
  | "LEASE_EXISTS"
  | "LEASE_LOST"
  | "LEASE_NOT_FOUND"
  | "NOT_FOUND"
  | "NO_SPACE"
  | "PERMISSION_DENIED"
  | "RESOURCE_EXHAUSTED"
  | "REVISION_REGRESSED"
  | "UNAUTHENTICATED"
  | "UNAVAILABLE"
  | "UNIMPLEMENTED"
  | "WATCH_OVERFLOW";

export interface ClientErrorDetails {
  readonly outcome?: Outcome;
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** Address of the member that answered, or that the call was sent to. */
  readonly endpoint?: string | undefined;
  /** gRPC status code, when the error came as a gRPC status. */
  readonly grpcStatus?: number | undefined;
}

/**
 * What every call of the SDK rejects with. Test `code` (or `instanceof` a subclass) for what happened and `outcome`
 * for what became of a write.
 *
 * @example
 * try {
 *   await client.kv.put("orders/42", "paid");
 * } catch (error) {
 *   if (error instanceof ClientError && error.outcome === "unknown") await findOutWhetherItIsPaid();
 *   else throw error;
 * }
 */
export class ClientError extends Error {
  override readonly name: string = "ClientError";
  readonly code: ClientErrorCode;
  readonly outcome: Outcome;
  /** True when the same call may be made again without doing anything twice, and may then succeed. */
  readonly retryable: boolean;
  readonly endpoint: string | undefined;
  readonly grpcStatus: number | undefined;

  constructor(code: ClientErrorCode, message: string, details: ClientErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.outcome = details.outcome ?? "notApplied";
    this.retryable = details.retryable ?? false;
    this.endpoint = details.endpoint;
    this.grpcStatus = details.grpcStatus;
  }
}

/** No member could be reached, or the one that was reached cannot serve now. Nothing was changed. */
export class UnavailableError extends ClientError {
  override readonly name = "UnavailableError";
  constructor(message: string, details: ClientErrorDetails = {}) {
    super("UNAVAILABLE", message, { retryable: true, ...details });
  }
}

/**
 * A write left and its answer did not come: it may or may not have been applied, or may be applied later. The SDK
 * never repeats it. Find out by reading back something that only this write can have made.
 */
export class IndeterminateError extends ClientError {
  override readonly name = "IndeterminateError";
  constructor(message: string, details: ClientErrorDetails = {}) {
    super("INDETERMINATE", message, { ...details, outcome: "unknown", retryable: false });
  }
}

/** The call's deadline passed. For a write that had been sent, `outcome` is `unknown`; anything else may be tried again. */
export class DeadlineError extends ClientError {
  override readonly name = "DeadlineError";
  constructor(message: string, details: ClientErrorDetails = {}) {
    super("DEADLINE_EXCEEDED", message, { retryable: details.outcome !== "unknown", ...details });
  }
}

/** The caller's `AbortSignal` fired; its reason is the `cause`. For a write that had been sent, `outcome` is `unknown`. */
export class AbortError extends ClientError {
  override readonly name = "AbortError";
  constructor(message: string, details: ClientErrorDetails = {}) {
    super("ABORTED", message, details);
  }
}

/** The client, or the watch, lease or collection in question, was closed. */
export class ClosedError extends ClientError {
  override readonly name = "ClosedError";
  constructor(message: string, details: ClientErrorDetails = {}) {
    super("CLIENT_CLOSED", message, details);
  }
}

/** The request itself is wrong and would fail again. */
export class InvalidArgumentError extends ClientError {
  override readonly name = "InvalidArgumentError";
  constructor(message: string, details: ClientErrorDetails = {}) {
    super("INVALID_ARGUMENT", message, details);
  }
}

/** The revision asked for is older than the store's compaction. */
export class CompactedError extends ClientError {
  override readonly name = "CompactedError";
  /** Oldest revision that can still be read, where the server said it. */
  readonly compactRevision: bigint | undefined;
  constructor(message: string, compactRevision: bigint | undefined, details: ClientErrorDetails = {}) {
    super("COMPACTED", message, details);
    this.compactRevision = compactRevision;
  }
}

/** Credentials are missing, wrong or not enough: `UNAUTHENTICATED`, `AUTH_FAILED` or `PERMISSION_DENIED`. */
export class AuthError extends ClientError {
  override readonly name = "AuthError";
}

/**
 * A member answered that belongs to another cluster, or whose revision is lower than one this client has already seen:
 * it was wiped, restored from a backup, or the address now leads elsewhere. Answers from it are refused.
 * Codes `CLUSTER_MISMATCH` and `REVISION_REGRESSED`.
 */
export class GuardError extends ClientError {
  override readonly name = "GuardError";
}

/** Compare-and-set was beaten by other writers as often as the cap allows. */
export class ContentionError extends ClientError {
  override readonly name = "ContentionError";
  readonly attempts: number;
  constructor(message: string, attempts: number) {
    super("CONTENTION", message, { retryable: true });
    this.attempts = attempts;
  }
}

/** A stored value could not be decoded, or a value to store could not be encoded. */
export class CodecError extends ClientError {
  override readonly name = "CodecError";
  /** Key of the value, where it is known. */
  readonly key: string | undefined;
  constructor(message: string, details: ClientErrorDetails & { readonly key?: string | undefined } = {}) {
    super("CODEC", message, details);
    this.key = details.key;
  }
}

/** Why a lease is lost. Each is final. */
export type LeaseLostReason =
  /** Its validity deadline passed without an answered keepalive. */
  | "deadline"
  /** The server says that it does not exist: expired or revoked. */
  | "notFound"
  /** A member of another cluster, or one that went back in time, answered. */
  | "guard"
  /** The holder revoked it or gave it up. */
  | "released";

/** The lease is, or must be taken to be, gone. Reason of the abort of `lease.signal`. */
export class LeaseLostError extends ClientError {
  override readonly name = "LeaseLostError";
  readonly leaseId: bigint;
  readonly reason: LeaseLostReason;
  constructor(leaseId: bigint, reason: LeaseLostReason, message: string, details: ClientErrorDetails = {}) {
    super("LEASE_LOST", message, details);
    this.leaseId = leaseId;
    this.reason = reason;
  }
}

/** A watch with `overflow: "error"` was not read fast enough. */
export class WatchOverflowError extends ClientError {
  override readonly name = "WatchOverflowError";
  constructor(message: string) {
    super("WATCH_OVERFLOW", message);
  }
}
