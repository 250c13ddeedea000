// What can go wrong with the log that is not a bug of ours.

/**
 * - `corrupt`: bytes that were durable are not what was written. Nothing was cut away or served; the member must not
 *   go on with this log alone.
 * - `io`: the file system failed. What is on disk is unknown until the log is read again, so the process must stop.
 */
export type LogErrorCode = "corrupt" | "io";

export class LogError extends Error {
  override readonly name = "LogError";
  readonly code: LogErrorCode;

  constructor(code: LogErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
