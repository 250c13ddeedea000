// gRPC's status codes, and a call's failure as the connection sees it. Internal: callers see the classes of errors.ts.

export const grpcStatus = {
  ok: 0,
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/**
 * How far a failed call came.
 * - `unsent`: provably not processed: it never left, or the server refused the stream before looking at it;
 * - `sent`: it left, and no status of the server's came back;
 * - `answered`: the server ended it with this status.
 */
export type Progress = "unsent" | "sent" | "answered";

/** Why a call ended without success. */
export class CallFailure extends Error {
  override readonly name = "CallFailure";
  readonly status: number;
  readonly progress: Progress;

  constructor(status: number, message: string, progress: Progress, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.progress = progress;
  }
}

/** The connection was given up because nothing was heard on it. */
export class SilenceFailure extends CallFailure {
  constructor(message: string) {
    super(grpcStatus.unavailable, message, "sent");
  }
}

/** A stream that should have stayed open ended without an error. */
export const streamEnded = (): CallFailure =>
  new CallFailure(grpcStatus.unavailable, "the member ended the stream", "answered");

/** gRPC over HTTP: what a response without grpc-status means (gRPC's "HTTP to gRPC status code mapping"). */
export function statusOfHttp(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
      return grpcStatus.internal;
    case 401:
      return grpcStatus.unauthenticated;
    case 403:
      return grpcStatus.permissionDenied;
    case 404:
      return grpcStatus.unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return grpcStatus.unavailable;
    default:
      return grpcStatus.unknown;
  }
}
