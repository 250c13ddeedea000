// gRPC statuses: their codes, how a message text travels (percent-encoded), and which status an error of a handler
// stands for. The only place of the transport where errors become statuses.

/** The codes of the gRPC specification, with the names that grpc-go's metrics use. */
export const statusNames = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

export const statusCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** How a call ended. */
export interface GrpcStatus {
  readonly code: number;
  /** For the client to read. Empty with OK. */
  readonly details: string;
}

/** Why the signal of a call was aborted. */
export type CallAbortKind =
  /** The client gave the call up. */
  | "cancelled"
  /** The client's deadline has passed. */
  | "deadline"
  /** The connection is gone. */
  | "disconnected"
  /** The server shuts down; only streaming calls are told, and they may still send what they have to say. */
  | "shutdown"
  /** The call was ended by the transport: a limit, or a broken rule of the protocol. */
  | "refused";

/** The reason of an aborted call signal. Its name is `AbortError`, so whoever throws it on cancels the call. */
export class CallAborted extends Error {
  override readonly name = "AbortError";
  readonly kind: CallAbortKind;

  constructor(kind: CallAbortKind) {
    // Ten thousand calls may end with their connection, and where in here it was done tells nobody anything.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(`the call was aborted: ${kind}`);
    Error.stackTraceLimit = stackTraceLimit;
    this.kind = kind;
  }
}

/**
 * The status that an error of a handler stands for: nice-grpc's ServerError its own; an AbortError CANCELLED, or
 * UNAVAILABLE where the server's shutdown made the handler give up; anything else undefined, because it is a fault of ours
 * whose text no client may see.
 */
export function statusOfError(error: unknown, abortKind: CallAbortKind | undefined): GrpcStatus | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if (isServerError(error)) return { code: error.code, details: error.details };
  if ((error as { name?: unknown }).name !== "AbortError") return undefined;
  return abortKind === "shutdown"
    ? { code: statusCode.unavailable, details: "the server is shutting down" }
    : { code: statusCode.cancelled, details: "The operation was cancelled" };
}

/** What handlers throw to answer with a status: nice-grpc's ServerError, of whatever copy of that package. */
function isServerError(error: object): error is GrpcStatus {
  const { code, details } = error as { code?: unknown; details?: unknown };
  if (typeof code !== "number" || typeof details !== "string") return false;
  const marks = error as { "@@nice-grpc"?: unknown; "@@nice-grpc:ServerError"?: unknown; name?: unknown };
  return marks["@@nice-grpc:ServerError"] === true || (marks.name === "ServerError" && marks["@@nice-grpc"] === true);
}

const plainText = /^[ -$&-~]*$/;

/** A status text as `grpc-message` carries it: UTF-8, every octet but printable ASCII percent-encoded, `%` too. */
export function encodeGrpcMessage(text: string): string {
  if (plainText.test(text)) return text;
  let encoded = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
