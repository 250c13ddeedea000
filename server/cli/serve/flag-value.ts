// Reads the text of a flag as its type says. The syntax is Go's, because scripts and files that start etcd use it.
import type { Flag, FlagType } from "./flag.ts";

const trueTexts = ["1", "t", "T", "TRUE", "true", "True"];
const falseTexts = ["0", "f", "F", "FALSE", "false", "False"];

export function parseBoolean(text: string): boolean | undefined {
  if (trueTexts.includes(text)) return true;
  return falseTexts.includes(text) ? false : undefined;
}

export function parseInteger(text: string): number | undefined {
  if (!/^[+-]?(\d+|0x[0-9a-fA-F]+)$/.test(text)) return undefined;
  const sign = text.startsWith("-") ? -1 : 1;
  const value = sign * Number(text.replace(/^[+-]/, ""));
  return Number.isSafeInteger(value) ? value : undefined;
}

const unitMs: { readonly [unit: string]: number } = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration such as `1h30m`, `1.5s`, `100ms` or `0`. */
export function parseDurationMs(text: string): number | undefined {
  const sign = text.startsWith("-") ? -1 : 1;
  const body = text.replace(/^[+-]/, "");
  if (body === "0") return 0;
  if (!/^((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(body)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of body.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    totalMs += Number(amount) * unitMs[unit!]!;
  }
  return sign * totalMs;
}

export const parseList = (text: string): readonly string[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

interface Reading {
  readonly parse: (text: string) => unknown;
  readonly expected: string;
  readonly example: string;
}

const readings: { readonly [T in FlagType]: Reading } = {
  text: { parse: (text) => text, expected: "text", example: "..." },
  boolean: { parse: parseBoolean, expected: "true or false", example: "true" },
  integer: { parse: parseInteger, expected: "a whole number", example: "100" },
  duration: { parse: parseDurationMs, expected: "a duration such as 500ms, 5s or 1h30m", example: "5s" },
  urls: { parse: parseList, expected: "URLs with commas between", example: "http://127.0.0.1:2379" },
  list: { parse: parseList, expected: "words with commas between", example: "a,b" },
};

/** Why `text` is no value for the flag: what is expected, and an example; `undefined` when it is one. */
export function faultOf(flag: Flag, text: string): { readonly expected: string; readonly example: string } | undefined {
  const { choices } = flag;
  if (choices !== undefined && !choices.includes(text)) {
    const shown = choices.filter((choice) => choice !== "");
    return { expected: `one of ${shown.join(", ")}`, example: flag.default === "" ? (shown[0] ?? "") : flag.default };
  }
  const { parse, expected, example } = readings[flag.type];
  if (parse(text) !== undefined) return undefined;
  return { expected, example: flag.default === "" ? example : flag.default };
}

/** Whether `text` says the same as the flag's default. Both are values of the flag. */
export function isDefault(flag: Flag, text: string): boolean {
  const { parse } = readings[flag.type];
  return JSON.stringify(parse(text)) === JSON.stringify(parse(flag.default));
}
