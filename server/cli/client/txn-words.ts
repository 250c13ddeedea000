// Words of a line of `txn` and `watch -i`: separated by blanks; "double quotes" with Go's escapes, 'single quotes'
// without any.
import { CommandError, exitStatus } from "./command-error.ts";
import { fromBytes } from "./raw-text.ts";

const invalid = (message: string): CommandError => new CommandError(message, exitStatus.invalidInput);

/** True while a double-quoted word goes on in the next line. */
export function isOpen(line: string): boolean {
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const letter = line[at]!;
    if (quote === '"' && letter === "\\") at += 1;
    else if (letter === quote) quote = "";
    else if (quote === "" && (letter === '"' || letter === "'")) quote = letter;
  }
  return quote === '"';
}

/** @throws CommandError for a quote that is not closed and for escapes that there are not. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; ) {
    const letter = line[at]!;
    if (letter === '"') {
      const { text, end } = readQuoted(line, at);
      word = (word ?? "") + text;
      at = end;
    } else if (letter === "'") {
      const end = line.indexOf("'", at + 1);
      if (end < 0) throw invalid(`unclosed quote: ${line}`);
      word = (word ?? "") + line.slice(at + 1, end);
      at = end + 1;
    } else {
      if (!/\s/.test(letter)) word = (word ?? "") + letter;
      else if (word !== undefined) {
        words.push(word);
        word = undefined;
      }
      at += 1;
    }
  }
  return word === undefined ? words : [...words, word];
}

const simpleEscapes: { readonly [letter: string]: string } = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
};

/** Reads a Go string that begins at `start`: its text, and where it ends. @throws CommandError */
export function readQuoted(line: string, start: number): { readonly text: string; readonly end: number } {
  const bytes: Buffer[] = [];
  for (let at = start + 1; at < line.length; ) {
    const letter = line[at]!;
    if (letter === '"') return { text: fromBytes(Buffer.concat(bytes)), end: at + 1 };
    if (letter !== "\\") {
      const character = String.fromCodePoint(line.codePointAt(at)!);
      bytes.push(Buffer.from(character));
      at += character.length;
      continue;
    }
    const found = /^\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/s.exec(line.slice(at));
    const [whole = "", hex, octal, short, long, single] = found ?? [];
    bytes.push(escapedBytes(hex, octal, short ?? long, single, line));
    at += whole.length;
  }
  throw invalid(`unclosed quote: ${line}`);
}

function escapedBytes(
  hex: string | undefined,
  octal: string | undefined,
  code: string | undefined,
  single: string | undefined,
  line: string,
): Buffer {
  if (hex !== undefined) return Buffer.from([Number.parseInt(hex, 16)]);
  if (octal !== undefined && Number.parseInt(octal, 8) < 256) return Buffer.from([Number.parseInt(octal, 8)]);
  if (code !== undefined) {
    const point = Number.parseInt(code, 16);
    if (point <= 0x10ffff && (point < 0xd800 || point > 0xdfff)) return Buffer.from(String.fromCodePoint(point));
  }
  const known = single === undefined ? undefined : simpleEscapes[single];
  if (known === undefined) throw invalid(`invalid escape in ${line}`);
  return Buffer.from(known);
}
