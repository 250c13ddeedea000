// Leases: what real servers do with them, and that the client's clock never promises more than the server keeps.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
} from "../../proto/gen/etcdserverpb/rpc.ts";
import {
  type Client,
  ClientError,
  connect,
  formatLeaseId,
  InvalidArgumentError,
  type LeaseHandle,
  LeaseLostError,
} from "../../sdk/index.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { eachTarget, fastArgs, fastClient, pause, rejection, until, type World } from "./harness.ts";
import { type ScriptedCall, ScriptedServer } from "./scripted-server.ts";

/** Blocks the event loop, as a long synchronous computation would. */
function stall(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

/** Waits for a renewal from now on, and until nothing is overdue. */
async function untilRenewed(lease: LeaseHandle): Promise<void> {
  const before = lease.deadlineMs;
  await until(
    "it is renewed",
    () => (lease.state === "held" && lease.deadlineMs > before) || lease.lost !== undefined,
    60_000,
  );
  assert.equal(lease.lost, undefined);
}

function againstServers(world: World): void {
  test("grant, time to live, keys, list, keepalive once, revoke", async () => {
    const client = await world.connect();
    const key = `${world.prefix()}k`;
    const { id, ttlMs } = await client.lease.grant({ ttl: "59500ms" });
    assert.equal(ttlMs, 60_000, "rounded up to whole seconds");
    await client.kv.put(key, "x", { leaseId: id });
    const info = await client.lease.timeToLive(id, { keys: true });
    assert.deepEqual([info?.grantedTtlMs, info?.keys], [60_000, [key]]);
    assert((await client.lease.list()).includes(id));
    assert.deepEqual(await client.lease.keepAliveOnce(id), { ttlMs: 60_000 });
    await client.lease.revoke(id);
    assert.equal(await client.kv.get(key), undefined);
    assert.equal(await client.lease.timeToLive(id), undefined);
    const error = await rejection(client.lease.keepAliveOnce(id));
    assert(error instanceof ClientError && error.code === "LEASE_NOT_FOUND");
    const negative = await client.lease.grant({ ttl: "60s", id: -5n });
    assert.deepEqual([negative.id, formatLeaseId(negative.id)], [-5n, "-5"]);
    await client.lease.revoke(-5n);
  });

  test("an open lease outlives its TTL many times over; closing the client revokes it", async () => {
    const client = await world.connect();
    const observer = await world.connect();
    const key = `${world.prefix()}k`;
    const lease = await client.lease.open({ ttl: "9s" });
    const first = lease.deadlineMs;
    await client.kv.put(key, "x", { leaseId: lease.id });
    await until(
      "it has outlived its TTL twice",
      () => lease.deadlineMs > first + 18_000 || lease.lost !== undefined,
      60_000,
    );
    assert.deepEqual([lease.signal.aborted, lease.lost], [false, undefined]);
    assert(lease.remainingMs() <= 6750 && lease.remainingMs() > 0);
    assert.equal((await observer.kv.get(key))?.leaseId, lease.id);
    await client.close({ timeout: "60s" });
    assert.equal(await observer.kv.get(key), undefined);
    assert.deepEqual([lease.state, lease.lost?.reason, lease.remainingMs()], ["lost", "released", 0]);
  });

  test("many leases share one stream", async () => {
    const client = await world.connect();
    await using proxy = await TcpProxy.start(world.server.endpoint);
    const other = await world.connect({ endpoints: proxy.endpoint });
    const leases = await Promise.all(Array.from({ length: 50 }, () => other.lease.open({ ttl: "12s" })));
    await Promise.all(leases.map(untilRenewed));
    assert.equal(proxy.connections, 1);
    await other.close({ timeout: "60s" });
    const left = new Set(await client.lease.list());
    assert(leases.every((lease) => !left.has(lease.id)));
  });

  test("a lease that the server has forgotten is lost, once and for good, and everything on it is told", async () => {
    const client = await world.connect();
    const lease = await client.lease.open({ ttl: "9s" });
    const states: string[] = [];
    lease.onStateChange((state) => states.push(state));
    const aborted = new Promise((resolve) =>
      lease.signal.addEventListener("abort", () => resolve(lease.signal.reason)),
    );
    await client.lease.revoke(lease.id);
    const reason = await aborted;
    assert(reason instanceof LeaseLostError);
    assert.deepEqual([reason.reason, reason.leaseId, reason.code], ["notFound", lease.id, "LEASE_LOST"]);
    assert.throws(
      () => lease.throwIfLost(),
      (error) => error === reason,
    );
    assert.throws(
      () => lease.signal.throwIfAborted(),
      (error) => error === reason,
    );
    await lease.revoke();
    await pause(500);
    assert.deepEqual([states.filter((state) => state === "lost"), client.lease.handles], [["lost"], []]);
  });

  test("adopt keeps somebody else's lease alive; detach lets it run out", async () => {
    const client = await world.connect();
    const { id } = await client.lease.grant({ ttl: "9s" });
    const lease = await client.lease.adopt(id);
    await untilRenewed(lease);
    lease.detach();
    assert.deepEqual([lease.state], ["lost"]);
    await until("it has run out", async () => (await client.lease.timeToLive(id)) === undefined);
    const error = await rejection(client.lease.adopt(id));
    assert(error instanceof ClientError && error.code === "LEASE_NOT_FOUND");
  });

  test("TTLs that an election could outlast are refused", async () => {
    const client = await world.connect({ electionTimeout: "1s" });
    const error = await rejection(client.lease.open({ ttl: "3s" }));
    assert(error instanceof InvalidArgumentError);
    assert.match(error.message, /4000 ms/);
    await assert.rejects(client.lease.open({ ttl: "10s", margin: "10s" }), InvalidArgumentError);
    const lease = await client.lease.open({ ttl: "4s", margin: "3s" });
    assert.equal(lease.marginMs, 3000);
    await lease.revoke();
  });

  test("cut off from the server, the holder stops before the server can let go", async () => {
    await using proxy = await TcpProxy.start(world.server.endpoint);
    const client = await world.connect({ endpoints: proxy.endpoint });
    const observer = await world.connect();
    const key = `${world.prefix()}k`;
    const lease = await client.lease.open({ ttl: "16s" });
    await client.kv.put(key, "x", { leaseId: lease.id });
    await untilRenewed(lease);
    const states: string[] = [];
    lease.onStateChange((state) => states.push(state));
    proxy.blackhole();
    await new Promise((resolve) => lease.signal.addEventListener("abort", resolve));
    // Asked after the loss was told: the key must still be there.
    assert.notEqual(await observer.kv.get(key), undefined, "the server let go before the holder stopped");
    assert.match(states.join(" "), /^(suspended held )*suspended lost$/);
    assert.equal(lease.lost?.reason, "deadline");
    proxy.heal();
    await pause(100);
    assert.equal(lease.state, "lost", "and it stays lost");
    await until("the server lets go", async () => (await observer.kv.get(key)) === undefined);
  });

  test("a keepalive that fails is sent again at once through another endpoint", async () => {
    await using first = await TcpProxy.start(world.server.endpoint);
    await using second = await TcpProxy.start(world.server.endpoint);
    const client = await world.connect({ endpoints: [first.endpoint, second.endpoint], balance: "ordered" });
    const lease = await client.lease.open({ ttl: "18s" });
    const isUsed = (proxy: TcpProxy): boolean =>
      client.inspect().endpoints.some(({ url, isCurrent }) => isCurrent && url === proxy.endpoint);
    for (let round = 0; round < 2; round++) {
      const [from, to] = isUsed(first) ? [first, second] : [second, first];
      const before = lease.deadlineMs;
      from.blackhole();
      await until(
        "it goes on elsewhere",
        () => (lease.state === "held" && lease.deadlineMs > before && isUsed(to)) || lease.lost !== undefined,
        60_000,
      );
      assert.equal(lease.lost, undefined);
      from.heal();
      from.cut();
    }
    await pause(500);
    assert.equal(lease.state, "held");
  });

  test("a lease survives the restart of its server", async () => {
    await using server = await world.target.start({ args: fastArgs });
    const client = await world.connect({ endpoints: server.endpoint });
    const lease = await client.lease.open({ ttl: "24s" });
    await server.kill();
    await server.start();
    await untilRenewed(lease);
    await client.close();
  });
}

interface Scripted {
  readonly server: ScriptedServer;
  readonly client: Client;
  /** Keepalives received, with the call that each came in on. */
  readonly keepAlives: { readonly id: bigint; readonly call: ScriptedCall }[];
}

/** A server that grants every lease for `ttlSeconds` and leaves the keepalives to the test. */
async function scripted(
  ttlSeconds: number,
  onKeepAlive: (world: Scripted, id: bigint, call: ScriptedCall) => void,
  body: (world: Scripted) => Promise<void>,
): Promise<void> {
  await using server = await ScriptedServer.start();
  const client = await connect({ endpoints: server.endpoint, ...fastClient });
  const world: Scripted = { server, client, keepAlives: [] };
  server.on("/etcdserverpb.Lease/LeaseGrant", (call, message) => {
    const { ID } = LeaseGrantRequest.decode(message);
    call.answer(LeaseGrantResponse.encode({ header: server.header, ID, TTL: BigInt(ttlSeconds), error: "" }).finish());
  });
  server.on("/etcdserverpb.Lease/LeaseKeepAlive", (call, message) => {
    const { ID: id } = LeaseKeepAliveRequest.decode(message);
    world.keepAlives.push({ id, call });
    onKeepAlive(world, id, call);
  });
  try {
    await body(world);
  } finally {
    await client.close({ release: false });
  }
}

const renewal = (world: Scripted, id: bigint, ttlSeconds: number): Uint8Array =>
  LeaseKeepAliveResponse.encode({ header: world.server.header, ID: id, TTL: BigInt(ttlSeconds) }).finish();

function clocks(): void {
  test("the deadline counts from when the keepalive was sent, however late its answer comes", () => {
    const ttlMs = 12_000;
    const delayMs = 400;
    const receivedMs: number[] = [];
    return scripted(
      ttlMs / 1000,
      (world, id, call) => {
        receivedMs.push(performance.now());
        setTimeout(() => call.send(renewal(world, id, ttlMs / 1000)), delayMs);
      },
      async ({ client }) => {
        const lease = await client.lease.open({ ttl: ttlMs });
        const first = lease.deadlineMs;
        await untilRenewed(lease);
        // The server got it after it was sent and before it was answered. Counted from the answer, the deadline would be
        // later than this by the delay.
        assert(lease.deadlineMs <= receivedMs.at(-1)! + ttlMs * 0.75, `${lease.deadlineMs - receivedMs.at(-1)!}`);
        assert(lease.deadlineMs > first);
        assert.equal(lease.marginMs, ttlMs / 4);
      },
    );
  });

  test("a lease outlives a cluster that answers every keepalive late, though each is sent again elsewhere meanwhile", () => {
    const ttlMs = 16_000;
    // Longer than it takes until a keepalive is sent again, and shorter than what is left of the lease then.
    const delayMs = 3000;
    return scripted(
      ttlMs / 1000,
      (world, id, call) => {
        setTimeout(() => call.send(renewal(world, id, ttlMs / 1000)), delayMs);
      },
      async (world) => {
        const lease = await world.client.lease.open({ ttl: ttlMs });
        const first = lease.deadlineMs;
        await until(
          "it is long past its first deadline",
          () => lease.deadlineMs > first + ttlMs || lease.lost !== undefined,
          60_000,
        );
        assert.equal(lease.lost, undefined);
        assert(new Set(world.keepAlives.map(({ call }) => call)).size > 1, "nothing was sent again");
      },
    );
  });

  test("a grant counts from when it was sent, too", async () => {
    await using server = await ScriptedServer.start();
    await using client = await connect({ endpoints: server.endpoint, ...fastClient });
    let receivedMs = 0;
    server.on("/etcdserverpb.Lease/LeaseGrant", (call, message) => {
      receivedMs = performance.now();
      const { ID } = LeaseGrantRequest.decode(message);
      const answer = LeaseGrantResponse.encode({ header: server.header, ID, TTL: 4n, error: "" }).finish();
      setTimeout(() => call.answer(answer), 500);
    });
    const lease = await client.lease.open({ ttl: "4s" });
    assert(lease.deadlineMs <= receivedMs + 3000);
    lease.detach();
  });

  test("keepalives come at a third of the TTL at the latest, one at a time", () =>
    scripted(
      12,
      (world, id, call) => setTimeout(() => call.send(renewal(world, id, 12)), 50),
      async ({ client, keepAlives }) => {
        let isLate = true;
        for (let attempt = 0; isLate && attempt < 5; attempt++) {
          const lease = await client.lease.open({ ttl: "12s" });
          const states: string[] = [];
          lease.onStateChange((state) => states.push(state));
          // Each answer moves the deadline as far as the keepalives were sent apart.
          const deadlines = [lease.deadlineMs];
          await until("some have come", () => {
            if (lease.deadlineMs !== deadlines.at(-1)) deadlines.push(lease.deadlineMs);
            return states.length > 0 || deadlines.length === 4;
          });
          // A keepalive whose answer is late is sent again at once: such a run says nothing about the pace.
          isLate = states.length > 0;
          lease.detach();
          if (isLate) continue;
          const gaps = deadlines.slice(1).map((deadline, index) => deadline - deadlines[index]!);
          // Not early enough to be a flood; lateness is not judged here.
          assert(
            gaps.every((gap) => gap >= (12_000 / 3) * 0.8 - 1),
            `${gaps}`,
          );
          const calls = keepAlives.filter(({ id }) => id === lease.id).map(({ call }) => call);
          assert.equal(new Set(calls).size, 1, "one stream");
        }
        assert(!isLate, "keepalives were late every time");
      },
    ));

  test("an answer with TTL 0 is final, and only for its own lease", () =>
    scripted(
      12,
      (world, id, call) => call.send(renewal(world, id, id === 1n ? 0 : 12)),
      async ({ client }) => {
        const gone = await client.lease.open({ ttl: "12s", id: 1n });
        const kept = await client.lease.open({ ttl: "12s", id: 2n });
        await until("one is lost", () => gone.state === "lost");
        assert.equal(gone.lost?.reason, "notFound");
        await untilRenewed(kept);
        assert.deepEqual([kept.lost, gone.state], [undefined, "lost"]);
      },
    ));

  test("an answer without a keepalive under way changes nothing", () =>
    scripted(
      12,
      (world, id, call) => {
        // A stream from before a reconnect, or a confused server, could repeat answers: they prove nothing new.
        call.send(renewal(world, id, 12));
        call.send(renewal(world, id, 1000));
        call.send(renewal(world, 77n, 1000));
      },
      async ({ client }) => {
        const lease = await client.lease.open({ ttl: "12s" });
        await untilRenewed(lease);
        await pause(100);
        assert.equal(lease.ttlMs, 12_000);
      },
    ));
}

describe("leases", { concurrency: true }, () => {
  eachTarget(againstServers, { isConcurrent: true });
  describe("clocks", { concurrency: true }, clocks);
});

// One at a time: these stop or bend time for the whole process.
test("after a stall of the event loop the loss is seen before anything else runs", () =>
  scripted(
    8,
    (world, id, call) => call.send(renewal(world, id, 8)),
    async ({ client }) => {
      const lease = await client.lease.open({ ttl: "8s" });
      await untilRenewed(lease);
      const seen: boolean[] = [];
      lease.signal.addEventListener("abort", () => seen.push(true));
      const stalled = new Promise<void>((resolve) => {
        setTimeout(() => {
          stall(lease.deadlineMs - performance.now() + 200);
          // Code that runs right after the stall, before any timer or socket had its turn.
          seen.push(lease.signal.aborted, lease.state === "lost", lease.remainingMs() === 0);
          assert.throws(() => lease.throwIfLost(), LeaseLostError);
          resolve();
        }, 10);
      });
      await stalled;
      assert.deepEqual(seen, [true, true, true, true], "the abort came first, from reading `aborted`");
      assert.equal(lease.lost?.reason, "deadline");
      // An answer that lay in the socket meanwhile does not bring it back.
      await pause(300);
      assert.equal(lease.state, "lost");
    },
  ));

test("a stall that ends before the deadline does not cost the lease", () =>
  scripted(
    12,
    (world, id, call) => call.send(renewal(world, id, 12)),
    async ({ client }) => {
      const lease = await client.lease.open({ ttl: "12s" });
      await untilRenewed(lease);
      stall(3600);
      assert.equal(lease.signal.aborted, false);
      await untilRenewed(lease);
    },
  ));

test("a jump of the wall clock alone costs nothing", () =>
  scripted(
    9,
    (world, id, call) => call.send(renewal(world, id, 9)),
    async ({ client }) => {
      const lease = await client.lease.open({ ttl: "9s" });
      const realNow = Date.now;
      try {
        Date.now = () => realNow() + 3_600_000;
        assert.equal(lease.state, "suspended", "as after a sleep of the machine: ask before believing");
        await until("the server has been asked", () => lease.state === "held");
        Date.now = () => realNow() - 3_600_000;
        assert.equal(lease.state, "held");
        await untilRenewed(lease);
      } finally {
        Date.now = realNow;
      }
    },
  ));
