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
  LeaseLostError,
} from "../../sdk/index.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { eachTarget, fastArgs, fastClient, pause, rejection, until } from "./harness.ts";
import { type ScriptedCall, ScriptedServer } from "./scripted-server.ts";

/** Blocks the event loop, as a long synchronous computation would. */
function stall(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

eachTarget(
  (world) => {
    test("grant, time to live, keys, list, keepalive once, revoke", async () => {
      const client = await world.connect();
      const key = `${world.prefix()}k`;
      const { id, ttlMs } = await client.lease.grant({ ttl: "1500ms" });
      assert.equal(ttlMs, 2000, "rounded up to whole seconds");
      await client.kv.put(key, "x", { leaseId: id });
      const info = await client.lease.timeToLive(id, { keys: true });
      assert.deepEqual([info?.grantedTtlMs, info?.keys], [2000, [key]]);
      assert((await client.lease.list()).includes(id));
      assert.deepEqual(await client.lease.keepAliveOnce(id), { ttlMs: 2000 });
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
      const lease = await client.lease.open({ ttl: "3s" });
      await client.kv.put(key, "x", { leaseId: lease.id });
      await pause(7500);
      assert.deepEqual([lease.state, lease.signal.aborted, lease.lost], ["held", false, undefined]);
      assert(lease.remainingMs() <= 2250 && lease.remainingMs() > 0);
      assert.equal((await observer.kv.get(key))?.leaseId, lease.id);
      await client.close();
      assert.equal(await observer.kv.get(key), undefined);
      assert.deepEqual([lease.state, lease.lost?.reason, lease.remainingMs()], ["lost", "released", 0]);
    });

    test("many leases share one stream", async () => {
      const client = await world.connect();
      await using proxy = await TcpProxy.start(world.server.endpoint);
      const other = await world.connect({ endpoints: proxy.endpoint });
      const leases = await Promise.all(Array.from({ length: 50 }, () => other.lease.open({ ttl: "3s" })));
      await pause(5000);
      assert.equal(proxy.connections, 1);
      assert(leases.every((lease) => lease.state === "held"));
      await other.close();
      const left = new Set(await client.lease.list());
      assert(leases.every((lease) => !left.has(lease.id)));
    });

    test("a lease that the server has forgotten is lost, once and for good, and everything on it is told", async () => {
      const client = await world.connect();
      const lease = await client.lease.open({ ttl: "1s" });
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
      assert.deepEqual([states, client.lease.handles], [["lost"], []]);
    });

    test("adopt keeps somebody else's lease alive; detach lets it run out", async () => {
      const client = await world.connect();
      const { id } = await client.lease.grant({ ttl: "3s" });
      const lease = await client.lease.adopt(id);
      await pause(5000);
      assert.equal(lease.state, "held");
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
      const lease = await client.lease.open({ ttl: "2s" });
      await client.kv.put(key, "x", { leaseId: lease.id });
      await pause(1000);
      const states: string[] = [];
      lease.onStateChange((state) => states.push(state));
      proxy.blackhole();
      await new Promise((resolve) => lease.signal.addEventListener("abort", resolve));
      // Asked after the loss was told: the key must still be there.
      assert.notEqual(await observer.kv.get(key), undefined, "the server let go before the holder stopped");
      assert.deepEqual([states, lease.lost?.reason], [["suspended", "lost"], "deadline"]);
      proxy.heal();
      await pause(100);
      assert.equal(lease.state, "lost", "and it stays lost");
      await until("the server lets go", async () => (await observer.kv.get(key)) === undefined);
    });

    test("a keepalive that fails is sent again at once through another endpoint", async () => {
      await using first = await TcpProxy.start(world.server.endpoint);
      await using second = await TcpProxy.start(world.server.endpoint);
      const client = await world.connect({ endpoints: [first.endpoint, second.endpoint], balance: "ordered" });
      const lease = await client.lease.open({ ttl: "6s" });
      for (let round = 0; round < 2; round++) {
        const [from, to] = round % 2 === 0 ? [first, second] : [second, first];
        const before = lease.deadlineMs;
        from.blackhole();
        await until(
          "it goes on elsewhere",
          () =>
            lease.deadlineMs > before &&
            client.inspect().endpoints.some(({ url, isCurrent }) => isCurrent && url === to.endpoint),
        );
        assert.equal(lease.state, "held");
        from.heal();
        from.cut();
      }
      await pause(500);
      assert.equal(lease.state, "held");
    });

    test("a lease survives the restart of its server", async () => {
      await using server = await world.target.start({ args: fastArgs });
      const client = await world.connect({ endpoints: server.endpoint });
      const lease = await client.lease.open({ ttl: "10s" });
      await server.kill();
      await server.start();
      const before = lease.deadlineMs;
      await until("it has been renewed", () => lease.deadlineMs > before);
      assert.equal(lease.state, "held");
      await client.close();
    });
  },
  { isConcurrent: true },
);

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

describe("clocks", { concurrency: true }, () => {
  test("the deadline counts from when the keepalive was sent, however late its answer comes", () => {
    const ttlMs = 3000;
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
        await until("it has been renewed", () => lease.deadlineMs > first);
        // The server got it after it was sent and before it was answered. Counted from the answer, the deadline would be
        // later than this by the delay.
        assert(lease.deadlineMs <= receivedMs[0]! + ttlMs * 0.75, `${lease.deadlineMs - receivedMs[0]!}`);
        assert(lease.deadlineMs > first);
        assert.equal(lease.marginMs, ttlMs / 4);
      },
    );
  });

  test("a lease outlives a cluster that answers every keepalive late, though each is sent again elsewhere meanwhile", () => {
    const ttlMs = 4000;
    // Longer than it takes until a keepalive is sent again, and shorter than what is left of the lease then.
    const delayMs = 1000;
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
          () => lease.deadlineMs > first + 2 * ttlMs || lease.lost !== undefined,
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

  test("keepalives come at a third of the TTL at the latest, one at a time", () => {
    const times: number[] = [];
    return scripted(
      3,
      (world, id, call) => {
        times.push(performance.now());
        setTimeout(() => call.send(renewal(world, id, 3)), 50);
      },
      async (world) => {
        await world.client.lease.open({ ttl: "3s" });
        await until("some have come", () => times.length === 3);
        const gaps = times.slice(1).map((time, index) => time - times[index]!);
        // Not early enough to be a flood; lateness is the machine's and not judged here.
        assert(
          gaps.every((gap) => gap >= (3000 / 3) * 0.8 - 60),
          `${gaps}`,
        );
        assert.equal(new Set(world.keepAlives.map(({ call }) => call)).size, 1, "one stream");
      },
    );
  });

  test("an answer with TTL 0 is final, and only for its own lease", () =>
    scripted(
      2,
      (world, id, call) => call.send(renewal(world, id, id === 1n ? 0 : 2)),
      async ({ client }) => {
        const gone = await client.lease.open({ ttl: "2s", id: 1n });
        const kept = await client.lease.open({ ttl: "2s", id: 2n });
        await until("one is lost", () => gone.state === "lost");
        assert.equal(gone.lost?.reason, "notFound");
        await pause(1000);
        assert.deepEqual([kept.state, gone.state], ["held", "lost"]);
      },
    ));

  test("an answer without a keepalive under way changes nothing", () =>
    scripted(
      2,
      (world, id, call) => {
        // A stream from before a reconnect, or a confused server, could repeat answers: they prove nothing new.
        call.send(renewal(world, id, 2));
        call.send(renewal(world, id, 1000));
        call.send(renewal(world, 77n, 1000));
      },
      async ({ client, keepAlives }) => {
        const lease = await client.lease.open({ ttl: "2s" });
        await until("it has been renewed", () => keepAlives.length === 1);
        await pause(100);
        assert.equal(lease.ttlMs, 2000);
      },
    ));
});

// One at a time: these stop or bend time for the whole process.
test("after a stall of the event loop the loss is seen before anything else runs", () =>
  scripted(
    1,
    (world, id, call) => call.send(renewal(world, id, 1)),
    async (world) => {
      const lease = await world.client.lease.open({ ttl: "1s" });
      await until("it has been renewed", () => world.keepAlives.length === 1);
      const seen: boolean[] = [];
      lease.signal.addEventListener("abort", () => seen.push(true));
      const stalled = new Promise<void>((resolve) => {
        setTimeout(() => {
          stall(1200);
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
    3,
    (world, id, call) => call.send(renewal(world, id, 3)),
    async (world) => {
      const lease = await world.client.lease.open({ ttl: "3s" });
      await until("it has been renewed", () => world.keepAlives.length === 1);
      stall(900);
      assert.equal(lease.signal.aborted, false);
      await until("it is renewed after the stall", () => world.keepAlives.length >= 2);
      assert.equal(lease.state, "held");
    },
  ));

test("a jump of the wall clock alone costs nothing", () =>
  scripted(
    2,
    (world, id, call) => call.send(renewal(world, id, 2)),
    async (world) => {
      const lease = await world.client.lease.open({ ttl: "2s" });
      const realNow = Date.now;
      try {
        Date.now = () => realNow() + 3_600_000;
        assert.equal(lease.state, "suspended", "as after a sleep of the machine: ask before believing");
        await until("the server has been asked", () => lease.state === "held");
        Date.now = () => realNow() - 3_600_000;
        assert.equal(lease.state, "held");
        await until("it goes on", () => world.keepAlives.length >= 3);
        assert.equal(lease.state, "held");
      } finally {
        Date.now = realNow;
      }
    },
  ));
