// Watch fan-out, two ways. In both every event must reach every watcher; the delay counted is from sending the put to
// receiving the event. The next round starts when the last one is complete, so nothing piles up unseen.
import { performance } from "node:perf_hooks";
import type { H2Client, StreamSink } from "./h2-client.ts";
import { connectAll, type Load, type LoadContext } from "./load.ts";
import type { Work } from "./load-spec.ts";
import { MessageReader } from "./message-reader.ts";
import {
  digitsIn,
  keyPrefix,
  keyPrefixEnd,
  keyText,
  paths,
  putDigits,
  putMessage,
  readWatchResponse,
  type WatchAnswer,
  watchMessage,
} from "./messages.ts";

/** Puts to one key, one at a time; the watchers are spread over all streams of the shape. */
export async function createFanOutLoad(
  context: LoadContext,
  work: Extract<Work, { kind: "watch-fan-out" }>,
): Promise<Load> {
  const clients = await connectAll(context);
  const putter = await context.connect();
  const rounds = new Rounds(context, putter, { watchers: work.watchers, puts: 1, atOnce: 1 });
  const streams = clients.flatMap((client) => Array.from({ length: context.shape.streams }, () => client));
  await openWatchers(
    streams.map((client, i) => ({ client, watchers: shareOf(work.watchers, streams.length, i) })),
    watchMessage(keyText(0)),
    (mark) => rounds.onEvent(mark),
  );
  return rounds;
}

/** Rounds of many puts, as many under way as the shape says; all watchers are on one stream. */
export async function createWatchEventsLoad(
  context: LoadContext,
  work: Extract<Work, { kind: "watch-events" }>,
): Promise<Load> {
  const clients = await connectAll(context);
  const watching = await context.connect();
  const rounds = new Rounds(context, clients, {
    watchers: work.watchers,
    puts: work.putsPerRound,
    atOnce: context.shape.streams,
  });
  await openWatchers([{ client: watching, watchers: work.watchers }], watchMessage(keyPrefix, keyPrefixEnd), (mark) =>
    rounds.onEvent(mark),
  );
  return rounds;
}

/** The `index`-th of `parts` nearly equal parts of `total`. */
function shareOf(total: number, parts: number, index: number): number {
  return Math.floor(((index + 1) * total) / parts) - Math.floor((index * total) / parts);
}

/** Opens watch streams and resolves once every watcher was confirmed. */
async function openWatchers(
  streams: readonly { readonly client: H2Client; readonly watchers: number }[],
  message: Buffer,
  onEvent: (mark: number) => void,
): Promise<void> {
  let unconfirmed = streams.reduce((sum, { watchers }) => sum + watchers, 0);
  await new Promise<void>((resolve, reject) => {
    const answer: WatchAnswer = { isCreated: false, isCanceled: false, marks: [] };
    const onMessage = (bytes: Buffer, start: number, end: number): void => {
      readWatchResponse(bytes, start, end, answer);
      if (answer.isCanceled) reject(new Error("a watcher was cancelled"));
      if (answer.isCreated && --unconfirmed === 0) resolve();
      for (const mark of answer.marks) onEvent(mark);
    };
    for (const { client, watchers } of streams) {
      if (watchers === 0) continue;
      const messages = new MessageReader(onMessage);
      const id = client.open(paths.watch, {
        onData: (bytes, start, end) => messages.feed(bytes, start, end),
        onEnd: (problem) => reject(new Error(`a watch stream ended: ${problem ?? "OK"}`)),
      });
      for (let i = 0; i < watchers; i++) client.send(id, message);
    }
    for (const { client } of streams) client.flush();
  });
}

interface RoundSize {
  readonly watchers: number;
  readonly puts: number;
  /** Puts under way on each putting client. */
  readonly atOnce: number;
}

/** Sends rounds of puts and counts the events that come back. A put carries its number within the round. */
class Rounds implements Load {
  readonly #context: LoadContext;
  readonly #clients: readonly H2Client[];
  readonly #size: RoundSize;
  readonly #message = putMessage(keyText(0));
  readonly #digitsAt = digitsIn(this.#message);
  /** The value is the message's end; its first four bytes are the mark. */
  readonly #markAt: number;
  readonly #sentMs: Float64Array;
  /** Events still to come of each put. */
  readonly #missing: Int32Array;
  #sent = 0;
  #answered = 0;
  #events = 0;
  #isStopped = false;

  constructor(context: LoadContext, clients: H2Client | readonly H2Client[], size: RoundSize) {
    this.#context = context;
    this.#clients = [clients].flat() as readonly H2Client[];
    this.#size = size;
    this.#markAt = this.#message.indexOf("vvvvvvvv");
    this.#sentMs = new Float64Array(size.puts);
    this.#missing = new Int32Array(size.puts);
  }

  start(): void {
    this.#sent = 0;
    this.#answered = 0;
    this.#events = 0;
    this.#missing.fill(this.#size.watchers);
    for (const client of this.#clients) {
      for (let i = 0; i < this.#size.atOnce; i++) this.#put(client);
      // The put that starts a round may follow an event on another connection, whose read does not flush this one.
      client.flush();
    }
  }

  stop(): void {
    this.#isStopped = true;
  }

  #put(client: H2Client): void {
    if (this.#sent === this.#size.puts || this.#isStopped) return;
    this.#send(client, this.#sent++);
  }

  #send(client: H2Client, number: number): void {
    putDigits(this.#message, this.#digitsAt, this.#size.puts === 1 ? 0 : number);
    this.#message.writeUInt32BE(number, this.#markAt);
    const sink: StreamSink = {
      onData: () => undefined,
      onEnd: (problem) => {
        if (problem !== undefined) {
          this.#context.recorder.error(`put: ${problem}`);
          // The round needs it.
          this.#send(client, number);
          return;
        }
        this.#answered += 1;
        this.#put(client);
        this.#maybeNextRound();
      },
    };
    this.#sentMs[number] = performance.now();
    client.call(paths.put, this.#message, sink);
  }

  onEvent(mark: number): void {
    const missing = this.#missing[mark] ?? 0;
    if (missing === 0) {
      this.#context.recorder.error(`an event of put ${mark} came more often than there are watchers`);
      return;
    }
    this.#missing[mark] = missing - 1;
    this.#events += 1;
    this.#context.recorder.record(this.#sentMs[mark]!);
    this.#maybeNextRound();
  }

  #maybeNextRound(): void {
    const { puts, watchers } = this.#size;
    if (this.#answered === puts && this.#events === puts * watchers && !this.#isStopped) this.start();
  }
}
