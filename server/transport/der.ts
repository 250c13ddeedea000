// The part of ASN.1 DER (ITU-T X.690) that X.509 needs: writing values, and walking through encoded ones.

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

/** Tag of a context-specific value; constructed ones contain others. */
export const contextTag = (number: number, isConstructed: boolean): number =>
  0x80 | (isConstructed ? 0x20 : 0) | number;

export function derValue(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag]), derLength(content.length), content]);
}

export const derSequence = (...values: readonly Uint8Array[]): Buffer => derValue(derTag.sequence, ...values);

/** A non-negative integer from its big-endian bytes. */
export function derInteger(magnitude: Uint8Array): Buffer {
  let from = 0;
  while (from < magnitude.length - 1 && magnitude[from] === 0) from += 1;
  const digits = magnitude.subarray(from);
  // A leading bit of one would make it negative.
  return derValue(derTag.integer, Buffer.from((digits[0] ?? 0) >= 0x80 ? [0] : []), digits);
}

/** `1.2.840...` */
export function derObjectId(dotted: string): Buffer {
  const arcs = dotted.split(".").map(Number);
  const bytes: number[] = [arcs[0]! * 40 + arcs[1]!];
  for (const arc of arcs.slice(2)) {
    const digits = [arc & 0x7f];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return derValue(derTag.objectId, Buffer.from(bytes));
}

export const derBoolean = (value: boolean): Buffer => derValue(derTag.boolean, Buffer.from([value ? 0xff : 0]));

/** A bit string of whole octets, or with `unusedBits` at its end. */
export const derBitString = (bytes: Uint8Array, unusedBits = 0): Buffer =>
  derValue(derTag.bitString, Buffer.from([unusedBits]), bytes);

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5). */
export function derTime(timeMs: number): Buffer {
  const text = new Date(timeMs).toISOString().replace(/[-:T]|\.\d+/g, "");
  return text < "2050"
    ? derValue(derTag.utcTime, Buffer.from(text.slice(2), "latin1"))
    : derValue(derTag.generalizedTime, Buffer.from(text, "latin1"));
}

function derLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return Buffer.from([0x80 | digits.length, ...digits]);
}

/** One encoded value within a larger encoding. */
export interface DerElement {
  readonly tag: number;
  /** What is in it. */
  readonly content: Buffer;
  /** The whole encoding, tag and length included. */
  readonly encoding: Buffer;
}

/** The values that `bytes` consist of. Throws where they are not DER. */
export function derElements(bytes: Buffer): DerElement[] {
  const elements: DerElement[] = [];
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    const tag = bytes[at++]!;
    if ((tag & 0x1f) === 0x1f) throw new Error("der: a tag in several octets");
    let length = bytes[at++] ?? Number.NaN;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 4 || at + count > bytes.length) throw new Error("der: a length that is none");
      length = bytes.readUIntBE(at, count);
      at += count;
    }
    // Also where the length is missing: no comparison with NaN holds.
    if (!(at + length <= bytes.length)) throw new Error("der: a value longer than what contains it");
    elements.push({ tag, content: bytes.subarray(at, at + length), encoding: bytes.subarray(start, at + length) });
    at += length;
  }
  return elements;
}
