// Arguments as exact bytes. Node.js decodes the command line as UTF-8 and loses every byte that is none; Linux still has
// the bytes. A byte that is no UTF-8 is carried through text as a lone low surrogate (U+DC80 to U+DCFF), which no
// well-formed text contains, and becomes that byte again when the text is sent.
import { readFileSync } from "node:fs";

const replacement = "\uFFFD";
const carriers = /[\uDC80-\uDCFF]/;

/** The program's arguments; read anew from the system when one of them may have lost bytes. */
export function exactArguments(args: readonly string[]): readonly string[] {
  if (!args.some((arg) => arg.includes(replacement))) return args;
  let line: Buffer;
  try {
    line = readFileSync("/proc/self/cmdline");
  } catch {
    // Not Linux: what Node.js made of them is all there is.
    return args;
  }
  const parts: string[] = [];
  for (let start = 0; start < line.length; ) {
    const end = line.indexOf(0, start);
    parts.push(fromBytes(line.subarray(start, end < 0 ? line.length : end)));
    start = end < 0 ? line.length : end + 1;
  }
  return args.length === 0 ? [] : parts.slice(-args.length);
}

/** Text for bytes; `toBytes` gives exactly these back. */
export function fromBytes(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  if (!text.includes(replacement)) return text;
  let result = "";
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((size) => isCharacter(bytes.subarray(at, at + size), size));
    if (length === undefined) {
      result += String.fromCharCode(0xdc00 + bytes[at]!);
      at += 1;
    } else {
      result += bytes.toString("utf8", at, at + length);
      at += length;
    }
  }
  return result;
}

function isCharacter(bytes: Buffer, size: number): boolean {
  if (bytes.length !== size) return false;
  const text = bytes.toString("utf8");
  return [...text].length === 1 && Buffer.from(text).equals(bytes);
}

/** The bytes that a key or value on the command line stands for. */
export function toBytes(text: string): Buffer {
  if (!carriers.test(text)) return Buffer.from(text);
  const parts: Buffer[] = [];
  // By code point: a whole surrogate pair is a character, only a lone one carries a byte.
  for (const character of text) {
    const code = character.codePointAt(0)!;
    parts.push(code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(character));
  }
  return Buffer.concat(parts);
}
