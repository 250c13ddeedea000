// Writes and reads the peers' messages: fixed-size numbers, bytes with a length, nothing clever. Numbers are 64-bit
// floats, which hold every term and index exactly.
import { crc32 } from "../lib/crc32.ts";

/** A writer that grew beyond this for one message shrinks again. */
const keptBytesMax = 256 * 1024;

const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** What was received is not a message. The connection it came on cannot be trusted any further. */
export class PeerProtocolError extends Error {
  override readonly name = "PeerProtocolError";
}

/** May be used again and again: what was written is copied out. */
export class ByteWriter {
  #bytes: Buffer;
  #view: DataView;
  #length = 0;

  constructor(sizeHintBytes = 512) {
    this.#bytes = Buffer.allocUnsafe(sizeHintBytes);
    this.#view = viewOf(this.#bytes);
  }

  get length(): number {
    return this.#length;
  }

  /** Begins anew. */
  clear(): void {
    this.#length = 0;
  }

  byte(value: number): void {
    const at = this.#reserve(1);
    this.#bytes[at] = value;
  }

  boolean(value: boolean): void {
    this.byte(value ? 1 : 0);
  }

  uint32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }

  number(value: number): void {
    const at = this.#reserve(8);
    this.#view.setFloat64(at, value, true);
  }

  id(value: bigint): void {
    const at = this.#reserve(8);
    this.#view.setBigInt64(at, value, true);
  }

  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
  }

  text(value: string): void {
    this.bytes(Buffer.from(value));
  }

  /** Puts a number into room that was written before. */
  patchUint32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** The checksum of what was written from byte `start` on. */
  checksum(start: number): number {
    return crc32(this.#bytes, start, this.#length);
  }

  /** A copy of what was written. The writer begins anew. */
  take(): Buffer {
    const taken = Buffer.allocUnsafe(this.#length);
    this.#bytes.copy(taken, 0, 0, this.#length);
    this.#length = 0;
    // One large message must not be held for ever.
    if (this.#bytes.length > keptBytesMax) this.#resize(keptBytesMax);
    return taken;
  }

  #reserve(count: number): number {
    const at = this.#length;
    if (at + count > this.#bytes.length) {
      const before = this.#bytes;
      this.#resize(Math.max(at + count, before.length * 2));
      before.copy(this.#bytes, 0, 0, at);
    }
    this.#length = at + count;
    return at;
  }

  #resize(sizeBytes: number): void {
    this.#bytes = Buffer.allocUnsafe(sizeBytes);
    this.#view = viewOf(this.#bytes);
  }
}

/** @throws PeerProtocolError from every method when the bytes do not hold what is asked for. */
export class ByteReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#at = at;
  }

  get hasMore(): boolean {
    return this.#at < this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.#advance(1)] as number;
  }

  boolean(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  number(): number {
    const value = this.#view.getFloat64(this.#advance(8), true);
    // A whole number that was read as a double stays one wherever it is kept, boxed.
    const whole = value | 0;
    return whole === value ? whole : value;
  }

  /** An unsigned 64-bit id. */
  id(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  /** A signed 64-bit id, as leases have. */
  signedId(): bigint {
    return this.#view.getBigInt64(this.#advance(8), true);
  }

  /** A view. */
  bytes(): Buffer {
    const length = this.uint32();
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(): string {
    return this.bytes().toString("utf8");
  }

  #advance(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw new PeerProtocolError(`message ends inside a field at byte ${at}`);
    this.#at = at + count;
    return at;
  }
}
