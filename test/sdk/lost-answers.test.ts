// What happens to a call whose answer never comes. The rule: a write is sent once; what became of it is told honestly;
// reads and what provably was not processed are repeated.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  LeaseGrantResponse,
  LeaseTimeToLiveResponse,
  PutResponse,
  RangeResponse,
} from "../../proto/gen/etcdserverpb/rpc.ts";
import {
  AbortError,
  ClientError,
  compare,
  connect,
  DeadlineError,
  IndeterminateError,
  op,
  UnavailableError,
} from "../../sdk/index.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { eachTarget, pause, rejection, until } from "./harness.ts";
import { type ScriptedCall, ScriptedServer } from "./scripted-server.ts";

const putPath = "/etcdserverpb.KV/Put";
const rangePath = "/etcdserverpb.KV/Range";
const refusedStream = 7;

/** A small generator with a seed, so that a failing run can be repeated. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

eachTarget((world) => {
  test("a write whose answer is cut off is unknown, is there once, and is not sent again", async () => {
    const direct = await world.connect();
    await using proxy = await TcpProxy.start(world.server.endpoint);
    const client = await world.connect({ endpoints: proxy.endpoint });
    const prefix = world.prefix();
    const withhold = (): void => proxy.blackhole("toClient");
    const writes: readonly [string, () => Promise<unknown>][] = [
      ["put", () => client.kv.put(`${prefix}put`, "1")],
      [
        "txn",
        () =>
          client
            .txn()
            .then(op.put(`${prefix}txn`, "1"))
            .commit(),
      ],
      ["create", () => client.kv.create(`${prefix}create`, "1")],
      [
        "update",
        // Its read must pass; the answer to its write must not.
        () =>
          client.kv.update(`${prefix}update`, (current) => {
            withhold();
            return `${current?.value ?? ""}1`;
          }),
      ],
    ];
    for (const [name, write] of writes) {
      await client.kv.get("warm");
      if (name !== "update") withhold();
      const failing = rejection(write());
      await until(`${name} has been applied`, async () => (await direct.kv.get(prefix + name)) !== undefined);
      proxy.cut();
      const error = await failing;
      proxy.heal();
      assert(error instanceof IndeterminateError, `${name}: ${error}`);
      assert.deepEqual([error.outcome, error.code, error.retryable], ["unknown", "INDETERMINATE", false], name);
      assert(error.cause instanceof Error, name);
      await client.kv.get("warm");
      const stored = await direct.kv.get(prefix + name);
      assert.deepEqual([stored?.value, stored?.version], ["1", 1n], name);
    }
  });

  test("a read whose answer is cut off is asked again", async () => {
    await using proxy = await TcpProxy.start(world.server.endpoint);
    const client = await world.connect({ endpoints: proxy.endpoint });
    const key = `${world.prefix()}a`;
    await client.kv.put(key, "1");
    for (let round = 0; round < 3; round++) {
      proxy.cutNext("toClient");
      assert.equal((await client.kv.get(key))?.value, "1");
    }
    proxy.cutNext("toClient");
    const result = await client.txn().if(compare(key).exists()).then(op.get(key)).commit();
    assert(result.succeeded, "a txn that only reads is a read");
  });

  test("deadline and abort after the request has left: unknown", async () => {
    await using proxy = await TcpProxy.start(world.server.endpoint);
    const client = await world.connect({ endpoints: proxy.endpoint });
    const direct = await world.connect();
    const prefix = world.prefix();
    proxy.blackhole("toClient");
    const late = await rejection(client.kv.put(`${prefix}late`, "1", { deadline: "1s" }));
    assert(late instanceof DeadlineError);
    assert.equal(late.outcome, "unknown");
    const controller = new AbortController();
    const aborted = rejection(client.kv.put(`${prefix}aborted`, "1", { signal: controller.signal }));
    await until("it has arrived", async () => (await direct.kv.get(`${prefix}aborted`)) !== undefined);
    controller.abort("enough");
    const error = await aborted;
    assert(error instanceof AbortError);
    assert.deepEqual([error.outcome, error.cause], ["unknown", "enough"]);
    proxy.heal();
    assert.equal((await client.kv.get(`${prefix}aborted`))?.version, 1n);
  });

  test("a lease whose grant was not answered is neither lost nor granted twice", async () => {
    await using proxy = await TcpProxy.start(world.server.endpoint);
    const client = await world.connect({ endpoints: proxy.endpoint });
    const direct = await world.connect();
    const before = new Set(await direct.lease.list());
    proxy.cutNext("toClient");
    const lease = await client.lease.grant({ ttl: "60s" });
    assert.equal(lease.ttlMs, 60_000);
    assert.deepEqual(
      (await direct.lease.list()).filter((id) => !before.has(id)),
      [lease.id],
    );
    await direct.lease.revoke(lease.id);
  });

  test("under random breaks every write is applied at most once, and its outcome is true", async () => {
    const seed = Number(process.env["QUORATE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`# QUORATE_SEED=${seed}`);
    const random = randomOf(seed);
    const direct = await world.connect();
    await using first = await TcpProxy.start(world.server.endpoint);
    await using second = await TcpProxy.start(world.server.endpoint);
    const proxies = [first, second];
    const client = await world.connect({ endpoints: [first.endpoint, second.endpoint], balance: "rotate" });
    const prefix = world.prefix();
    const outcomes = new Map<string, string>();
    let isOver = false;
    const breaking = (async () => {
      while (!isOver) {
        const proxy = proxies[Math.floor(random() * 2)]!;
        const kind = random();
        if (kind < 0.4) proxy.cutNext("toClient");
        else if (kind < 0.6) proxy.cutNext("toServer");
        else if (kind < 0.8) proxy.cut(random() < 0.5 ? "reset" : "end");
        else {
          await proxy.refuse();
          await pause(20);
          await proxy.accept();
        }
        await pause(40 + random() * 120);
      }
    })();
    const worker = async (name: number): Promise<void> => {
      for (let index = 0; index < 60; index++) {
        const key = `${prefix}${name}/${index}`;
        try {
          await client.kv.put(key, "x");
          outcomes.set(key, "applied");
        } catch (error) {
          assert(error instanceof ClientError, String(error));
          outcomes.set(key, error.outcome);
        }
        await pause(random() * 20);
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, name) => worker(name)));
    isOver = true;
    await breaking;
    const { items } = await direct.kv.list({ prefix });
    const versions = new Map(items.map((item) => [item.key, item.version]));
    const counts: { [outcome: string]: number } = {};
    for (const [key, outcome] of outcomes) {
      counts[outcome] = (counts[outcome] ?? 0) + 1;
      const version = versions.get(key) ?? 0n;
      assert(version <= 1n, `${key} was written ${version} times`);
      if (outcome === "applied") assert.equal(version, 1n, `${key} was acknowledged`);
      if (outcome === "notApplied") assert.equal(version, 0n, `${key} was said not to be applied`);
    }
    console.log(`# outcomes ${JSON.stringify(counts)}`);
    assert(counts["applied"]! > 0);
  });
});

/** Runs `body` with a scripted server and a client on it. */
async function scripted(
  body: (server: ScriptedServer, client: Awaited<ReturnType<typeof connect>>) => Promise<void>,
): Promise<void> {
  await using server = await ScriptedServer.start();
  await using client = await connect({ endpoints: server.endpoint, connectTimeout: "10s" });
  server.calls.length = 0;
  await body(server, client);
}

const putAnswer = (server: ScriptedServer): Uint8Array =>
  PutResponse.encode(PutResponse.fromPartial({ header: server.header })).finish();
const rangeAnswer = (server: ScriptedServer): Uint8Array =>
  RangeResponse.encode(RangeResponse.fromPartial({ header: server.header })).finish();

test("a write that the server refused unseen is sent again", () =>
  scripted(async (server, client) => {
    let refusals = 2;
    server.on(putPath, (call) => (refusals-- > 0 ? call.reset(refusedStream) : call.answer(putAnswer(server))));
    await client.kv.put("a", "1");
    assert.equal(server.calls.filter((path) => path === putPath).length, 3);
  }));

test("a write above the last stream of a GOAWAY is sent again, one below is not", () =>
  scripted(async (server, client) => {
    const seen: ScriptedCall[] = [];
    server.on(putPath, (call) => {
      seen.push(call);
      if (seen.length === 2) {
        // The first is promised to be processed, the second not to have been looked at.
        server.goaway(2, seen[0]!.stream.id!);
        setImmediate(() => server.cut());
      } else if (seen.length > 2) call.answer(putAnswer(server));
    });
    const first = rejection(client.kv.put("first", "1"));
    await until("the first one is there", () => seen.length === 1);
    const second = client.kv.put("second", "1");
    assert((await first) instanceof IndeterminateError);
    await second;
    assert.equal(seen.length, 3);
  }));

test("a write that the server cannot place is not repeated; a read is", () =>
  scripted(async (server, client) => {
    server.on(putPath, (call) => call.end(14, "etcdserver: request timed out"));
    const error = await rejection(client.kv.put("a", "1"));
    assert(error instanceof IndeterminateError);
    assert.match(error.message, /request timed out/);
    assert.equal(server.calls.filter((path) => path === putPath).length, 1);
    let failures = 2;
    server.on(rangePath, (call) =>
      failures-- > 0 ? call.end(14, "etcdserver: leader changed") : call.answer(rangeAnswer(server)),
    );
    await client.kv.get("a");
    assert.equal(server.calls.filter((path) => path === rangePath).length, 3);
  }));

test("in a long outage repetitions stay a small share of the calls", () =>
  scripted(async (server, client) => {
    server.on(rangePath, (call) => call.end(14, "etcdserver: no leader"));
    const total = 150;
    for (let index = 0; index < total; index++) {
      const error = await rejection(client.kv.get("a", { deadline: "20s" }));
      assert(error instanceof UnavailableError && error.retryable, String(error));
    }
    const made = server.calls.filter((path) => path === rangePath).length;
    // A reserve of twenty to ride out short outages, then none: nothing succeeds that could earn more.
    assert(made <= total + 20, `${made} requests for ${total} calls`);
    assert(made > total, "short outages are ridden out");
  }));

test("a grant whose answer was lost is proven by asking for the same id again", () =>
  scripted(async (server, client) => {
    const ids: bigint[] = [];
    server.on("/etcdserverpb.Lease/LeaseGrant", (call, message) => {
      const { ID } = LeaseGrantResponse.decode(message); // Request and answer carry the id in different fields.
      ids.push(ID);
      if (ids.length === 1) call.stream.session?.destroy();
      else call.end(9, "etcdserver: lease already exists");
    });
    server.on("/etcdserverpb.Lease/LeaseTimeToLive", (call) =>
      call.answer(
        LeaseTimeToLiveResponse.encode(
          LeaseTimeToLiveResponse.fromPartial({ header: server.header, TTL: 58n, grantedTTL: 60n }),
        ).finish(),
      ),
    );
    const lease = await client.lease.grant({ ttl: "60s" });
    assert.deepEqual([lease.ttlMs, ids.length], [60_000, 2]);
    const error = await rejection(client.lease.grant({ ttl: "60s", id: 5n }));
    assert(error instanceof ClientError);
    assert.equal(error.code, "LEASE_EXISTS", "an id that was taken before is an error");
  }));
