// The lines of `txn`: comparisons such as `mod("key") > "0"`, and requests, which are get, put and del as on the command
// line.
import type { wire } from "../../../sdk/index.ts";
import type { ClientFlag } from "./command-description.ts";
import { CommandError, exitStatus } from "./command-error.ts";
import { FlagValues, isInt64 } from "./flag-values.ts";
import { getFlags, readGet } from "./get-request.ts";
import { scanArguments } from "./parse-command.ts";
import { delFlags, putFlags, readDelete, readPut } from "./put-request.ts";
import { toBytes } from "./raw-text.ts";
import { readQuoted, splitWords } from "./txn-words.ts";

const invalid = (message: string): CommandError => new CommandError(message, exitStatus.invalidInput);

const targets: { readonly [word: string]: "version" | "createRevision" | "modRevision" | "value" | "lease" } = {
  ver: "version",
  version: "version",
  c: "createRevision",
  create: "createRevision",
  m: "modRevision",
  mod: "modRevision",
  val: "value",
  value: "value",
  lease: "lease",
};
const targetNumbers = { version: 0, createRevision: 1, modRevision: 2, value: 3, lease: 4 } as const;
const results = { "=": 0, ">": 1, "<": 2, "!=": 3 } as const;

/** Reads `target("key") operator "value"`. A lease's value is its id in hexadecimal, as everywhere. @throws CommandError */
export function parseCompare(line: string): wire.Compare {
  const malformed = (): CommandError => invalid(`malformed comparison: ${line}`);
  const start = /^\s*([A-Za-z]+)\s*\(\s*(?=")/.exec(line);
  const target = targets[start?.[1] ?? ""];
  if (start === null || target === undefined) throw malformed();
  const key = readQuoted(line, start[0].length);
  const middle = /^\s*\)\s*(!=|=|<|>)\s*(?=")/.exec(line.slice(key.end));
  if (middle === null) throw malformed();
  const value = readQuoted(line, key.end + middle[0].length);
  if (line.slice(value.end).trim() !== "") throw malformed();
  return {
    result: results[middle[1] as keyof typeof results],
    target: targetNumbers[target],
    key: toBytes(key.text),
    rangeEnd: new Uint8Array(0),
    targetUnion: unionOf(target, value.text, line),
  };
}

function unionOf(
  target: keyof typeof targetNumbers,
  text: string,
  line: string,
): NonNullable<wire.Compare["targetUnion"]> {
  if (target === "value") return { $case: "value", value: toBytes(text) };
  const isHex = target === "lease";
  const pattern = isHex ? /^[0-9a-fA-F]+$/ : /^[+-]?\d+$/;
  if (!pattern.test(text)) throw invalid(`invalid txn compare request: ${line}`);
  const value = BigInt(isHex ? `0x${text}` : text);
  if (!isInt64(value)) throw invalid(`invalid txn compare request: ${line}`);
  return { $case: target, value };
}

/** Reads one request. @throws CommandError */
export async function parseOperation(line: string): Promise<wire.RequestOp> {
  const [word, ...rest] = splitWords(line);
  const read = async (flags: readonly ClientFlag[]) => {
    const { given, args } = scanArguments(rest, flags, []);
    return { args, values: new FlagValues(flags, given, {}, []) };
  };
  try {
    switch (word) {
      case "get": {
        const { args, values } = await read(getFlags);
        return { request: { $case: "requestRange", value: readGet(args, values) } };
      }
      case "put": {
        const { args, values } = await read(putFlags);
        return { request: { $case: "requestPut", value: await readPut(args, values, undefined) } };
      }
      case "del": {
        const { args, values } = await read(delFlags);
        return { request: { $case: "requestDeleteRange", value: readDelete(args, values) } };
      }
    }
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw invalid(`invalid txn request: ${line} (${error.message})`);
  }
  throw invalid(`invalid txn request: ${line}`);
}
