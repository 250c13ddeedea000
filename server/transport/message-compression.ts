// gzip for gRPC messages, both ways, off the main thread. Decompression stops at the message limit, so that a small
// message cannot become a large one.
import { gunzip, gzip } from "node:zlib";
import { type GrpcStatus, statusCode } from "./grpc-status.ts";

/** The encodings this server understands, as `grpc-accept-encoding` names them. */
export const acceptedEncodings = "identity,gzip";

/** Why a message with the compressed flag cannot be read at all; the texts are grpc-go's. */
export function encodingFault(encoding: string): GrpcStatus | undefined {
  if (encoding === "gzip") return undefined;
  if (encoding === "" || encoding === "identity") {
    return { code: statusCode.internal, details: "grpc: compressed flag set with identity or empty encoding" };
  }
  const details = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`;
  return { code: statusCode.unimplemented, details };
}

/**
 * Compresses and decompresses, one message of a server at a time: the threads that do it are those that sync the log,
 * and what one message grows to is all that is held while it grows. The others wait in order; there is at most one per
 * stream.
 */
export class CompressionQueue {
  readonly #waiting: ((done: () => void) => void)[] = [];
  #isBusy = false;

  /** Calls back with the message, or with the status that it ends the call with. */
  decompress(message: Uint8Array, messageBytesMax: number, onDone: (result: Buffer | GrpcStatus) => void): void {
    this.#enqueue((done) => {
      gunzip(message, { maxOutputLength: messageBytesMax }, (error, result) => {
        onDone(error === null ? result : decompressionFault(error, messageBytesMax));
        done();
      });
    });
  }

  compress(message: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#enqueue((done) => {
        gzip(message, (error, result) => {
          if (error === null) resolve(result);
          else reject(error);
          done();
        });
      });
    });
  }

  #enqueue(task: (done: () => void) => void): void {
    this.#waiting.push(task);
    if (!this.#isBusy) this.#next();
  }

  readonly #next = (): void => {
    const task = this.#waiting.shift();
    this.#isBusy = task !== undefined;
    task?.(this.#next);
  };
}

function decompressionFault(error: Error, messageBytesMax: number): GrpcStatus {
  if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
    const details = `grpc: received message after decompression larger than max ${messageBytesMax}`;
    return { code: statusCode.resourceExhausted, details };
  }
  return { code: statusCode.internal, details: `grpc: failed to decompress the received message: ${error.message}` };
}
