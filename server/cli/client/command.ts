// What a client command is: its description, and the file that does it. commands-table.ts lists them.
import type { CommandDescription } from "./command-description.ts";
import type { CommandContext } from "./context.ts";

export interface Command extends CommandDescription {
  /** Loads the file that does it; nothing of it is needed before. */
  load(): Promise<CommandModule>;
}

export interface CommandModule {
  /** Does it. Rejects with whatever went wrong; run.ts turns that into words and an exit status. */
  run(context: CommandContext): Promise<void>;
}
