// Reads protobuf's wire format by hand, for the few messages on the hot path: no object per field, integers as
// numbers where the field allows it, bytes as views. Everything else goes through the generated code.
//
// Limits: 64-bit integers that no number can hold are clamped to the largest safe integer of their sign by
// `readInt64`; whoever needs all bits reads a bigint.

/** The bytes are not a valid protobuf message. */
export class WireError extends Error {
  override readonly name = "WireError";
}

export class WireReader {
  readonly bytes: Buffer;
  position: number;
  #end: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = start;
    this.#end = end;
  }

  /** Where the message ends that is being read. */
  get end(): number {
    return this.#end;
  }

  /**
   * Goes into the nested message at the current position: {@link WireReader.hasMore} is about that one, until
   * {@link WireReader.leave} is given what this returns.
   */
  enter(): number {
    const outerEnd = this.#end;
    this.#end = this.readLength() + this.position;
    return outerEnd;
  }

  /** Goes on behind the nested message, read to its end or not. */
  leave(outerEnd: number): void {
    this.position = this.#end;
    this.#end = outerEnd;
  }

  get hasMore(): boolean {
    return this.position < this.#end;
  }

  /** The next tag: field number * 8 + wire type. */
  readTag(): number {
    const tag = this.readUint32();
    if (tag >>> 3 === 0) throw new WireError(`field number 0 at byte ${this.position}`);
    return tag;
  }

  /** A varint of which the low 32 bits count. */
  readUint32(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let shift = 7; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new WireError(`varint of more than 10 bytes at byte ${this.position}`);
  }

  readBool(): boolean {
    const [low, high] = this.#varint64();
    return low !== 0 || high !== 0;
  }

  /** An enum value: the low 32 bits, signed. */
  readEnum(): number {
    return this.readUint32() | 0;
  }

  /** A signed 64-bit integer as a number, clamped to the safe integers. */
  readInt64(): number {
    const first = this.bytes[this.position] as number;
    if (first < 0x80 && this.position < this.#end) {
      this.position++;
      return first;
    }
    const [low, high] = this.#varint64();
    const value = (high | 0) * 0x1_0000_0000 + low;
    if (value > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER;
    if (value < Number.MIN_SAFE_INTEGER) return Number.MIN_SAFE_INTEGER;
    return value;
  }

  /** A signed 64-bit integer with all its bits. */
  readInt64AsBigint(): bigint {
    const [low, high] = this.#varint64();
    return BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));
  }

  /** Length of a length-delimited field whose bytes follow at `position`. Checked to lie inside the message. */
  readLength(): number {
    const length = this.readUint32();
    if (length > this.#end - this.position) {
      throw new WireError(`field of ${length} bytes at byte ${this.position} of ${this.#end}`);
    }
    return length;
  }

  /** A view of a length-delimited field. */
  readBytes(): Buffer {
    const length = this.readLength();
    const start = this.position;
    this.position += length;
    return this.bytes.subarray(start, this.position);
  }

  /** Steps over the field that `tag` began. */
  skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        this.#varint64();
        return;
      case 1:
        this.#advance(8);
        return;
      case 2:
        this.#advance(this.readLength());
        return;
      case 5:
        this.#advance(4);
        return;
      default:
        throw new WireError(`wire type ${tag & 7} at byte ${this.position}`);
    }
  }

  #advance(count: number): void {
    if (count > this.#end - this.position) throw new WireError(`message ends inside a field at byte ${this.position}`);
    this.position += count;
  }

  #byte(): number {
    if (this.position >= this.#end) throw new WireError(`message ends inside a field at byte ${this.position}`);
    return this.bytes[this.position++] as number;
  }

  #varint64(): readonly [low: number, high: number] {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= (bits & 1) << 31;
      if (byte < 0x80) return [low >>> 0, high >>> 0];
    }
    throw new WireError(`varint of more than 10 bytes at byte ${this.position}`);
  }
}
