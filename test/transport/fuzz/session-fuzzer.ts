// One fuzzed connection from one seed: a client does things, handlers do things, time passes, and everything the server
// says is held to the protocol. What must hold is in ResponseChecker and in the limits below; a seed that breaks it is
// to become a named test.
import assert from "node:assert/strict";
import { createRandom, type Random } from "../../../server/lib/random.ts";
import { answersLater, type TransportCallContext } from "../../../server/transport/call-context.ts";
import { GrpcServer } from "../../../server/transport/grpc-server.ts";
import { errorCode, frameFlag, frameType } from "../../../server/transport/http2-constants.ts";
import type { TransportLimits } from "../../../server/transport/limits.ts";
import { type MessageSink, type PushSource, pushTo } from "../../../server/transport/push-source.ts";
import { type Head, ManualClock, MemoryLink } from "../support/memory-link.ts";
import { type Frame, greeting, grpcHeaders, headersFrame } from "../support/wire.ts";
import {
  type ClientView,
  changeSettings,
  createView,
  damage,
  oddity,
  openStream,
  pick,
  sendData,
  windowUpdate,
} from "./actions.ts";

/** Small, so that sequences of a few dozen frames meet them. */
const limits: Partial<TransportLimits> = {
  streamsMax: 8,
  receiveMessageBytesMax: 100_000,
  headerListBytesMax: 8_000,
  headerBlockBytesMax: 20_000,
  continuationFramesMax: 4,
  streamWindowBytes: 30_000,
  connectionWindowBytes: 70_000,
  receiveBufferBytesMax: 60_000,
  sendBufferBytesMax: 100_000,
  socketBacklogBytesMax: 30_000,
  nuisanceBurst: 40,
  nuisancePerSecond: 5,
};

/** How a sequence ended, for the statistics of a run. */
export type Outcome = "goaway" | "still open";

const bytesCodec = {
  requestSerialize: (bytes: Buffer) => bytes,
  requestDeserialize: (bytes: Uint8Array) => {
    if (bytes[0] === 7) throw new Error("undecodable");
    return bytes;
  },
  responseSerialize: (bytes: Uint8Array) => bytes,
  responseDeserialize: (bytes: Uint8Array) => bytes,
  options: {},
};

const method = <A extends boolean, B extends boolean>(name: string, requestStream: A, responseStream: B) => ({
  ...bytesCodec,
  path: `/fuzz.Fuzz/${name}`,
  requestStream,
  responseStream,
});

const definition = {
  sync: method("Sync", false, false),
  later: method("Later", false, false),
  fail: method("Fail", false, false),
  pull: method("Pull", false, true),
  push: method("Push", false, true),
  collect: method("Collect", true, false),
  chat: method("Chat", true, true),
};

/** Calls and sinks that wait for the fuzzer to do something with them. */
interface Waiting {
  readonly calls: TransportCallContext[];
  readonly sinks: MessageSink<Uint8Array>[];
}

function createService(random: Random, waiting: Waiting) {
  const message = (): Buffer => Buffer.alloc(pick(random, [0, 1, 100, 5_000, 16_379, 16_380, 40_000]), 9);
  return {
    sync: () => message(),
    later: (_request: Uint8Array, context: object) => {
      const call = context as TransportCallContext;
      if (random.below(2) === 0) void call.signal;
      if (random.below(4) === 0) call.header.set("x-head", "1");
      if (random.below(4) === 0) call.trailer.set("x-tail-bin", Buffer.from([1]));
      waiting.calls.push(call);
      return answersLater as never;
    },
    fail: () => {
      throw Object.assign(new Error("no"), random.below(2) === 0 ? { name: "AbortError" } : {});
    },
    async *pull() {
      for (let i = random.below(6); i > 0; i--) yield message();
    },
    push: (): PushSource<Uint8Array> => ({
      [pushTo]: (sink) => void waiting.sinks.push(sink),
      [Symbol.asyncIterator]: () => assert.fail("a push source was asked for messages"),
    }),
    async collect(requests: AsyncIterable<Uint8Array>) {
      let left = random.below(4);
      for await (const _ of requests) if (left-- === 0) break;
      return message();
    },
    async *chat(requests: AsyncIterable<Uint8Array>) {
      for await (const _ of requests) yield message();
    },
  };
}

/** Follows what the server sends and knows what it may send. */
class ResponseChecker {
  readonly #states = new Map<number, "headers" | "ended">();
  #isGoingAway = false;

  /** `view` undefined where the client's bytes were damaged, so that nobody knows what the server made of them. */
  check({ type, flags, streamId, payload }: Frame, view: ClientView | undefined): void {
    assert(payload.length <= 16_384, "a frame larger than the client's limit");
    const state = this.#states.get(streamId);
    switch (type) {
      case frameType.headers:
        assert(state !== "ended", "HEADERS on an ended stream");
        assert(state === undefined || (flags & frameFlag.endStream) !== 0, "trailers that do not end the stream");
        this.#states.set(streamId, (flags & frameFlag.endStream) !== 0 ? "ended" : "headers");
        break;
      case frameType.data:
        assert(state === "headers", `DATA on a stream that is ${state ?? "not answered"}`);
        if ((flags & frameFlag.endStream) !== 0) this.#states.set(streamId, "ended");
        if (view === undefined) break;
        view.connectionWindow -= payload.length;
        assert(view.connectionWindow >= 0, "the connection's window was exceeded");
        // A stream that an oddity opened is not in the client's books.
        if (!view.streamWindows.has(streamId)) break;
        view.streamWindows.set(streamId, view.streamWindows.get(streamId)! - payload.length);
        assert(view.streamWindows.get(streamId)! >= 0 || payload.length === 0, "a stream's window was exceeded");
        break;
      case frameType.rstStream:
        assert.equal(payload.length, 4);
        this.#states.set(streamId, "ended");
        break;
      case frameType.goaway:
        assert.equal(streamId, 0);
        this.#isGoingAway = true;
        break;
      case frameType.windowUpdate:
        assert(payload.readUInt32BE(0) > 0 && payload.readUInt32BE(0) < 2 ** 31, "a window update of nothing");
        break;
      default:
        assert(
          [frameType.settings, frameType.ping, frameType.continuation].includes(type as 4),
          `a frame of type ${type} from a server`,
        );
    }
  }

  get isGoingAway(): boolean {
    return this.#isGoingAway;
  }
}

/** A response's header list: the first of a stream has a status, what ends a gRPC response has gRPC's. */
function checkHead({ streamId, headers, endsStream }: Head, before: readonly Head[]): void {
  const first = before.find((head) => head.streamId === streamId);
  assert.equal(":status" in headers, first === undefined, "exactly the first HEADERS of a stream have a :status");
  const isGrpc = (first?.headers ?? headers)["content-type"] === "application/grpc";
  if (isGrpc) assert.equal("grpc-status" in headers, endsStream, "a gRPC response ends with its status");
}

/** Runs the sequence of `seed`. Throws where something that must hold did not. */
export async function runSequence(seed: number): Promise<Outcome> {
  const random = createRandom(seed);
  const clock = new ManualClock();
  const waiting: Waiting = { calls: [], sinks: [] };
  const server = new GrpcServer({
    clock,
    limits,
    onError: () => undefined,
    http: (request) => ({ status: 200, body: request.target }),
  });
  server.add(definition, createService(random.fork("service"), waiting) as never);
  const link = new MemoryLink(server, clock);
  const view = createView(pick(random, [1, 10, 100]));
  const checker = new ResponseChecker();
  // Three kinds of clients: orderly ones, whose windows are checked; ones whose bytes come in any pieces; damaged ones.
  const kind = pick(random, ["orderly", "orderly", "chopped", "damaged"] as const);
  let checked = 0;
  const check = (): void => {
    for (; checked < link.frames.length; checked++)
      checker.check(link.frames[checked]!, kind === "orderly" ? view : undefined);
    assert(link.socket.writableLength < 200_000, `${link.socket.writableLength} bytes wait in the socket`);
  };
  let heads = 0;
  const checkHeads = (): void => {
    for (; heads < link.heads.length; heads++) checkHead(link.heads[heads]!, link.heads.slice(0, heads));
  };
  link.send(greeting);
  for (let step = 3 + random.below(40); step > 0 && !link.socket.isDestroyed; step--) {
    if (random.below(6) === 0) stepOutside(random, link, waiting, kind);
    else {
      const bytes = clientAction(random, view);
      if (kind === "orderly") link.send(bytes);
      else sendInPieces(random, link, kind === "damaged" && random.below(6) === 0 ? damage(random, bytes) : bytes);
    }
    if (random.below(4) === 0) await settleMicrotasks(link);
    check();
    checkHeads();
  }
  if (kind === "orderly" && link.goawayCode === undefined) probe(link, view);
  return finish(link, waiting, check);
}

/** A connection that was not given up still answers: here with a status that needs no room in any window. */
function probe(link: MemoryLink, view: ClientView): void {
  const id = 1 + 2 * Math.ceil(Math.max(view.nextId, 1_001) / 2);
  link.send(headersFrame(id, grpcHeaders("/fuzz.Fuzz/Nothing"), true));
  const isAnswered = link.statusOf(id) === 12 || link.resetCode(id) === errorCode.refusedStream;
  assert(isAnswered || link.goawayCode !== undefined, "an honest request was not answered");
}

function clientAction(random: Random, view: ClientView): Buffer {
  const choice = random.below(20);
  // What there is to say about streams needs one.
  if (choice < 6 || view.open.size === 0) return openStream(random, view);
  if (choice < 13) return sendData(random, view);
  if (choice < 16) return windowUpdate(random, view);
  if (choice < 17) return changeSettings(random, view);
  return oddity(random, view);
}

/** What happens on the server's side: handlers act, time passes, the socket gets stuck, the server shuts down. */
function stepOutside(random: Random, link: MemoryLink, waiting: Waiting, kind: string): void {
  const choice = random.below(12);
  if (choice < 4 && waiting.calls.length > 0) {
    const call = pick(random, waiting.calls);
    if (random.below(4) === 0) call.fail(new Error("late"));
    else call.answer(Buffer.alloc(pick(random, [0, 10, 20_000, 200_000])));
  } else if (choice < 8 && waiting.sinks.length > 0) {
    const sink = pick(random, waiting.sinks);
    if (random.below(5) === 0) sink.end(random.below(2) === 0 ? undefined : new Error("late"));
    else if (sink.write(Buffer.alloc(pick(random, [0, 10, 9_000])))) sink.onReady = () => sink.write(Buffer.alloc(50));
  } else if (choice < 10) link.advance(pick(random, [1, 20, 1_000, 11_000, 70_000]));
  else if (choice === 10 && kind !== "orderly") {
    if (link.socket.isStuck) link.socket.unstick();
    else link.socket.isStuck = true;
  } else if (random.below(10) === 0) void link.server.drain(30_000);
  link.turn();
}

function sendInPieces(random: Random, link: MemoryLink, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random.below(random.below(3) === 0 ? 4 : 3_000));
    link.send(bytes.subarray(at, end));
    at = end;
  }
}

async function settleMicrotasks(link: MemoryLink): Promise<void> {
  for (let i = 0; i < 12; i++) await null;
  link.turn();
}

/** Ends the connection and looks whether anything is left of it. */
async function finish(link: MemoryLink, waiting: Waiting, check: () => void): Promise<Outcome> {
  const outcome = link.goawayCode === undefined ? "still open" : "goaway";
  if (link.socket.isStuck) link.socket.unstick();
  await settleMicrotasks(link);
  check();
  link.socket.clientEnds();
  for (const call of waiting.calls) call.answer(Buffer.alloc(1));
  for (const sink of waiting.sinks) sink.end();
  for (let i = 0; i < 4; i++) await settleMicrotasks(link);
  assert.equal(link.server.connectionCount, 0, "the connection is still there");
  assert.deepEqual(link.server.heldBytes, { received: 0, sending: 0 }, "bytes were not given back");
  await link.server.close();
  return outcome;
}
