// What one connection will send, gathered over a turn of the event loop and handed to the socket in one write. Small
// frames are written straight into slabs of memory, large payloads are passed on by reference. Bytes that were handed
// over are written again only where the socket has said that it needs them no more.
import { assert } from "../lib/assert.ts";

/** Connections that send little get a small slab, so that an event that goes to thousands of them costs little memory. */
const slabBytes = { small: 4 * 1024, large: 32 * 1024 } as const;
/** Who sent no more than this in the latest flush is expected to send as little in the next. */
const smallFlushBytesMax = 2 * 1024;
/** Slabs that are kept for later. */
const slabsKeptMax = { small: 1024, large: 128 } as const;
/** A slab with less room than this is left to the garbage collector instead of being handed on. */
const slabRoomWorthKeepingBytes = 1024;
/** Payloads from this size on are cheaper to pass by reference than to copy. */
export const referenceBytesMin = 4096;

interface Slab {
  readonly bytes: Buffer;
  /** Where there is room: what stands before may still be read by sockets. */
  readonly position: number;
}

/**
 * Slabs with room left, shared by the connections of a server: a connection holds one only between its first write of
 * a turn and the flush, so that idle connections cost nothing.
 */
export class SlabPool {
  readonly #small: Slab[] = [];
  readonly #large: Slab[] = [];

  take(size: keyof typeof slabBytes): Slab {
    const slabs = size === "small" ? this.#small : this.#large;
    return slabs.pop() ?? { bytes: Buffer.allocUnsafeSlow(slabBytes[size]), position: 0 };
  }

  giveBack(slab: Slab): void {
    const { bytes, position } = slab;
    if (bytes.length - position < slabRoomWorthKeepingBytes) return;
    if (bytes.length === slabBytes.small) {
      if (this.#small.length < slabsKeptMax.small) this.#small.push(slab);
    } else if (bytes.length === slabBytes.large && this.#large.length < slabsKeptMax.large) this.#large.push(slab);
  }
}

/** Hands pieces to a socket, in order. True where the socket needs none of them any more when it returns. */
export type WritePieces = (pieces: readonly Uint8Array[]) => boolean;

const noBytes = Buffer.alloc(0);

export class OutputBuffer {
  /** Write here, but only into what {@link reserve} returned, and not after the next call of any method. */
  bytes: Buffer = noBytes;
  readonly #pool: SlabPool;
  /** The slabs in use as they were when they were taken; the last one is current. */
  #slabs: Slab[] = [];
  /** The current slab: bytes from #start to #position wait to be handed over. */
  #start = 0;
  #position = 0;
  #isSmall = true;
  /** Pieces that come before the current slab's. */
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /** Bytes that wait for the next flush. */
  get waitingBytes(): number {
    return this.#pieceBytes + this.#position - this.#start;
  }

  /** Makes room for `sizeBytes` bytes in one piece and returns where in {@link bytes} they begin. */
  reserve(sizeBytes: number): number {
    if (this.#position + sizeBytes > this.bytes.length) this.#nextSlab(sizeBytes);
    const start = this.#position;
    this.#position = start + sizeBytes;
    return start;
  }

  /** Ends the latest reservation at `end`: less was written than had been reserved. */
  endAt(end: number): void {
    assert(end >= this.#start && end <= this.#position, "output: the end lies outside what was reserved");
    this.#position = end;
  }

  /** Adds bytes that will not change any more. Large ones are not copied. */
  append(bytes: Uint8Array): void {
    if (bytes.length < referenceBytesMin) {
      const at = this.reserve(bytes.length);
      this.bytes.set(bytes, at);
      return;
    }
    this.#endPiece();
    this.#pieces.push(bytes);
    this.#pieceBytes += bytes.length;
  }

  /** Hands everything to `write`, in order, and keeps nothing. `write` gets one piece unless there were large ones. */
  flush(write: WritePieces): void {
    this.#isSmall = this.waitingBytes <= smallFlushBytesMax;
    this.#endPiece();
    const pieces = this.#pieces;
    const slabs = this.#slabs;
    const current = this.bytes;
    const position = this.#position;
    this.#pieces = [];
    this.#slabs = [];
    this.#pieceBytes = 0;
    this.bytes = noBytes;
    this.#start = 0;
    this.#position = 0;
    if (pieces.length === 0 || write(pieces)) for (const slab of slabs) this.#pool.giveBack(slab);
    // Bytes that a socket still reads are never rewritten: what comes behind them is handed on.
    else if (current !== noBytes) this.#pool.giveBack({ bytes: current, position });
  }

  #endPiece(): void {
    if (this.#position === this.#start) return;
    const piece = this.bytes.subarray(this.#start, this.#position);
    this.#pieces.push(piece);
    this.#pieceBytes += piece.length;
    this.#start = this.#position;
  }

  #nextSlab(sizeBytes: number): void {
    const small = this.#hasOutgrownSmall() ? this.#slabs.pop() : undefined;
    if (small === undefined) this.#endPiece();
    const from = this.#start;
    const to = this.#position;
    const slab = this.#takeSlab(sizeBytes + to - from, small !== undefined);
    this.#slabs.push(slab);
    this.bytes = slab.bytes;
    this.#start = slab.position;
    this.#position = slab.position;
    if (small === undefined) return;
    // Copying the little that a small slab holds is cheaper than sending two pieces.
    this.#position += small.bytes.copy(slab.bytes, slab.position, from, to);
    this.#pool.giveBack(small);
  }

  /** A small slab is all that was used, and nothing in it is a piece yet. */
  #hasOutgrownSmall(): boolean {
    return this.#pieces.length === 0 && this.#slabs.length === 1 && this.bytes.length === slabBytes.small;
  }

  #takeSlab(sizeBytes: number, isOutgrown: boolean): Slab {
    if (sizeBytes > slabBytes.large) return { bytes: Buffer.allocUnsafeSlow(sizeBytes), position: 0 };
    const isSmall = this.#isSmall && !isOutgrown && this.#slabs.length === 0 && sizeBytes <= slabBytes.small;
    const slab = this.#pool.take(isSmall ? "small" : "large");
    if (slab.position + sizeBytes <= slab.bytes.length) return slab;
    this.#pool.giveBack(slab);
    return { bytes: Buffer.allocUnsafeSlow(slab.bytes.length), position: 0 };
  }
}
