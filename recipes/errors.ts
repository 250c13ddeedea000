// What recipes reject with, beside the SDK's own errors: each says what it was (`code`), what became of the change that
// was asked for (`outcome`), and keeps the failure behind it as `cause`.
import type { LeaseLostReason, Outcome } from "../sdk/index.ts";

/** Stable names for what went wrong; unlike messages they do not change between releases. */
export type RecipeErrorCode =
  | "CONFIG_INVALID"
  | "CONFIG_UNAVAILABLE"
  | "CONFLICT"
  | "LEADERSHIP_LOST"
  | "LOCK_LOST"
  | "NO_ENDPOINTS"
  | "REMOVED"
  | "REPLACED"
  | "SESSION_LOST"
  | "STALE"
  | "UNCONFIRMED"
  | "WAIT_TIMEOUT";

export interface RecipeErrorDetails {
  readonly outcome?: Outcome;
  readonly cause?: unknown;
}

/** What every recipe rejects with where the SDK has no error of its own for it. */
export class RecipeError extends Error {
  override readonly name: string = "RecipeError";
  readonly code: RecipeErrorCode;
  readonly outcome: Outcome;

  constructor(code: RecipeErrorCode, message: string, details: RecipeErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.outcome = details.outcome ?? "notApplied";
  }
}

/** The session is, or must be taken to be, gone, and with it everything that was built on it. Final. */
export class SessionLostError extends RecipeError {
  override readonly name = "SessionLostError";
  readonly leaseId: bigint;
  readonly reason: LeaseLostReason;

  constructor(leaseId: bigint, reason: LeaseLostReason, message: string, details: RecipeErrorDetails = {}) {
    super("SESSION_LOST", message, details);
    this.leaseId = leaseId;
    this.reason = reason;
  }
}

/**
 * Why a lock or a leadership ended.
 * - `session`: its session was lost; the cause says why;
 * - `deleted`: its key is gone or was made anew: removed by hand, or with a lease whose end the session had not heard of;
 * - `released`: its holder gave it up.
 */
export type OwnershipLostReason = "session" | "deleted" | "released";

/** A lock or a leadership is not held any more. Reason of the abort of its `signal`. */
export class OwnershipLostError extends RecipeError {
  override readonly name: string = "OwnershipLostError";
  /** The name that was locked, or the election. */
  readonly subject: string;
  readonly token: bigint;
  readonly reason: OwnershipLostReason;

  constructor(
    code: "LOCK_LOST" | "LEADERSHIP_LOST",
    subject: string,
    token: bigint,
    reason: OwnershipLostReason,
    details: RecipeErrorDetails = {},
  ) {
    const what = code === "LOCK_LOST" ? "lock" : "leadership of";
    super(code, `${what} ${subject} (token ${token}) ${endings[reason]}`, details);
    this.subject = subject;
    this.token = token;
    this.reason = reason;
  }
}

const endings: { readonly [R in OwnershipLostReason]: string } = {
  session: "is lost: its session is lost",
  deleted: "is lost: its key was removed",
  released: "was released",
};

export class LockLostError extends OwnershipLostError {
  override readonly name = "LockLostError";
  constructor(subject: string, token: bigint, reason: OwnershipLostReason, details: RecipeErrorDetails = {}) {
    super("LOCK_LOST", subject, token, reason, details);
  }
}

export class LeadershipLostError extends OwnershipLostError {
  override readonly name = "LeadershipLostError";
  constructor(subject: string, token: bigint, reason: OwnershipLostReason, details: RecipeErrorDetails = {}) {
    super("LEADERSHIP_LOST", subject, token, reason, details);
  }
}

/** The time that the caller was ready to wait has passed. Nothing is left behind in the queue. */
export class WaitTimeoutError extends RecipeError {
  override readonly name = "WaitTimeoutError";
  constructor(subject: string, waitMs: number, details: RecipeErrorDetails = {}) {
    super("WAIT_TIMEOUT", `${subject} was not free within ${waitMs} ms`, details);
  }
}

/**
 * The call is over but the server could not be asked whether its entry in a queue is gone. It is being removed in the
 * background; at the latest it ends with the session. Until then it may still take its turn and hold others up.
 */
export class UnconfirmedError extends RecipeError {
  override readonly name = "UnconfirmedError";
  constructor(message: string, details: RecipeErrorDetails = {}) {
    super("UNCONFIRMED", message, { ...details, outcome: "unknown" });
  }
}
