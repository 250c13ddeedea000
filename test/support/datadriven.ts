// Stories as text: a file holds commands with their input and, after a line `----`, what they must print. A test gives
// a function from command to output; running with REWRITE=1 writes the outputs into the file instead of comparing, and
// the difference is then read and committed like code.
//
//   # A comment.
//   command key=value flag key=(several,values)
//   input lines
//   ----
//   output lines
//
// The output ends at the first empty line. One that holds empty lines itself stands between two lines `----` each.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";

/** One command of a story. */
export type StoryCommand = {
  readonly name: string;
  /** Arguments in order; a flag has no values, `key=value` one, `key=(a,b)` or `key=(a b)` several. */
  readonly args: readonly StoryArg[];
  /** The lines between the command and `----`. */
  readonly input: string;
  /** Where it stands, for messages. */
  readonly at: string;
};

export type StoryArg = { readonly key: string; readonly values: readonly string[] };

/**
 * Runs every command of the story in `path` and compares, or rewrites the file with REWRITE=1 in the environment.
 * A story that is not `owned` by this project (default: it is) is only ever compared.
 */
export function runStory(path: string, run: (command: StoryCommand) => string, owned = true): void {
  const text = readFileSync(path, "utf8");
  const rewrite = owned && process.env["REWRITE"] === "1";
  const result = replayStory(text, path, run, rewrite);
  if (rewrite && result !== text) writeFileSync(path, result);
}

/** The text with the outputs that `run` gave. Unless `rewrite`, throws at the first command that printed otherwise. */
export function replayStory(
  text: string,
  path: string,
  run: (command: StoryCommand) => string,
  rewrite: boolean,
): string {
  const lines = text.split("\n");
  const written: string[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] as string;
    if (line.trim() === "" || line.startsWith("#")) {
      written.push(line);
      at++;
      continue;
    }
    const place = `${path}:${at + 1}`;
    const separator = lines.indexOf("----", at);
    assert(separator !== -1, `${place}: no ---- follows this command`);
    const expected = readOutput(lines, separator + 1);
    const command = { ...parseCommand(line), input: lines.slice(at + 1, separator).join("\n"), at: place };
    const actual = runOne(run, command).replace(/\n+$/, "");
    if (!rewrite) assert.equal(actual, expected.text, `${place}: ${line}`);
    written.push(...lines.slice(at, separator + 1), ...writeOutput(actual));
    at = expected.end;
  }
  return written.join("\n");
}

function runOne(run: (command: StoryCommand) => string, command: StoryCommand): string {
  try {
    return run(command);
  } catch (error) {
    throw new Error(`${command.at}: the command failed`, { cause: error });
  }
}

/** The output that starts at `from`, and the line after it. */
function readOutput(lines: readonly string[], from: number): { readonly text: string; readonly end: number } {
  if (lines[from] === "----") {
    let end = from + 1;
    while (end + 1 < lines.length && !(lines[end] === "----" && lines[end + 1] === "----")) end++;
    return { text: lines.slice(from + 1, end).join("\n"), end: end + 2 };
  }
  let end = from;
  while (end < lines.length && lines[end] !== "") end++;
  return { text: lines.slice(from, end).join("\n"), end };
}

function writeOutput(text: string): readonly string[] {
  if (text === "") return [];
  const lines = text.split("\n");
  return lines.includes("") ? ["----", ...lines, "----", "----"] : lines;
}

function parseCommand(line: string): { readonly name: string; readonly args: readonly StoryArg[] } {
  const words = line.match(/[^\s=]+=\([^)]*\)|[^\s]+/g) ?? [];
  const [name, ...rest] = words;
  return {
    name: name as string,
    args: rest.map((word) => {
      const [, key, value] = /^([^=]+)(?:=(.*))?$/.exec(word) ?? [undefined, word, undefined];
      if (value === undefined) return { key: key as string, values: [] };
      const inner = value.startsWith("(") ? value.slice(1, -1) : value;
      return { key: key as string, values: inner === "" ? [] : inner.split(/[\s,]+/).filter((word) => word !== "") };
    }),
  };
}

/** The values of an argument, or `undefined` when it is not there. */
export function storyValues(command: StoryCommand, key: string): readonly string[] | undefined {
  return command.args.find((arg) => arg.key === key)?.values;
}

/** The one value of an argument, or `fallback`; an argument without a value, or with several, is an error. */
export function storyValue(command: StoryCommand, key: string, fallback?: string): string {
  const values = storyValues(command, key);
  if (values === undefined && fallback !== undefined) return fallback;
  assert(values?.length === 1, `${command.at}: ${command.name} needs ${key}=VALUE`);
  return values[0] as string;
}

/** Whether a flag was given: the bare word, or `flag=true`. */
export function storyFlag(command: StoryCommand, key: string): boolean {
  const values = storyValues(command, key);
  return values !== undefined && values[0] !== "false";
}
