// Compare-and-put: each stream changes a key of its own, and only if nobody else has. The answer carries the revision
// that the next comparison needs, so every request differs from the last.
import { performance } from "node:perf_hooks";
import type { H2Client, StreamSink } from "./h2-client.ts";
import { connectAll, type Load, type LoadContext } from "./load.ts";
import { MessageReader } from "./message-reader.ts";
import { CompareAndPut, keyText, paths, readTxnResponse } from "./messages.ts";

export async function createTxnLoad(context: LoadContext): Promise<Load> {
  const clients = await connectAll(context);
  const { streams } = context.shape;
  const slots = clients.flatMap((client, i) =>
    Array.from(
      { length: streams },
      (_, j) => new Slot(client, keyText(context.seed * 1_000_000 + i * streams + j), context),
    ),
  );
  return {
    start: () => {
      for (const slot of slots) slot.send();
      for (const client of clients) client.flush();
    },
    stop: () => {
      for (const slot of slots) slot.stop();
    },
  };
}

class Slot implements StreamSink {
  readonly #client: H2Client;
  readonly #context: LoadContext;
  readonly #txn: CompareAndPut;
  readonly #messages = new MessageReader((bytes, start, end) => this.#onMessage(bytes, start, end));
  #revision = 0;
  #sentMs = 0;
  #hasHeld = false;
  #isStopped = false;

  constructor(client: H2Client, key: string, context: LoadContext) {
    this.#client = client;
    this.#context = context;
    this.#txn = new CompareAndPut(key);
  }

  send(): void {
    if (this.#isStopped) return;
    this.#hasHeld = false;
    this.#sentMs = performance.now();
    this.#client.call(paths.txn, this.#txn.message(this.#revision), this);
  }

  stop(): void {
    this.#isStopped = true;
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.#messages.feed(bytes, start, end);
  }

  #onMessage(bytes: Buffer, start: number, end: number): void {
    const { revision, succeeded } = readTxnResponse(bytes, start, end);
    this.#revision = revision;
    this.#hasHeld = succeeded;
  }

  onEnd(problem: string | undefined): void {
    const { recorder } = this.#context;
    if (problem !== undefined) recorder.error(problem);
    else if (!this.#hasHeld)
      recorder.error(`a comparison with revision ${this.#revision} of a key of its own did not hold`);
    else recorder.record(this.#sentMs);
    this.send();
  }
}
