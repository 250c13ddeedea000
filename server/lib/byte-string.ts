// Keys inside the server are byte strings: JavaScript strings whose characters are bytes (codes 0 to 255). They compare
// in byte order with `<`, work as Map keys, are immutable, and cost a fraction of a Buffer. The engine stores them one
// byte a character. Conversion happens where bytes enter and leave: the wire codecs, the log and the storage engine.

/** A string of characters 0 to 255, one a byte. `length` is the number of bytes; `<` is byte order. */
export type ByteString = string;

// Node's own fast paths behind Buffer.toString("latin1") and Buffer.write(..., "latin1"); its types leave them out.
const latin1 = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  latin1Write(this: Uint8Array, text: string, offset: number, length: number): number;
};

/** The bytes [start, end) as a byte string. */
export function byteStringFrom(bytes: Uint8Array, start = 0, end: number = bytes.length): ByteString {
  return latin1.latin1Slice.call(bytes, start, end);
}

/** Writes the bytes of `text` at `offset`, which must have room for them, and returns the offset after them. */
export function writeByteString(target: Uint8Array, text: ByteString, offset: number): number {
  return offset + latin1.latin1Write.call(target, text, offset, text.length);
}

/** A new buffer with the bytes of `text`. */
export function bytesOf(text: ByteString): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** The smallest byte string above every string that starts with `prefix`; undefined when there is none (all 0xff). */
export function endOfPrefix(prefix: ByteString): ByteString | undefined {
  let last = prefix.length - 1;
  while (last >= 0 && prefix.charCodeAt(last) === 0xff) last--;
  if (last < 0) return undefined;
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

/** `value` as 6 bytes, most significant first: the order of the strings is the order of the numbers. */
export function uint48ToByteString(value: number): ByteString {
  const high = Math.floor(value / 0x1_0000_0000);
  const low = value >>> 0;
  return String.fromCharCode(
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  );
}

/** The 6 bytes at `offset` as a number. */
export function uint48FromByteString(text: ByteString, offset: number): number {
  const high = text.charCodeAt(offset) * 0x100 + text.charCodeAt(offset + 1);
  const low =
    ((text.charCodeAt(offset + 2) << 24) |
      (text.charCodeAt(offset + 3) << 16) |
      (text.charCodeAt(offset + 4) << 8) |
      text.charCodeAt(offset + 5)) >>>
    0;
  return high * 0x1_0000_0000 + low;
}

/** `value` as 4 bytes, most significant first. */
export function uint32ToByteString(value: number): ByteString {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/** The 4 bytes at `offset` as a number. */
export function uint32FromByteString(text: ByteString, offset: number): number {
  return (
    ((text.charCodeAt(offset) << 24) |
      (text.charCodeAt(offset + 1) << 16) |
      (text.charCodeAt(offset + 2) << 8) |
      text.charCodeAt(offset + 3)) >>>
    0
  );
}
