// CRC-32 (ISO-HDLC, the one of zlib) over bytes. Every record on disk carries one: neither the file system nor LMDB
// detects a flipped bit. Short inputs are done here, since a call into zlib costs more than the work.
import { crc32 as zlibCrc32 } from "node:zlib";

const nativeFromBytes = 128;

const tables = Array.from({ length: 4 }, () => new Uint32Array(256)) as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
];
for (let byte = 0; byte < 256; byte++) {
  let c = byte;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  tables[0][byte] = c >>> 0;
}
for (let slice = 1; slice < 4; slice++) {
  const previous = tables[slice - 1] as Uint32Array;
  const table = tables[slice] as Uint32Array;
  for (let byte = 0; byte < 256; byte++) {
    const c = previous[byte] as number;
    table[byte] = ((tables[0][c & 0xff] as number) ^ (c >>> 8)) >>> 0;
  }
}
const [table0, table1, table2, table3] = tables;

/** Checksum of bytes [start, end). `seed` is the checksum of what came before, to go on from there. */
export function crc32(bytes: Uint8Array, start = 0, end: number = bytes.length, seed = 0): number {
  if (end - start >= nativeFromBytes) {
    return zlibCrc32(end - start === bytes.length ? bytes : bytes.subarray(start, end), seed);
  }
  let c = ~seed;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    c ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    c =
      (table3[c & 0xff] as number) ^
      (table2[(c >>> 8) & 0xff] as number) ^
      (table1[(c >>> 16) & 0xff] as number) ^
      (table0[c >>> 24] as number);
  }
  for (; at < end; at++) c = (table0[(c ^ (bytes[at] as number)) & 0xff] as number) ^ (c >>> 8);
  return ~c >>> 0;
}

/**
 * What {@link crc32} gives for any bytes that end with their own checksum, least significant byte first (RFC 1952,
 * section 8): a way to check them without taking them apart.
 */
export const crc32Residue = 0x2144df1c;

/** Checksum of a byte string, going on from `seed`. */
export function crc32OfByteString(text: string, seed = 0): number {
  let c = ~seed;
  for (let at = 0; at < text.length; at++) {
    c = (table0[(c ^ text.charCodeAt(at)) & 0xff] as number) ^ (c >>> 8);
  }
  return ~c >>> 0;
}
