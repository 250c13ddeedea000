// The LMDB engine by itself: batches that are larger than what is handed over at a time, and what goes on beside them.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { writeByteString } from "../../server/lib/byte-string.ts";
import type { Clock } from "../../server/lib/clock.ts";
import { noMetrics } from "../../server/lib/metrics.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import type { TableChange } from "../../server/storage/backend.ts";
import { BatchEncoder, changeHeadBytes, encodeChanges } from "../../server/storage/batch-codec.ts";
import { LmdbStore } from "../../server/storage/lmdb-store.ts";

function openStore(t: TestContext, clock: Clock = systemClock): LmdbStore {
  const folder = mkdtempSync(join(tmpdir(), "quorate-store-"));
  const store = new LmdbStore({ folder, clock, metrics: noMetrics });
  t.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return store;
}

const mebibyte = 1024 * 1024;

function write(store: LmdbStore, changes: Iterable<TableChange>, onVisible: () => void): Promise<void> {
  return store.write(encodeChanges(changes), onVisible);
}

/** Rows that share one value, so that they take no memory of their own. */
function* rowsOf(count: number, value: Uint8Array): Iterable<TableChange> {
  for (let i = 0; i < count; i++) yield { table: "events", key: `row ${String(i).padStart(6, "0")}`, value };
}

/** The same changes one after the other in the same memory: they have keys and values of the same length. */
function* inOnePlace(changes: Iterable<TableChange>): Iterable<Uint8Array> {
  let place: Uint8Array | undefined;
  for (const change of changes) {
    place ??= [...encodeChanges([change])][0]!;
    writeByteString(place, change.key, changeHeadBytes);
    yield place;
  }
}

test("a large batch is written whole, and takes the memory of a few pieces", async (t) => {
  const memoryNow = (): number => process.memoryUsage().arrayBuffers;
  let peak = 0;
  const store = openStore(t, {
    ...systemClock,
    nextTurn(callback) {
      peak = Math.max(peak, memoryNow());
      systemClock.nextTurn(callback);
    },
  });
  const value = Buffer.alloc(4096, 7);
  const rows = 16 * 1024;
  const before = memoryNow();
  await store.write(inOnePlace(rowsOf(rows, value)), () => undefined);
  t.diagnostic(`64 MiB in one batch took ${Math.round((peak - before) / 1024)} KiB beside it`);
  assert(peak - before < 16 * mebibyte, `${peak - before} bytes`);
  assert.equal(store.count("events", "", undefined, 1e9).rows, rows);
  for (const { value: found } of store.scan("events", "row 001", "row 0011")) assert(value.equals(found));
});

test("rows of any size fit a batch", async (t) => {
  const store = openStore(t);
  const sizes = [0, 1, mebibyte - 20, mebibyte - 8, mebibyte, mebibyte + 1, 3 * mebibyte, 5, 0];
  const rows = sizes.map((size, i): TableChange => ({ table: "history", key: `k${i}`, value: Buffer.alloc(size, i) }));
  await write(store, rows, () => undefined);
  for (const { key, value } of rows)
    assert(value !== undefined && Buffer.compare(store.get("history", key)!, value) === 0);
});

test("reads see nothing of a batch before its end, and all of it from then on", async (t) => {
  const store = openStore(t);
  await write(store, [{ table: "events", key: "row 000001", value: Buffer.from("old") }], () => undefined);
  const countNow = (): number => store.count("events", "", undefined, 1e9).rows;
  let isVisible = false;
  const seen = new Set<number>();
  const writing = write(store, rowsOf(4000, Buffer.alloc(4096)), () => {
    isVisible = true;
  });
  while (!isVisible) {
    seen.add(countNow());
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  await writing;
  assert.deepEqual([...seen], [1]);
  assert.equal(countNow(), 4000);
});

test("a dump that is read while a batch is written holds nothing of it", async (t) => {
  const store = openStore(t);
  await write(store, rowsOf(2000, Buffer.alloc(2000, 1)), () => undefined);
  const dump = await store.openDump();
  const marked = Buffer.alloc(2000, 2);
  const writing = write(
    store,
    (function* () {
      yield* rowsOf(4000, marked);
      yield { table: "current", key: "later", value: marked };
    })(),
    () => undefined,
  );
  const pieces: Uint8Array[] = [];
  for await (const piece of dump.chunks()) pieces.push(Uint8Array.from(piece));
  await dump.close();
  await writing;
  assert(pieces.length > 2, "the dump took several requests");
  const expected = new BatchEncoder();
  for (const row of rowsOf(2000, Buffer.alloc(2000, 1))) expected.add(row);
  const { buffer, length } = expected.finish();
  assert(Buffer.concat(pieces).equals(Buffer.from(buffer, 0, length)));
});

test("a batch that breaks off leaves everything as it was, and the next one is written", async (t) => {
  const store = openStore(t);
  await write(store, rowsOf(10, Buffer.from("first")), () => undefined);
  const broken = (function* (): Iterable<TableChange> {
    yield* rowsOf(2000, Buffer.alloc(4096));
    throw new Error("no more rows");
  })();
  await assert.rejects(
    write(store, broken, () => assert.fail("nothing was written")),
    /no more rows/,
  );
  assert.equal(store.count("events", "", undefined, 1e9).rows, 10);
  // A key that LMDB refuses makes the batch fail on the other side.
  const refused: TableChange = { table: "events", key: "k".repeat(3000), value: Buffer.from("x") };
  await assert.rejects(
    write(store, [...rowsOf(100, Buffer.alloc(10)), refused], () => assert.fail("nothing was written")),
    { name: "StorageError", code: "io" },
  );
  assert.equal(store.count("events", "", undefined, 1e9).rows, 10);
  await write(store, rowsOf(20, Buffer.from("second")), () => undefined);
  assert.equal(store.count("events", "", undefined, 1e9).rows, 20);
});
