// Reads the one line of greeting from a fresh connection, and no byte more than arrived with it.
import type { Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import { PeerProtocolError } from "./byte-buffer.ts";

export interface Line {
  readonly text: string;
  /** What came behind the line in the same read. */
  readonly rest: Buffer;
}

/**
 * @throws PeerProtocolError when no line of `bytesMax` bytes comes within `timeoutMs`. The socket is the caller's to
 *   close.
 */
export function readLine(socket: Socket, clock: Clock, bytesMax: number, timeoutMs: number): Promise<Line> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    const finish = (settle: () => void): void => {
      timer.cancel();
      socket.pause();
      socket.off("data", onData);
      socket.off("error", onError);
      socket.off("close", onClose);
      settle();
    };
    const fail = (message: string, cause?: unknown): void =>
      finish(() => reject(new PeerProtocolError(message, { cause })));
    const onData = (chunk: Buffer): void => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const end = received.indexOf(0x0a);
      if (end !== -1) {
        finish(() => resolve({ text: received.toString("utf8", 0, end), rest: received.subarray(end + 1) }));
      } else if (received.length > bytesMax) fail(`a greeting of more than ${bytesMax} bytes`);
    };
    const onError = (error: Error): void => fail(`the connection failed: ${error.message}`, error);
    const onClose = (): void => fail("the connection was closed before a greeting");
    const timer = clock.setTimer(timeoutMs, () => fail("no greeting in time"));
    socket.on("data", onData);
    socket.on("error", onError);
    socket.on("close", onClose);
    socket.resume();
  });
}
