// Keys, ranges, codecs, compare-and-set and transactions against real servers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import {
  bytes,
  ClientError,
  CodecError,
  CompactedError,
  type Compare,
  ContentionError,
  compare,
  InvalidArgumentError,
  json,
  op,
  SchemaError,
} from "../../sdk/index.ts";
import { eachTarget, rejection } from "./harness.ts";

eachTarget((world) => {
  test("put, get and delete, with revisions as bigints", async () => {
    const { kv } = await world.connect();
    const key = `${world.prefix()}a`;
    assert.equal(await kv.get(key), undefined);
    const first = await kv.put(key, "one");
    assert.equal(first.previous, undefined);
    const second = await kv.put(key, "two", { previous: true });
    assert.equal(second.previous?.value, "one");
    assert.equal(second.revision, first.revision + 1n);
    const stored = await kv.get(key);
    assert.deepEqual(
      { ...stored, keyBytes: undefined },
      {
        key,
        keyBytes: undefined,
        value: "two",
        createRevision: first.revision,
        modRevision: second.revision,
        version: 2n,
        leaseId: 0n,
      },
    );
    assert.equal((await kv.get(key, { revision: first.revision }))?.value, "one");
    const removed = await kv.delete(key, { previous: true });
    assert.equal(removed.deleted, 1);
    assert.equal(removed.previous[0]?.value, "two");
    assert.equal((await kv.delete(key)).deleted, 0);
  });

  test("binary keys and values survive as they are, and text that is not UTF-8 is an error, not a guess", async () => {
    const { kv } = await world.connect();
    const key = Uint8Array.of(...Buffer.from(world.prefix()), 0, 0xff, 0xc3);
    const value = Uint8Array.of(0, 1, 0xff, 0xfe);
    await kv.put(key, value, { codec: bytes });
    assert.deepEqual((await kv.get(key, { codec: bytes }))?.value, value);
    assert.deepEqual((await kv.get(key, { codec: bytes }))?.keyBytes, key);
    const error = await rejection(kv.get(key));
    assert(error instanceof CodecError);
    assert.equal(error.code, "CODEC");
    await assert.rejects(kv.put("half\ud800", "x"), InvalidArgumentError);
    await assert.rejects(kv.put("ok", "half\udc00"), CodecError);
    // As untyped code might.
    await assert.rejects(kv.put("ok", Buffer.from("x") as never), /expected a string/);
    await assert.rejects(kv.put("", "x"), InvalidArgumentError);
  });

  test("buffers are not shared with the SDK, in either direction", async () => {
    const client = await world.connect();
    const { kv } = client;
    const prefix = world.prefix();
    for (const name of ["a", "b", "c"]) await kv.put(prefix + name, Buffer.from(name.repeat(9)), { codec: bytes });
    const { items } = await kv.list({ prefix }, { codec: bytes });
    items[1]!.value.fill(0);
    items[1]!.keyBytes.fill(0);
    assert.equal(Buffer.from(items[0]!.value).toString(), "aaaaaaaaa");
    assert.equal(Buffer.from(items[2]!.value).toString(), "ccccccccc");
    assert.equal(items[2]!.key, `${prefix}c`);
    const own = Buffer.from(`${prefix}own`);
    const value = Buffer.from("before");
    const txn = client.txn().then(op.put(own, value, { codec: bytes }));
    const listing = kv.list({ prefix: own });
    assert.equal(own.toString(), `${prefix}own`);
    value.fill("x");
    own.fill("x");
    assert.equal((await listing).count, 0);
    await txn.commit();
    assert.equal((await kv.get(`${prefix}own`))?.value, "before");
  });

  test("schemas decide what a value is, with the types that follow", async () => {
    const { kv } = await world.connect();
    const key = `${world.prefix()}user`;
    const user = json(z.object({ name: z.string(), age: z.number().default(0) }));
    await kv.put(key, { name: "Ada" }, { codec: user });
    const stored = await kv.get(key, { codec: user });
    const age: number = stored!.value.age;
    assert.equal(age, 0);
    await kv.put(key, '{"name": 7}');
    const error = await rejection(kv.get(key, { codec: user }));
    assert(error instanceof CodecError && error.cause instanceof SchemaError);
    assert.match(error.message, /name/);
    await kv.put(key, "{");
    await assert.rejects(kv.get(key, { codec: user }), CodecError);
    const slow = json(z.object({ name: z.string() }).refine(async ({ name }) => name !== "Eve"));
    await kv.put(key, { name: "Ada" }, { codec: slow });
    assert.equal((await kv.get(key, { codec: slow }))?.value.name, "Ada");
    await kv.put(key, { name: "Eve" }, { codec: slow });
    await assert.rejects(kv.list({ prefix: key }, { codec: slow }), CodecError);
  });

  test("ranges: prefix, from-to, open end, limit, sort, count and keys only", async () => {
    const { kv } = await world.connect();
    const prefix = world.prefix();
    for (const name of ["c", "a", "d", "b"]) await kv.put(prefix + name, name);
    const names = async (...args: Parameters<typeof kv.list>): Promise<string> =>
      (await kv.list(...args)).items.map((item) => item.key.slice(prefix.length)).join("");
    assert.equal(await names({ prefix }), "abcd");
    assert.equal(await names({ from: `${prefix}b`, to: `${prefix}d` }), "bc");
    assert.equal((await names({ from: `${prefix}c` })).slice(0, 2), "cd");
    assert.equal(await names({ prefix }, { sort: { by: "modRevision" } }), "cadb");
    assert.equal(await names({ prefix }, { sort: { by: "value", order: "descending" } }), "dcba");
    const limited = await kv.list({ prefix }, { limit: 3 });
    assert.deepEqual([limited.items.length, limited.more, limited.count], [3, true, 4]);
    assert.equal(await kv.count({ prefix }), 4);
    assert.deepEqual(
      (await kv.keys({ prefix })).map((info) => info.key),
      ["a", "b", "c", "d"].map((name) => prefix + name),
    );
    await assert.rejects(kv.list({ from: "a", to: "" }), InvalidArgumentError);
    await assert.rejects(kv.list({ prefix }, { limit: -1 }), InvalidArgumentError);
  });

  test("a scan shows one revision, however many pages and writes come in between", async () => {
    const client = await world.connect();
    const { kv } = client;
    const prefix = world.prefix();
    const total = 1000;
    for (let start = 0; start < total; start += 100) {
      const ops = Array.from({ length: 100 }, (_, index) =>
        op.put(`${prefix}${String(start + index).padStart(5, "0")}`, "old"),
      );
      await client
        .txn()
        .then(...ops)
        .commit();
    }
    const seen: string[] = [];
    for await (const { key, value } of kv.scan({ prefix })) {
      if (seen.length === 10) {
        await kv.put(`${prefix}00999`, "new");
        await kv.put(`${prefix}00500x`, "inserted");
        await kv.delete(`${prefix}00998`);
      }
      assert.equal(value, "old");
      seen.push(key);
    }
    assert.equal(seen.length, total);
    assert.deepEqual(seen, [...seen].sort());
  });

  test("a scan whose revision is compacted says so instead of mixing revisions", async () => {
    const { kv } = await world.connect();
    const prefix = world.prefix();
    for (let index = 0; index < 300; index++) await kv.put(prefix + index, "x");
    const scan = kv.scan({ prefix });
    await scan.next();
    const { revision } = await kv.put(`${prefix}more`, "x");
    await kv.compact(revision);
    await assert.rejects(async () => {
      for await (const _ of scan);
    }, CompactedError);
  });

  test("create writes once and answers with what is there otherwise", async () => {
    const { kv } = await world.connect();
    const key = `${world.prefix()}owner`;
    const made = await kv.create(key, "me");
    assert(made.created);
    const refused = await kv.create(key, "you");
    assert(!refused.created);
    assert.equal(refused.existing.value, "me");
    assert.equal(refused.existing.createRevision, made.revision);
  });

  test("update loses no increment under contention and reports when it is beaten too often", async () => {
    const { kv } = await world.connect();
    const key = `${world.prefix()}counter`;
    const increment = (): Promise<unknown> =>
      kv.update(key, (current) => String(Number(current?.value ?? 0) + 1), { attempts: 100 });
    await Promise.all(Array.from({ length: 20 }, increment));
    assert.equal((await kv.get(key))?.value, "20");
    const beaten = await rejection(
      kv.update(
        key,
        async (current) => {
          await kv.put(key, "beaten");
          return `${current?.value}!`;
        },
        { attempts: 3 },
      ),
    );
    assert(beaten instanceof ContentionError);
    assert.deepEqual([beaten.attempts, beaten.retryable, beaten.outcome], [3, true, "notApplied"]);
    const kept = await kv.update(key, () => undefined);
    assert.deepEqual([kept.updated, kept.value], [false, undefined]);
  });

  test("update keeps the key's lease", async () => {
    const client = await world.connect();
    const key = `${world.prefix()}leased`;
    const { id } = await client.lease.grant({ ttl: "60s" });
    await client.kv.put(key, "1", { leaseId: id });
    await client.kv.update(key, (current) => `${current?.value}2`);
    const stored = await client.kv.get(key);
    assert.deepEqual([stored?.value, stored?.leaseId], ["12", id]);
    await client.kv.setLease(key, 0n);
    assert.deepEqual([(await client.kv.get(key))?.value, (await client.kv.get(key))?.leaseId], ["12", 0n]);
    await client.lease.revoke(id);
  });

  test("history goes back to the creation, or to the compaction", async () => {
    const { kv } = await world.connect();
    const key = `${world.prefix()}h`;
    await kv.put(key, "before");
    await kv.delete(key);
    for (const value of ["1", "2", "3"]) await kv.put(key, value);
    const values = async (): Promise<string[]> => {
      const found: string[] = [];
      for await (const version of kv.history(key)) found.push(version.value);
      return found;
    };
    assert.deepEqual(await values(), ["3", "2", "1"]);
    const current = await kv.get(key);
    await kv.compact(current!.modRevision - 1n);
    assert.deepEqual(await values(), ["3", "2"]);
  });

  test("txn: the branch that ran decides the answers and their types", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const port = json(z.number());
    const run = () =>
      client
        .txn()
        .if(compare(`${prefix}a`).missing(), compare({ prefix }).missing())
        .then(op.put(`${prefix}a`, "1"), op.get(`${prefix}a`), op.put(`${prefix}port`, 80, { codec: port }))
        .else(op.list({ prefix }), op.count({ prefix }), op.get(`${prefix}port`, { codec: port }))
        .commit();
    const first = await run();
    assert(first.succeeded);
    assert.equal(first.responses[1]?.value, "1");
    assert.equal(first.responses[0].revision, first.revision);
    const second = await run();
    assert(!second.succeeded);
    const [listed, count, stored] = second.responses;
    const number: number | undefined = stored?.value;
    assert.deepEqual([listed.items.length, count, number], [2, 2, 80]);
  });

  test("txn: every kind of comparison, nested txns, deletes", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const key = `${prefix}k`;
    const { revision } = await client.kv.put(key, "v");
    const holds = async (...compares: Compare[]): Promise<boolean> =>
      (
        await client
          .txn()
          .if(...compares)
          .commit()
      ).succeeded;
    assert(await holds(compare(key).value("==", "v"), compare(key).value("!=", "w"), compare(key).value("<", "w")));
    assert(await holds(compare(key).version("==", 1n), compare(key).createRevision("==", revision)));
    assert(await holds(compare(key).modRevision(">", revision - 1n), compare(key).leaseId("==", 0n)));
    assert(await holds(compare(key).exists(), compare(`${prefix}none`).missing()));
    assert(!(await holds(compare(key).missing())));
    assert(!(await holds(compare(`${prefix}none`).value("!=", "v"))));
    const inner = client
      .txn()
      .if(compare(key).exists())
      .then(op.delete(key, { previous: true }))
      .else(op.get(key));
    const result = await client
      .txn()
      .then(inner.asOp(), op.put(`${prefix}done`, "yes"))
      .commit();
    assert(result.succeeded);
    const [nested] = result.responses;
    assert(nested.succeeded);
    assert.equal(nested.responses[0].previous[0]?.value, "v");
    assert.equal(await client.kv.get(key), undefined);
  });

  test("a txn that is awaited by mistake says what to do", async () => {
    const client = await world.connect();
    const waiting = client.txn() as unknown as Promise<void>;
    await assert.rejects(async () => waiting, /call commit\(\)/);
  });

  test("server errors have codes, outcomes and the server's text", async () => {
    const client = await world.connect();
    const { kv } = client;
    const { revision } = await kv.put(`${world.prefix()}x`, "1");
    const cases: readonly [() => Promise<unknown>, string, RegExp][] = [
      [() => kv.get("x", { revision: revision + 1000n }), "FUTURE_REVISION", /future revision/],
      [() => kv.put("x", "1", { leaseId: 123n }), "LEASE_NOT_FOUND", /lease not found/],
      [() => kv.put("no such key", "1", { keepLease: true }), "INVALID_ARGUMENT", /key not found/],
      [() => client.lease.revoke(123n), "LEASE_NOT_FOUND", /lease not found/],
      [() => client.txn().then(op.put("d", "1"), op.put("d", "2")).commit(), "INVALID_ARGUMENT", /duplicate key/],
      [
        () =>
          client
            .txn()
            .then(...Array.from({ length: 129 }, (_, index) => op.get(`k${index}`)))
            .commit(),
        "INVALID_ARGUMENT",
        /too many operations/,
      ],
      [() => kv.put("big", "x".repeat(1_600_000)), "INVALID_ARGUMENT", /request is too large/],
    ];
    for (const [run, code, message] of cases) {
      const error = await rejection(run());
      assert(error instanceof ClientError, String(error));
      assert.deepEqual([error.code, error.outcome], [code, "notApplied"]);
      assert.match(error.message, message);
    }
  });

  test("a namespace sees nothing else and shows its keys without the prefix", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const inside = client.namespace(prefix).namespace("deep/");
    await client.kv.put(`${prefix}deepx`, "outside");
    await inside.kv.put("a", "1");
    await inside.kv.put("b", "2");
    assert.equal((await client.kv.get(`${prefix}deep/a`))?.value, "1");
    const listed = await inside.kv.list({ all: true });
    assert.deepEqual(
      listed.items.map((item) => [item.key, item.value]),
      [
        ["a", "1"],
        ["b", "2"],
      ],
    );
    assert.equal(await inside.kv.count({ from: "b" }), 1);
    const result = await inside.txn().if(compare("a").exists()).then(op.get("a"), op.delete("b")).commit();
    assert(result.succeeded);
    assert.equal(result.responses[0]?.key, "a");
    assert.equal(inside.prefix, `${prefix}deep/`);
    assert.equal((await inside.kv.delete({ all: true })).deleted, 1);
    assert.equal((await client.kv.get(`${prefix}deepx`))?.value, "outside");
    const named = await world.connect({ namespace: prefix });
    assert.equal((await named.kv.get("deepx"))?.value, "outside");
  });

  test("deadlines and signals end a call, and a call that was not made changed nothing", async () => {
    const { kv } = await world.connect();
    const key = `${world.prefix()}x`;
    const reason = new Error("enough");
    const aborted = await rejection(kv.put(key, "1", { signal: AbortSignal.abort(reason) }));
    assert(aborted instanceof ClientError);
    assert.deepEqual(
      [aborted.name, aborted.code, aborted.outcome, aborted.cause],
      ["AbortError", "ABORTED", "notApplied", reason],
    );
    const late = await rejection(kv.put(key, "1", { deadline: new Date(Date.now() - 1000) }));
    assert(late instanceof ClientError);
    assert.deepEqual([late.code, late.outcome], ["DEADLINE_EXCEEDED", "notApplied"]);
    await assert.rejects(kv.put(key, "1", { deadline: -5 }), InvalidArgumentError);
    await assert.rejects(kv.get(key, { revision: 2n ** 70n }), InvalidArgumentError);
    await assert.rejects(kv.put(key, "1", { leaseId: 2n ** 64n }), InvalidArgumentError);
    await assert.rejects(kv.put(key, "1", { deadline: "5 parsecs" as "5s" }), InvalidArgumentError);
    assert.equal(await kv.get(key), undefined);
  });
});
