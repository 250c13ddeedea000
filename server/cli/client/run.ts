// Runs one client command: reads the command line, loads the command, turns what went wrong into words on standard error
// and an exit status.
import { ClientError } from "../../../sdk/index.ts";
import { CommandError, exitStatus, SilentExit } from "./command-error.ts";
import { commands } from "./commands-table.ts";
import { CommandContext } from "./context.ts";
import { FlagValues } from "./flag-values.ts";
import { globalFlags } from "./global-flags.ts";
import type { Io } from "./io.ts";
import { Output } from "./output.ts";
import { type Parsed, parseCommand, UsageError } from "./parse-command.ts";

/** Resolves with the exit status. */
export async function runClient(args: readonly string[], io: Io): Promise<number> {
  const out = new Output(io.output);
  try {
    const parsed = parseCommand(args, commands);
    if (parsed.kind === "help") {
      const { helpText } = await import("./help.ts");
      await out.write(await helpText(parsed.words));
    } else await runCommand(parsed, io, out);
    await out.flush();
    return 0;
  } catch (error) {
    await out.flush();
    return tell(error, io);
  }
}

async function runCommand(
  { command, given, args, dashAt }: Extract<Parsed, { kind: "command" }>,
  io: Io,
  out: Output,
): Promise<void> {
  const globals = globalFlags.map(({ name }) => name).filter((name) => name !== "help");
  const flags = new FlagValues([...globalFlags, ...command.flags], given, io.environment, globals);
  const loaded = await command.load();
  await using context = new CommandContext({ commands, args, dashAt, flags, io, out });
  await loaded.run(context);
}

function tell(error: unknown, { errors }: Io): number {
  if (error instanceof SilentExit) return error.status;
  if (error instanceof UsageError) {
    const help = ["quorate", ...error.words, "--help"].join(" ");
    errors.write(`Error: ${error.message}\nRun '${help}' for usage.\n`);
    return error.status;
  }
  errors.write(`Error: ${messageOf(error)}\n`);
  return statusOf(error);
}

function messageOf(error: unknown): string {
  if (error instanceof CommandError || error instanceof ClientError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function statusOf(error: unknown): number {
  if (error instanceof CommandError) return error.status;
  if (!(error instanceof ClientError)) return exitStatus.error;
  // A member that answers "unavailable" was reached; without an answer there is a cause.
  const isUnreached = error.code === "UNAVAILABLE" && error.cause !== undefined;
  return isUnreached || error.code === "AUTH_FAILED" ? exitStatus.badConnection : exitStatus.error;
}
