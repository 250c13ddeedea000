// The one way to state an invariant. A broken invariant means that this process no longer knows what is true, so
// nothing catches InvariantError except the process boundary, which stops.

/** A broken invariant: a bug of ours or damaged memory, never bad input and never an operating error. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Throws {@link InvariantError} unless `condition` holds. `message` says what was expected, with the numbers. */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new InvariantError(typeof message === "string" ? message : message());
}

/** Closes a switch over a union: the compiler refuses a forgotten case, the process stops on a value from outside. */
export function assertNever(value: never, what: string): never {
  throw new InvariantError(`unexpected ${what}: ${JSON.stringify(value)}`);
}

/** Revisions, indexes and terms are numbers; beyond 2^53 they would silently lose digits. */
export function assertSafeInteger(value: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new InvariantError(`${what} is not a safe integer: ${value}`);
}
