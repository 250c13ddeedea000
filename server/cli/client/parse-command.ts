// Reads a client command line as etcdctl does: flags and arguments in any order, `--f v`, `--f=v`, `-w v`, `-wv`, `--`
// ends the flags, command words may be abbreviated to what is still unique. What comes back are exact bytes of text: no
// number is read out of a key, no quote taken off a value.

import type { Command } from "./command.ts";
import type { ClientFlag } from "./command-description.ts";
import { CommandError, exitStatus } from "./command-error.ts";
import { globalFlags } from "./global-flags.ts";

/** `command`: run it; `help`: show help for the commands that begin with these words. */
export type Parsed =
  | {
      readonly kind: "command";
      readonly command: Command;
      readonly given: ReadonlyMap<string, readonly string[]>;
      readonly args: readonly string[];
      /** How many of `args` came before `--`; undefined when there was none. */
      readonly dashAt: number | undefined;
    }
  | { readonly kind: "help"; readonly words: readonly string[] };

/** A call that no command understands. `words` is how far it was understood. */
export class UsageError extends CommandError {
  readonly words: readonly string[];

  constructor(message: string, words: readonly string[]) {
    super(message, exitStatus.error);
    this.words = words;
  }
}

interface Scanned {
  readonly given: Map<string, string[]>;
  readonly args: string[];
  readonly dashAt: number | undefined;
}

/** Reads arguments with the flags of one command. @throws UsageError */
export function scanArguments(
  args: readonly string[],
  flags: readonly ClientFlag[],
  words: readonly string[],
): Scanned {
  const given = new Map<string, string[]>();
  const rest: string[] = [];
  const put = (flag: ClientFlag, value: string): void => {
    given.set(flag.name, [...(given.get(flag.name) ?? []), value]);
  };
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    if (arg === "--") return { given, args: [...rest, ...args.slice(at + 1)], dashAt: rest.length };
    if (!arg.startsWith("-") || arg === "-") rest.push(arg);
    else if (arg.startsWith("--")) at += scanLong(args, at, flags, put, words);
    else at += scanShort(args, at, flags, put, words);
  }
  return { given, args: rest, dashAt: undefined };
}

type Put = (flag: ClientFlag, value: string) => void;

/** Reads `--name`, `--name=value` or `--name value`: how many further arguments it took. */
function scanLong(
  args: readonly string[],
  at: number,
  flags: readonly ClientFlag[],
  put: Put,
  words: readonly string[],
): number {
  const arg = args[at]!;
  const equals = arg.indexOf("=");
  const name = arg.slice(2, equals < 0 ? undefined : equals);
  const flag = flags.find((candidate) => candidate.name === name);
  if (flag === undefined) throw new UsageError(`unknown flag: --${name}`, words);
  if (equals >= 0) put(flag, arg.slice(equals + 1));
  else if (flag.type === "boolean") put(flag, "true");
  else {
    const value = args[at + 1];
    if (value === undefined) throw new UsageError(`flag needs an argument: --${name}`, words);
    put(flag, value);
    return 1;
  }
  return 0;
}

/** Reads `-w value`, `-wvalue`, `-w=value`, or several letters of booleans in one. */
function scanShort(
  args: readonly string[],
  at: number,
  flags: readonly ClientFlag[],
  put: Put,
  words: readonly string[],
): number {
  const arg = args[at]!;
  for (let letter = 1; letter < arg.length; letter++) {
    const flag = flags.find((candidate) => candidate.short === arg[letter]);
    if (flag === undefined) throw new UsageError(`unknown shorthand flag: '${arg[letter]}' in ${arg}`, words);
    const attached = arg.slice(letter + 1);
    if (attached.startsWith("=")) {
      put(flag, attached.slice(1));
      return 0;
    }
    if (flag.type === "boolean") {
      put(flag, "true");
      continue;
    }
    if (attached !== "") {
      put(flag, attached);
      return 0;
    }
    const value = args[at + 1];
    if (value === undefined) throw new UsageError(`flag needs an argument: '${arg[letter]}' in ${arg}`, words);
    put(flag, value);
    return 1;
  }
  return 0;
}

/**
 * The index of the first argument that is a command word, when everything before it is a global flag; undefined when
 * there is none. So `quorate --endpoints=x get a` is a client command and `quorate --name a` is not.
 */
export function commandWordAt(args: readonly string[]): number | undefined {
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    if (!arg.startsWith("-")) return at;
    const [name = ""] = arg.slice(2).split("=");
    const flag = arg.startsWith("--")
      ? globalFlags.find((candidate) => candidate.name === name)
      : globalFlags.find((candidate) => candidate.short === arg[1]);
    if (flag === undefined) return undefined;
    const isAttached = arg.startsWith("--") ? arg.includes("=") : arg.length > 2;
    if (flag.type !== "boolean" && !isAttached) at += 1;
  }
  return undefined;
}

/** Finds the command and reads its arguments. @throws UsageError */
export function parseCommand(args: readonly string[], commands: readonly Command[]): Parsed {
  let rest = [...args];
  let words: readonly string[] = [];
  for (;;) {
    const at = commandWordAt(rest);
    const isHelp = rest.slice(0, at ?? rest.length).some((arg) => arg === "--help" || arg === "-h");
    if (at === undefined || isHelp) {
      if (words.length > 0 || isHelp) return { kind: "help", words };
      throw new UsageError("no command", words);
    }
    const typed = rest[at]!;
    rest = [...rest.slice(0, at), ...rest.slice(at + 1)];
    if (words.length === 0 && typed === "help")
      return { kind: "help", words: rest.filter((arg) => !arg.startsWith("-")) };
    const word = expandWord(typed, words, commands);
    words = [...words, word];
    const command = commands.find(({ name }) => name === words.join(" "));
    if (command === undefined) continue;
    const flags = [...globalFlags, ...command.flags];
    const { given, args: found, dashAt } = scanArguments(rest, flags, words);
    if (given.get("help")?.at(-1) === "true") return { kind: "help", words };
    return { kind: "command", command, given, args: found, dashAt };
  }
}

/** The full word for what was typed. @throws UsageError when there is none, or more than one. */
function expandWord(typed: string, words: readonly string[], commands: readonly Command[]): string {
  const depth = words.length;
  const choices = [
    ...new Set(
      commands
        .map(({ name }) => name.split(" "))
        .filter((parts) => words.every((word, index) => parts[index] === word) && parts.length > depth)
        .map((parts) => parts[depth]!),
    ),
  ];
  if (choices.includes(typed)) return typed;
  const matches = choices.filter((choice) => choice.startsWith(typed));
  if (matches.length === 1) return matches[0]!;
  const program = ["quorate", ...words].join(" ");
  const hint = matches.length > 1 ? `\n\nDid you mean this?\n${matches.map((match) => `\t${match}\n`).join("")}` : "";
  throw new UsageError(`unknown command "${typed}" for "${program}"${hint}`, words);
}
