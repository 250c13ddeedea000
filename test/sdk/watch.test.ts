// Watches against real servers: what they report, from where, and how they treat a slow reader and a compaction.
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import {
  AbortError,
  bytes,
  CodecError,
  CompactedError,
  InvalidArgumentError,
  json,
  op,
  type Watch,
  type WatchBatch,
  WatchOverflowError,
} from "../../sdk/index.ts";
import { eachTarget, rejection, until } from "./harness.ts";

async function take<T>(watch: Watch<T>): Promise<WatchBatch<T>> {
  const result = await watch.next();
  assert(!result.done, "the watch has ended");
  return result.value;
}

/** A batch in short: kind, then `+key=value`, `-key` or `?key` for each event. */
function brief(batch: WatchBatch<unknown>): string {
  const events = batch.events.map((event) => {
    const name = event.key.split("/").at(-1);
    if (event.type === "put") return `+${name}=${event.kv.value}`;
    return event.type === "delete" ? `-${name}` : `?${name}`;
  });
  return [batch.kind, ...events].join(" ");
}

eachTarget((world) => {
  test("a watch from now on reports every change after `ready`, whole revisions at a time", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    await client.kv.put(`${prefix}before`, "x");
    await using watch = client.watch({ prefix });
    await watch.ready;
    assert.equal(watch.staleForMs(), 0);
    const put = await client.kv.put(`${prefix}a`, "1");
    await client
      .txn()
      .then(op.put(`${prefix}b`, "2"), op.delete(`${prefix}a`), op.put(`${prefix}c`, "3"))
      .commit();
    const first = await take(watch);
    assert.equal(brief(first), "delta +a=1");
    assert.deepEqual([first.revision, first.isWhole], [put.revision, false]);
    const second = await take(watch);
    assert.deepEqual(
      second.events.map((event) => event.modRevision),
      [put.revision + 1n, put.revision + 1n, put.revision + 1n],
    );
    assert.deepEqual(second.events.map((event) => event.key.slice(prefix.length)).sort(), ["a", "b", "c"]);
    assert.equal(watch.revision, put.revision + 1n);
    const created = second.events.find((event) => event.key === `${prefix}b`);
    assert(created?.type === "put" && created.isCreate);
  });

  test("a snapshot and the changes after it meet without a gap", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    for (let index = 0; index < 200; index++) await client.kv.put(`${prefix}${index}`, "0");
    const writing = (async () => {
      for (let index = 0; index < 200; index++) await client.kv.put(`${prefix}${index % 20}`, String(index));
      return client.kv.put(`${prefix}end`, "end");
    })();
    await using watch = client.watch({ prefix }, { snapshot: true });
    const view = new Map<string, string>();
    let revision = 0n;
    for await (const batch of watch) {
      assert.equal(batch.kind, view.size === 0 ? "snapshot" : "delta");
      assert(batch.revision > revision);
      if (batch.kind === "delta") assert.equal(batch.events[0]?.modRevision, revision + 1n);
      revision = batch.revision;
      for (const event of batch.events) if (event.type === "put") view.set(event.key, event.kv.value);
      if (view.has(`${prefix}end`)) break;
    }
    assert.equal(revision, (await writing).revision);
    for (const { key, value } of (await client.kv.list({ prefix })).items) assert.equal(view.get(key), value, key);
  });

  test("a watch from an old revision replays it, in order, with the versions before", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const { revision } = await client.kv.put(`${prefix}a`, "1");
    await client.kv.put(`${prefix}a`, "2");
    await client.kv.delete(`${prefix}a`);
    await using watch = client.watch(`${prefix}a`, { startRevision: revision, previous: true });
    const events = [];
    while (events.length < 3) events.push(...(await take(watch)).events);
    assert.deepEqual(
      events.map((event) => [
        event.type,
        event.modRevision,
        event.type === "invalid" ? undefined : event.previous?.value,
      ]),
      [
        ["put", revision, undefined],
        ["put", revision + 1n, "1"],
        ["delete", revision + 2n, "2"],
      ],
    );
  });

  test("a watch from a future revision is silent until then", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const { revision } = await client.kv.put(`${prefix}a`, "0");
    await using watch = client.watch({ prefix }, { startRevision: revision + 3n });
    await watch.ready;
    for (const value of ["1", "2", "3", "4"]) await client.kv.put(`${prefix}a`, value);
    assert.equal((await take(watch)).revision, revision + 3n);
    assert.equal(brief(await take(watch)), "delta +a=4");
  });

  test("only puts, only deletes", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    await using puts = client.watch({ prefix }, { only: "put" });
    await using deletes = client.watch({ prefix }, { only: "delete" });
    await using cheap = client.watch({ prefix }, { only: "delete", resync: "error" });
    await Promise.all([puts.ready, deletes.ready, cheap.ready]);
    await client.kv.put(`${prefix}a`, "1");
    await client.kv.delete(`${prefix}a`);
    await client.kv.put(`${prefix}b`, "2");
    assert.deepEqual([brief(await take(puts)), brief(await take(puts))], ["delta +a=1", "delta +b=2"]);
    assert.equal(brief(await take(deletes)), "delta -a");
    assert.equal(brief(await take(cheap)), "delta -a");
  });

  test("a value that the codec refuses is one event, not the end", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    await using watch = client.watch({ prefix }, { codec: json(z.object({ port: z.number() })) });
    await watch.ready;
    await client.kv.put(`${prefix}a`, '{"port":"x"}');
    await client.kv.put(`${prefix}b`, '{"port":80}');
    const [bad] = (await take(watch)).events;
    assert(bad?.type === "invalid" && bad.error instanceof CodecError);
    assert.equal(Buffer.from(bad.kv.value).toString(), '{"port":"x"}');
    const [good] = (await take(watch)).events;
    assert(good?.type === "put" && good.kv.value.port === 80);
  });

  test("many watches share one stream; each gets its own", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const watches = Array.from({ length: 50 }, (_, index) => client.watch(`${prefix}${index}`));
    await Promise.all(watches.map((watch) => watch.ready));
    await client
      .txn()
      .then(...watches.map((_, index) => op.put(`${prefix}${index}`, String(index))))
      .commit();
    for (const [index, watch] of watches.entries()) assert.equal(brief(await take(watch)), `delta +${index}=${index}`);
    await Promise.all(watches.slice(1).map((watch) => watch.close()));
    await client.kv.put(`${prefix}0`, "again");
    assert.equal(brief(await take(watches[0]!)), "delta +0=again");
    assert.deepEqual((await watches[1]!.next()).done, true);
    assert.equal(client.inspect().watches.length, 1);
  });

  test("progress is reported on demand and never runs ahead of events", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    await using watch = client.watch({ prefix }, { progress: true });
    await watch.ready;
    await client.kv.put(`${prefix}a`, "1");
    const { revision } = await client.kv.put("elsewhere", "x");
    assert.equal(brief(await take(watch)), "delta +a=1");
    watch.requestProgress();
    const progress = await take(watch);
    assert.deepEqual([progress.kind, progress.revision, progress.events.length], ["progress", revision, 0]);
    // Whoever took a progress for more than it says would leave the next event out.
    await client.kv.put(`${prefix}a`, "2");
    assert.equal(brief(await take(watch)), "delta +a=2");
  });

  test("close, return, break, signal: each ends it, and quietly except for the signal", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const closed = client.watch({ prefix });
    const waiting = closed.next();
    await closed.close();
    assert.equal((await waiting).done, true);
    await closed.close();
    const controller = new AbortController();
    const aborted = client.watch({ prefix }, { signal: controller.signal });
    const rejected = rejection(aborted.next());
    controller.abort(new Error("stop"));
    assert((await rejected) instanceof AbortError);
    assert((await rejection(client.watch({ prefix }, { signal: controller.signal }).next())) instanceof AbortError);
    await client.kv.put(`${prefix}a`, "1");
    for await (const _ of client.watch({ prefix }, { snapshot: true })) break;
    await until("no watch is left", () => client.inspect().watches.length === 0);
    assert.throws(() => client.watch({ prefix }, { snapshot: true, startRevision: 5n }), InvalidArgumentError);
    assert.throws(() => client.watch({ prefix }, { startRevision: 0n }), InvalidArgumentError);
    assert.throws(() => client.watch({ prefix }, { startRevision: 2n ** 63n }), InvalidArgumentError);
    assert.throws(() => client.watch({ prefix }, { bufferMax: 0 }), InvalidArgumentError);
    const nothing = client.watch({ from: "b", to: "a" });
    assert((await rejection(nothing.ready)) instanceof InvalidArgumentError);
  });

  test("concurrent reads get batches in order", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    await using watch = client.watch({ prefix });
    await watch.ready;
    const reads = [take(watch), take(watch), take(watch)];
    for (const value of ["1", "2", "3"]) await client.kv.put(`${prefix}a`, value);
    assert.deepEqual((await Promise.all(reads)).map(brief), ["delta +a=1", "delta +a=2", "delta +a=3"]);
  });

  test("block: a reader that stands still stops the flow, not the events", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    await using slow = client.watch({ prefix }, { bufferMax: 10 });
    await using fast = client.watch({ prefix });
    await Promise.all([slow.ready, fast.ready]);
    const total = 300;
    for (let index = 0; index < total; index++) await client.kv.put(`${prefix}k`, String(index));
    for (let index = 0; index < total; index++) assert.equal(brief(await take(fast)), `delta +k=${index}`);
    assert.equal(slow.inspect().state, "paused");
    assert(slow.inspect().buffered <= 11);
    assert(slow.staleForMs() >= 0);
    for (let index = 0; index < total; ) {
      for (const event of (await take(slow)).events) {
        assert(event.type === "put");
        assert.equal(event.kv.value, String(index++));
      }
    }
  });

  test("latest: a reader that stands still finds the newest state", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    await using watch = client.watch({ prefix }, { bufferMax: 10, overflow: "latest" });
    await watch.ready;
    for (let index = 0; index < 100; index++) await client.kv.put(`${prefix}${index % 3}`, String(index));
    const { revision } = await client.kv.delete(`${prefix}0`);
    const view = new Map<string, string>();
    let last = 0n;
    let batches = 0;
    while (last < revision) {
      const batch = await take(watch);
      assert(batch.revision > last);
      last = batch.revision;
      batches += 1;
      for (const event of batch.events) {
        if (event.type === "put") view.set(event.key, event.kv.value);
        else view.delete(event.key);
      }
    }
    assert.deepEqual([...view].sort(), [
      [`${prefix}1`, "97"],
      [`${prefix}2`, "98"],
    ]);
    assert(batches < 50, `${batches} batches for 101 events`);
  });

  test("error: a reader that stands still is told, after what had been received", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const watch = client.watch({ prefix }, { bufferMax: 5, overflow: "error" });
    await watch.ready;
    for (let index = 0; index < 10; index++) await client.kv.put(`${prefix}k`, String(index));
    await until("it has overflowed", () => watch.inspect().state === "ended");
    const seen: string[] = [];
    const error = await rejection(
      (async () => {
        for await (const batch of watch) seen.push(brief(batch));
      })(),
    );
    assert(error instanceof WatchOverflowError);
    assert.equal(seen[0], "delta +k=0");
  });

  test("a slow reader overtaken by compaction gets a resync that leads to the true state", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    for (const name of ["kept", "changed", "gone"]) await client.kv.put(prefix + name, "0");
    await using watch = client.watch({ prefix }, { bufferMax: 2 });
    await watch.ready;
    for (const value of ["1", "2", "3", "4"]) await client.kv.put(`${prefix}changed`, value);
    await until("it is paused", () => watch.inspect().state === "paused");
    await client.kv.delete(`${prefix}gone`);
    await client.kv.put(`${prefix}changed`, "5");
    await client.kv.put(`${prefix}short`, "x");
    await client.kv.delete(`${prefix}short`);
    const { revision } = await client.kv.put(`${prefix}new`, "1");
    await client.kv.compact(revision);
    assert.equal(brief(await take(watch)), "delta +changed=1");
    assert.equal(brief(await take(watch)), "delta +changed=2");
    const resync = await take(watch);
    assert.equal(brief(resync), "resync +changed=5 +new=1 -gone");
    assert.deepEqual([resync.revision, resync.isWhole], [revision, false]);
    await client.kv.put(`${prefix}after`, "1");
    assert.equal(brief(await take(watch)), "delta +after=1");
  });

  test("a single key that was deleted behind a compaction is reported deleted, once", async () => {
    const client = await world.connect();
    const key = `${world.prefix()}lock`;
    const { revision } = await client.kv.put(key, "held");
    await using watch = client.watch(key, { startRevision: revision + 1n, bufferMax: 1 });
    await watch.ready;
    await client.kv.put(key, "again");
    await until("it is paused", () => watch.inspect().state === "paused");
    await client.kv.delete(key);
    // One further: the tombstone of the compacted revision itself is kept for watchers.
    const later = await client.kv.put(`${key}-other`, "x");
    await client.kv.compact(later.revision);
    assert.equal(brief(await take(watch)), "delta +lock=again");
    const resync = await take(watch);
    assert.equal(brief(resync), "resync -lock");
  });

  test("a start that is compacted already has no base: the resync is whole", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const { revision } = await client.kv.put(`${prefix}a`, "1");
    await client.kv.put(`${prefix}b`, "1");
    const last = await client.kv.put(`${prefix}a`, "2");
    await client.kv.compact(last.revision);
    await using watch = client.watch({ prefix }, { startRevision: revision });
    const batch = await take(watch);
    assert.deepEqual([brief(batch), batch.isWhole], ["resync +b=1 +a=2", true]);
    const strict = client.watch({ prefix }, { startRevision: revision, resync: "error" });
    const error = await rejection(strict.next());
    assert(error instanceof CompactedError);
    assert.equal(error.compactRevision, last.revision);
  });

  test("a revision larger than a message arrives whole", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const { revision } = await client.kv.put(`${prefix}0`, "");
    const value = Buffer.alloc(100_000, 1);
    for (let index = 0; index < 100; index++) {
      await client.kv.put(`${prefix}${index}`, value, { codec: bytes });
    }
    await client.kv.delete({ prefix });
    await using replay = client.watch({ prefix }, { codec: bytes, previous: true, startRevision: revision });
    let found: WatchBatch<Uint8Array> | undefined;
    while (found === undefined) {
      const batch = await take(replay);
      if (batch.events.at(-1)?.type === "delete") found = batch;
    }
    const deletes = found.events.filter((event) => event.type === "delete");
    assert.equal(deletes.length, 100);
    assert(deletes.every((event) => event.previous?.value.length === value.length));
    assert.equal(new Set(deletes.map((event) => event.modRevision)).size, 1);
  });

  test("a namespace's watch shows its own keys, without the prefix", async () => {
    const client = await world.connect();
    const space = client.namespace(world.prefix());
    await using watch = space.watch({ all: true }, { snapshot: true });
    await take(watch);
    await watch.ready;
    await space.kv.put("a", "1");
    assert.equal((await take(watch)).events[0]?.key, "a");
  });

  test("a collection follows the store and tells what changed", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const port = json(z.number());
    await client.kv.put(`${prefix}a`, 1, { codec: port });
    await using view = client.collection({ prefix }, { codec: port });
    await view.ready;
    assert.deepEqual([view.size, view.get(`${prefix}a`)?.value], [1, 1]);
    const changes: string[] = [];
    view.on("change", ({ kind, differences }) => {
      for (const { key, before, after } of differences) {
        changes.push(`${kind} ${key.slice(prefix.length)}: ${before?.value} -> ${after?.value}`);
      }
    });
    await client
      .txn()
      .then(op.put(`${prefix}b`, 2, { codec: port }), op.delete(`${prefix}a`))
      .commit();
    await until("both changes are seen", () => changes.length === 2);
    assert.deepEqual(changes.sort(), ["delta a: 1 -> undefined", "delta b: undefined -> 2"]);
    await client.kv.put(`${prefix}b`, "not a number");
    await until("the bad value is noticed", () => view.invalid.size === 1);
    assert.deepEqual(
      [view.get(`${prefix}b`)?.value, view.has(`${prefix}a`), [...view.keys()]],
      [2, false, [`${prefix}b`]],
    );
    await client.kv.put(`${prefix}b`, 3, { codec: port });
    await until("the good value is there", () => view.get(`${prefix}b`)?.value === 3);
    assert.deepEqual([view.invalid.size, view.staleForMs()], [0, 0]);
    const ended = new Promise((resolve) => view.once("end", resolve));
    await view.close();
    assert.equal(await ended, undefined);
    assert.equal(view.size, 1);
  });
});
