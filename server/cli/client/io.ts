// What a command reads from and writes to: the process's streams and variables, or those of a test.
import type { Readable, Writable } from "node:stream";
import type { Environment } from "./flag-values.ts";

export interface Io {
  /** Where values and lines come from. A terminal has `isTTY` and `setRawMode`. */
  readonly input: Readable & Partial<Pick<NodeJS.ReadStream, "isTTY" | "setRawMode">>;
  readonly output: Writable;
  /** Where everything goes that is not the answer. */
  readonly errors: Writable;
  readonly environment: Environment;
}

/** The process's own. */
export const processIo = (): Io => ({
  input: process.stdin,
  output: process.stdout,
  errors: process.stderr,
  environment: process.env,
});
