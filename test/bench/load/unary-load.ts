// The same unary call over and over, on every stream of the shape, with keys as the work says.
import { performance } from "node:perf_hooks";
import type { H2Client, StreamSink } from "./h2-client.ts";
import { connectAll, type Load, type LoadContext } from "./load.ts";
import type { UnaryWork } from "./load-spec.ts";
import { keyChooser, putDigits } from "./messages.ts";

export async function createUnaryLoad(context: LoadContext, work: UnaryWork): Promise<Load> {
  const clients = await connectAll(context);
  const shared: Shared = {
    work,
    context,
    message: Buffer.from(work.message, "base64"),
    nextKey: keyChooser(work.keys, context.seed),
    failedKeys: [],
    isStopped: false,
    busy: 0,
  };
  const slots = clients.flatMap((client) =>
    Array.from({ length: context.shape.streams }, () => new Slot(client, shared)),
  );
  return {
    start: () => {
      for (const slot of slots) slot.send();
      for (const client of clients) client.flush();
    },
    stop: () => {
      shared.isStopped = true;
    },
  };
}

interface Shared {
  readonly work: UnaryWork;
  readonly context: LoadContext;
  /** Copied with each call, after the key's digits were written into it. */
  readonly message: Buffer;
  readonly nextKey: () => number | undefined;
  /** Keys of a sequential load whose call failed. Each is to be put in the end. */
  readonly failedKeys: number[];
  isStopped: boolean;
  /** Calls under way. */
  busy: number;
}

/** One stream's place: at most one call at a time. */
class Slot implements StreamSink {
  readonly #client: H2Client;
  readonly #shared: Shared;
  #key = 0;
  #sentMs = 0;
  #receivedBytes = 0;

  constructor(client: H2Client, shared: Shared) {
    this.#client = client;
    this.#shared = shared;
  }

  send(): void {
    const shared = this.#shared;
    const { work, message } = shared;
    const key = shared.isStopped ? undefined : (shared.failedKeys.pop() ?? shared.nextKey());
    if (key === undefined) {
      if (!shared.isStopped && shared.busy === 0) shared.context.onExhausted();
      return;
    }
    if (work.keys.kind !== "constant") putDigits(message, work.digitsAt, key);
    shared.busy += 1;
    this.#key = key;
    this.#receivedBytes = 0;
    this.#sentMs = performance.now();
    this.#client.call(work.path, message, this);
  }

  onData(_bytes: Buffer, start: number, end: number): void {
    this.#receivedBytes += end - start;
  }

  onEnd(problem: string | undefined): void {
    const { context, work } = this.#shared;
    this.#shared.busy -= 1;
    if (problem !== undefined) {
      context.recorder.error(problem);
      if (work.keys.kind === "sequential") this.#shared.failedKeys.push(this.#key);
    } else if (this.#receivedBytes < work.responseBytesMin) {
      context.recorder.error(
        `an answer of ${this.#receivedBytes} bytes; at least ${work.responseBytesMin} were expected`,
      );
    } else context.recorder.record(this.#sentMs);
    this.send();
  }
}
