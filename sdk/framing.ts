// gRPC's message framing on an HTTP/2 stream: one byte for compression, four for the length, then the message.
import { CallFailure, grpcStatus } from "./grpc-status.ts";

const headerBytes = 5;

/** One message with its frame header, ready to be written. */
export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(headerBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, headerBytes);
  return framed;
}

/** Cuts a stream of chunks into messages. Holds at most one incomplete message, of at most `messageBytesMax`. */
export class FrameReader {
  readonly #messageBytesMax: number;
  #chunks: Buffer[] = [];
  #bufferedBytes = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Calls `onMessage` for every message that `chunk` completes. Throws a {@link CallFailure} for what is not gRPC. */
  push(chunk: Buffer, onMessage: (message: Uint8Array) => void): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bufferedBytes += chunk.length;
    while (this.#bufferedBytes >= headerBytes) {
      const lengthBytes = this.#lengthOfNext();
      if (this.#bufferedBytes < headerBytes + lengthBytes) return;
      onMessage(this.#take(headerBytes + lengthBytes).subarray(headerBytes));
    }
  }

  #lengthOfNext(): number {
    const first = this.#chunks[0]!;
    // Chunks are never empty, so a header lies in the first five at most.
    const header = first.length >= headerBytes ? first : Buffer.concat(this.#chunks.slice(0, headerBytes));
    if (header[0] !== 0) {
      throw new CallFailure(grpcStatus.internal, `expected an uncompressed message, found flag ${header[0]}`, "sent");
    }
    const lengthBytes = header.readUInt32BE(1);
    if (lengthBytes > this.#messageBytesMax) {
      const found = `message of ${lengthBytes} bytes is over the limit of ${this.#messageBytesMax}`;
      throw new CallFailure(grpcStatus.resourceExhausted, found, "sent");
    }
    return lengthBytes;
  }

  /** The next `count` bytes in one piece. Chunks are joined only when a message lies across several. */
  #take(count: number): Buffer {
    if (this.#chunks[0]!.length < count) this.#chunks = [Buffer.concat(this.#chunks, this.#bufferedBytes)];
    const first = this.#chunks[0]!;
    if (first.length === count) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
    this.#bufferedBytes -= count;
    return first.subarray(0, count);
  }

  /** True in the middle of a message, where a stream must not end. */
  get isPartial(): boolean {
    return this.#bufferedBytes > 0;
  }
}
