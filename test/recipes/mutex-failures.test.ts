// Locks in bad weather: answers that are lost, requests that come late, networks that are cut, members that restart.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LockLostError, Mutex, openSession, SessionLostError, UnconfirmedError } from "../../recipes/index.ts";
import { AbortError, ClientError, formatLeaseId, op } from "../../sdk/index.ts";
import { pause, rejection, until } from "../sdk/harness.ts";
import { connectThroughProxy, connectTwoWays, eachTarget, isSettled, keysBelow, passes, patient } from "./support.ts";

eachTarget((world) => {
  test("when the answer to joining the queue is lost, the key that it made is found again, and there is only one", async () => {
    const direct = await world.connect();
    for (let round = 0; round < 3; round++) {
      await using cut = await connectThroughProxy(world);
      const name = `${world.prefix()}lock`;
      const session = await openSession(cut.client, { ttl: "60s" });
      cut.proxy.cutNext("toClient");
      const lock = await new Mutex(cut.client, name, { session }).acquire({ wait: "30s" });
      assert.deepEqual(await keysBelow(direct, `${name}/`), [lock.key]);
      assert.equal((await direct.kv.get(lock.key))?.createRevision, lock.token);
      assert.equal(session.state, "held");
      // The next turn of the same key must not be disturbed by what was unclear about this one.
      await lock.release();
      const again = await new Mutex(cut.client, name, { session }).acquire({ wait: "30s" });
      assert(again.token > lock.token);
      await pause(100);
      assert.equal(again.state, "held");
      assert.equal((await direct.kv.get(again.key))?.createRevision, again.token);
      await again.release();
      assert.deepEqual(await keysBelow(direct, `${name}/`), []);
    }
  });

  test("a joining that comes late, after its caller has gone, leaves nothing behind", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(cut.client, { ttl: "60s" });
    const giveUp = new AbortController();
    // The request leaves and stays on the way.
    cut.proxy.blackhole("toServer");
    const joining = new Mutex(cut.client, name, { session }).acquire({ signal: giveUp.signal });
    joining.catch(() => undefined);
    await pause(50);
    giveUp.abort();
    const error = await rejection(joining);
    assert(error instanceof UnconfirmedError && error.outcome === "unknown", String(error));
    assert(error.cause instanceof AbortError);
    const { revision } = await direct.kv.list(name);
    cut.proxy.heal();
    await cut.client.waitForReady({ deadline: "30s" });
    // However late it is carried out, it is taken away again, while the session goes on.
    await until("its key is gone for good", async () => {
      const { items } = await direct.kv.list({ prefix: `${name}/` });
      return items.length === 0 && (await cut.client.kv.get("any")) === undefined;
    });
    await pause(300);
    await until("nothing is left", async () => (await keysBelow(direct, `${name}/`)).length === 0);
    assert.equal(session.state, "held");
    assert(revision > 0n);
    // And the name can be locked, by this session as by others.
    const lock = await new Mutex(cut.client, name, { session }).acquire({ wait: "30s" });
    await pause(100);
    assert.equal(lock.state, "held");
    await lock.release();
  });

  test("a joining that is held up while the same is asked elsewhere makes no second key, then or later", async () => {
    await using twoWays = await connectTwoWays(world);
    const { client, proxy } = twoWays;
    const direct = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(client, { ttl: "60s" });
    proxy.blackhole("toServer");
    const lock = await new Mutex(client, name, { session }).acquire({ wait: "30s" });
    await lock.release();
    assert.deepEqual(await keysBelow(direct, `${name}/`), []);
    const other = await new Mutex(direct, name).acquire();
    proxy.heal();
    // Now the first request arrives: its key appears behind the new holder, and is swept.
    await until("the proxy is in use again", () => passes(proxy));
    await until("only the holder is there", async () => (await keysBelow(direct, `${name}/`)).join() === other.key);
    await pause(200);
    await until("only the holder is left", async () => (await keysBelow(direct, `${name}/`)).join() === other.key);
    await other.release();
  });

  test("a stray key of an unanswered joining is swept as soon as it appears", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(cut.client, { ttl: "60s" });
    cut.proxy.cutNext("toClient");
    await (await new Mutex(cut.client, name, { session }).acquire({ wait: "30s" })).release();
    // What a request does that was thought to be lost: it makes the key when nobody wants it any more.
    const key = `${name}/${formatLeaseId(session.id)}`;
    const ghost = await direct.kv.put(key, "late", { leaseId: session.id });
    await until("it is swept", async () => (await direct.kv.get(key)) === undefined);
    // Only what this session made: the same name in other hands stays.
    const other = await direct.lease.grant({ ttl: "60s" });
    await direct.kv.put(key, "not ours", { leaseId: other.id });
    await pause(200);
    assert.equal((await direct.kv.get(key))?.value, "not ours");
    assert(ghost.revision > 0n);
    await direct.lease.revoke(other.id);
  });

  test("a release whose answer is lost is carried through, and counts as released", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const name = `${world.prefix()}lock`;
    const lock = await new Mutex(cut.client, name).acquire();
    cut.proxy.cutNext("toClient");
    assert.deepEqual(await lock.release(), { released: true });
    assert.deepEqual(await keysBelow(direct, `${name}/`), []);
    assert.equal(lock.state, "released");
  });

  test("a release that cannot be confirmed says so, goes on in the background, and lets nobody in meanwhile", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(cut.client, { ttl: "60s" });
    const lock = await new Mutex(cut.client, name, { session }).acquire();
    cut.proxy.blackhole();
    const releasing = lock.release();
    assert(lock.signal.aborted, "whoever works under it stops first");
    assert((await rejection(releasing)) instanceof UnconfirmedError);
    const next = new Mutex(cut.client, name, { session }).acquire();
    next.catch(() => undefined);
    await pause(50);
    assert(!(await isSettled(next)));
    cut.proxy.heal();
    const again = await next;
    assert(again.token > lock.token);
    assert.deepEqual(await keysBelow(direct, `${name}/`), [again.key]);
    await again.release();
  });

  test("cut off from the cluster, the holder stops before another can get the lock, and its late writes do nothing", async () => {
    await using cut = await connectThroughProxy(world, patient);
    const other = await world.connect();
    const prefix = world.prefix();
    const lock = await new Mutex(cut.client, `${prefix}lock`, { session: { ttl: "8s" } }).acquire();
    const late = lock.guard(cut.client.txn().then(op.put(`${prefix}x`, "late")));
    let lostFirst: boolean | undefined;
    lock.signal.addEventListener("abort", () => (lostFirst ??= true));
    const next = new Mutex(other, `${prefix}lock`).acquire().then((held) => {
      lostFirst ??= false;
      return held;
    });
    await until("it waits", async () => (await keysBelow(other, `${prefix}lock/`)).length === 2);
    cut.proxy.blackhole();
    const successor = await next;
    assert.equal(lostFirst, true, "two believed to hold the lock at the same time");
    assert(successor.token > lock.token);
    assert(lock.lost instanceof LockLostError && lock.lost.cause instanceof SessionLostError);
    cut.proxy.heal();
    await cut.client.waitForReady({ deadline: "30s" });
    // Prepared while it was held, sent when another holds it: the server refuses, not we.
    assert(!(await late.commit()).succeeded);
    assert.equal(await other.kv.get(`${prefix}x`), undefined);
    await successor.release();
  });

  test("whoever waits rides out a cut connection; whoever waits too long for the cluster loses its session", async () => {
    await using cut = await connectThroughProxy(world);
    const other = await world.connect();
    const name = `${world.prefix()}lock`;
    const holder = await new Mutex(other, name).acquire();
    const session = await openSession(cut.client, { ttl: "12s" });
    const waiting = new Mutex(cut.client, name, { session }).acquire();
    waiting.catch(() => undefined);
    await until("it waits", async () => (await keysBelow(other, `${name}/`)).length === 2);
    await cut.proxy.refuse();
    await holder.release();
    await pause(300);
    assert(!(await isSettled(waiting)));
    await cut.proxy.accept();
    const lock = await waiting;
    const second = new Mutex(await world.connect(), name).acquire();
    await until("another waits", async () => (await keysBelow(other, `${name}/`)).length === 2);
    cut.proxy.blackhole();
    await until("the lock is lost", () => lock.signal.aborted);
    const third = await rejection(new Mutex(cut.client, name, { session }).acquire());
    assert(third instanceof SessionLostError);
    await (await second).release();
  });

  test("an unreachable cluster is an error at once when there is no session yet", async () => {
    await using cut = await connectThroughProxy(world, { connectTimeout: 300 });
    await cut.proxy.refuse();
    const error = await rejection(new Mutex(cut.client, `${world.prefix()}lock`).acquire());
    assert(error instanceof ClientError && error.code === "UNAVAILABLE" && error.outcome === "notApplied");
  });

  test("a lease that ended while its owner slept is no lease: joining under it ends the session", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(client, { ttl: "60s" });
    await client.lease.revoke(session.id);
    // No keepalive is due for a while: the queue itself tells.
    const error = await rejection(new Mutex(client, name, { session }).acquire());
    assert(error instanceof SessionLostError && error.reason === "notFound");
    assert.equal(session.lost, error);
  });
});
