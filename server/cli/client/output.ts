// Standard output of a client command: text and bytes, exactly as given. A reader that went away (`quorate get | head`)
// ends the command quietly.

import type { Writable } from "node:stream";

export class Output {
  readonly #stream: Writable;
  #isGone = false;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      this.#isGone = true;
    });
  }

  /** True when nobody reads any more. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Writes; resolves when the stream takes more, so that a slow reader slows a long command down. */
  async write(content: string | Uint8Array): Promise<void> {
    if (this.#isGone || content.length === 0) return;
    if (this.#stream.write(content)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#stream.off("drain", done).off("error", done).off("close", done);
        resolve();
      };
      this.#stream.on("drain", done).on("error", done).on("close", done);
    });
  }

  /** Resolves when everything written has left. */
  async flush(): Promise<void> {
    if (this.#isGone || this.#stream.writableLength === 0) return;
    await new Promise<void>((resolve) => {
      this.#stream.write("", () => resolve());
      this.#stream.once("error", () => resolve());
    });
  }
}
