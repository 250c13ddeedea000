// What time and shutdown do to a connection: keepalive in both directions, frames that are never finished, requests that
// never come, deadlines, and the graceful end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createChannel, createClient } from "nice-grpc";
import type { CallContext } from "nice-grpc-common";
import { createGrpcServer, type GrpcServer } from "../../server/transport/grpc-server.ts";
import { clientPreface, errorCode, frameFlag, frameType } from "../../server/transport/http2-constants.ts";
import { BareSocket, http1, http2 } from "./support/clients.ts";
import { openDoor } from "./support/door.ts";
import { createEchoService, createJournal, EchoDefinition, type EchoJournal } from "./support/echo-service.ts";
import { ManualClock, MemoryLink } from "./support/memory-link.ts";
import {
  dataFrame,
  frame,
  greeting,
  grpcHeaders,
  grpcMessage,
  headersFrame,
  hpackBlock,
  uint32,
} from "./support/wire.ts";

const path = "/test.Echo/Unary";
const message = grpcMessage(Buffer.from('{"text":"hi"}'));
const waiting = grpcMessage(Buffer.from('{"waitForAbort":true}'));
const ping = frame(frameType.ping, 0, 0, Buffer.from("12345678"));

function open(journal: EchoJournal = createJournal(), options = {}): MemoryLink {
  return MemoryLink.open(options, (server: GrpcServer) => server.add(EchoDefinition, createEchoService(journal)));
}

const request = (id: number, body = message, name = "Unary"): Buffer =>
  Buffer.concat([headersFrame(id, grpcHeaders(`/test.Echo/${name}`), false), dataFrame(id, body, true)]);

const answeredPings = (link: MemoryLink): number =>
  link.of(frameType.ping).filter(({ flags }) => flags === frameFlag.ack).length;

test("keepalive: pings no closer than five seconds while a stream is open", () => {
  const link = open();
  link.send(request(1, waiting));
  for (let i = 0; i < 20; i++) {
    link.send(ping);
    link.advance(5_000);
  }
  assert.equal(answeredPings(link), 20);
  assert.deepEqual(link.of(frameType.ping)[0]?.payload, Buffer.from("12345678"));
  // Two too soon are forgiven, the third is not.
  link.send(ping);
  for (let i = 0; i < 2; i++) {
    link.advance(4_000);
    link.send(ping);
    assert.equal(link.goawayCode, undefined);
  }
  link.advance(4_000);
  link.send(ping);
  assert.equal(link.goawayCode, errorCode.enhanceYourCalm);
  assert.equal(link.goawayText(), "too_many_pings");
});

test("keepalive: hardly any pings while no stream is open, unless they are permitted", () => {
  for (const [permitWithoutStream, expected] of [
    [false, errorCode.enhanceYourCalm],
    [true, undefined],
  ] as const) {
    const link = open(createJournal(), { keepalive: { permitWithoutStream } });
    for (let i = 0; i < 4; i++) {
      link.send(ping);
      link.advance(60_000);
    }
    assert.equal(link.goawayCode, expected);
  }
});

test("keepalive: what the server sends gives the client a ping for free", async () => {
  const link = open();
  link.send(request(1, waiting));
  for (let id = 3; id < 100; id += 2) {
    link.send(request(id));
    await link.settle();
    assert.equal(link.statusOf(id), 0);
    link.send(ping);
    assert.equal(link.goawayCode, undefined);
  }
});

test("keepalive: a silent client is pinged, and given up when it does not answer", () => {
  const keepalive = { serverPingAfterMs: 60_000, serverPingTimeoutMs: 20_000 };
  const link = open(createJournal(), { keepalive });
  for (let i = 0; i < 3; i++) {
    link.advance(61_000);
    const [asked] = link.of(frameType.ping).splice(0);
    assert(asked !== undefined);
    link.send(frame(frameType.ping, frameFlag.ack, 0, asked.payload));
    link.frames.length = 0;
    link.advance(30_000);
    assert.equal(link.goawayCode, undefined);
    // Anything at all shows that the client is there.
    link.send(request(1 + 2 * i));
    link.frames.length = 0;
  }
  link.advance(61_000);
  assert.equal(link.of(frameType.ping).length, 1);
  link.advance(22_000);
  assert.equal(link.goawayCode, errorCode.noError);
  assert.equal(link.socket.isEnded, true);
});

test("a preface, frame or header block that is never finished ends the connection", () => {
  const limits = { incompleteFrameTimeoutMs: 10_000 };
  const block = hpackBlock(grpcHeaders(path));
  const cases: readonly Buffer[] = [
    frame(frameType.headers, frameFlag.endHeaders, 1, block).subarray(0, 20),
    frame(frameType.headers, frameFlag.endHeaders, 1, block).subarray(0, 3),
    frame(frameType.headers, 0, 1, block),
  ];
  for (const bytes of cases) {
    const link = open(createJournal(), { limits });
    link.send(bytes);
    link.advance(9_000);
    assert.equal(link.goawayCode, undefined);
    link.advance(4_000);
    assert.equal(link.goawayCode, errorCode.enhanceYourCalm);
    link.advance(2_000);
    assert.equal(link.socket.isDestroyed, true);
  }
  for (const bytes of [Buffer.alloc(0), clientPreface.subarray(0, 10), clientPreface]) {
    const clock = new ManualClock();
    const link = new MemoryLink(createGrpcServer({ clock, limits }), clock);
    link.send(bytes);
    link.advance(14_000);
    assert.equal(link.socket.isDestroyed, true);
  }
  // One byte now and then does not help.
  const link = open(createJournal(), { limits });
  for (const byte of frame(frameType.headers, frameFlag.endHeaders, 1, block)) {
    link.send(Buffer.from([byte]));
    link.advance(2_000);
  }
  assert.equal(link.goawayCode, errorCode.enhanceYourCalm);
});

test("a client that is always within some frame is not mistaken for one that is stuck", async () => {
  const link = open(createJournal(), { limits: { incompleteFrameTimeoutMs: 10_000 } });
  link.send(headersFrame(1, grpcHeaders("/test.Echo/Collect"), false));
  const chunk = dataFrame(1, message, false);
  link.send(chunk.subarray(0, 5));
  for (let i = 0; i < 40; i++) {
    link.advance(1_000);
    link.send(chunk.subarray(5), chunk.subarray(0, 5));
    await link.settle();
  }
  link.send(chunk.subarray(5), dataFrame(1, Buffer.alloc(0), true));
  await link.settle();
  assert.equal(link.statusOf(1), 0);
});

test("a unary request that is never complete ends with DEADLINE_EXCEEDED", async () => {
  const link = open(createJournal(), { limits: { requestTimeoutMs: 60_000 } });
  link.send(headersFrame(1, grpcHeaders(path), false));
  link.send(headersFrame(3, grpcHeaders("/test.Echo/Expand"), false), dataFrame(3, message.subarray(0, 8), false));
  // A stream of requests may be silent.
  link.send(headersFrame(5, grpcHeaders("/test.Echo/Collect"), false));
  link.advance(59_000);
  assert.deepEqual(
    [1, 3].map((id) => link.statusOf(id)),
    [undefined, undefined],
  );
  link.advance(4_000);
  assert.deepEqual(
    [1, 3, 5].map((id) => link.statusOf(id)),
    [4, 4, undefined],
  );
  assert.equal(link.headersOf(1)["grpc-message"], "the request was not complete within 60000 ms");
  link.send(dataFrame(5, message, true));
  await link.settle();
  assert.equal(link.statusOf(5), 0);
});

test("deadlines by the thousand come in time, never early, and leave nothing behind", async () => {
  const journal = createJournal();
  const link = open(journal);
  const byUnit = { n: 5_000_000, u: 5_000, m: 5, S: 0 } as const;
  link.send(headersFrame(1, grpcHeaders(path, [["grpc-timeout", `${byUnit.n}n`]]), false), dataFrame(1, waiting, true));
  link.send(headersFrame(3, grpcHeaders(path, [["grpc-timeout", `${byUnit.u}u`]]), false), dataFrame(3, waiting, true));
  link.send(headersFrame(5, grpcHeaders(path, [["grpc-timeout", `${byUnit.m}m`]]), false), dataFrame(5, waiting, true));
  link.send(headersFrame(7, grpcHeaders(path, [["grpc-timeout", "0S"]]), false), dataFrame(7, waiting, true));
  await link.settle();
  link.advance(4);
  assert.deepEqual(
    [1, 3, 5].map((id) => link.statusOf(id)),
    [undefined, undefined, undefined],
  );
  link.advance(40);
  assert.deepEqual(
    [1, 3, 5, 7].map((id) => link.statusOf(id)),
    [4, 4, 4, 4],
  );
  assert.equal(link.headersOf(1)["grpc-message"], "context deadline exceeded");
  await link.settle();
  for (let i = 0; i < 2_000; i++) {
    const more = [["grpc-timeout", `${1 + ((i * 7919) % 99_999)}S`]] as const;
    link.send(headersFrame(101 + 2 * i, grpcHeaders(path, more), false), dataFrame(101 + 2 * i, message, true));
    if (i % 100 === 0) await link.settle();
  }
  await link.settle();
  link.advance(5_000);
  // The connection's sweep is all that is left.
  assert.equal(link.clock.timerCount, 1);
  const far = headersFrame(5_001, grpcHeaders(path, [["grpc-timeout", "99999999H"]]), false);
  link.send(far, dataFrame(5_001, message, true));
  await link.settle();
  assert.equal(link.statusOf(5_001), 0);
  link.advance(3_000);
  assert.equal(link.clock.timerCount, 1);
});

test("the context knows the deadline", async () => {
  let deadlineMs: number | undefined;
  const link = MemoryLink.open({}, (server) =>
    server.add(
      { unary: EchoDefinition.unary },
      {
        unary: (_request: object, context: CallContext) => {
          deadlineMs = (context as CallContext & { deadlineMs?: number }).deadlineMs;
          return {};
        },
      },
    ),
  );
  const nowMs = link.clock.nowMs();
  link.send(headersFrame(1, grpcHeaders(path, [["grpc-timeout", "7S"]]), false), dataFrame(1, message, true));
  assert.equal(deadlineMs, nowMs + 7_000);
  link.send(request(3));
  assert.equal(deadlineMs, undefined);
});

test("drain: two GOAWAYs around a ping, late streams served in between, refused after", async () => {
  const journal = createJournal();
  const link = open(journal);
  link.send(request(1, grpcMessage(Buffer.from('{"text":"slow","delayMs":50}'))));
  link.send(headersFrame(3, grpcHeaders("/test.Echo/Chat"), false), dataFrame(3, waiting, false));
  await link.settle();
  await journal.until("waiting");
  const drained = link.server.drain(60_000);
  link.turn();
  const [first] = link.of(frameType.goaway);
  assert.deepEqual([first!.payload.readUInt32BE(0), first!.payload.readUInt32BE(4)], [0x7fff_ffff, errorCode.noError]);
  const [asked] = link.of(frameType.ping);
  // The stream was told and has ended: with UNAVAILABLE, so that clients look for another server.
  await link.settle();
  assert.equal(link.statusOf(3), 14);
  assert.equal(link.headersOf(3)["grpc-message"], "the server is shutting down");
  // Opened before the client knew: served, and told at once if it is a stream.
  link.send(request(5));
  link.send(headersFrame(7, grpcHeaders("/test.Echo/Chat"), false), dataFrame(7, waiting, false));
  await link.settle();
  assert.deepEqual(
    [5, 7].map((id) => link.statusOf(id)),
    [0, 14],
  );
  link.send(frame(frameType.ping, frameFlag.ack, 0, asked!.payload));
  assert.equal(link.of(frameType.goaway).at(-1)!.payload.readUInt32BE(0), 7);
  link.send(request(9));
  await link.settle();
  assert.equal(link.statusOf(9), undefined);
  // The unary call under way finishes, then the connection is closed.
  while (link.statusOf(1) === undefined) await link.settle();
  assert.equal(link.statusOf(1), 0);
  assert.equal(link.socket.isEnded, true);
  link.socket.clientEnds();
  await drained;
});

test("drain: a client that does not answer the ping is not waited for; one that stays is closed in the end", async () => {
  const link = open();
  link.send(request(1, waiting));
  await link.settle();
  const drained = link.server.drain(5_000);
  link.turn();
  assert.equal(link.of(frameType.goaway).length, 1);
  link.advance(2_500);
  assert.equal(link.of(frameType.goaway).length, 2);
  // A unary call is not told, and this one never ends.
  assert.equal(link.statusOf(1), undefined);
  assert.equal(link.socket.isDestroyed, false);
  link.advance(3_000);
  assert.equal(link.socket.isDestroyed, true);
  await drained;
});

test("drain: a client that has no call under way, or no longer, is not waited for as long as one that has", async () => {
  let finish!: () => void;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const link = MemoryLink.open({}, (server: GrpcServer) =>
    server.add({ unary: EchoDefinition.unary }, { unary: () => finished.then(() => ({ text: "slow" })) }),
  );
  link.send(request(1));
  await link.settle();
  const drained = link.server.drain(5_000, 700);
  link.turn();
  link.advance(2_000);
  assert.equal(link.socket.isDestroyed, false);
  finish();
  while (link.statusOf(1) === undefined) await link.settle();
  assert.equal(link.statusOf(1), 0);
  link.advance(700);
  assert.equal(link.socket.isDestroyed, false, "it may not have the answer yet");
  link.advance(700);
  assert.equal(link.socket.isDestroyed, true);
  await drained;
});

test("drain: with real clients, unary calls finish and streams end", async () => {
  await using door = openDoor();
  const { port, url } = await door.listen("http://127.0.0.1:0");
  const channel = createChannel(`127.0.0.1:${port}`);
  const client = createClient(EchoDefinition, channel);
  const slow = client.unary({ text: "finished", delayMs: 300 });
  const stream = (async () => {
    for await (const _ of client.expand({ count: 1, waitForAbort: true }));
  })();
  const page = http1(`${url}/wait`);
  const page2 = http2(`${url}/wait`);
  await Promise.all([door.journal.until("waiting"), door.journal.until("http waiting")]);
  // One that keeps its connection for later requests, and one that has not said what it wants.
  const idle = await BareSocket.connect(port!);
  idle.write("GET /page HTTP/1.1\r\nhost: x\r\n\r\n");
  while (!idle.received.includes("a page")) await new Promise((resolve) => idle.socket.once("data", resolve));
  const silent = await BareSocket.connect(port!);
  while (door.door.connectionCount < 5) await new Promise(setImmediate);
  const ended = assert.rejects(stream, /UNAVAILABLE: the server is shutting down/);
  const drained = door.door.drain(600_000);
  await Promise.all([idle.closed(), silent.closed(), ended]);
  assert.equal((await slow).text, "finished");
  assert.equal((await page).body, "waiting\ndone\n");
  assert.equal((await page2).body, "waiting\ndone\n");
  channel.close();
  await drained;
  assert.equal(door.door.connectionCount, 0);
  await assert.rejects(http1(`${url}/page`));
});

test("closing aborts what is under way, and closing twice is fine", async () => {
  const door = openDoor();
  const { port } = await door.listen("http://127.0.0.1:0");
  const channel = createChannel(`127.0.0.1:${port}`);
  const client = createClient(EchoDefinition, channel);
  const call = assert.rejects(client.unary({ waitForAbort: true }));
  await door.journal.until("waiting");
  await Promise.all([door.door.close(), door.door.close()]);
  await call;
  await door.journal.until("aborted");
  await door[Symbol.asyncDispose]();
  channel.close();
});

test("a client that goes away aborts its calls with the reason", async () => {
  const reasons: string[] = [];
  const link = MemoryLink.open({}, (server) =>
    server.add(
      { unary: EchoDefinition.unary },
      {
        unary: (_request: object, { signal }: CallContext) =>
          new Promise<object>((resolve) => {
            signal.addEventListener("abort", () => {
              reasons.push((signal.reason as { kind: string }).kind);
              resolve({});
            });
          }),
      },
    ),
  );
  link.send(request(1), request(3));
  link.send(headersFrame(5, grpcHeaders(path, [["grpc-timeout", "1S"]]), false), dataFrame(5, message, true));
  link.send(frame(frameType.rstStream, 0, 1, uint32(errorCode.cancel)));
  link.advance(1_100);
  link.socket.clientEnds();
  assert.deepEqual(reasons, ["cancelled", "deadline", "disconnected"]);
  await link.server.close();
});

test("the greeting is one write, and so are all answers of a turn", async () => {
  const clock = new ManualClock();
  const server = createGrpcServer({ clock }).add({ unary: EchoDefinition.unary }, { unary: () => ({ text: "x" }) });
  const link = new MemoryLink(server, clock);
  link.send(greeting);
  const before = link.socket.writeCount;
  link.send(...Array.from({ length: 100 }, (_, i) => request(1 + 2 * i)));
  assert.equal(link.socket.writeCount, before + 1);
  assert.equal(link.statusOf(199), 0);
});
