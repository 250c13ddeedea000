// Walks that are cut into steps while the store moves on: they count nothing twice, and no step takes for ever.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RangeOperation } from "../../server/state/command.ts";
import { KeySpace } from "../../server/state/mvcc/key-space.ts";
import { RangeScan } from "../../server/state/mvcc/range-scan.ts";
import type { Row, TableReader } from "../../server/storage/backend.ts";
import { StoreBench } from "./store-bench.ts";

const keyOf = (number: number): string => `key ${String(number).padStart(6, "0")}`;

const countAll: RangeOperation = {
  kind: "range",
  range: { kind: "interval", from: "\0", to: undefined },
  limit: 0,
  revision: 0,
  sortOrder: "none",
  sortTarget: "key",
  isSerializable: false,
  isKeysOnly: false,
  isCountOnly: true,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

test("a count that is overtaken by writes counts what was there when it began", () => {
  for (const limit of [0, 3]) {
    const bench = new StoreBench();
    for (let i = 0; i < 1000; i++) bench.put(keyOf(i));
    const read = bench.machine.readRange({ ...countAll, isCountOnly: limit === 0, limit });
    for (let step = 0; ; step++) {
      const result = read.step(5);
      if (result !== undefined) {
        assert.equal(result.count, 1000);
        assert.equal(result.keyValues.length, limit);
        break;
      }
      // Behind the walk, at it, and before it: replaced, deleted, made anew.
      if (step === 0) for (let i = 0; i < 60; i++) bench.put(keyOf(i), "again");
      bench.put(keyOf((step * 37) % 1000), "again");
      bench.delete(keyOf((step * 53) % 1000));
      bench.put(keyOf(5000 + step));
    }
  }
});

/** Counts the rows that are taken out of a store. */
class CountingReader implements TableReader {
  rows = 0;
  readonly #reader: TableReader;

  constructor(reader: TableReader) {
    this.#reader = reader;
  }

  get(...args: Parameters<TableReader["get"]>): Uint8Array | undefined {
    return this.#reader.get(...args);
  }

  *scan(...args: Parameters<TableReader["scan"]>): IterableIterator<Row> {
    for (const row of this.#reader.scan(...args)) {
      this.rows++;
      yield row;
    }
  }

  first(...args: Parameters<TableReader["first"]>): Row | undefined {
    return this.#reader.first(...args);
  }

  count(...args: Parameters<TableReader["count"]>): ReturnType<TableReader["count"]> {
    return this.#reader.count(...args);
  }
}

test("a step over keys with long histories ends when its budget is used up", () => {
  const bench = new StoreBench();
  const keys = Array.from({ length: 200 }, (_, i) => keyOf(i));
  for (const key of keys) bench.put(key);
  const revision = bench.machine.mvcc.currentRevision;
  for (let round = 0; round < 40; round++) for (const key of keys) bench.put(key);
  const reader = new CountingReader(bench.backend);
  const source = {
    reader,
    keySpace: new KeySpace(bench.backend),
    readRevision: bench.machine.mvcc.readRevision,
  };
  const scan = new RangeScan(source, { kind: "interval", from: "\0", to: undefined }, revision, {
    limit: 0,
    isCounted: true,
  });
  let steps = 0;
  for (let isDone = false; !isDone; steps++) {
    reader.rows = 0;
    isDone = scan.step(50);
    assert(reader.rows <= 150, `a step of 50 took ${reader.rows} rows`);
  }
  assert(steps > 20);
  assert.deepEqual(
    scan.versions.map(({ key, version }) => [key, version]),
    keys.map((key) => [key, 1]),
  );
});

test("a read is given up when compaction overtakes it, and not before", () => {
  const bench = new StoreBench();
  for (let i = 0; i < 500; i++) bench.put(keyOf(i));
  const revision = bench.machine.mvcc.currentRevision;
  const early = bench.machine.readRange({ ...countAll, isCountOnly: false });
  const late = bench.machine.readRange({ ...countAll, isCountOnly: false });
  assert.equal(early.step(10), undefined);
  assert.equal(late.step(10), undefined);
  for (let i = 0; i < 500; i += 2) bench.put(keyOf(i), "again");
  bench.compact(revision);
  assert.equal(late.run().keyValues.length, 500);
  bench.compact();
  assert.throws(() => early.run(), { code: "compacted" });
});
