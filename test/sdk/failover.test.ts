// Finding a member, losing it, finding another: connections of every kind, silent and refused ones among them.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { RangeResponse, WatchRequest, WatchResponse } from "../../proto/gen/etcdserverpb/rpc.ts";
import {
  AbortError,
  type Client,
  type ClientOptions,
  ClosedError,
  connect,
  UnavailableError,
} from "../../sdk/index.ts";
import { freePorts } from "../support/free-ports.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { eachTarget, rejection, until, type World } from "./harness.ts";
import { ScriptedServer } from "./scripted-server.ts";
import { testCertificate, testKey } from "./tls-fixture.ts";

/** Silence is noticed soon, but not while a server is merely not scheduled. */
const attentive = { liveness: { probeAfter: "2500ms", deadAfter: "5s" } } as const;

/** A client on the first proxy. The second one is away until then: the first may be slow to answer. */
async function connectToFirst(
  world: World,
  first: TcpProxy,
  second: TcpProxy,
  options: Partial<ClientOptions> = {},
): Promise<Client> {
  await second.refuse();
  const endpoints = [first.endpoint, second.endpoint];
  const client = await world.connect({ endpoints, balance: "ordered", ...options });
  await second.accept();
  return client;
}

eachTarget(
  (world) => {
    test("a half-open connection is noticed by its silence; calls and watches go on through another endpoint", async (t) => {
      await using first = await TcpProxy.start(world.server.endpoint);
      await using second = await TcpProxy.start(world.server.endpoint);
      const direct = await world.connect();
      const client = await connectToFirst(world, first, second, attentive);
      const key = `${world.prefix()}k`;
      await using watch = client.watch(key);
      await watch.ready;
      assert.equal(client.inspect().watchEndpoint, first.endpoint);
      const startMs = performance.now();
      first.blackhole();
      // An idle watch has nothing else that would tell.
      await direct.kv.put(key, "1");
      const { value: batch } = await watch.next();
      const event = batch?.events[0];
      assert(event?.type === "put" && event.kv.value === "1");
      t.diagnostic(`an idle watch went on after ${Math.round(performance.now() - startMs)} ms`);
      assert.equal(client.inspect().watchEndpoint, second.endpoint);
      assert.equal((await client.kv.get(key))?.value, "1");
    });

    test("a read caught by a half-open connection is asked elsewhere, a write is not", async (t) => {
      await using first = await TcpProxy.start(world.server.endpoint);
      await using second = await TcpProxy.start(world.server.endpoint);
      const client = await connectToFirst(world, first, second, attentive);
      const key = `${world.prefix()}k`;
      await client.kv.put(key, "1");
      const startMs = performance.now();
      first.blackhole();
      const [read, write] = await Promise.all([
        client.kv.get(key, { deadline: "30s" }),
        rejection(client.kv.put(key, "2", { deadline: "30s" })),
      ]);
      t.diagnostic(`answered after ${Math.round(performance.now() - startMs)} ms`);
      assert.equal(read?.value, "1");
      assert.equal((write as { outcome?: string }).outcome, "unknown");
      assert.equal((await client.kv.get(key))?.value, "1");
      assert.equal((await client.kv.get(key))?.version, 1n);
    });

    test("who has failed is remembered: later calls do not try it first", async () => {
      await using first = await TcpProxy.start(world.server.endpoint);
      await using second = await TcpProxy.start(world.server.endpoint);
      const client = await connectToFirst(world, first, second);
      await first.refuse();
      await client.kv.get("a");
      const { accepted } = first;
      await first.accept();
      for (let index = 0; index < 20; index++) await client.kv.get("a");
      assert.equal(first.accepted, accepted);
      assert.equal(second.connections, 1);
      const [one] = client.inspect().endpoints;
      assert(one !== undefined && one.failures > 0 && !one.isConnected);
      await second.refuse();
      assert.equal(await client.kv.get("nothing"), undefined);
      assert(first.accepted > accepted, "and it is tried again when there is no other");
    });

    test("status tells how the client stands", async () => {
      await using proxy = await TcpProxy.start(world.server.endpoint);
      const client = await world.connect({ endpoints: proxy.endpoint, lazy: true });
      assert.equal(client.status, "connecting");
      const seen: string[] = [];
      client.on("status", (status) => seen.push(status));
      await client.kv.get("a");
      await proxy.refuse();
      const error = await rejection(client.kv.get("a", { deadline: "5s" }));
      assert(error instanceof UnavailableError);
      assert.deepEqual([error.outcome, error.retryable], ["notApplied", true]);
      assert.match(error.message, /ECONNREFUSED/);
      await proxy.accept();
      await until("it is connected again", () => client.status === "connected");
      await client.close();
      assert.deepEqual(seen, ["connected", "suspended", "connected", "closed"]);
    });

    test("rotation uses every endpoint, and leaves out the ones that fail", async () => {
      await using first = await TcpProxy.start(world.server.endpoint);
      await using second = await TcpProxy.start(world.server.endpoint);
      const client = await world.connect({ endpoints: [first.endpoint, second.endpoint], balance: "rotate" });
      await until("both are connected", async () => {
        await client.kv.get("a");
        return first.connections === 1 && second.connections === 1;
      });
      await second.refuse();
      for (let index = 0; index < 10; index++) await client.kv.get("a");
      // The last one that is left is used, however often it has failed.
      for (let round = 0; round < 5; round++) {
        first.cutNext("toClient");
        await client.kv.get("a");
      }
      await until("it is connected", () => client.inspect().endpoints.some((endpoint) => endpoint.isConnected));
      assert.equal(client.inspect().endpoints.filter((endpoint) => endpoint.isConnected).length, 1);
    });

    test("the list of endpoints can be replaced, and read from the cluster", async () => {
      await using proxy = await TcpProxy.start(world.server.endpoint);
      const client = await world.connect({ endpoints: proxy.endpoint });
      const key = `${world.prefix()}k`;
      await using watch = client.watch(key);
      await watch.ready;
      proxy.delay(200);
      const underWay = client.kv.put(key, "1");
      client.setEndpoints([world.server.endpoint]);
      // What was under way ends well where it is; watches move.
      await underWay;
      assert.equal((await watch.next()).value?.events.length, 1);
      assert.deepEqual(await client.refreshEndpoints(), [world.server.endpoint]);
      assert.equal((await client.kv.get(key))?.version, 1n);
      await until("the old connection is gone", () => proxy.connections === 0);
      assert.deepEqual(
        client.inspect().endpoints.map((endpoint) => endpoint.url),
        [world.server.endpoint],
      );
    });

    test("closing ends what is under way and leaves nothing behind", async () => {
      await using proxy = await TcpProxy.start(world.server.endpoint);
      const client = await world.connect({ endpoints: proxy.endpoint });
      await client.kv.get("a");
      proxy.blackhole();
      const read = rejection(client.kv.get("a"));
      const write = rejection(client.kv.put("a", "1"));
      const watch = client.watch("a");
      const next = watch.next();
      await client.close();
      await client.close();
      const [readError, writeError] = [await read, await write];
      assert(readError instanceof ClosedError && readError.outcome === "notApplied");
      assert(writeError instanceof ClosedError && writeError.outcome === "unknown");
      assert.equal((await next).done, true);
      assert((await rejection(client.kv.get("a"))) instanceof ClosedError);
      assert((await rejection(client.watch("a").next())) instanceof ClosedError);
      assert.equal(client.status, "closed");
      proxy.heal();
      await until("the connection is gone", () => proxy.connections === 0);
    });
  },
  { isConcurrent: true },
);

test("no member at all: a clear error, in time, and nothing was changed", async () => {
  const [port] = await freePorts(1);
  const error = await rejection(connect({ endpoints: `http://127.0.0.1:${port}`, connectTimeout: "200ms" }));
  assert(error instanceof UnavailableError);
  assert.deepEqual([error.code, error.outcome], ["UNAVAILABLE", "notApplied"]);
  await using client = await connect({ endpoints: `127.0.0.1:${port}`, connectTimeout: "20s", lazy: true });
  const aborted = await rejection(client.kv.put("a", "1", { signal: AbortSignal.timeout(50) }));
  assert(aborted instanceof AbortError);
  assert.equal(aborted.outcome, "notApplied");
});

test("what does not speak HTTP/2 is refused: silence, noise, HTTP/1", async () => {
  const silent = createTcpServer((socket) => socket.resume().on("error", () => undefined));
  const noisy = createTcpServer((socket) => {
    socket.resume().on("error", () => undefined);
    socket.end("SSH-2.0-OpenSSH_9.9\r\n".repeat(50));
  });
  const http1 = createHttpServer((_request, response) => response.end("hello"));
  for (const server of [silent, noisy, http1]) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const { port } = server.address() as AddressInfo;
    const error = await rejection(connect({ endpoints: `http://127.0.0.1:${port}`, connectTimeout: "300ms" }));
    assert(error instanceof UnavailableError, String(error));
    await new Promise((resolve) => server.close(resolve));
  }
});

test("a silent member delays nobody when there is another", async () => {
  const silent = createTcpServer((socket) => socket.resume().on("error", () => undefined));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", () => resolve()));
  await using server = await ScriptedServer.start();
  const { port } = silent.address() as AddressInfo;
  // Without the race between members this would take the whole connect timeout.
  await using client = await connect({
    endpoints: [`http://127.0.0.1:${port}`, server.endpoint],
    balance: "ordered",
    connectTimeout: "1h",
  });
  assert.equal(client.inspect().endpoints[1]?.isCurrent, true);
  await client.close();
  await new Promise((resolve) => silent.close(resolve));
});

test("TLS: a trusted certificate is accepted, an unknown one is not unless told so", async () => {
  await using server = await ScriptedServer.start({ tls: { key: testKey, cert: testCertificate } });
  server.on("/etcdserverpb.KV/Range", (call) =>
    call.answer(RangeResponse.encode(RangeResponse.fromPartial({ header: server.header })).finish()),
  );
  await using trusting = await connect({ endpoints: server.endpoint, tls: { ca: testCertificate } });
  assert.equal(await trusting.kv.get("a"), undefined);
  const refused = { endpoints: server.endpoint, connectTimeout: "5s" } as const;
  const wrongName = { ca: testCertificate, serverName: "elsewhere" };
  const [error, nameError] = await Promise.all([
    rejection(connect(refused)),
    rejection(connect({ ...refused, tls: wrongName })),
  ]);
  assert(error instanceof UnavailableError && nameError instanceof UnavailableError);
  assert.match(error.message, /certificate/i);
  assert.match(nameError.message, /certificate/i);
  await using careless = await connect({ endpoints: server.endpoint, tls: { rejectUnauthorized: false } });
  assert.equal(await careless.kv.get("a"), undefined);
});

test("Unix sockets", async () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-sdk-"));
  try {
    await using server = await ScriptedServer.start({ path: join(folder, "member.sock") });
    await using client = await connect(server.endpoint);
    assert.equal(client.status, "connected");
    assert.equal(client.inspect().endpoints[0]?.url, server.endpoint);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a member that takes a watch and never confirms it is left", async () => {
  await using deaf = await ScriptedServer.start();
  await using good = await ScriptedServer.start();
  const watchPath = "/etcdserverpb.Watch/Watch";
  deaf.on(watchPath, () => undefined);
  good.on(watchPath, (call, message) => {
    const request = WatchRequest.decode(message).requestUnion;
    if (request?.$case !== "createRequest") return;
    const { watchId } = request.value;
    call.send(
      WatchResponse.encode(WatchResponse.fromPartial({ header: good.header, watchId, created: true })).finish(),
    );
  });
  await using client = await connect({
    endpoints: [deaf.endpoint, good.endpoint],
    balance: "ordered",
    liveness: { probeAfter: "50ms", deadAfter: "100ms" },
  });
  await using watch = client.watch("a", { resync: "error" });
  await watch.ready;
  assert.equal(client.inspect().watchEndpoint, good.endpoint);
});

test("learners serve next to nothing and are used last", async () => {
  await using learner = await ScriptedServer.start();
  await using voter = await ScriptedServer.start();
  const range = "/etcdserverpb.KV/Range";
  learner.on(range, (call) => call.end(14, "etcdserver: rpc not supported for learner"));
  voter.on(range, (call) =>
    call.answer(RangeResponse.encode(RangeResponse.fromPartial({ header: voter.header })).finish()),
  );
  await using client = await connect({ endpoints: [learner.endpoint, voter.endpoint], balance: "ordered" });
  assert.equal(await client.kv.get("a"), undefined);
  assert.equal(learner.calls.filter((path) => path === range).length, 1);
  assert.equal(client.inspect().endpoints[1]?.isCurrent, true);
});
