// Writes protobuf's wire format from the end to the front: a nested message's length is known when its header is
// written, so one pass and one buffer do. Fields therefore go in with the highest number first. Used on the hot path
// and by the records of the store; everything else goes through the generated code.

import { varintLength } from "./wire-put.ts";

const wireVarint = 0;
const wireBytes = 2;

export class WireWriter {
  #bytes: Buffer;
  /** Index of the first written byte. */
  #start: number;

  constructor(sizeHintBytes = 256) {
    this.#bytes = Buffer.allocUnsafe(sizeHintBytes);
    this.#start = sizeHintBytes;
  }

  /** Bytes written so far. Taken before and after a nested message, the difference is its length. */
  get length(): number {
    return this.#bytes.length - this.#start;
  }

  /** What was written. The writer must not be used afterwards: the bytes are its own. */
  finish(): Buffer {
    return this.#bytes.subarray(this.#start);
  }

  /** Raw bytes, without a header. */
  raw(bytes: Uint8Array): void {
    const start = this.#reserve(bytes.length);
    this.#bytes.set(bytes, start);
  }

  /** A bytes field, header and all. */
  bytesField(field: number, bytes: Uint8Array): void {
    this.raw(bytes);
    this.header(field, bytes.length);
  }

  /** Length and tag in front of `length` bytes that were just written. */
  header(field: number, length: number): void {
    this.varint(length);
    this.varint(field * 8 + wireBytes);
  }

  /** A non-negative integer field. As everywhere in proto3, zero is not written. */
  uintField(field: number, value: number): void {
    if (value === 0) return;
    this.varint(value);
    this.varint(field * 8 + wireVarint);
  }

  boolField(field: number, value: boolean): void {
    if (value) this.uintField(field, 1);
  }

  /** A signed 64-bit field with all its bits. */
  int64Field(field: number, value: bigint): void {
    if (value === 0n) return;
    if (value > 0n && value <= 0xffff_ffffn) {
      this.uintField(field, Number(value));
      return;
    }
    let rest = BigInt.asUintN(64, value);
    const septets: number[] = [];
    do {
      septets.push(Number(rest & 0x7fn));
      rest >>= 7n;
    } while (rest !== 0n);
    const start = this.#reserve(septets.length);
    for (let i = 0; i < septets.length; i++) {
      this.#bytes[start + i] = (septets[i] as number) | (i < septets.length - 1 ? 0x80 : 0);
    }
    this.varint(field * 8 + wireVarint);
  }

  /** A whole number from 0 to 2^53. */
  varint(value: number): void {
    if (value < 0x80) {
      const start = this.#reserve(1);
      this.#bytes[start] = value;
      return;
    }
    const length = varintLength(value);
    let at = this.#reserve(length);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[at] = rest;
  }

  /**
   * Makes room for `count` bytes in front and returns where they begin. It may replace the buffer, so it comes before
   * any other use of the buffer in the same expression.
   */
  #reserve(count: number): number {
    if (count > this.#start) this.#grow(count);
    this.#start -= count;
    return this.#start;
  }

  #grow(count: number): void {
    const length = this.length;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, length + count));
    this.#bytes.copy(grown, grown.length - length, this.#start);
    this.#bytes = grown;
    this.#start = grown.length - length;
  }
}
