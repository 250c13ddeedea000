// Resolvers: what they show, what they keep showing when the cluster is away, how they choose.
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { type Endpoint, leastPending, RecipeError, Registry, type Resolver, weighted } from "../../recipes/index.ts";
import { type Client, ClosedError, op } from "../../sdk/index.ts";
import { pause, rejection, until } from "../sdk/harness.ts";
import { connectThroughProxy, eachTarget } from "./support.ts";

const addresses = (list: readonly Endpoint[]): string => list.map(({ address }) => address).join(" ");
const goValue = (address: string, metadata: unknown = null): string =>
  JSON.stringify({ Op: 0, Addr: address, Metadata: metadata });

/** Every list that a resolver shows, from the first on. */
function record(resolver: Resolver): string[] {
  const seen = [addresses(resolver.endpoints)];
  resolver.on("change", ({ endpoints }) => seen.push(addresses(endpoints)));
  return seen;
}

eachTarget((world) => {
  const register = async (client: Client, service: string, ...where: readonly string[]) => {
    const registry = new Registry(client);
    return Promise.all(where.map((address) => registry.register({ service, address })));
  };

  test("it starts with the state and follows it: registered by us or by Go, updated, gone", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const [one] = await register(client, service, "10.0.0.1:80");
    await client.kv.put(`${service}/go/two`, goValue("10.0.0.2:80", { zone: "b" }));
    await client.kv.put(`${service}x/three`, goValue("10.0.0.3:80"));
    await using resolver = await new Registry(client).resolve(service);
    assert.equal(addresses(resolver.endpoints), "10.0.0.1:80 10.0.0.2:80");
    const [first, second] = resolver.endpoints;
    assert.deepEqual([first?.host, first?.port, first?.id, first?.weight], ["10.0.0.1", 80, "10.0.0.1:80", 1]);
    assert.deepEqual([second?.id, second?.metadata], ["go/two", { zone: "b" }]);
    const changes: string[] = [];
    resolver.on("change", ({ added, removed, updated }) =>
      changes.push(`+${addresses(added)} -${addresses(removed)} ~${addresses(updated)}`),
    );
    await one!.update({ metadata: "new" });
    await until("the update", () => changes.length === 1);
    assert.equal(resolver.endpoints[0]?.metadata, "new");
    assert.equal(resolver.endpoints[0]?.incarnation, first?.incarnation);
    const [four] = await register(client, service, "10.0.0.4:80");
    await client.kv.delete(`${service}/go/two`);
    await one!.close();
    await until("all changes", () => addresses(resolver.endpoints) === "10.0.0.4:80");
    assert.deepEqual(changes, ["+ - ~10.0.0.1:80", "+10.0.0.4:80 - ~", "+ -10.0.0.2:80 ~", "+ -10.0.0.1:80 ~"]);
    await four!.close();
  });

  test("what is no endpoint is passed over and told; an instance keeps its last good description", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    await client.kv.put(`${service}/good`, goValue("a:1", { zone: "x" }));
    await client.kv.put(`${service}/bad`, "not JSON");
    const metadata = z.object({ zone: z.string() });
    await using resolver = await new Registry(client).resolve(service, { metadata });
    assert.equal(addresses(resolver.endpoints), "a:1");
    const zone: string | undefined = resolver.endpoints[0]?.metadata.zone;
    assert.equal(zone, "x");
    const invalid: string[] = [];
    resolver.on("invalid", (key) => invalid.push(key));
    await client.kv.put(`${service}/good`, goValue("a:1", { zone: 7 }));
    await client.kv.put(`${service}/worse`, JSON.stringify({ Addr: "" }));
    await client.kv.put(`${service}/good2`, goValue("b:1", { zone: "y" }));
    await until("the last", () => addresses(resolver.endpoints) === "a:1 b:1");
    assert.deepEqual(invalid, [`${service}/good`, `${service}/worse`]);
    assert.equal(resolver.endpoints[0]?.metadata.zone, "x");
  });

  test("a lost connection never empties the list: it stays, and its age is told", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    const [one, two] = await register(direct, service, "a:1", "b:1");
    await using resolver = await new Registry(cut.client).resolve(service, { staleMax: "5s", whenEmpty: "empty" });
    const seen = record(resolver);
    await until("it is connected", () => resolver.staleForMs() === 0);
    await cut.proxy.refuse();
    await until("it is old", () => resolver.staleForMs() > 300);
    resolver.pick()[Symbol.dispose]();
    assert.equal(addresses(resolver.endpoints), "a:1 b:1");
    await two!.close();
    await until("it is too old", () => resolver.staleForMs() > 5_100);
    assert.throws(
      () => resolver.pick(),
      (error: unknown) => error instanceof RecipeError && error.code === "STALE",
    );
    assert.equal(addresses(resolver.endpoints), "a:1 b:1");
    await cut.proxy.accept();
    await until("it follows again", () => addresses(resolver.endpoints) === "a:1");
    assert.equal(resolver.pick().endpoint.address, "a:1");
    assert.deepEqual(seen, ["a:1 b:1", "a:1"], "no false removal was ever shown");
    await one!.close();
  });

  test("an empty list is not believed for a while; then it is", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const [one] = await register(client, service, "a:1");
    await using patient = await new Registry(client).resolve(service, { whenEmpty: { keepLast: "4s" } });
    await using trusting = await new Registry(client).resolve(service, { whenEmpty: "empty" });
    await using strict = await new Registry(client).resolve(service, { whenEmpty: "error" });
    await one!.close();
    await until("the emptiness is known", () => trusting.endpoints.length === 0 && patient.staleForMs() > 0);
    assert.equal(addresses(patient.endpoints), "a:1");
    assert.equal(patient.pick().endpoint.address, "a:1");
    const isNobody = (error: unknown): boolean => error instanceof RecipeError && error.code === "NO_ENDPOINTS";
    assert.throws(() => trusting.pick(), isNobody);
    await until("the strict one knows", () => {
      try {
        return strict.endpoints.length > 1;
      } catch (error) {
        return isNobody(error);
      }
    });
    // Back before it was believed: nothing had happened.
    const seen = record(patient);
    const [again] = await register(client, service, "a:1");
    await until("it is true again", () => patient.staleForMs() === 0);
    await again!.close();
    await until("it is believed", () => patient.endpoints.length === 0);
    assert.throws(() => patient.pick(), isNobody);
    assert.deepEqual(seen.slice(-1), [""]);
    assert.equal(patient.staleForMs(), 0);
  });

  test("a call goes to somebody who is not failing; a new incarnation starts with a clean slate", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const [a, b] = await register(client, service, "a:1", "b:1");
    await using resolver = await new Registry(client).resolve(service, { backoff: { firstMs: 60_000, maxMs: 60_000 } });
    const called: string[] = [];
    const call = async ({ address }: Endpoint): Promise<string> => {
      called.push(address);
      if (address === "a:1") throw new Error("down");
      return address;
    };
    const failed = await Promise.allSettled([resolver.run(call), resolver.run(call)]);
    assert.equal(failed.filter(({ status }) => status === "rejected").length, 1);
    for (let index = 0; index < 10; index++) assert.equal(await resolver.run(call), "b:1");
    assert.equal(called.filter((address) => address === "a:1").length, 1);
    await client.kv.delete(a!.key);
    await until("it is back", () => {
      const now = resolver.endpoints.find(({ address }) => address === "a:1");
      return now !== undefined && a!.epoch === 2 && now.incarnation.endsWith("/2");
    });
    const next = [resolver.pick(), resolver.pick()].map(({ endpoint }) => endpoint.address).sort();
    assert.deepEqual(next, ["a:1", "b:1"]);
    await Promise.all([a!.close(), b!.close()]);
  });

  test("strategies see weights and calls under way; a changed description does not lose count", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const registry = new Registry(client);
    const heavy = await registry.register({ service, address: "heavy:1", weight: 3 });
    const light = await registry.register({ service, address: "light:1", weight: 1 });
    await using shares = await registry.resolve(service, { strategy: weighted() });
    const counts = { "heavy:1": 0, "light:1": 0 } as Record<string, number>;
    for (let index = 0; index < 40; index++) counts[await shares.run(async ({ address }) => address)]! += 1;
    assert.deepEqual(counts, { "heavy:1": 30, "light:1": 10 });
    await using least = await registry.resolve(service, { strategy: leastPending() });
    const open = Array.from({ length: 4 }, () => least.pick());
    assert.deepEqual(open.map(({ endpoint }) => endpoint.address).sort(), ["heavy:1", "heavy:1", "heavy:1", "light:1"]);
    await heavy.update({ metadata: "changed" });
    await until("the update is known", () => least.endpoints[0]?.metadata === "changed");
    for (const pick of open.filter(({ endpoint }) => endpoint.address === "light:1")) pick.succeed();
    assert.equal(least.pick().endpoint.address, "light:1");
    for (const pick of open) pick[Symbol.dispose]();
    await Promise.all([heavy.close(), light.close()]);
  });

  test("changes can be read in a loop: a slow reader gets the newest list", async () => {
    const client = await world.connect();
    const service = `${world.prefix()}s`;
    const [one] = await register(client, service, "a:1");
    const resolver = await new Registry(client).resolve(service, { whenEmpty: "empty" });
    const lists = resolver.changes();
    assert.equal(addresses((await lists.next()).value!), "a:1");
    const [two, three] = await register(client, service, "b:1", "c:1");
    await until("all are there", () => resolver.endpoints.length === 3);
    assert.equal(addresses((await lists.next()).value!), "a:1 b:1 c:1");
    const pending = lists.next();
    await resolver.close();
    assert.equal((await pending).done, true);
    assert.equal((await resolver.changes().next()).done, true);
    await Promise.all([one, two, three].map((registration) => registration!.close()));
  });

  test("resolving waits for the cluster, or for as long as the caller does", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    const [one] = await register(direct, service, "a:1");
    await cut.proxy.refuse();
    const giveUp = new AbortController();
    const vain = new Registry(cut.client).resolve(service, { signal: giveUp.signal });
    vain.catch(() => undefined);
    const resolving = new Registry(cut.client).resolve(service);
    await pause(100);
    giveUp.abort(new Error("enough"));
    assert.equal((await rejection(vain)).message, "enough");
    await cut.proxy.accept();
    const resolver = await resolving;
    assert.equal(addresses(resolver.endpoints), "a:1");
    await resolver.close();
    await one!.close();
    await cut.proxy.refuse();
    const never = new Registry(cut.client).resolve(service);
    never.catch(() => undefined);
    await cut.client.close();
    assert((await rejection(never)) instanceof ClosedError);
  });
});

// On a server of its own: what is forgotten would be missed by those who begin to watch beside it.
eachTarget((world) => {
  test("a compaction during an outage becomes one change to what is true now", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const service = `${world.prefix()}s`;
    await direct.kv.put(`${service}/a`, goValue("a:1"));
    await direct.kv.put(`${service}/b`, goValue("b:1"));
    await using resolver = await new Registry(cut.client).resolve(service);
    const seen = record(resolver);
    await cut.proxy.refuse();
    await direct
      .txn()
      .then(op.delete(`${service}/a`), op.put(`${service}/c`, goValue("c:1")))
      .commit();
    const { revision } = await direct.kv.put(`${service}/b`, goValue("b:2"));
    await direct.kv.compact(revision);
    await cut.proxy.accept();
    await until("it is true again", () => addresses(resolver.endpoints) === "b:2 c:1");
    assert.deepEqual(seen, ["a:1 b:1", "b:2 c:1"]);
  });
});
