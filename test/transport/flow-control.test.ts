// Flow control both ways: the server never sends more than the client has room for, sends all of it in the end, and
// takes no more than its handlers do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import type { GrpcServer } from "../../server/transport/grpc-server.ts";
import { errorCode, frameFlag, frameType, settingId } from "../../server/transport/http2-constants.ts";
import { createEchoService, createJournal, EchoDefinition, type EchoMessage } from "./support/echo-service.ts";
import { MemoryLink } from "./support/memory-link.ts";
import { dataFrame, frame, grpcHeaders, grpcMessage, headersFrame, settings, uint32 } from "./support/wire.ts";

const kibibyte = 1024;
const addEcho = (server: GrpcServer): unknown => server.add(EchoDefinition, createEchoService(createJournal()));

function ask(link: MemoryLink, id: number, request: EchoMessage, name = "Unary"): void {
  const message = grpcMessage(Buffer.from(JSON.stringify(request)));
  link.send(headersFrame(id, grpcHeaders(`/test.Echo/${name}`), false), dataFrame(id, message, true));
}

const windowUpdate = (id: number, increment: number): Buffer => frame(frameType.windowUpdate, 0, id, uint32(increment));
const window = (bytes: number): Buffer => settings([settingId.initialWindowSize, bytes]);

test("a response waits for the stream's window, and goes on where it stopped", async () => {
  const link = MemoryLink.open({}, addEcho);
  link.send(window(10));
  ask(link, 1, { sizeBytes: 1000 });
  await link.settle();
  assert.equal(link.body(1).length, 10);
  link.send(windowUpdate(1, 1));
  assert.equal(link.body(1).length, 11);
  // A smaller initial window takes away: what was granted beyond it has to be granted again.
  link.send(window(0));
  link.send(windowUpdate(1, 10));
  assert.equal(link.body(1).length, 11);
  link.send(windowUpdate(1, 1));
  assert.equal(link.body(1).length, 12);
  link.send(window(500));
  assert.equal(link.body(1).length, 512);
  assert.equal(link.statusOf(1), undefined);
  link.send(windowUpdate(1, 10_000));
  assert.equal(link.statusOf(1), 0);
  assert.equal(JSON.parse(link.body(1).toString("utf8", 5)).text.length, 1000);
});

test("responses wait for the connection's window and take turns", async () => {
  const link = MemoryLink.open({}, addEcho);
  link.send(window(10_000_000));
  for (const id of [1, 3, 5]) ask(link, id, { sizeBytes: 100_000 });
  await link.settle();
  const sent = (): number[] => [1, 3, 5].map((id) => link.body(id).length);
  assert.equal(
    sent().reduce((sum, bytes) => sum + bytes, 0),
    65_535,
  );
  link.send(windowUpdate(0, 150_000));
  await link.settle();
  const [most, least] = [Math.max(...sent()), Math.min(...sent())];
  assert(most - least <= 65_535 + 16_384, `some streams got far more than others: ${sent()}`);
  link.send(windowUpdate(0, 1_000_000));
  await link.settle();
  assert.deepEqual(
    [1, 3, 5].map((id) => link.statusOf(id)),
    [0, 0, 0],
  );
});

test("a small response passes a large one that waits for its own window", async () => {
  const link = MemoryLink.open({}, addEcho);
  ask(link, 1, { sizeBytes: 1_000_000 });
  await link.settle();
  link.send(windowUpdate(0, 10_000));
  ask(link, 3, { text: "small" });
  await link.settle();
  assert.equal(link.statusOf(3), 0);
  assert.equal(link.statusOf(1), undefined);
});

test("what waits when the client resets the stream is dropped, and its budget given back", async () => {
  const link = MemoryLink.open({ limits: { sendBufferBytesMax: 300_000 } }, addEcho);
  link.send(window(0));
  ask(link, 1, { sizeBytes: 200_000 });
  ask(link, 3, { sizeBytes: 200_000 });
  await link.settle();
  // The second does not fit beside the first.
  assert.equal(link.statusOf(3), 8);
  assert.match(link.headersOf(3)["grpc-message"]!, /too many responses wait/);
  link.send(frame(frameType.rstStream, 0, 1, uint32(errorCode.cancel)));
  ask(link, 5, { sizeBytes: 200_000 });
  // One response may be larger than the whole budget while nothing else waits.
  await link.settle();
  assert.equal(link.statusOf(5), undefined);
  link.send(frame(frameType.rstStream, 0, 5, uint32(errorCode.cancel)));
  ask(link, 7, { sizeBytes: 900_000 });
  await link.settle();
  link.send(windowUpdate(7, 2_000_000), windowUpdate(0, 2_000_000));
  await link.settle();
  assert.equal(link.statusOf(7), 0);
});

test("a client that takes nothing for long loses its stream, not its connection", async () => {
  const journal = createJournal();
  const link = MemoryLink.open({ limits: { sendStallTimeoutMs: 30_000 } }, (server) =>
    server.add(EchoDefinition, createEchoService(journal)),
  );
  link.send(window(100));
  ask(link, 1, { sizeBytes: 5_000, count: 3 }, "Expand");
  await link.settle();
  link.advance(20_000);
  link.send(windowUpdate(1, 10));
  link.advance(20_000);
  assert.equal(link.resetCode(1), undefined);
  link.advance(15_000);
  assert.equal(link.resetCode(1), errorCode.enhanceYourCalm);
  await link.settle();
  assert(journal.events.includes("expand ended"));
  ask(link, 3, { text: "x" });
  await link.settle();
  assert.equal(link.statusOf(3), 0);
});

test("while the socket takes nothing, nothing is read and little is buffered", async () => {
  const limits = { socketBacklogBytesMax: 100 * kibibyte };
  const link = MemoryLink.open({ limits }, addEcho);
  link.send(window(100_000_000), windowUpdate(0, 100_000_000));
  link.socket.isStuck = true;
  ask(link, 1, { sizeBytes: 1000, count: 100_000 }, "Expand");
  await link.settle();
  assert(link.socket.isPaused);
  assert(
    link.socket.writableLength < 3 * limits.socketBacklogBytesMax,
    `${link.socket.writableLength} bytes in the socket`,
  );
  const before = link.socket.writableLength;
  await link.settle();
  assert.equal(link.socket.writableLength, before);
  ask(link, 3, { text: "unread" });
  await link.settle();
  link.socket.unstick();
  link.turn();
  assert.equal(link.socket.isPaused, false);
  await link.settle();
  assert.equal(link.statusOf(3), 0);
});

test("a page that is a stream is made only as fast as it is taken", async () => {
  let made = 0;
  async function* lines(): AsyncIterable<string> {
    while (made < 1_000) yield `${made++}`.padEnd(1_000);
  }
  const link = MemoryLink.open({ http: () => ({ status: 200, body: lines() }) }, () => undefined);
  const get = [":method", ":scheme", ":path"].map((name, i) => [name, ["GET", "http", "/"][i]!] as const);
  link.send(headersFrame(1, get, true));
  for (let i = 0; i < 20; i++) await link.settle();
  assert(made > 50 && made < 100, `${made} lines of 1000 bytes were made for a window of 65,535`);
  link.send(windowUpdate(1, 2_000_000), windowUpdate(0, 2_000_000));
  while (made < 1_000) await link.settle();
  await link.settle();
  assert.equal(link.body(1).length, 1_000_000);
  assert.equal(link.of(frameType.data, 1).at(-1)!.flags, frameFlag.endStream);
});

test("a handler that does not read holds its client back, and a message larger than the window gets in", async () => {
  const window = 64 * kibibyte;
  let take: () => void = () => undefined;
  let received = 0;
  const link = MemoryLink.open(
    { limits: { streamWindowBytes: window, connectionWindowBytes: 1024 * kibibyte } },
    (server) =>
      server.add(
        { collect: EchoDefinition.collect },
        {
          async collect(requests) {
            for await (const { text } of requests) {
              received += text?.length ?? 0;
              await new Promise<void>((resolve) => {
                take = resolve;
              });
            }
            return {};
          },
        },
      ),
  );
  const message = grpcMessage(Buffer.from(JSON.stringify({ text: "m".repeat(10_000) })));
  link.send(headersFrame(1, grpcHeaders("/test.Echo/Collect"), false));
  let room = window;
  const granted = (): number =>
    link.of(frameType.windowUpdate, 1).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  let sent = 0;
  while (sent + message.length <= room) {
    link.send(dataFrame(1, message, false));
    sent += message.length;
    await link.settle();
    room = window + granted();
  }
  // One message is with the handler, the others wait: the window is used up.
  assert.equal(received, 10_000);
  assert(sent <= window + 2 * message.length, `${sent} bytes were let in`);
  for (let i = 0; i < 10; i++) {
    take();
    await link.settle();
  }
  assert(granted() >= window / 2);
  // Now one message of five windows.
  const large = grpcMessage(Buffer.from(JSON.stringify({ text: "L".repeat(5 * window) })));
  for (let at = 0; at < large.length; ) {
    const piece = large.subarray(at, at + Math.min(8 * kibibyte, window + granted() - sent));
    assert(piece.length > 0, `no room after ${at} of ${large.length} bytes`);
    at += piece.length;
    sent += piece.length;
    link.send(dataFrame(1, piece, at === large.length));
    await link.settle();
    take();
  }
  for (let i = 0; i < 5; i++) {
    await link.settle();
    take();
  }
  await link.settle();
  assert.equal(link.statusOf(1), 0);
});

test("a client that sends more than it may is stopped", async () => {
  const link = MemoryLink.open({ limits: { streamWindowBytes: 20_000, connectionWindowBytes: 100_000 } }, (server) =>
    server.add({ collect: EchoDefinition.collect }, { collect: () => new Promise(() => undefined) }),
  );
  const chunk = grpcMessage(Buffer.alloc(9_995, 0x20));
  link.send(headersFrame(1, grpcHeaders("/test.Echo/Collect"), false));
  link.send(dataFrame(1, chunk, false), dataFrame(1, chunk, false), dataFrame(1, Buffer.alloc(1), false));
  assert.equal(link.resetCode(1), errorCode.flowControlError);
  assert.equal(link.goawayCode, undefined);
  // Each stream within its window, all together beyond the connection's: it is refilled as bytes come, so never here.
  for (let id = 3; id < 60; id += 2) {
    link.send(headersFrame(id, grpcHeaders("/test.Echo/Collect"), false), dataFrame(id, chunk, false));
  }
  assert.equal(link.goawayCode, undefined);
});

test("request bytes over the connection's budget end the call that brings them", async () => {
  const limits = { receiveBufferBytesMax: 50_000 };
  const link = MemoryLink.open({ limits }, addEcho);
  const part = grpcMessage(Buffer.alloc(100_000, 0x20)).subarray(0, 16_000);
  for (const id of [1, 3, 5, 7]) {
    link.send(headersFrame(id, grpcHeaders("/test.Echo/Unary"), false), dataFrame(id, part, false));
  }
  assert.deepEqual(
    [1, 3, 5, 7].map((id) => link.statusOf(id)),
    [undefined, undefined, undefined, 8],
  );
  assert.match(link.headersOf(7)["grpc-message"]!, /too many request bytes/);
  // What the others held is free again when they end.
  for (const id of [1, 3, 5]) link.send(frame(frameType.rstStream, 0, id, uint32(errorCode.cancel)));
  link.send(headersFrame(9, grpcHeaders("/test.Echo/Unary"), false), dataFrame(9, part, false));
  assert.equal(link.statusOf(9), undefined);
});

const seed = Number(process.env["QUORATE_SEED"] ?? 4711);

test("random windows: never exceeded, and everything arrives in order", async (t) => {
  t.diagnostic(`QUORATE_SEED=${seed}`);
  for (let round = 0; round < 30; round++) {
    const random = createRandom(seed + round);
    const link = MemoryLink.open({}, addEcho);
    let initial = 65_535;
    let connectionWindow = 65_535;
    const streamWindows = new Map<number, number>();
    const sizes = new Map<number, number>();
    let counted = 0;
    const account = (): void => {
      for (const { type, streamId, payload } of link.frames.slice(counted)) {
        if (type !== frameType.data) continue;
        connectionWindow -= payload.length;
        streamWindows.set(streamId, streamWindows.get(streamId)! - payload.length);
        assert(connectionWindow >= 0, "the connection's window was exceeded");
        assert(payload.length === 0 || streamWindows.get(streamId)! >= 0, "a stream's window was exceeded");
      }
      counted = link.frames.length;
    };
    let nextId = 1;
    for (let step = 0; step < 80; step++) {
      const choice = random.below(5);
      if (choice === 0 && nextId < 40) {
        const sizeBytes = [1, 100, 5_000, 16_384, 90_000][random.below(5)]!;
        sizes.set(nextId, sizeBytes);
        streamWindows.set(nextId, initial);
        ask(link, nextId, { sizeBytes, count: 3 }, random.below(2) === 0 ? "Unary" : "Expand");
        nextId += 2;
      } else if (choice === 1) {
        const next = [0, 1, 77, 10_000, 65_535, 200_000][random.below(6)]!;
        for (const [id, left] of streamWindows) streamWindows.set(id, left + next - initial);
        initial = next;
        link.send(window(next));
      } else if (choice === 2) {
        const increment = 1 + random.below(50_000);
        connectionWindow += increment;
        link.send(windowUpdate(0, increment));
      } else if (nextId > 1) {
        const id = 1 + 2 * random.below((nextId - 1) / 2);
        const increment = 1 + random.below(30_000);
        // A stream that is done has no window any more; saying so is allowed.
        streamWindows.set(id, streamWindows.get(id)! + increment);
        link.send(windowUpdate(id, increment));
      }
      if (random.below(3) === 0) await link.settle();
      account();
    }
    link.send(windowUpdate(0, 100_000_000));
    for (const id of streamWindows.keys()) link.send(windowUpdate(id, 1_000_000));
    connectionWindow += 100_000_000;
    for (const [id, left] of streamWindows) streamWindows.set(id, left + 1_000_000);
    for (let i = 0; i < 5; i++) await link.settle();
    account();
    for (const [id, sizeBytes] of sizes) {
      assert.equal(link.statusOf(id), 0, `seed ${seed + round}, stream ${id}`);
      const body = link.body(id);
      for (let at = 0; at < body.length; ) {
        const length = body.readUInt32BE(at + 1);
        assert.equal(JSON.parse(body.toString("utf8", at + 5, at + 5 + length)).text, "x".repeat(sizeBytes));
        at += 5 + length;
      }
    }
    assert.equal(
      link.of(frameType.data).some(({ flags }) => (flags & frameFlag.padded) !== 0),
      false,
    );
  }
});
