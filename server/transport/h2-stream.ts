// One HTTP/2 stream as the server sees it: who may still send, what both windows hold, and the DATA that waits for the
// client's. It knows frames and not gRPC; the owner (a call, or a plain HTTP exchange) knows what the bytes mean.
//
//                       HEADERS
//   idle ──────────────────────────────► open ── we end ──► half-closed (local)
//                                          │                       │
//                                 client ends                 client ends, or we reset with NO_ERROR
//                                          ▼                       ▼
//                              half-closed (remote) ── we end ──► closed        RST_STREAM of either side: closed
import { assert } from "../lib/assert.ts";
import { putFrameHeader } from "./frame-writer.ts";
import type { ResponseFields } from "./hpack-encoder.ts";
import {
  type ErrorCode,
  frameBytesDefault,
  frameFlag,
  frameHeaderBytes,
  frameType,
  windowBytesLimit,
} from "./http2-constants.ts";
import { referenceBytesMin } from "./output-buffer.ts";
import type { Sender, WaitingStream } from "./sender.ts";

/** Why a stream ended before its exchange was complete. */
export type AbortCause =
  /** The client reset the stream. */
  | "cancelled"
  /** The connection is gone. */
  | "disconnected"
  /** The client broke a rule, or stalled. */
  | "protocol";

/** Whoever serves the request. No method may throw. */
export interface StreamOwner {
  /**
   * Payload of a DATA frame, `isLast` where the client sends no more. The owner gives every byte back through
   * {@link H2Stream.consumed} once it no longer occupies memory that the client should wait for.
   */
  onData(bytes: Buffer, start: number, end: number, isLast: boolean): void;
  /** The client sends no more; not called after an `onData` that was the last. */
  onEnd(): void;
  /** The stream is closed; nothing more may be sent. */
  onAbort(cause: AbortCause): void;
  /** All DATA that waited has been sent. */
  onDrain(): void;
  /** The server is shutting down; the stream goes on. */
  onShutdown(): void;
  /** A turn of the clock, about once a second. */
  onSweep(nowMs: number): void;
}

/** What a stream needs of its connection beside the sender. */
export interface StreamHost {
  readonly sender: Sender;
  /** The server's side is done: END_STREAM went out. */
  onSent(stream: H2Stream): void;
  /** Ends the stream with RST_STREAM. */
  reset(stream: H2Stream, code: ErrorCode): void;
  /** Gives the client room to send again. */
  sendWindowUpdate(streamId: number, increment: number): void;
  /** A handler of a closed stream has finished. */
  onOrphanDone(): void;
}

/** What ends a response: fields of a last HEADERS frame, the gRPC status OK, or just the end of the body. */
export type Ending = ResponseFields | "grpc-ok" | "bare";

const noPieces: Uint8Array[] = [];

export class H2Stream implements WaitingStream {
  readonly id: number;
  owner: StreamOwner | undefined = undefined;
  /** The client may still send. */
  isReceiving = true;
  /** We may still send. */
  isSending = true;
  isClosed = false;
  /** Its table's `sweepCount` when it was opened. */
  openedAtSweep = 0;
  /** A handler is at work for this stream, even if it is closed meanwhile. */
  isBusy = false;
  /** Room that the client has left us. May be negative after a SETTINGS change. */
  sendWindow: number;
  /** Room that we have left the client. */
  receiveWindow: number;
  /** What content-length promised and has not come; negative where nothing was promised. */
  bodyBytesLeft = -1;
  /** When waiting DATA last moved; meaningful while {@link waitingBytes} is not 0. */
  movedAtMs = 0;
  readonly #host: StreamHost;
  readonly #receiveWindowMax: number;
  #consumedBytes = 0;
  #waiting = noPieces;
  #waitingBytes = 0;
  /** How much of the first waiting piece has been sent. */
  #sentOfFirst = 0;
  #isQueued = false;
  #ending: Ending | undefined = undefined;

  constructor(id: number, host: StreamHost, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.#host = host;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.#receiveWindowMax = receiveWindow;
  }

  /** Bytes of DATA that wait for the client or the socket. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  // ---- receiving

  /** The owner has taken `bytes` bytes; the client may send that much more. */
  consumed(bytes: number): void {
    this.#consumedBytes += bytes;
    if (!this.isReceiving || this.#consumedBytes * 2 < this.#receiveWindowMax) return;
    this.receiveWindow += this.#consumedBytes;
    this.#host.sendWindowUpdate(this.id, this.#consumedBytes);
    this.#consumedBytes = 0;
  }

  // ---- sending

  /** The HEADERS that open a gRPC response. */
  sendGrpcHeaders(): void {
    this.#host.sender.encoder.writeGrpcHeaders(this.id);
    this.#onHeadersWritten();
  }

  /** HEADERS that open any other response, and end it too if `endsStream`. */
  sendHeaders(status: number, fields: ResponseFields, endsStream: boolean): void {
    this.#host.sender.encoder.write(this.id, status, fields, endsStream);
    this.#onHeadersWritten();
    if (endsStream) this.#onEndSent();
  }

  /**
   * Starts one DATA frame of at most `bytesMax` payload bytes right in the output. Returns where in
   * `sender.output.bytes` the payload begins, or -1 where the frame may not be sent now: use {@link send} then. Must be
   * followed by {@link endData} before anything else is written.
   */
  beginData(bytesMax: number): number {
    const { sender } = this.#host;
    if (
      this.#waitingBytes > 0 ||
      bytesMax > this.sendWindow ||
      bytesMax > frameBytesDefault ||
      !sender.hasRoom(bytesMax)
    ) {
      return -1;
    }
    return sender.output.reserve(frameHeaderBytes + bytesMax) + frameHeaderBytes;
  }

  /** Ends the DATA frame that {@link beginData} started at `start`; its payload ends at `end`. */
  endData(start: number, end: number): void {
    const { sender } = this.#host;
    const length = end - start;
    putFrameHeader(sender.output.bytes, start - frameHeaderBytes, length, frameType.data, 0, this.id);
    sender.output.endAt(end);
    this.#onDataWritten(length);
  }

  /** Takes back the DATA frame that {@link beginData} started at `start`. */
  dropData(start: number): void {
    this.#host.sender.output.endAt(start - frameHeaderBytes);
  }

  /**
   * Sends DATA, now as far as the client and the socket have room, the rest later. The pieces must not change any more.
   * False, and nothing is sent, where too much waits already.
   */
  send(pieces: readonly Uint8Array[]): boolean {
    const { sender } = this.#host;
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    if (!sender.budget.take(bytes)) {
      if (sender.budget.usedBytes > 0) return false;
      sender.budget.force(bytes);
    }
    if (this.#waiting === noPieces) this.#waiting = [];
    for (const piece of pieces) if (piece.length > 0) this.#waiting.push(piece);
    if (this.#waitingBytes === 0) this.movedAtMs = sender.coarseNowMs;
    this.#waitingBytes += bytes;
    this.#enqueue();
    sender.pump();
    return true;
  }

  /** Ends the response once everything before has been sent. */
  end(ending: Ending): void {
    assert(this.isSending && this.#ending === undefined, "h2: a stream was ended twice");
    if (this.#waitingBytes > 0) this.#ending = ending;
    else this.#writeEnding(ending);
  }

  /** Ends the stream at once; DATA that waits is dropped. */
  reset(code: ErrorCode): void {
    if (!this.isClosed) this.#host.reset(this, code);
  }

  /** The client made room, by WINDOW_UPDATE or SETTINGS. False where its window would exceed 2^31-1. */
  widen(increment: number): boolean {
    if (this.sendWindow + increment > windowBytesLimit) return false;
    this.sendWindow += increment;
    if (this.#waitingBytes > 0) {
      this.#enqueue();
      this.#host.sender.pump();
    }
    return true;
  }

  sendTurn(): boolean {
    this.#isQueued = false;
    const { sender } = this.#host;
    const bytes = Math.min(this.#waitingBytes, this.sendWindow, sender.window, frameBytesDefault);
    if (bytes <= 0) return false;
    const at = sender.output.reserve(frameHeaderBytes);
    putFrameHeader(sender.output.bytes, at, bytes, frameType.data, 0, this.id);
    this.#moveWaiting(bytes);
    sender.budget.giveBack(bytes);
    this.#onDataWritten(bytes);
    this.movedAtMs = sender.coarseNowMs;
    if (this.#waitingBytes === 0) {
      if (this.#ending !== undefined) this.#writeEnding(this.#ending);
      else this.owner?.onDrain();
      return false;
    }
    this.#isQueued = this.sendWindow > 0;
    return this.#isQueued;
  }

  // ---- closing, called by the connection

  /** Both sides are done, or one has reset the stream. Gives back what it held. */
  close(): void {
    this.isClosed = true;
    this.isReceiving = false;
    this.isSending = false;
    if (this.#waitingBytes > 0) this.#host.sender.budget.giveBack(this.#waitingBytes);
    this.#waiting = noPieces;
    this.#waitingBytes = 0;
    this.#ending = undefined;
  }

  /** The handler has finished, whether or not the stream was still open. */
  onHandlerDone(): void {
    this.isBusy = false;
    if (this.isClosed) this.#host.onOrphanDone();
  }

  // ---- inside

  #enqueue(): void {
    if (this.#isQueued || this.sendWindow <= 0) return;
    this.#isQueued = true;
    this.#host.sender.enqueue(this);
  }

  /** Appends the next `bytes` waiting bytes to the output. */
  #moveWaiting(bytes: number): void {
    const { output } = this.#host.sender;
    let left = bytes;
    let used = 0;
    while (left > 0) {
      const piece = this.#waiting[used]!;
      const from = this.#sentOfFirst;
      const length = Math.min(left, piece.length - from);
      if (length < referenceBytesMin) {
        const at = output.reserve(length);
        output.bytes.set(length === piece.length ? piece : piece.subarray(from, from + length), at);
      } else output.append(piece.subarray(from, from + length));
      left -= length;
      if (from + length === piece.length) {
        used += 1;
        this.#sentOfFirst = 0;
      } else this.#sentOfFirst = from + length;
    }
    if (used > 0) this.#waiting.splice(0, used);
    this.#waitingBytes -= bytes;
  }

  #writeEnding(ending: Ending): void {
    const { sender } = this.#host;
    this.#ending = undefined;
    if (ending === "grpc-ok") sender.encoder.writeGrpcOk(this.id);
    else if (ending === "bare") {
      const at = sender.output.reserve(frameHeaderBytes);
      putFrameHeader(sender.output.bytes, at, 0, frameType.data, frameFlag.endStream, this.id);
    } else sender.encoder.write(this.id, undefined, ending, true);
    this.#onHeadersWritten();
    this.#onEndSent();
  }

  #onHeadersWritten(): void {
    const { sender } = this.#host;
    sender.hasSent = true;
    sender.touch();
  }

  #onDataWritten(bytes: number): void {
    const { sender } = this.#host;
    this.sendWindow -= bytes;
    sender.window -= bytes;
    sender.hasSent = true;
    sender.dataFramesSent += 1;
    sender.touch();
  }

  #onEndSent(): void {
    this.isSending = false;
    this.#host.onSent(this);
  }
}
