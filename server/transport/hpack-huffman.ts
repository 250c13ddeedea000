// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), decoding only: this server sends its few header
// fields plain. The code is canonical, so the lengths below define it; a table that eats four bits a step decodes it.

// biome-ignore format: 256 numbers in rows of 32
const codeLengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const endOfString = 256;
const endOfStringLength = 30;

/** The code of every symbol, the end-of-string symbol last, assigned in order of length, then of symbol. */
export function huffmanCodes(): { readonly code: number; readonly length: number }[] {
  const lengths = [...codeLengths, endOfStringLength];
  const order = lengths.map((_, symbol) => symbol).sort((a, b) => lengths[a]! - lengths[b]! || a - b);
  const codes: { code: number; length: number }[] = [];
  let next = 0;
  let previousLength = lengths[order[0]!]!;
  for (const symbol of order) {
    const length = lengths[symbol]!;
    next *= 2 ** (length - previousLength);
    previousLength = length;
    codes[symbol] = { code: next, length };
    next += 1;
  }
  return codes;
}

// A step of the decoder: where to go next (low byte), the symbol that was completed (next byte) and two flags.
const emits = 0x1_0000;
const fails = 0x2_0000;

/** steps[state * 16 + nibble]; a state is an inner node of the code tree, the root is 0. */
const steps = new Uint32Array(256 * 16);
/** Whether a string may end in this state: at most seven bits into a symbol, all of them ones (section 5.2). */
const mayEnd = new Uint8Array(256);

function buildTables(): void {
  // children[node * 2 + bit]: an inner node, or ~symbol; zero means not set, since nothing leads back to the root.
  const children = new Int32Array(256 * 2);
  let nodeCount = 1;
  for (const [symbol, { code, length }] of huffmanCodes().entries()) {
    let node = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const slot = node * 2 + ((code >>> bit) & 1);
      if (children[slot] === 0) children[slot] = nodeCount++;
      node = children[slot]!;
    }
    children[node * 2 + (code & 1)] = ~symbol;
  }
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let step = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const child = children[node * 2 + ((nibble >>> bit) & 1)]!;
        if (child >= 0) node = child;
        else if (~child === endOfString) step = fails;
        else {
          step |= emits | (~child << 8);
          node = 0;
        }
      }
      steps[state * 16 + nibble] = step | node;
    }
  }
  let node = 0;
  for (let ones = 0; ones <= 7; ones++) {
    mayEnd[node] = 1;
    node = children[node * 2 + 1]!;
  }
}
buildTables();

/** An upper bound for what `encodedBytes` bytes decode to: the shortest code has five bits. */
export const huffmanDecodedBytesMax = (encodedBytes: number): number => Math.floor((encodedBytes * 8) / 5);

/**
 * Decodes `source[start..end)` into `target` from its beginning and returns the number of bytes, or -1 where the code
 * contains the end-of-string symbol or is padded with anything but at most seven one bits. `target` must have room for
 * {@link huffmanDecodedBytesMax}.
 */
export function huffmanDecode(source: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let state = 0;
  let length = 0;
  for (let i = start; i < end; i++) {
    const byte = source[i]!;
    const high = steps[state * 16 + (byte >>> 4)]!;
    if ((high & emits) !== 0) target[length++] = (high >>> 8) & 0xff;
    const low = steps[(high & 0xff) * 16 + (byte & 15)]!;
    if ((low & emits) !== 0) target[length++] = (low >>> 8) & 0xff;
    if (((high | low) & fails) !== 0) return -1;
    state = low & 0xff;
  }
  return mayEnd[state] === 1 ? length : -1;
}
