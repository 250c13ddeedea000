// Text as Go prints it, where etcdctl's output shows it: quoted strings, hexadecimal bytes, JSON, sizes, durations.

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const shortEscapes: { readonly [character: string]: string } = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** Bytes in double quotes: printable characters as they are, all else escaped, bytes that are not UTF-8 as `\xff`. */
export function goQuote(content: Uint8Array | string): string {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  let quoted = '"';
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length === 0) {
      quoted += `\\x${hexByte(bytes[at]!)}`;
      at += 1;
      continue;
    }
    quoted += escaped(decoder.decode(bytes.subarray(at, at + length)));
    at += length;
  }
  return `${quoted}"`;
}

function escaped(character: string): string {
  const short = shortEscapes[character];
  if (short !== undefined) return short;
  if (printable.test(character)) return character;
  const code = character.codePointAt(0)!;
  if (code < 0x20 || code === 0x7f) return `\\x${hexByte(code)}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}

/** Bytes that the UTF-8 character at `at` takes; 0 when there is none. */
function characterLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > bytes.length) return 0;
  try {
    decoder.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    // Not a character: overlong, a surrogate, or broken off.
    return 0;
  }
}

const hexByte = (byte: number): string => byte.toString(16).padStart(2, "0");

/** `\x61\x62` for ab. */
export const hexBytes = (bytes: Uint8Array): string => [...bytes].map((byte) => `\\x${hexByte(byte)}`).join("");

/** What can stand in JSON here. An object's fields are printed in their order. */
export type GoJson =
  | string
  | number
  | bigint
  | boolean
  | null
  | Uint8Array
  | readonly GoJson[]
  | { readonly [name: string]: GoJson | undefined };

/** JSON as Go's encoder writes it: 64-bit numbers in full, bytes in base 64, `<`, `>` and `&` escaped. */
export function goJson(value: GoJson): string {
  if (value === null || typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") {
    return String(value);
  }
  if (typeof value === "string") return goJsonText(value);
  if (value instanceof Uint8Array) return `"${Buffer.from(value).toString("base64")}"`;
  if (Array.isArray(value)) return `[${value.map(goJson).join(",")}]`;
  const fields = Object.entries(value as { readonly [name: string]: GoJson | undefined })
    .filter((field): field is [string, GoJson] => field[1] !== undefined)
    .map(([name, field]) => `${goJsonText(name)}:${goJson(field)}`);
  return `{${fields.join(",")}}`;
}

const goJsonText = (text: string): string =>
  JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

const sizeUnits = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/** `25 kB`, `1.5 MB`: thousands, one digit after the point below ten. */
export function goSize(bytes: number): string {
  if (bytes < 10) return `${bytes} B`;
  let exponent = 0;
  while (exponent < sizeUnits.length - 1 && bytes >= 1000 ** (exponent + 1)) exponent += 1;
  const value = Math.floor((bytes / 1000 ** exponent) * 10 + 0.5) / 10;
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ${sizeUnits[exponent]}`;
}

/** `1.234567ms`, `902.586µs`, `5.001s`, `1m0.5s`. */
export function goDuration(nanoseconds: number): string {
  if (nanoseconds < 1000) return nanoseconds === 0 ? "0s" : `${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${trimmed(nanoseconds / 1e3, 3)}µs`;
  if (nanoseconds < 1e9) return `${trimmed(nanoseconds / 1e6, 6)}ms`;
  const minutes = Math.floor(nanoseconds / 60e9);
  const seconds = `${trimmed((nanoseconds - minutes * 60e9) / 1e9, 9)}s`;
  if (minutes === 0) return seconds;
  return minutes < 60 ? `${minutes}m${seconds}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

const trimmed = (value: number, digits: number): string => value.toFixed(digits).replace(/\.?0+$/, "");

/** A lease's id as etcdctl shows it: 16 hexadecimal digits. */
export const leaseId = (id: bigint): string =>
  id < 0n ? `-${(-id).toString(16).padStart(15, "0")}` : id.toString(16).padStart(16, "0");
