// A connection between two members after the greeting: frames with a checksum, both ways.
//
//   frame := length of the rest 4, checksum of the rest 4, kind 1, payload
import type { Socket } from "node:net";
import { crc32 } from "../lib/crc32.ts";
import { ByteWriter, PeerProtocolError } from "./byte-buffer.ts";

/** What a frame holds: several messages of raft, a question, its answer, or a sign of life. */
export const frameKinds = { messages: 1, request: 2, response: 3, ping: 4, pong: 5 } as const;
export type FrameKind = keyof typeof frameKinds;

const kindNames = new Map<number, FrameKind>(
  Object.entries(frameKinds).map(([name, code]) => [code, name as FrameKind]),
);
const headerBytes = 8;
/** A larger frame ends the connection. Raft's appends are 1 MiB, or one entry of any size that a request may have. */
const frameBytesMax = 64 * 1024 * 1024;
/** What may wait to be sent; beyond it frames are dropped, which raft expects of any network. */
const backlogBytesMax = 64 * 1024 * 1024;

export interface FramedSocketHandler {
  /** `payload` is a view that is not written to again. */
  onFrame(kind: FrameKind, payload: Buffer): void;
  /** Called once. */
  onClosed(reason: Error | undefined): void;
}

export class FramedSocket {
  readonly #socket: Socket;
  readonly #handler: FramedSocketHandler;
  readonly #writer = new ByteWriter();
  /** Bytes that are not a whole frame yet. */
  #parts: Buffer[] = [];
  #partBytes = 0;
  /** How many bytes are needed before it is worth looking again. */
  #wantedBytes = headerBytes;
  #isClosed = false;

  /** @param received What came behind the greeting already. */
  constructor(socket: Socket, received: Buffer, handler: FramedSocketHandler) {
    this.#socket = socket;
    this.#handler = handler;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", (error) => this.close(error));
    socket.on("close", () => this.close());
    socket.resume();
    if (received.length > 0) this.#onData(received);
  }

  /** Sends a frame. False when so much waits already that it was dropped. */
  send(kind: FrameKind, writePayload: (writer: ByteWriter) => void): boolean {
    if (this.#isClosed || this.#socket.writableLength > backlogBytesMax) return false;
    const writer = this.#writer;
    writer.clear();
    writer.uint32(0);
    writer.uint32(0);
    writer.byte(frameKinds[kind]);
    writePayload(writer);
    writer.patchUint32(0, writer.length - headerBytes);
    writer.patchUint32(4, writer.checksum(headerBytes));
    this.#socket.write(writer.take());
    return true;
  }

  #onData(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#partBytes += chunk.length;
    if (this.#partBytes < this.#wantedBytes) return;
    let bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts);
    try {
      bytes = this.#takeFrames(bytes);
    } catch (error) {
      this.close(error as Error);
      return;
    }
    this.#parts = bytes.length === 0 ? [] : [bytes];
    this.#partBytes = bytes.length;
  }

  /** Hands out whole frames and returns what is left. */
  #takeFrames(bytes: Buffer): Buffer {
    let at = 0;
    while (!this.#isClosed && bytes.length - at >= headerBytes) {
      const length = bytes.readUInt32LE(at);
      if (length < 1 || length > frameBytesMax) throw new PeerProtocolError(`a frame of ${length} bytes`);
      const end = at + headerBytes + length;
      if (end > bytes.length) {
        this.#wantedBytes = end - at;
        return bytes.subarray(at);
      }
      if (crc32(bytes, at + headerBytes, end) !== bytes.readUInt32LE(at + 4)) {
        throw new PeerProtocolError("a frame was damaged on its way");
      }
      const kind = kindNames.get(bytes[at + headerBytes] as number);
      // A kind that this version does not know is a newer member's, which can do without an answer.
      if (kind !== undefined) this.#handler.onFrame(kind, bytes.subarray(at + headerBytes + 1, end));
      at = end;
    }
    this.#wantedBytes = headerBytes;
    return bytes.subarray(at);
  }

  /** Ends the connection. Twice is fine. */
  close(reason?: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.destroy();
    this.#parts = [];
    this.#handler.onClosed(reason);
  }
}
