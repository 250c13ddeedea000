// Hostile input, attack by attack: the limit that meets it and what is done there (the table in server/transport/
// DESIGN.md names them), and honest clients that keep being served meanwhile.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createChannel, createClient } from "nice-grpc";
import { errorCode, frameFlag, frameType } from "../../server/transport/http2-constants.ts";
import type { TransportLimits } from "../../server/transport/limits.ts";
import { type Attack, attacksOn } from "./support/attacks.ts";
import { openDoor } from "./support/door.ts";
import { createEchoService, createJournal, EchoDefinition } from "./support/echo-service.ts";
import { MemoryLink } from "./support/memory-link.ts";
import {
  dataFrame,
  frame,
  greeting,
  grpcHeaders,
  grpcMessage,
  headersFrame,
  settings,
  uint32,
} from "./support/wire.ts";

const message = grpcMessage(Buffer.from('{"text":"hi"}'));

const askOf = (method: string, request: string): { path: string; message: Buffer } => ({
  path: `/test.Echo/${method}`,
  message: grpcMessage(Buffer.from(request)),
});
const { nuisances, stoppedAtOnce, bounded } = attacksOn({
  quick: askOf("Unary", '{"text":"hi"}'),
  hanging: askOf("Unary", '{"waitForAbort":true}'),
  large: askOf("Unary", '{"sizeBytes":1000000}'),
  endless: askOf("Expand", '{"sizeBytes":10000,"count":1000000}'),
  collecting: askOf("Collect", '{"waitForAbort":true}'),
  unread: "/test.Echo/Nothing",
});

/** A link to an echo server that notes how many handlers ran, and how many ran at once. */
function openLink(limits: Partial<TransportLimits>): {
  link: MemoryLink;
  started: () => number;
  atOnceMax: () => number;
} {
  let started = 0;
  let running = 0;
  let atOnceMax = 0;
  const link = MemoryLink.open(
    {
      limits,
      observer: {
        beforeCall: () => {
          started += 1;
        },
      },
    },
    (server) => {
      const service = createEchoService(createJournal());
      return server.add(EchoDefinition, {
        ...service,
        async unary(request, context) {
          running += 1;
          atOnceMax = Math.max(atOnceMax, running);
          try {
            // A handler notices late that its caller is gone.
            if (request.waitForAbort === true) await new Promise((resolve) => setTimeout(resolve, 20));
            return await service.unary({ ...request, waitForAbort: false }, context);
          } finally {
            running -= 1;
          }
        },
      });
    },
  );
  return { link, started: () => started, atOnceMax: () => atOnceMax };
}

const burst = 300;
const small: Partial<TransportLimits> = {
  nuisanceBurst: burst,
  nuisancePerSecond: 10,
  streamsMax: 50,
  headerListBytesMax: 10_000,
};

for (const [name, attack] of Object.entries(nuisances)) {
  test(`hostile: ${name} ends with ENHANCE_YOUR_CALM`, async () => {
    const { link, started, atOnceMax } = openLink(small);
    let rounds = 0;
    while (link.goawayCode === undefined && rounds < 3_000) {
      link.send(attack(rounds));
      rounds += 1;
      if (rounds % 50 === 0) await link.settle();
    }
    assert.equal(link.goawayCode, errorCode.enhanceYourCalm, `still going on after ${rounds} rounds`);
    assert.equal(link.goawayText(), "too many useless frames");
    assert(rounds <= 500 + 2 * burst, `stopped only after ${rounds} rounds`);
    assert(started() <= rounds);
    assert(atOnceMax() <= 50, `${atOnceMax()} handlers ran at once`);
    await link.settle();
    link.advance(2_000);
    assert.equal(link.socket.isDestroyed, true);
    await link.server.close();
  });
}

for (const [name, [attack, code]] of Object.entries(stoppedAtOnce)) {
  test(`hostile: ${name} is stopped at once`, () => {
    const { link } = openLink({});
    let rounds = 0;
    while (link.goawayCode === undefined && rounds < 100) link.send(attack(rounds++));
    assert.equal(link.goawayCode, code);
    assert(rounds <= 20, `stopped only after ${rounds} rounds`);
  });
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** The heap and the buffers outside it, without what is garbage already. */
function memoryBytes(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

for (const [name, attack] of Object.entries(bounded)) {
  test(`hostile: ${name} stays within bounds`, async () => {
    const mebibyte = 1024 * 1024;
    const limits = {
      ...small,
      nuisanceBurst: 1_000,
      receiveBufferBytesMax: mebibyte,
      sendBufferBytesMax: mebibyte,
      streamsMax: 200,
    };
    const { link } = openLink(limits);
    const before = memoryBytes();
    for (let round = 0; round < 400 && link.goawayCode === undefined; round++) {
      link.send(attack(round));
      if (round % 20 === 0) await link.settle();
      // What this client received is the test's memory, not the server's.
      if (link.frames.length > 1_000) link.frames.length = 0;
    }
    await link.settle();
    link.frames.length = 0;
    link.heads.length = 0;
    const grown = memoryBytes() - before;
    assert(grown < 60 * mebibyte, `${Math.round(grown / mebibyte)} MiB more than before`);
    await link.server.close();
  });
}

test("hostile: a header list that is too large is answered with 431, and the connection goes on", async () => {
  const { link } = openLink({ headerListBytesMax: 10_000 });
  const large = [...grpcHeaders("/test.Echo/Unary"), ["x-large", "l".repeat(12_000)] as const];
  link.send(headersFrame(1, large, false));
  assert.equal(link.headersOf(1)[":status"], "431");
  link.send(headersFrame(3, grpcHeaders("/test.Echo/Unary"), false), dataFrame(3, message, true));
  await link.settle();
  assert.equal(link.statusOf(3), 0);
});

test("hostile: streams over the limit are refused, and too many of them are a nuisance", async () => {
  const { link } = openLink({ ...small, streamsMax: 5 });
  for (let id = 1; link.goawayCode === undefined && id < 2_000; id += 2) {
    link.send(headersFrame(id, grpcHeaders("/test.Echo/Collect"), false));
    if (id > 11 && link.goawayCode === undefined) assert.equal(link.resetCode(id), errorCode.refusedStream);
  }
  assert.equal(link.goawayCode, errorCode.enhanceYourCalm);
});

test("hostile: a client that floods and does not read makes the server stop reading", () => {
  const limits = { socketBacklogBytesMax: 20_000, nuisanceBurst: 1e9 };
  for (const flood of [settings(), frame(frameType.data, frameFlag.endStream, 1, Buffer.alloc(0))]) {
    const { link } = openLink(limits);
    link.send(headersFrame(1, grpcHeaders("/test.Echo/Unary"), false), frame(frameType.rstStream, 0, 1, uint32(8)));
    link.socket.isStuck = true;
    const chunk = Buffer.concat(Array.from({ length: 200 }, () => flood));
    let sent = 0;
    while (!link.socket.isPaused && sent < 1_000) {
      link.send(chunk);
      sent += 1;
    }
    assert(link.socket.isPaused, "reading goes on");
    assert(link.socket.writableLength < 2 * limits.socketBacklogBytesMax, `${link.socket.writableLength} bytes wait`);
  }
});

test("hostile: one read may not keep the event loop for long", () => {
  const { link } = openLink({ readBytesPerTurnMax: 100_000 });
  const chunk = Buffer.concat(Array.from({ length: 10 }, () => frame(0x77, 0, 0, Buffer.alloc(12_000))));
  link.socket.deliver(chunk);
  link.socket.deliver(chunk.subarray(0, 1));
  assert.equal(link.socket.isPaused, true);
  link.turn();
  assert.equal(link.socket.isPaused, false);
});

test("hostile: nuisances that come slowly are forgiven", () => {
  const { link } = openLink({ ...small, nuisanceBurst: 20, nuisancePerSecond: 10 });
  for (let second = 0; second < 100; second++) {
    for (let i = 0; i < 10; i++) link.send(settings());
    link.advance(1_000);
  }
  assert.equal(link.goawayCode, undefined);
});

test("hostile: an honest client with thousands of calls at once is not taken for an attacker", async () => {
  const { link } = openLink({ streamsMax: 10_000 });
  const calls = 5_000;
  const hanging = grpcMessage(Buffer.from('{"waitForAbort":true}'));
  const ids = Array.from({ length: calls }, (_, index) => 1 + 2 * index);
  const each = (make: (id: number) => Buffer): Buffer => Buffer.concat(ids.map(make));
  // gRPC's C core widens the window of each stream as soon as it has opened it.
  link.send(
    frame(frameType.windowUpdate, 0, 0, uint32(10_000_000)),
    each((id) =>
      Buffer.concat([
        headersFrame(id, grpcHeaders("/test.Echo/Expand"), false),
        frame(frameType.windowUpdate, 0, id, uint32(100_000)),
        dataFrame(id, hanging, true),
      ]),
    ),
  );
  await link.settle();
  assert.equal(link.goawayCode, undefined);
  // Their deadlines come, all at the same moment.
  link.advance(3_000);
  link.send(each((id) => frame(frameType.rstStream, 0, id, uint32(errorCode.cancel))));
  await link.settle();
  assert.equal(link.goawayCode, undefined);
  // The answers were under way already.
  link.send(each((id) => frame(frameType.rstStream, 0, id, uint32(errorCode.cancel))));
  await link.settle();
  assert.equal(link.goawayCode, undefined);
  link.send(headersFrame(20_001, grpcHeaders("/test.Echo/Unary"), false), dataFrame(20_001, message, true));
  while (link.statusOf(20_001) === undefined) await link.settle();
  assert.equal(link.statusOf(20_001), 0);
  // One more of each is one too many.
  link.send(...Array.from({ length: 2_000 }, () => frame(frameType.rstStream, 0, 1, uint32(errorCode.cancel))));
  assert.equal(link.goawayCode, errorCode.enhanceYourCalm);
});

/** Sends attacks over a real connection until the server closes it, or the test ends. */
function attackOver(port: number, attack: Attack, isOver: () => boolean): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let rounds = 0;
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(rounds));
    socket.on("data", () => undefined);
    const flood = (): void => {
      if (isOver()) socket.destroy();
      if (socket.destroyed) return;
      const pieces: Buffer[] = [];
      for (let i = 0; i < 20 && pieces.length < 20; i++) pieces.push(attack(rounds++));
      if (socket.write(Buffer.concat(pieces))) setTimeout(flood, 1);
      else socket.once("drain", flood);
    };
    socket.on("connect", () => {
      socket.write(greeting);
      flood();
    });
  });
}

test("hostile: all attacks at once, over and over, and honest clients do not notice", async () => {
  await using door = openDoor({
    limits: { streamsMax: 500, receiveBufferBytesMax: 8 << 20, sendBufferBytesMax: 8 << 20 },
  });
  const { port } = await door.listen("http://127.0.0.1:0");
  const channel = createChannel(`127.0.0.1:${port}`);
  const client = createClient(EchoDefinition, channel);
  await client.unary({ text: "warm" });
  const before = memoryBytes();
  let isOver = false;
  const all = [
    ...Object.values(nuisances),
    ...Object.values(stoppedAtOnce).map(([attack]) => attack),
    ...Object.entries(bounded)
      .filter(([name]) => name !== "small messages that grow on decompression")
      .map(([, attack]) => attack),
  ];
  const attackers = all.map(async (attack) => {
    while (!isOver) await attackOver(port!, attack, () => isOver);
  });
  const untilMs = Date.now() + 4_000;
  let calls = 0;
  const honest = Array.from({ length: 5 }, async (_, number) => {
    while (Date.now() < untilMs || calls <= 20) {
      const text = `honest ${number} ${calls++}`;
      assert.deepEqual(await client.unary({ text }), { text });
      let count = 0;
      for await (const _ of client.expand({ text, count: 5 })) count += 1;
      assert.equal(count, 5);
    }
  });
  await Promise.all(honest);
  isOver = true;
  await Promise.all(attackers);
  channel.close();
  while (door.door.connectionCount > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const grown = memoryBytes() - before;
  assert(grown < 150 * 1024 * 1024, `${Math.round(grown / 1024 / 1024)} MiB more than before the attacks`);
});
