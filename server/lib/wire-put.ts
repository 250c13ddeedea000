// Writes numbers and protobuf's wire format forwards, straight into a buffer that has room: for messages whose size is known well
// enough before. The caller sees to the room; nothing here checks it. lib/wire-writer.ts is for all others.

/** Bytes that `value`, a whole number from 0 to 2^53, takes as a varint. */
export function varintLength(value: number): number {
  let length = 1;
  let rest = value;
  while (rest >= 0x80) {
    rest = Math.floor(rest / 0x80);
    length++;
  }
  return length;
}

/** Most bytes that a whole number up to 2^53 takes as a varint. */
export const varintBytesMax = 8;

/** Bytes that a signed 64-bit number takes as a varint. */
export function varint64Length(value: bigint): number {
  if (value >= 0n && value <= 0x1f_ffff_ffff_ffffn) return varintLength(Number(value));
  let length = 1;
  let rest = BigInt.asUintN(64, value);
  while (rest >= 0x80n) {
    rest >>= 7n;
    length++;
  }
  return length;
}

/** Writes a whole number from 0 to 2^53 and returns where it ends. */
export function putVarint(target: Uint8Array, at: number, value: number): number {
  let end = at;
  let rest = value;
  // Bits can be shifted as long as they fit 32 of them.
  while (rest > 0x7fff_ffff) {
    target[end++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    target[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[end++] = rest;
  return end;
}

/** Most bytes that a signed 64-bit number takes as a varint. */
export const varint64BytesMax = 10;

/** Writes a signed 64-bit number and returns where it ends. */
export function putVarint64(target: Uint8Array, at: number, value: bigint): number {
  if (value >= 0n && value <= 0x1f_ffff_ffff_ffffn) return putVarint(target, at, Number(value));
  // In three parts that are numbers: 28 bits make four bytes.
  const low = Number(BigInt.asUintN(28, value));
  const middle = Number(BigInt.asUintN(28, value >> 28n));
  const high = Number(BigInt.asUintN(8, value >> 56n));
  let end = at;
  for (let shift = 0; shift < 28; shift += 7) target[end++] = ((low >>> shift) & 0x7f) | 0x80;
  // Above 2^53 or negative, so there is more behind the third byte of the middle.
  for (let shift = 0; shift < 21; shift += 7) target[end++] = ((middle >>> shift) & 0x7f) | 0x80;
  return putVarint(target, end, (middle >>> 21) + high * 0x80);
}

/** Writes a whole number from 0 to 2^48 - 1 as 6 bytes, most significant first, and returns where it ends. */
export function putUint48(target: Uint8Array, at: number, value: number): number {
  const high = Math.floor(value / 0x1_0000_0000);
  target[at] = high >>> 8;
  target[at + 1] = high;
  return putUint32(target, at + 2, value >>> 0);
}

/** Writes a whole number from 0 to 2^32 - 1 as 4 bytes, most significant first, and returns where it ends. */
export function putUint32(target: Uint8Array, at: number, value: number): number {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
  return at + 4;
}

/** Copies a few bytes, which takes less time than a call of the engine does, and returns where they end. */
export function putShort(target: Uint8Array, at: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) target[at + i] = bytes[i] as number;
  return at + bytes.length;
}

/** Below this, copying byte by byte wins. */
const shortBytesMax = 48;

/** Copies bytes and returns where they end. */
export function putBytes(target: Uint8Array, at: number, bytes: Uint8Array): number {
  if (bytes.length <= shortBytesMax) return putShort(target, at, bytes);
  target.set(bytes, at);
  return at + bytes.length;
}
