// Key bytes followed by something else inside one table key, such that table keys sort first by the key and then by
// what follows: a zero byte is written as 00 FF, and 00 01 ends the key.
//
//     "a" + 5  ->  61 00 01 05        sorts before        "a\0" + 2  ->  61 00 FF 00 01 02
import type { ByteString } from "../../lib/byte-string.ts";

const terminator = "\0\x01";

/** The key, escaped and ended. Its length is that of the key plus 2 plus the number of its zero bytes. */
export function escapeKey(key: ByteString): ByteString {
  return (key.includes("\0") ? key.replaceAll("\0", "\0\xff") : key) + terminator;
}

/** Index after the escaped key that starts at `start`. */
export function escapedKeyEnd(text: ByteString, start: number): number {
  for (let at = text.indexOf("\0", start); at !== -1; at = text.indexOf("\0", at + 2)) {
    if (text.charCodeAt(at + 1) === 1) return at + 2;
  }
  return text.length;
}

/** The key that was escaped at `start`. */
export function unescapeKey(text: ByteString, start: number): ByteString {
  const escaped = text.slice(start, escapedKeyEnd(text, start) - terminator.length);
  return escaped.includes("\0") ? escaped.replaceAll("\0\xff", "\0") : escaped;
}
