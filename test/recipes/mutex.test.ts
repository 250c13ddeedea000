// Locks in good weather: layout, order, what is woken, what is checked, what is told.
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { test } from "node:test";
import {
  type HeldLock,
  LockLostError,
  Locks,
  Mutex,
  OwnershipLostError,
  openSession,
  RecipeError,
  SessionLostError,
  WaitTimeoutError,
} from "../../recipes/index.ts";
import { AbortError, type Client, compare, formatLeaseId, op } from "../../sdk/index.ts";
import { pause, rejection, until } from "../sdk/harness.ts";
import { connectThroughProxy, countCalls, eachTarget, isSettled, keysBelow, patient } from "./support.ts";

/** As many contenders as there are clients, each queued behind the one before. */
async function queueUp(clients: readonly Client[], name: string): Promise<Promise<HeldLock>[]> {
  const waiting: Promise<HeldLock>[] = [];
  for (const client of clients) {
    const { length } = await keysBelow(client, `${name}/`);
    const lock = new Mutex(client, name).acquire();
    lock.catch(() => undefined);
    waiting.push(lock);
    await until("it is in the queue", async () => (await keysBelow(client, `${name}/`)).length > length);
  }
  return waiting;
}

eachTarget((world) => {
  const connectMany = (count: number): Promise<Client[]> =>
    Promise.all(Array.from({ length: count }, () => world.connect()));

  test("the key is etcd's: name, slash, lease id in hex; leased; its create revision is the token", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(client, { ttl: "60s" });
    const lock = await new Mutex(client, name, { session }).acquire();
    assert.equal(lock.key, `${name}/${formatLeaseId(session.id)}`);
    const kv = await client.kv.get(lock.key);
    assert.deepEqual([kv?.leaseId, kv?.createRevision], [session.id, lock.token]);
    assert.deepEqual(await lock.release(), { released: true });
    assert.equal(await client.kv.get(lock.key), undefined);
    assert.deepEqual(await lock.release(), { released: true });
  });

  test("contenders get it in the order in which they queued, with growing tokens, one at a time", async () => {
    const clients = await connectMany(5);
    const name = `${world.prefix()}lock`;
    const waiting = await queueUp(clients, name);
    const order = await keysBelow(clients[0]!, `${name}/`);
    let last = 0n;
    for (const [index, promise] of waiting.entries()) {
      const lock = await promise;
      assert.equal(lock.key, order[index]);
      assert(lock.token > last);
      last = lock.token;
      for (const later of waiting.slice(index + 1)) assert(!(await isSettled(later)));
      await lock.release();
    }
  });

  test("a waiter watches its immediate predecessor and nothing else", async () => {
    const clients = await connectMany(4);
    const name = `${world.prefix()}lock`;
    const waiting = await queueUp(clients, name);
    const keys = await keysBelow(clients[0]!, `${name}/`);
    for (const [index, client] of clients.entries()) {
      // The holder watches its own key, so that it hears when somebody removes it.
      await until("it watches", () => client.inspect().watches.length === 1);
      assert.equal(client.inspect().watches[0]?.keys, keys[Math.max(0, index - 1)]);
    }
    for (const lock of waiting) await (await lock).release();
  });

  test("a waiter that goes away in the middle of the queue wakes its successor and nobody else", async () => {
    const clients = await connectMany(6);
    const name = `${world.prefix()}lock`;
    const giveUp = new AbortController();
    const waiting = await queueUp(clients.slice(0, 2), name);
    const middle = new Mutex(clients[2]!, name).acquire({ signal: giveUp.signal });
    middle.catch(() => undefined);
    await until("it is in the queue", async () => (await keysBelow(clients[0]!, `${name}/`)).length === 3);
    for (const client of clients.slice(3)) waiting.push(...(await queueUp([client], name)));
    const before = clients.map((client) =>
      client
        .inspect()
        .watches.map(({ keys }) => keys)
        .join(),
    );
    giveUp.abort();
    assert((await rejection(middle)) instanceof AbortError);
    const predecessor = (await keysBelow(clients[0]!, `${name}/`))[1];
    await until("its successor waits for its predecessor", () => {
      const [watch] = clients[3]!.inspect().watches;
      return watch?.keys === predecessor;
    });
    const after = clients.map((client) =>
      client
        .inspect()
        .watches.map(({ keys }) => keys)
        .join(),
    );
    const woken = clients.filter((_, index) => before[index] !== after[index]);
    assert.deepEqual(
      woken.map((client) => clients.indexOf(client)),
      [2, 3],
    );
    for (const lock of waiting) await (await lock).release();
  });

  test("a release wakes one waiter, however many there are", async () => {
    const clients = await connectMany(6);
    const name = `${world.prefix()}lock`;
    const [first, second, ...rest] = await queueUp(clients, name);
    const holder = await first!;
    // Other tests of this file make calls too: what is counted is what the calls were about.
    const watches = (): string =>
      clients
        .map((client) =>
          client
            .inspect()
            .watches.map(({ keys }) => keys)
            .join(),
        )
        .join();
    await until("all watch", () => clients.every((client) => client.inspect().watches.length === 1));
    const before = watches();
    await holder.release();
    const next = await second!;
    await pause(50);
    assert.notEqual(watches(), before);
    for (const [index, client] of clients.slice(2).entries()) {
      assert.equal(client.inspect().watches.length, 1);
      assert(before.includes(client.inspect().watches[0]!.keys), `waiter ${index} was woken`);
      assert(!(await isSettled(rest[index]!)));
    }
    await next.release();
    for (const lock of rest) await (await lock).release();
  });

  test("it is not enough that the key exists after the wait: it must be the one that was made", async () => {
    const [holder, waiter] = await connectMany(2);
    const name = `${world.prefix()}lock`;
    const held = await new Mutex(holder!, name).acquire();
    const session = await openSession(waiter!, { ttl: "60s" });
    const waiting = new Mutex(waiter!, name, { session }).acquire();
    waiting.catch(() => undefined);
    const key = `${name}/${formatLeaseId(session.id)}`;
    await until("it waits", async () => (await holder!.kv.get(key)) !== undefined);
    // Removed and made anew by another hand, under the same lease: that is another place in the queue.
    await holder!.kv.delete(key);
    await holder!.kv.put(key, "", { leaseId: session.id });
    await held.release();
    const error = await rejection(waiting);
    assert(error instanceof RecipeError && error.code === "REMOVED", String(error));
    assert(await holder!.kv.get(key), "what it did not make it does not delete");
  });

  test("a place in the queue that was removed is never taken for ownership", async () => {
    const [holder, waiter] = await connectMany(2);
    const name = `${world.prefix()}lock`;
    const held = await new Mutex(holder!, name).acquire();
    const waiting = new Mutex(waiter!, name).acquire();
    waiting.catch(() => undefined);
    await until("it waits", async () => (await keysBelow(holder!, `${name}/`)).length === 2);
    await holder!.kv.delete((await keysBelow(holder!, `${name}/`))[1]!);
    await held.release();
    assert(((await rejection(waiting)) as RecipeError).code === "REMOVED");
  });

  test("a lease revoked between the predecessor's end and the return is an error, never a lock", async () => {
    const [holder, waiter] = await connectMany(2);
    const name = `${world.prefix()}lock`;
    for (let round = 0; round < 10; round++) {
      const held = await new Mutex(holder!, name).acquire();
      const session = await openSession(waiter!, { ttl: "60s" });
      const waiting = new Mutex(waiter!, name, { session }).acquire();
      waiting.catch(() => undefined);
      await until("it waits", async () => (await keysBelow(holder!, `${name}/`)).length === 2);
      await Promise.all([holder!.lease.revoke(session.id), held.release()]);
      const outcome = await waiting.catch((error: unknown) => error as Error);
      if (outcome instanceof Error) assert(outcome instanceof RecipeError, String(outcome));
      else {
        // The release came first and the lock was real for a moment. It must not last.
        await until("it is lost", () => outcome.signal.aborted);
        assert(outcome.lost instanceof LockLostError);
      }
      assert.deepEqual(await keysBelow(holder!, `${name}/`), []);
    }
  });

  test("two acquisitions of one process exclude each other, in order, though they share a session", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}lock`;
    const locks = new Locks(client);
    const seen: number[] = [];
    let inside = 0;
    let last = 0n;
    await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        locks.runExclusive(name, async ({ token }) => {
          assert.equal(++inside, 1);
          assert(token > last);
          last = token;
          seen.push(index);
          await pause(1);
          inside -= 1;
        }),
      ),
    );
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("a key that another program made under the same lease is not shared", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(client, { ttl: "60s" });
    const key = `${name}/${formatLeaseId(session.id)}`;
    await client.kv.put(key, "", { leaseId: session.id });
    const error = await rejection(new Mutex(client, name, { session }).acquire());
    assert(error instanceof RecipeError && error.code === "CONFLICT");
    assert(await client.kv.get(key), "and not taken away");
    assert.equal(
      ((await rejection(new Mutex(client, name, { session }).tryAcquire())) as RecipeError).code,
      "CONFLICT",
    );
  });

  test("names below other names have queues of their own", async () => {
    const [one, other] = await connectMany(2);
    const name = `${world.prefix()}orders`;
    const nested: HeldLock[] = [];
    // More than are looked at in one step.
    for (let index = 0; index < 20; index++) nested.push(await new Mutex(one!, `${name}/${index}`).acquire());
    const outer = await new Mutex(other!, name).acquire({ wait: "30s" });
    const queued = new Mutex(one!, name).acquire();
    await until("it waits", async () => (await new Mutex(one!, name).inspect()).waiters.length === 1);
    assert.equal(await new Mutex(await world.connect(), name).tryAcquire(), undefined);
    await outer.release();
    await (await queued).release();
    const free = await new Mutex(other!, name).tryAcquire();
    assert(free !== undefined);
    await Promise.all([free, ...nested].map((lock) => lock.release()));
  });

  test("tryAcquire takes what is free; busy is an answer, and leaves no trace", async () => {
    const [one, other] = await connectMany(2);
    const name = `${world.prefix()}lock`;
    const held = await new Mutex(one!, name).tryAcquire();
    assert(held !== undefined);
    const { revision } = await one!.kv.list(name);
    assert.equal(await new Mutex(other!, name).tryAcquire(), undefined);
    assert.equal(await new Mutex(one!, name).tryAcquire(), undefined);
    assert.deepEqual(await keysBelow(one!, `${name}/`), [held.key]);
    const changed = await one!.kv.list({ prefix: `${name}/` }, { modRevision: { min: revision + 1n } });
    assert.equal(changed.items.length, 0);
    await held.release();
    await (await new Mutex(other!, name).tryAcquire())?.release();
  });

  test("time that runs out is an error of its own, and nothing is left in the queue", async () => {
    const [one, other] = await connectMany(2);
    const name = `${world.prefix()}lock`;
    const held = await new Mutex(one!, name).acquire();
    const error = await rejection(new Mutex(other!, name).acquire({ wait: 50 }));
    assert(error instanceof WaitTimeoutError && error.code === "WAIT_TIMEOUT" && error.outcome === "notApplied");
    assert.deepEqual(await keysBelow(one!, `${name}/`), [held.key]);
    // Also for those who wait inside this process.
    assert((await rejection(new Mutex(one!, name).acquire({ wait: 50 }))) instanceof WaitTimeoutError);
    await held.release();
    await (await new Mutex(one!, name).acquire({ wait: "30s" })).release();
  });

  test("giving up rejects with the reason, and nothing is left in the queue", async () => {
    const [one, other] = await connectMany(2);
    const name = `${world.prefix()}lock`;
    const held = await new Mutex(one!, name).acquire();
    for (let round = 0; round < 20; round++) {
      const why = new Error(`round ${round}`);
      const giveUp = new AbortController();
      const waiting = new Mutex(other!, name).acquire({ signal: giveUp.signal });
      waiting.catch(() => undefined);
      // At every stage: before anything was sent, while the key is made, while waiting.
      await pause(round);
      giveUp.abort(why);
      const error = await rejection(waiting);
      assert(error instanceof AbortError && error.cause === why, String(error));
      assert.deepEqual(await keysBelow(one!, `${name}/`), [held.key]);
    }
    assert((await rejection(new Mutex(other!, name).acquire({ signal: AbortSignal.abort() }))) instanceof AbortError);
    await held.release();
  });

  test("a key that somebody removes is a lock that is lost, though its session lives", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(client, { ttl: "60s" });
    const lock = await new Mutex(client, name, { session }).acquire();
    await client.kv.delete(lock.key);
    await until("it is lost", () => lock.signal.aborted);
    assert(lock.lost instanceof LockLostError && lock.lost.reason === "deleted");
    assert.deepEqual([lock.state, lock.remainingMs(), session.state], ["lost", 0, "held"]);
    const release = await lock.release();
    assert(!release.released && release.lost === lock.lost);
    // The session is as good as before: the next acquisition works.
    await (await new Mutex(client, name, { session }).acquire()).release();
  });

  test("the end of the session is the end of all its locks, told once each, with the cause", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const session = await openSession(client, { ttl: "60s" });
    const locks = await Promise.all([1, 2, 3].map((n) => new Mutex(client, `${prefix}${n}`, { session }).acquire()));
    let told = 0;
    for (const lock of locks) lock.signal.addEventListener("abort", () => told++);
    await session.close();
    assert(locks.every(({ state }) => state === "lost"));
    assert.equal(told, 3);
    for (const lock of locks) {
      assert(lock.lost?.reason === "session" && lock.lost.cause instanceof SessionLostError);
      assert.equal(lock.signal.reason, lock.lost);
      const release = await lock.release();
      assert(!release.released && release.lost === lock.lost);
    }
    // Never silently made anew under the same session.
    assert((await rejection(new Mutex(client, `${prefix}1`, { session }).acquire())) instanceof SessionLostError);
  });

  test("a lease that another hand revokes ends its locks and its session at once", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    // No keepalive is due for the next minute: it is the vanished keys that tell.
    const session = await openSession(client, { ttl: "5m" });
    const locks = await Promise.all([1, 2, 3].map((n) => new Mutex(client, `${prefix}${n}`, { session }).acquire()));
    await client.lease.revoke(session.id);
    await until("all are lost", () => locks.every(({ state }) => state === "lost"));
    await until("the session is lost", () => session.state === "lost");
    assert.equal(session.lost?.reason, "notFound");
  });

  test("guarded writes happen only while it is held; the server decides, not the clock", async () => {
    const client = await world.connect();
    const other = await world.connect();
    const prefix = world.prefix();
    const lock = await new Mutex(client, `${prefix}lock`).acquire();
    const write = (value: string) => client.txn().then(op.put(`${prefix}x`, value), op.get(`${prefix}x`));
    const first = await lock.commit(write("1"));
    assert(first.succeeded && first.responses[1]?.value === "1");
    // A condition of its own that fails is an answer, not a loss.
    const second = await lock.commit(
      client
        .txn()
        .if(compare(`${prefix}x`).value("==", "7"))
        .then(op.put(`${prefix}x`, "8"))
        .else(op.get(`${prefix}x`)),
    );
    assert(!second.succeeded && second.responses[0]?.value === "1");
    assert((await lock.guard(write("2")).commit()).succeeded);
    // Both are prepared while the lock is held and sent when it is not any more.
    const late = lock.guard(write("3"));
    await other.kv.delete(lock.key);
    assert(!(await late.commit()).succeeded);
    const error = await rejection(lock.commit(write("4")));
    assert(error instanceof LockLostError && error.reason === "deleted" && error.outcome === "notApplied");
    assert(lock.signal.aborted);
    assert.throws(() => lock.guard(write("5")), OwnershipLostError);
    assert.equal((await client.kv.get(`${prefix}x`))?.value, "2");
  });

  test("unlock deletes the key that was made for the lock and no other", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}lock`;
    const session = await openSession(client, { ttl: "60s" });
    const lock = await new Mutex(client, name, { session }).acquire();
    // Gone and back in one step, so that only its create revision tells it from the old one.
    await client.kv.delete(lock.key);
    await client.kv.put(lock.key, "another's", { leaseId: session.id });
    const release = await lock.release();
    assert(!release.released && release.lost.reason === "deleted");
    assert.equal((await client.kv.get(lock.key))?.value, "another's");
  });

  test("runExclusive tells apart what failed: the work, the lock, or both", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}lock`;
    const mutex = new Mutex(client, name);
    assert.equal(await mutex.runExclusive(() => 7), 7);
    const ownError = new Error("work failed");
    const failing = mutex.runExclusive(() => Promise.reject(ownError));
    assert.equal(await rejection(failing), ownError);

    const remove = (lock: HeldLock): Promise<unknown> => client.kv.delete(lock.key);
    const untilLost = (lock: HeldLock): Promise<unknown> => until("it is lost", () => lock.signal.aborted);
    const unnoticed = mutex.runExclusive(async (lock) => {
      await remove(lock);
      return "done";
    });
    assert((await rejection(unnoticed)) instanceof LockLostError, "work that outlived its lock is not a success");
    const heeded = mutex.runExclusive(async (lock) => {
      await remove(lock);
      await untilLost(lock);
      lock.signal.throwIfAborted();
    });
    assert((await rejection(heeded)) instanceof LockLostError);
    const both = await rejection(
      mutex.runExclusive(async (lock) => {
        await remove(lock);
        await untilLost(lock);
        throw ownError;
      }),
    );
    assert(both instanceof AggregateError && both.errors[0] === ownError && both.errors[1] instanceof LockLostError);
    assert.deepEqual(await keysBelow(client, `${name}/`), []);
  });

  test("who holds it and who waits can be seen", async () => {
    const [one, other] = await connectMany(2);
    const name = `${world.prefix()}lock`;
    const held = await new Mutex(one!, name, { label: "the first" }).acquire();
    const waiting = new Mutex(other!, name, { label: "the second" }).acquire();
    await until("it waits", async () => (await new Mutex(one!, name).inspect()).waiters.length === 1);
    const foreign = await one!.lease.grant({ ttl: "60s" });
    await one!.kv.put(`${name}/${formatLeaseId(foreign.id)}`, "", { leaseId: foreign.id });
    const { holder, waiters } = await new Locks(other!).inspect(name);
    assert.deepEqual([holder?.key, holder?.token, holder?.leaseId], [held.key, held.token, held.session.id]);
    assert.deepEqual(
      [holder?.info?.host, holder?.info?.pid, holder?.info?.label],
      [hostname(), process.pid, "the first"],
    );
    assert(Date.parse(holder?.info?.since ?? "") > 0);
    assert.deepEqual(
      waiters.map(({ info }) => info?.label),
      ["the second", undefined],
    );
    await held.release();
    await (await waiting).release();
    await one!.lease.revoke(foreign.id);
    assert.equal((await new Mutex(one!, name).inspect()).holder, undefined);
  });

  test("a free lock is taken in one round trip and released in another", async () => {
    await using proxied = await connectThroughProxy(world, patient);
    const mutex = new Mutex(proxied.client, `${world.prefix()}lock`);
    await (await mutex.acquire()).release();
    assert.equal(await countCalls(proxied.proxy.endpoint, async () => (await mutex.acquire()).release()), 2);
    assert.equal(await countCalls(proxied.proxy.endpoint, async () => (await mutex.tryAcquire())?.release()), 2);
  });
});
