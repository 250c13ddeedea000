// How a client command fails: with words for standard error and an exit status.

/**
 * Exit statuses, as etcdctl has them: `unsupported` for a flag with a value that it does not take, `interrupted` for a
 * watch that the server ended.
 */
export const exitStatus = {
  error: 1,
  badConnection: 2,
  invalidInput: 3,
  unsupported: 4,
  interrupted: 5,
  io: 6,
  badArguments: 128,
} as const;

/** Ends a command with words for standard error and a status. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly status: number;

  constructor(message: string, status: number = exitStatus.error, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.status = status;
  }
}

/** A command was called with arguments that it does not take. */
export const badArguments = (message: string): CommandError => new CommandError(message, exitStatus.badArguments);

/** Ends a command that has said everything already. */
export class SilentExit extends Error {
  override readonly name = "SilentExit";
  readonly status: number;

  constructor(status: number) {
    super(`exit status ${status}`);
    this.status = status;
  }
}
