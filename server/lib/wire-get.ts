// Reads numbers that wire-put.ts writes, straight out of a buffer. The caller knows that they are there.

/** The 4 bytes at `at`, most significant first. */
export function readUint32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16);
  return (high | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0;
}

/** The 6 bytes at `at`, most significant first. */
export function readUint48(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  const low = readUint32(bytes, at + 2);
  // The usual small number stays one that the engine keeps without a box.
  return high === 0 && low <= 0x7fff_ffff ? low | 0 : high * 0x1_0000_0000 + low;
}
