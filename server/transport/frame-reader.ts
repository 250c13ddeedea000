// Cuts the bytes of a connection into HTTP/2 frames (RFC 9113 section 4.1). Frames that lie whole within one read are
// handed on where they lie; only a frame that two reads share is copied together. It knows lengths, not meanings.
import { errorCode, frameBytesDefault, frameHeaderBytes } from "./http2-constants.ts";
import { ConnectionError } from "./http2-error.ts";

export interface FrameSink {
  /**
   * One frame; its payload is `bytes[start..end)`, which stays as it is for as long as anyone keeps it. Keeping it
   * keeps the whole read alive.
   */
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
}

export class FrameReader {
  readonly #sink: FrameSink;
  /** The beginning of a frame whose rest has not arrived; at most one frame long. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  /** Frames handed on so far. */
  frameCount = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** A frame has begun and is not complete. */
  get isMidFrame(): boolean {
    return this.#held !== undefined;
  }

  /** Reads `chunk` from `position` on. Throws {@link ConnectionError}, its own or the sink's; it must not be fed again then. */
  feed(chunk: Buffer, position: number): void {
    let at = this.#held === undefined ? position : this.#completeHeld(chunk, position);
    const end = chunk.length;
    while (end - at >= frameHeaderBytes) {
      const next = at + frameHeaderBytes + frameLength(chunk, at);
      if (next > end) break;
      this.#dispatch(chunk, at, next);
      at = next;
    }
    if (at < end) this.#hold(chunk, at);
  }

  #dispatch(bytes: Buffer, at: number, next: number): void {
    this.frameCount += 1;
    const streamId = ((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!;
    this.#sink.onFrame(bytes[at + 3]!, bytes[at + 4]!, streamId, bytes, at + frameHeaderBytes, next);
  }

  #hold(chunk: Buffer, at: number): void {
    const available = chunk.length - at;
    const wanted = available < frameHeaderBytes ? frameHeaderBytes : frameHeaderBytes + frameLength(chunk, at);
    // A buffer of its own for each frame: whoever keeps the payload must not see it overwritten.
    this.#held = Buffer.allocUnsafe(wanted);
    this.#heldBytes = chunk.copy(this.#held, 0, at);
  }

  /** Adds to the held frame and hands it on if that completes it. Returns where in `chunk` the next frame begins. */
  #completeHeld(chunk: Buffer, position: number): number {
    let at = position;
    let held = this.#held!;
    at += this.#top(chunk, at, held.length);
    if (this.#heldBytes < held.length) return at;
    const wanted = frameHeaderBytes + frameLength(held, 0);
    if (held.length < wanted) {
      held = Buffer.allocUnsafe(wanted);
      this.#held!.copy(held, 0, 0, this.#heldBytes);
      this.#held = held;
      at += this.#top(chunk, at, wanted);
      if (this.#heldBytes < wanted) return at;
    }
    this.#held = undefined;
    this.#heldBytes = 0;
    this.#dispatch(held, 0, held.length);
    return at;
  }

  /** Copies from `chunk` until the held frame has `wanted` bytes; returns how many were copied. */
  #top(chunk: Buffer, at: number, wanted: number): number {
    const copied = chunk.copy(this.#held!, this.#heldBytes, at, Math.min(chunk.length, at + wanted - this.#heldBytes));
    this.#heldBytes += copied;
    return copied;
  }
}

/** Frames larger than SETTINGS_MAX_FRAME_SIZE, which this server leaves at its default, end the connection. */
function frameLength(bytes: Buffer, at: number): number {
  const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  if (length > frameBytesDefault) {
    throw new ConnectionError(errorCode.frameSizeError, `frame of ${length} bytes, the limit is ${frameBytesDefault}`);
  }
  return length;
}
