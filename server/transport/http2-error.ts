// The one error that ends an HTTP/2 connection. Faults of a single stream are not thrown: the connection answers them
// with RST_STREAM where it finds them, because a hostile peer can cause thousands of them and a stack trace is dear.
import type { ErrorCode } from "./http2-constants.ts";

/** The peer broke a rule that leaves the connection without a common state. Answered with GOAWAY and `code`. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: ErrorCode;

  /** `message` says which rule was broken, for our log and for GOAWAY's debug data: no content of the request in it. */
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
