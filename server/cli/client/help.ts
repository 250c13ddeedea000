// Help for the client commands, made from their table. Loaded only when somebody asks.
import type { Argv, Options } from "yargs";
import { createHelpParser } from "../help-parser.ts";
import type { Command } from "./command.ts";
import type { ClientFlag } from "./command-description.ts";
import { commands } from "./commands-table.ts";
import { globalFlags } from "./global-flags.ts";

/** Help for the command with these words, for all that begin with them, or for all. */
export async function helpText(words: readonly string[]): Promise<string> {
  const name = words.join(" ");
  const command = commands.find((candidate) => candidate.name === name);
  const text = await (command === undefined ? listHelp(name) : commandHelp(command)).getHelp();
  return `${text}\n`;
}

function listHelp(name: string): Argv {
  const some = commands.filter((command) => name === "" || command.name.startsWith(`${name} `));
  const parser = createHelpParser(`quorate ${name === "" ? "" : `${name} `}<command> [flags]`);
  for (const { name: full, usage, summary } of some) parser.command(`${full} ${usage}`.trim(), summary);
  if (name === "") parser.command("serve [flags]", "Runs a member (quorate serve --help)");
  return addFlags(parser, globalFlags, "Flags of every command:").epilog(
    "A flag that is not given comes from a variable: QUORATECTL_ENDPOINTS, then ETCDCTL_ENDPOINTS, for --endpoints.",
  );
}

function commandHelp({ name, usage, summary, details, flags }: Command): Argv {
  const parser = createHelpParser(`quorate ${name} ${usage}\n\n${summary}.`);
  const shared = globalFlags.map((flag) =>
    flag.short === undefined ? `--${flag.name}` : `-${flag.short} --${flag.name}`,
  );
  const more = `Every command also takes ${shared.join(", ")}: see quorate help.`;
  return addFlags(parser, flags, "Flags:").epilog(details === undefined ? more : `${details}\n\n${more}`);
}

function addFlags(parser: Argv, flags: readonly ClientFlag[], group: string): Argv {
  for (const flag of flags) parser.option(flag.name, { ...optionOf(flag), group });
  return parser;
}

function optionOf({ type, default: preset, help, short }: ClientFlag): Options {
  const isTold = preset !== "" && preset !== "0" && preset !== "false";
  return {
    describe: help,
    ...(type === "boolean" ? { type: "boolean" } : {}),
    ...(short === undefined ? {} : { alias: short }),
    ...(isTold ? { defaultDescription: preset, default: preset } : {}),
  };
}
