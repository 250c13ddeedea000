// Sessions: when they are lost, how they say so, and that nothing revives them.
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { test } from "node:test";
import { openSession, SessionLostError, SessionSource, type SessionState, sharedSession } from "../../recipes/index.ts";
import { InvalidArgumentError, type LeaseDiagnostics, LeaseLostError } from "../../sdk/index.ts";
import { pause, rejection, until } from "../sdk/harness.ts";
import { connectThroughProxy, eachTarget, patient } from "./support.ts";

eachTarget((world) => {
  test("the recipes of a client share one session; a lost one is replaced by the next use, never revived", async () => {
    const client = await world.connect();
    const [first, same] = await Promise.all([sharedSession(client), sharedSession(client)]);
    assert.equal(first, same);
    assert.equal(await sharedSession(client), first);
    assert.equal(first.ttlMs, 15_000);
    await client.lease.revoke(first.id);
    await until("the loss is known", () => first.lost !== undefined);
    const second = await sharedSession(client);
    assert.notEqual(second.id, first.id);
    assert.equal(first.state, "lost");
    assert.equal(second.state, "held");
    const other = await world.connect();
    assert.notEqual((await sharedSession(other)).id, second.id);
  });

  test("a session that the server does not know any more is lost for good, told once, with the cause", async () => {
    const client = await world.connect();
    const session = await openSession(client, { ttl: "12s" });
    const states: SessionState[] = [];
    const losses: SessionLostError[] = [];
    session.on("state", (state) => states.push(state));
    session.on("lost", (cause) => {
      assert(session.signal.aborted, "the signal aborts before anybody is told");
      losses.push(cause);
    });
    await client.lease.revoke(session.id);
    await until("the loss is told", () => losses.length > 0);
    const [cause] = losses;
    assert(cause instanceof SessionLostError && cause.cause instanceof LeaseLostError);
    assert.equal(cause.reason, "notFound");
    assert.equal(session.signal.reason, cause);
    assert.equal(session.lost, cause);
    assert.equal(session.remainingMs(), 0);
    assert.throws(() => session.throwIfLost(), SessionLostError);
    await pause(1500);
    assert.deepEqual([states.filter((state) => state === "lost"), losses.length], [["lost"], 1]);
  });

  test("cut off, it is suspended first and lost before the server can let go; healed in time, it is held again", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const session = await openSession(cut.client, { ttl: "16s" });
    const key = `${world.prefix()}here`;
    await direct.kv.put(key, "x", { leaseId: session.id });
    const states: SessionState[] = [];
    session.on("state", (state) => states.push(state));
    cut.proxy.blackhole();
    await until("it is suspended", () => session.state === "suspended");
    assert(!session.signal.aborted && session.remainingMs() > 0);
    cut.proxy.heal();
    await until("it is held again", () => session.state === "held");
    cut.proxy.blackhole();
    await new Promise((resolve) => session.signal.addEventListener("abort", resolve, { once: true }));
    // The server still has the key: whoever stops at the signal stops before anybody else can take over.
    assert.equal((await direct.kv.get(key))?.value, "x");
    // In good weather exactly these; a machine under load may be suspended once more in between.
    assert.match(states.join(" "), /^suspended held( suspended held)* (suspended )?lost$/);
    assert.equal(session.lost?.reason, "deadline");
    cut.proxy.heal();
    await until("the server lets go in the end", async () => (await direct.kv.get(key)) === undefined);
    assert.equal(session.state, "lost");
  });

  test("answers that come late do not prolong it: what counts is when the keepalive was sent", async () => {
    await using cut = await connectThroughProxy(world, patient);
    const delayMs = 400;
    cut.proxy.delay(delayMs, "toClient");
    let session = await openSession(cut.client, { ttl: "4s" });
    let renewals = 0;
    const onLease = (message: unknown): void => {
      const { event, leaseId } = message as LeaseDiagnostics;
      if (event === "renew" && leaseId === session.id) renewals += 1;
    };
    subscribe("quorate:lease", onLease);
    try {
      while (renewals < 2) {
        const remainingMs = session.remainingMs();
        assert(remainingMs <= 3000 - delayMs, `${remainingMs} ms, after ${renewals} renewals`);
        await pause(1);
        // On a machine under load answers may come too late altogether.
        if (session.state === "lost") session = await openSession(cut.client, { ttl: "4s" });
      }
    } finally {
      unsubscribe("quorate:lease", onLease);
    }
  });

  test("a grant that is answered late counts from when it was asked for", async () => {
    await using cut = await connectThroughProxy(world, patient);
    const direct = await world.connect();
    const key = `${world.prefix()}here`;
    // More than the margin: whoever counted from the answer would believe in it for too long.
    cut.proxy.delay(6000, "toClient");
    const session = await openSession(cut.client, { ttl: "16s" });
    cut.proxy.blackhole();
    await direct.kv.put(key, "x", { leaseId: session.id });
    if (!session.signal.aborted) await once(session, "lost");
    assert.equal((await direct.kv.get(key))?.value, "x", "the server let go before the session knew");
  });

  test("closing ends it at once, with the reason `released`; a recipe that was given it gets no other", async () => {
    const client = await world.connect();
    const key = `${world.prefix()}here`;
    const session = await openSession(client, { ttl: "60s", margin: "24s" });
    assert(session.remainingMs() <= 36_000);
    await client.kv.put(key, "x", { leaseId: session.id });
    await session.close();
    await session.close();
    assert.equal(session.lost?.reason, "released");
    assert.equal(await client.kv.get(key), undefined);
  });

  test("many who need a session at once get the same one; whoever stops waiting does not take it from the others", async () => {
    const client = await world.connect();
    const source = new SessionSource(client, { ttl: "20s" });
    const impatient = new AbortController();
    const waiting = [source.get(), source.get(impatient.signal), source.get()];
    impatient.abort(new Error("enough"));
    const [first, second, third] = await Promise.allSettled(waiting);
    assert.equal(second?.status === "rejected" && (second.reason as Error).message, "enough");
    assert(first?.status === "fulfilled" && third?.status === "fulfilled" && first.value === third.value);
    assert.equal(source.current, first.value);
  });

  test("a TTL that one election could outlast is refused", async () => {
    const client = await world.connect({ electionTimeout: 1000 });
    assert((await rejection(openSession(client, { ttl: "3s" }))) instanceof InvalidArgumentError);
  });
});
