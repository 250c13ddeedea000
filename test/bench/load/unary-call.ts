// One unary call and its answer, where speed does not matter.
import type { H2Client } from "./h2-client.ts";
import { MessageReader } from "./message-reader.ts";

/** Resolves with the answer's message. The caller flushes the client. */
export function unaryCall(client: H2Client, path: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let answer: Buffer | undefined;
    const messages = new MessageReader((bytes, start, end) => {
      answer = Buffer.from(bytes.subarray(start, end));
    });
    client.call(path, message, {
      onData: (bytes, start, end) => messages.feed(bytes, start, end),
      onEnd: (problem) => {
        if (problem !== undefined) reject(new Error(`${path}: ${problem}`));
        else if (answer === undefined) reject(new Error(`${path}: an answer without a message`));
        else resolve(answer);
      },
    });
  });
}
