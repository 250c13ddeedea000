// `quorate --help` and `quorate serve --help`: the commands, every flag of a member in groups with its default, and what
// the others do.
import type { Argv } from "yargs";
import { commands } from "../client/commands-table.ts";
import { createHelpParser } from "../help-parser.ts";
import type { Flag } from "./flag.ts";
import { featureGates, flagGroups, olderFlags } from "./flags-table.ts";

/** Help for the member alone, or for the whole program, which is a member when it is called without a command. */
export async function serveHelp(isWhole: boolean): Promise<string> {
  const parser = createHelpParser(
    isWhole ? "quorate [serve] [flags]\nquorate <command> [flags]" : "quorate [serve] [flags]\n\nRuns a member.",
  );
  if (isWhole) addCommands(parser);
  for (const { title, flags } of flagGroups) {
    for (const flag of flags.filter(({ effect }) => effect.kind === "used")) addFlag(parser, flag, `${title}:`);
  }
  return `${await parser.epilog(epilog()).getHelp()}\n`;
}

function addCommands(parser: Argv): void {
  parser.command("serve", "Runs a member; so does no command at all");
  const first = (name: string): string => name.split(" ")[0]!;
  for (const { name, summary } of commands) {
    const family = commands.filter((command) => first(command.name) === first(name));
    if (family.length === 1) parser.command(name, summary);
    else if (family[0]!.name === name) {
      parser.command(
        `${first(name)} ...`,
        family.map((command) => command.name.slice(first(name).length + 1)).join(", "),
      );
    }
  }
  parser.command("help <command>", "Shows what a command takes");
}

function addFlag(parser: Argv, { name, type, default: preset, help, choices }: Flag, group: string): void {
  const isTold = preset !== "" && !(type === "boolean" && preset === "false");
  parser.option(name, {
    group,
    describe: choices === undefined || choices.length === 1 ? help : `${help} (${choices.join(", ")})`,
    ...(isTold ? { default: preset, defaultDescription: preset } : {}),
  });
}

function epilog(): string {
  const all = [...flagGroups.flatMap(({ flags }) => flags), ...olderFlags];
  const names = (kind: Flag["effect"]["kind"]): string =>
    all
      .filter(({ effect }) => effect.kind === kind)
      .map(({ name }) => `--${name}`)
      .join(" ");
  return `A setting comes from, first to last: the command line, a variable QUORATE_DATA_DIR (for --data-dir), a variable \
ETCD_DATA_DIR, the file of --config-file (etcd's YAML), the default. With etcd, a file shuts out flags and variables. \
A flag that is given twice counts the last time.

The log is JSON, one line each, on standard error; on a terminal, without --log-format, it is for people.

Accepted without anything here that they could change: ${names("no-effect")}

Refused unless left at the default, since what they promise is not here: ${names("not-offered")}

Older spellings: ${names("renamed")}

Features of --feature-gates, all without effect: ${featureGates.map(({ name }) => name).join(", ")}

Exit status: 0 after --help and --version, 1 when the member failed, 2 for wrong flags. A signal ends it as that \
signal does (143 for SIGTERM, 130 for SIGINT); process 1 exits with 0.`;
}
