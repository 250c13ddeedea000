// Elections: who leads, what it may write, what others see of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Election,
  Elections,
  type LeaderChange,
  LeadershipLostError,
  openSession,
  RecipeError,
  WaitTimeoutError,
} from "../../recipes/index.ts";
import { formatLeaseId, op } from "../../sdk/index.ts";
import { pause, rejection, until } from "../sdk/harness.ts";
import { connectThroughProxy, connectTwoWays, eachTarget, isSettled, keysBelow, passes } from "./support.ts";

eachTarget((world) => {
  test("the key is etcd's; who leads is told by key and create revision; the value is what was proclaimed", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}election`;
    const session = await openSession(client, { ttl: "10s" });
    const election = new Election(client, name, { session });
    assert.equal(await election.leader(), undefined);
    const leadership = await election.campaign("one");
    assert.equal(leadership.key, `${name}/${formatLeaseId(session.id)}`);
    assert.deepEqual(await election.leader(), {
      key: leadership.key,
      leaseId: session.id,
      epoch: leadership.epoch,
      value: "one",
    });
    await leadership.proclaim("two");
    assert.equal(leadership.value, "two");
    const kv = await client.kv.get(leadership.key);
    assert.deepEqual([kv?.value, kv?.leaseId, kv?.createRevision], ["two", session.id, leadership.epoch]);
    assert(leadership.isLeader());
    assert.deepEqual(await leadership.resign(), { released: true });
    assert(!leadership.isLeader());
    assert.equal(await election.leader(), undefined);
  });

  test("candidates lead one after the other, in the order in which they stood, with growing epochs", async () => {
    const name = `${world.prefix()}election`;
    const candidates: Promise<bigint>[] = [];
    const order: string[] = [];
    let leading = 0;
    for (const value of ["a", "b", "c", "d"]) {
      const client = await world.connect();
      candidates.push(
        new Election(client, name).lead(value, async ({ epoch }) => {
          assert.equal(++leading, 1);
          order.push(value);
          await pause(5);
          leading -= 1;
          return epoch;
        }),
      );
      const stands = async (): Promise<boolean> =>
        (await client.kv.list({ prefix: `${name}/` })).items.some((kv) => kv.value === value);
      await until("it stands or stood", async () => order.includes(value) || (await stands()));
    }
    const epochs = await Promise.all(candidates);
    assert.deepEqual(order, ["a", "b", "c", "d"]);
    assert.deepEqual(
      epochs,
      [...epochs].sort((x, y) => Number(x - y)),
    );
  });

  test("a campaign returns only after its own key was seen as it was made", async () => {
    const one = await world.connect();
    const other = await world.connect();
    const name = `${world.prefix()}election`;
    const leader = await new Election(one, name).campaign("one");
    const session = await openSession(other, { ttl: "10s" });
    const campaign = new Election(other, name, { session }).campaign("two");
    campaign.catch(() => undefined);
    const key = `${name}/${formatLeaseId(session.id)}`;
    await until("it stands", async () => (await one.kv.get(key)) !== undefined);
    await one.kv.delete(key);
    await one.kv.put(key, "forged", { leaseId: session.id });
    await leader.resign();
    const error = await rejection(campaign);
    assert(error instanceof RecipeError && error.code === "REMOVED", String(error));
  });

  test("what a leader writes carries its epoch: once another leads, the old one writes nothing, whatever it believes", async () => {
    const [one, other] = [await world.connect(), await world.connect()];
    const name = `${world.prefix()}election`;
    const first = await new Election(one, name).campaign("one");
    const write = (value: string) => one.txn().then(op.put(`${name}-log`, value));
    await first.commit(write("one was here"));
    const late = first.guard(write("one again"));
    await other.kv.delete(first.key);
    const second = await new Election(other, name).campaign("two");
    assert(second.epoch > first.epoch);
    assert(!(await late.commit()).succeeded);
    for (const attempt of [first.commit(write("x")), first.proclaim("still me")]) {
      const error = await rejection(attempt);
      assert(error instanceof LeadershipLostError && error.outcome === "notApplied", String(error));
    }
    const resigned = await first.resign();
    assert(!resigned.released, "and its resignation does not depose the new one");
    assert.equal((await new Election(one, name).leader())?.value, "two");
    assert.equal((await one.kv.get(`${name}-log`))?.value, "one was here");
    await second.resign();
  });

  test("observing starts with who leads and tells every change, in the order of the store", async () => {
    const client = await world.connect();
    const observer = await world.connect();
    const name = `${world.prefix()}election`;
    const election = new Election(client, name);
    const before = await election.campaign("before");
    const seen: LeaderChange[] = [];
    const observing = (async () => {
      for await (const change of new Election(observer, name).observe()) {
        seen.push(change);
        if (change.leader?.value === "end") break;
      }
    })();
    await until("it has begun", () => seen.length > 0);
    await before.proclaim("renamed");
    // Standing changes nothing for those who observe.
    const waiting = new Election(observer, name).campaign("next");
    await until("it stands", async () => (await keysBelow(client, `${name}/`)).length === 2);
    await before.resign();
    const next = await waiting;
    await next.resign();
    const last = await election.campaign("last");
    await last.proclaim("end");
    await observing;
    assert.deepEqual(
      seen.map(({ leader }) => leader?.value),
      ["before", "renamed", "next", undefined, "last", "end"],
    );
    for (const [index, { revision }] of seen.entries()) assert(index === 0 || revision > seen[index - 1]!.revision);
    assert.equal(seen[0]?.leader?.epoch, before.epoch);
    assert.equal(seen[2]?.leader?.epoch, next.epoch);
    await last.resign();
  });

  test("a proclamation whose answer is lost is cleared up before it returns; a late one cannot undo a newer one", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const name = `${world.prefix()}election`;
    const leadership = await new Election(cut.client, name).campaign("0");
    for (const value of ["1", "2", "3"]) {
      cut.proxy.cutNext(value === "2" ? "toServer" : "toClient");
      await leadership.proclaim(value);
      assert.equal((await direct.kv.get(leadership.key))?.value, value);
    }
    // Two at once take effect in the order of the calls.
    await Promise.all([leadership.proclaim("4"), leadership.proclaim("5")]);
    assert.equal((await direct.kv.get(leadership.key))?.value, "5");
    // A hand from outside does not depose it.
    await direct.kv.put(leadership.key, "graffiti", { leaseId: leadership.session.id });
    await leadership.proclaim("6");
    assert.equal((await direct.kv.get(leadership.key))?.value, "6");
    await leadership.resign();
  });

  test("a proclamation that was held up on the way and comes late does not undo what was proclaimed since", async () => {
    await using twoWays = await connectTwoWays(world);
    const { client, proxy } = twoWays;
    const direct = await world.connect();
    const session = await openSession(client, { ttl: "60s" });
    const leadership = await new Election(client, `${world.prefix()}election`, { session }).campaign("0");
    proxy.blackhole("toServer");
    // The first request is held; when its connection is given up the same is asked elsewhere.
    await leadership.proclaim("1");
    await leadership.proclaim("2");
    const { revision } = (await direct.kv.list(leadership.key)).header;
    proxy.heal();
    // Whatever was held has arrived once something sent after it through the proxy is answered.
    await until("the proxy is in use again", async () => (await passes(proxy)) && (await direct.kv.count("x")) === 0);
    await pause(200);
    const now = await direct.kv.get(leadership.key);
    assert.equal(now?.value, "2");
    assert(now.modRevision <= revision);
    await leadership.resign();
  });

  test("a leader that is cut off steps down before its successor leads, and its work is told", async () => {
    await using cut = await connectThroughProxy(world);
    const other = await world.connect();
    const name = `${world.prefix()}election`;
    const events: string[] = [];
    const first = new Election(cut.client, name, { session: { ttl: "8s" } }).lead("first", async ({ signal }) => {
      events.push("first leads");
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      events.push("first stops");
    });
    await until("it leads", () => events.length > 0);
    const second = new Election(other, name).lead("second", () => {
      events.push("second leads");
    });
    await until("another stands", async () => (await keysBelow(other, `${name}/`)).length === 2);
    cut.proxy.blackhole();
    const [error] = await Promise.all([rejection(first), second]);
    assert(error instanceof LeadershipLostError && error.reason === "session");
    assert.deepEqual(events, ["first leads", "first stops", "second leads"]);
  });

  test("standing in vain ends in time, and leaves no candidate behind", async () => {
    const client = await world.connect();
    const elections = new Elections(client, { prefix: world.prefix() });
    const leadership = await elections.campaign("e", "one");
    const other = new Elections(await world.connect(), { prefix: leadership.name.slice(0, -1) });
    assert((await rejection(other.campaign("e", "two", { wait: 50 }))) instanceof WaitTimeoutError);
    const { leader, candidates } = await other.election("e").inspect();
    assert.equal(leader?.value, "one");
    assert.deepEqual(candidates, []);
    const third = other.campaign("e", "three");
    await until("it stands", async () => (await other.election("e").inspect()).candidates[0]?.value === "three");
    assert(!(await isSettled(third)));
    await leadership.resign();
    await (await third).resign();
    assert.equal(await elections.lead("e", "four", ({ value }) => value), "four");
  });

  test("an observation ends with its signal, its client, or close", async () => {
    const client = await world.connect();
    const election = new Election(client, `${world.prefix()}election`);
    const stop = new AbortController();
    const watch = election.observe({ signal: stop.signal });
    assert.equal((await watch.next()).value?.leader, undefined);
    const pending = watch.next();
    stop.abort();
    assert.equal(((await rejection(pending)) as Error).name, "AbortError");
    const second = election.observe();
    await second.next();
    const end = second.next();
    await second.close();
    assert.equal((await end).done, true);
  });
});

// On a server of its own: what is forgotten would be missed by those who begin to watch beside it.
eachTarget((world) => {
  test("an observer that was cut off while the store forgot what happened goes on, and never goes back", async () => {
    await using cut = await connectThroughProxy(world);
    const client = await world.connect();
    const name = `${world.prefix()}election`;
    const election = new Election(client, name);
    const first = await election.campaign("first");
    await using watch = new Election(cut.client, name).observe();
    const { value: start } = await watch.next();
    assert.equal(start?.leader?.value, "first");
    await until("it is connected", () => watch.staleForMs() === 0);
    await cut.proxy.refuse();
    await first.resign();
    await (await election.campaign("skipped")).resign();
    const last = await election.campaign("last");
    const { revision } = await client.kv.put(`${name}-x`, "x");
    await client.kv.compact(revision);
    await cut.proxy.accept();
    const { value: next } = await watch.next();
    assert.equal(next?.leader?.value, "last");
    assert(next.revision > start.revision);
    await last.resign();
    const { value: end } = await watch.next();
    assert.equal(end?.leader, undefined);
  });
});
