// What can go wrong with a command, as values with a name. They are outcomes: every member that applies the command
// gets the same one. services/grpc/errors.ts gives each its wire code and text, and is the only place that does.
import type { ByteString } from "../lib/byte-string.ts";

export const stateErrorCodes = [
  "key-not-found",
  "compacted",
  "future-revision",
  "lease-not-found",
  "lease-exists",
  "lease-ttl-too-large",
  "no-space",
  "corrupt",
  "member-exists",
  "member-not-found",
  "member-not-learner",
  "peer-url-exists",
  "too-many-learners",
] as const;

export type StateErrorCode = (typeof stateErrorCodes)[number];

/** An expected failure of a command or a read. Nothing was changed. */
export class StateError extends Error {
  override readonly name = "StateError";
  readonly code: StateErrorCode;

  constructor(code: StateErrorCode, message: string = code) {
    super(message);
    this.code = code;
  }
}

/** A stored record is not what was written. A read that meets it fails; a command that meets it stops the process. */
export class CorruptRecordError extends Error {
  override readonly name = "CorruptRecordError";

  constructor(table: string, key: ByteString) {
    super(`corrupt record in table ${table}, key ${Buffer.from(key.slice(0, 64), "latin1").toString("hex")}`);
  }
}
