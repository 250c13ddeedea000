// Registrations: what they store, how they come back, what they never overwrite.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  openSession,
  RecipeError,
  type Registration,
  type RegistrationState,
  Registry,
  UnconfirmedError,
  WaitTimeoutError,
} from "../../recipes/index.ts";
import { AbortError, type Client } from "../../sdk/index.ts";
import { pause, rejection, until } from "../sdk/harness.ts";
import { connectThroughProxy, connectTwoWays, eachTarget, keysBelow, passes } from "./support.ts";

interface Stored {
  readonly Op: number;
  readonly Addr: string;
  readonly Metadata: unknown;
  readonly Instance: { readonly id: string; readonly epoch: number; readonly version: number; readonly weight: number };
}

async function stored(client: Client, key: string): Promise<Stored | undefined> {
  const value = (await client.kv.get(key))?.value;
  return value === undefined ? undefined : (JSON.parse(value) as Stored);
}

function statesOf(registration: Registration): RegistrationState[] {
  const states: RegistrationState[] = [];
  registration.on("state", (state) => states.push(state));
  return states;
}

eachTarget((world) => {
  test("what is stored is what Go's naming/endpoints stores, under a lease", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}billing`;
    const session = await openSession(client, { ttl: "10s" });
    const registry = new Registry(client, { session });
    const registration = await registry.register({
      service,
      address: "10.0.0.7",
      port: 8443,
      metadata: { zone: "a" },
      weight: 3,
    });
    assert.equal(registration.key, `${service}/10.0.0.7:8443`);
    const kv = await client.kv.get(registration.key);
    assert.equal(kv?.leaseId, session.id);
    const { Instance, ...go } = JSON.parse(kv.value) as Stored;
    assert.deepEqual(go, { Op: 0, Addr: "10.0.0.7:8443", Metadata: { zone: "a" } });
    assert.deepEqual(Instance, { id: registration.instanceId, epoch: 1, version: 1, weight: 3 });
    assert.equal(registration.state, "registered");
    await registration.close();
    assert.equal(await client.kv.get(registration.key), undefined);
    assert.equal(registration.state, "closed");
    await registration.close();
    const six = await registry.register({ service, address: "::1", port: 80, id: "six" });
    assert.deepEqual([six.key, six.address], [`${service}/six`, "[::1]:80"]);
    assert.equal((await stored(client, six.key))?.Metadata, null);
    await six.close();
  });

  test("an update changes what is stored in place; updates take effect in the order of the calls", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const registration = await new Registry(client).register({ service, address: "a:1", metadata: 1, weight: 2 });
    const before = await client.kv.get(registration.key);
    await Promise.all([registration.update({ metadata: 2 }), registration.update({ metadata: 3 })]);
    await registration.update({ weight: 5 });
    const after = await client.kv.get(registration.key);
    assert.equal(after?.createRevision, before?.createRevision);
    const { Metadata, Instance } = (await stored(client, registration.key))!;
    assert.deepEqual([Metadata, Instance.weight, Instance.epoch], [3, 5, 1]);
    await registration.close();
  });

  test("after the loss of its session it registers again under a new one, as a new incarnation", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const registration = await new Registry(client, { session: { ttl: "20s" } }).register({ service, address: "a:1" });
    const states = statesOf(registration);
    const first = registration.session!;
    await client.lease.revoke(first.id);
    await until("it is registered again", async () => {
      const there = await stored(client, registration.key);
      return there?.Instance.epoch === 2 && registration.state === "registered";
    });
    assert.notEqual(registration.session?.id, first.id);
    assert.equal((await client.kv.get(registration.key))?.leaseId, registration.session?.id);
    assert.equal(registration.epoch, 2);
    assert.deepEqual(states, ["registering", "registered"]);
    await registration.close();
  });

  test("a key that another hand removes is made again, as a new incarnation under the same session", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const registration = await new Registry(client).register({ service, address: "a:1" });
    const { session } = registration;
    for (let epoch = 2; epoch <= 4; epoch++) {
      await client.kv.delete(registration.key);
      await until("it is back", async () => (await stored(client, registration.key))?.Instance.epoch === epoch);
      assert.equal(registration.session, session);
    }
    await registration.close();
    assert.equal(await client.kv.get(registration.key), undefined);
  });

  test("it survives an outage longer than its TTL, and its key vanishes and comes back once", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    const registry = new Registry(cut.client, { session: { ttl: "8s" } });
    const registration = await registry.register({ service, address: "a:1" });
    const states = statesOf(registration);
    cut.proxy.blackhole();
    await until("the server has let go", async () => (await direct.kv.get(registration.key)) === undefined);
    assert.equal(registration.state, "registering");
    cut.proxy.heal();
    await until("it is back", async () => (await stored(direct, registration.key)) !== undefined);
    await until("it knows", () => registration.state === "registered");
    // A machine under load may lose its session once more.
    assert((await stored(direct, registration.key))!.Instance.epoch >= 2);
    assert(states.includes("registering") && states.at(-1) === "registered", states.join());
    await registration.close();
  });

  test("an outage that the server does not notice changes nothing that others can see", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    const registry = new Registry(cut.client, { session: { ttl: "20s", margin: "10s" } });
    const registration = await registry.register({ service, address: "a:1" });
    const { revision } = await direct.kv.list(registration.key);
    const lost = registration.session!;
    // Lost here, by the margin, while the server's lease still runs.
    cut.proxy.blackhole();
    await until("the session is lost", () => registration.state === "registering");
    cut.proxy.heal();
    await until("it is registered again", () => registration.state === "registered");
    const events: string[] = [];
    await using watch = direct.watch(registration.key, { startRevision: revision + 1n });
    const { value: batch } = await watch.next();
    for (const event of batch?.events ?? []) events.push(event.type);
    assert.deepEqual(events, ["put"], "the new lease took the key over without a gap");
    assert.equal((await stored(direct, registration.key))?.Instance.epoch, 2);
    await direct.lease.revoke(lost.id);
    await pause(200);
    assert.equal((await stored(direct, registration.key))?.Instance.epoch, 2, "the old lease does not take it away");
    await registration.close();
  });

  test("closing deletes what this registration wrote and nothing else", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const registration = await new Registry(client).register({ service, address: "a:1" });
    await client.kv.put(registration.key, "another's");
    await registration.close();
    assert.equal((await client.kv.get(registration.key))?.value, "another's");
  });

  test("the later registration of an id takes the place of the earlier, which does not fight for it", async () => {
    const [one, other] = [await world.connect(), await world.connect()];
    const service = `${world.prefix()}s`;
    const first = await new Registry(one).register({ service, address: "a:1" });
    const second = await new Registry(other).register({ service, address: "a:1" });
    await until("the first knows", () => first.state === "replaced");
    assert.equal((await stored(one, first.key))?.Instance.id, second.instanceId);
    assert.equal(((await rejection(first.update({ weight: 2 }))) as RecipeError).code, "REPLACED");
    await first.close();
    await pause(100);
    assert.equal((await stored(one, first.key))?.Instance.id, second.instanceId);
    assert.equal(second.state, "registered");
    // The one that comes back after a crash takes its own place, while the old lease still runs.
    await second.close();
  });

  test("one process registers an id once", async () => {
    const client = await world.connect();
    const registry = new Registry(client);
    const service = `${world.prefix()}s`;
    const first = await registry.register({ service, address: "a:1" });
    const error = await rejection(registry.register({ service, address: "a:1" }));
    assert(error instanceof RecipeError && error.code === "CONFLICT", String(error));
    assert.equal((await stored(client, first.key))?.Instance.id, first.instanceId);
    await first.close();
    const again = await registry.register({ service, address: "a:1" });
    await again.close();
  });

  test("draining takes it off the list while it lives; resuming puts it back; close after drain is fine", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const registration = await new Registry(client).register({ service, address: "a:1" });
    const states = statesOf(registration);
    await registration.drain({ wait: 10 });
    assert.equal(await client.kv.get(registration.key), undefined);
    await registration.update({ metadata: "changed meanwhile" });
    assert.equal(await client.kv.get(registration.key), undefined);
    await registration.resume();
    assert.equal((await stored(client, registration.key))?.Metadata, "changed meanwhile");
    await registration.drain();
    await registration.close();
    assert.deepEqual(states, ["drained", "registering", "registered", "drained", "closed"]);
  });

  test("a check decides whether it is listed", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    let answer: () => unknown = () => false;
    const check = { run: () => answer(), interval: 10, timeout: 50, failuresMax: 2 };
    const registering = new Registry(client).register({ service, address: "a:1", check });
    registering.catch(() => undefined);
    await pause(100);
    assert.deepEqual(await keysBelow(client, `${service}/`), []);
    answer = () => true;
    const registration = await registering;
    const states = statesOf(registration);
    for (const failing of [() => Promise.reject(new Error("sick")), () => new Promise(() => undefined)]) {
      answer = failing;
      await until("it is off the list", async () => (await client.kv.get(registration.key)) === undefined);
      assert.equal(registration.state, "unhealthy");
      answer = () => undefined;
      await until("it is back", async () => (await client.kv.get(registration.key)) !== undefined);
      await until("it knows", () => registration.state === "registered");
    }
    assert.deepEqual(states, ["unhealthy", "registering", "registered", "unhealthy", "registering", "registered"]);
    await registration.close();
    answer = () => false;
    const sick = new Registry(client).register({ service, address: "b:1", check, wait: 100 });
    assert((await rejection(sick)) instanceof WaitTimeoutError);
    assert.deepEqual(await keysBelow(client, `${service}/`), []);
  });

  test("a write whose answer is lost is cleared up: one key, and no newer write undone", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    const session = await openSession(cut.client, { ttl: "60s" });
    const registry = new Registry(cut.client, { session });
    cut.proxy.cutNext("toClient");
    const registration = await registry.register({ service, address: "a:1" });
    for (const metadata of [1, 2, 3]) {
      cut.proxy.cutNext(metadata === 2 ? "toServer" : "toClient");
      await registration.update({ metadata });
      const there = await stored(direct, registration.key);
      assert.deepEqual([there?.Metadata, there?.Instance.epoch], [metadata, 1]);
    }
    cut.proxy.cutNext("toClient");
    await registration.close();
    assert.equal(await direct.kv.get(registration.key), undefined);
    // What was lost on the way and comes now is swept.
    await direct.kv.put(registration.key, "late", { leaseId: session.id });
    await until("it is swept", async () => (await direct.kv.get(registration.key)) === undefined);
  });

  test("an update that was held up on the way and comes late does not undo a newer one, nor a deregistration", async () => {
    await using twoWays = await connectTwoWays(world);
    const { client, proxy } = twoWays;
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    const session = await openSession(client, { ttl: "60s" });
    const registration = await new Registry(client, { session }).register({ service, address: "a:1", metadata: 0 });
    proxy.blackhole("toServer");
    await registration.update({ metadata: 1 });
    await registration.update({ metadata: 2 });
    proxy.heal();
    await until("the proxy is in use again", () => passes(proxy));
    await pause(200);
    assert.equal((await stored(direct, registration.key))?.Metadata, 2);
    await until("the client is back on it", async () => {
      client.setEndpoints([proxy.endpoint]);
      return (await client.kv.count("x")) === 0;
    });
    client.setEndpoints([proxy.endpoint, world.server.endpoint]);
    proxy.blackhole("toServer");
    const updating = registration.update({ metadata: 3 });
    await updating;
    await registration.close();
    proxy.heal();
    await until("the proxy is in use again", () => passes(proxy));
    await pause(200);
    assert.equal(await direct.kv.get(registration.key), undefined);
  });

  test("closing while cut off says that it is unconfirmed, and is carried out later", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    const session = await openSession(cut.client, { ttl: "60s" });
    const registration = await new Registry(cut.client, { session }).register({ service, address: "a:1" });
    cut.proxy.blackhole();
    assert((await rejection(registration.close())) instanceof UnconfirmedError);
    cut.proxy.heal();
    await until("it is gone", async () => (await direct.kv.get(registration.key)) === undefined);
    assert.equal(session.state, "held");
  });

  test("a session that it was given and that is lost is the end of it", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const session = await openSession(client, { ttl: "60s" });
    const registration = await new Registry(client, { session }).register({ service, address: "a:1" });
    await session.close();
    await until("it has failed", () => registration.state === "failed");
    assert.equal(await client.kv.get(registration.key), undefined);
    const error = await rejection(new Registry(client, { session }).register({ service, address: "b:1" }));
    assert(error instanceof RecipeError && error.code === "SESSION_LOST");
  });

  test("registering that is given up leaves nothing behind", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    const giveUp = new AbortController();
    await openSession(cut.client, { ttl: "10s" });
    cut.proxy.delay(150, "toServer");
    const registering = new Registry(cut.client).register({ service, address: "a:1", signal: giveUp.signal });
    registering.catch(() => undefined);
    await pause(250);
    giveUp.abort(new Error("changed my mind"));
    assert((await rejection(registering)) instanceof AbortError);
    cut.proxy.heal();
    await pause(300);
    await until("nothing is left", async () => (await keysBelow(direct, `${service}/`)).length === 0);
  });
});
