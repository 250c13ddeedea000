// Lines of a stream, one at a time. Unlike readline it takes no more from a terminal than it was asked for, and it tells
// a last line without an end from the end of the input.
import { StringDecoder } from "node:string_decoder";

export class LineReader {
  readonly #chunks: AsyncIterator<Buffer | string>;
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";
  #isEnded = false;

  constructor(stream: NodeJS.ReadableStream) {
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer | string>;
  }

  /** The next line without its end; `undefined` at the end of the input. A line that the input breaks off is none. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const at = this.#rest.indexOf("\n");
      if (at >= 0) {
        const line = this.#rest.slice(0, at);
        this.#rest = this.#rest.slice(at + 1);
        return line.endsWith("\r") ? line.slice(0, -1) : line;
      }
      if (this.#isEnded) return undefined;
      const { done, value } = await this.#chunks.next();
      if (done) {
        this.#isEnded = true;
        this.#rest += this.#decoder.end();
      } else this.#rest += typeof value === "string" ? value : this.#decoder.write(value);
    }
  }

  /** What the input held after its last line end. */
  get brokenOff(): string {
    return this.#rest;
  }
}

/** Everything that a stream holds. */
export async function readAll(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  return Buffer.concat(chunks);
}
