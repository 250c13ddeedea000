// Ranges that are kept in memory agree with the tables, whatever is written and read in between.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../server/lib/random.ts";
import type { RangeOperation } from "../../server/state/command.ts";
import { keyRangeOf } from "../../server/state/key-range.ts";
import { initialMvccPosition } from "../../server/state/mvcc/mvcc-store.ts";
import { RangeCache } from "../../server/state/mvcc/range-cache.ts";
import type { RangeResult } from "../../server/state/range-read.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { putOf, StoreBench } from "./store-bench.ts";

const plain: RangeOperation = {
  kind: "range",
  range: { kind: "interval", from: "\0", to: undefined },
  limit: 0,
  revision: 0,
  sortOrder: "none",
  sortTarget: "key",
  isSerializable: false,
  isKeysOnly: false,
  isCountOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

const keyOf = (number: number): string => `k/${String(number).padStart(2, "0")}`;
const ranges = [
  ["k/", "k0"],
  ["k/1", "k/3"],
  ["k/05", "k/06"],
  ["\0", "\0"],
  ["k/2", "k/2"],
  ["x", "y"],
] as const;

/** Descending order is never kept, so it is read from the tables. */
function fromTables(bench: StoreBench, operation: RangeOperation): RangeResult {
  const whole = bench.machine.readRange({ ...operation, limit: 0, sortOrder: "descend", isCountOnly: false }).run();
  const keyValues = [...whole.keyValues].reverse();
  const limit = operation.isCountOnly ? 0 : operation.limit || keyValues.length;
  return {
    ...whole,
    keyValues: keyValues.slice(0, limit),
    hasMore: !operation.isCountOnly && keyValues.length > limit,
  };
}

const textOf = ({ keyValues, count, hasMore, revision }: RangeResult): string =>
  JSON.stringify([keyValues.map((bytes) => Buffer.from(bytes).toString("latin1")), count, hasMore, revision]);

function change(bench: StoreBench, random: Random): void {
  const key = keyOf(random.below(40));
  const kind = random.below(10);
  if (kind < 5) bench.put(key, "v".repeat(random.below(50)));
  else if (kind < 7) bench.delete(key);
  else if (kind < 8) {
    const [from, to] = ranges[random.below(3)] as readonly [string, string];
    bench.apply({ kind: "delete-range", range: { kind: "interval", from, to }, wantsPrevious: false });
  } else {
    // A range between the writes of one transaction sees the first of them.
    const { result } = bench.apply({
      kind: "txn",
      compares: [],
      success: [putOf(key, "in a txn"), plain, putOf(keyOf(random.below(40)), "too"), plain],
      failure: [],
    });
    assert(result.kind === "txn" || result.kind === "refused");
  }
}

test("kept ranges are what the tables hold", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  const bench = new StoreBench();
  let shared = 0;
  const held: { readonly result: RangeResult; readonly text: string }[] = [];
  for (let step = 0; step < 5000; step++) {
    if (random.below(3) === 0) change(bench, random);
    const [key, end] = ranges[random.below(ranges.length)] as readonly [string, string];
    const limit = random.below(4) === 0 ? 1 + random.below(12) : 0;
    const operation = { ...plain, range: keyRangeOf(key, end), limit, isCountOnly: random.below(6) === 0 };
    const result = bench.machine.readRange(operation).run();
    assert.equal(textOf(result), textOf(fromTables(bench, operation)), `step ${step}`);
    if (result.isShared) shared++;
    // What was handed out stays as it was, whatever is written later.
    held.push({ result, text: textOf(result) });
    if (held.length > 50) {
      const { result: old, text } = held.shift() as (typeof held)[number];
      assert.equal(textOf(old), text, `step ${step}`);
    }
  }
  assert(shared > 500, `${shared} answers came from memory`);
});

test("a read that writes overtook is not kept", () => {
  const bench = new StoreBench();
  for (let i = 0; i < 40; i++) bench.put(keyOf(i));
  for (let round = 0; round < 3; round++) {
    const read = bench.machine.readRange(plain);
    assert.equal(read.step(5), undefined);
    bench.put(keyOf(0), `round ${round}`);
    while (read.step(5) === undefined);
  }
  assert.equal(bench.machine.mvcc.rangeCache.size, 0);
  for (let round = 0; round < 3; round++) bench.machine.readRange(plain).run();
  assert.equal(bench.machine.mvcc.rangeCache.size, 1);
  assert.equal(textOf(bench.machine.readRange(plain).run()), textOf(fromTables(bench, plain)));
});

test("tables that a snapshot replaced are read anew", () => {
  const bench = new StoreBench();
  for (let i = 0; i < 40; i++) bench.put(keyOf(i));
  for (let round = 0; round < 3; round++) bench.machine.readRange(plain).run();
  assert.equal(bench.machine.mvcc.rangeCache.size, 1);
  bench.machine.mvcc.reload(initialMvccPosition);
  assert.equal(bench.machine.mvcc.rangeCache.size, 0);
  assert.equal(bench.machine.mvcc.rangeCache.bytes, 0);
});

test("what is kept has limits: bytes, ranges, and writes that no read follows", () => {
  const cache = new RangeCache();
  const keep = (from: string, count: number, bytes: number): void => {
    const keys = Array.from({ length: count }, (_, index) => `${from}${index}`).sort();
    cache.keep(
      from,
      `${from}\xff`,
      keys,
      keys.map(() => Buffer.alloc(bytes)),
    );
  };
  keep("too large", 10, 1024 * 1024);
  assert.equal(cache.size, 0);
  for (let i = 0; i < 20; i++) keep(`large ${String(i).padStart(2, "0")}`, 2, 1024 * 1024);
  assert(cache.bytes <= 32 * 1024 * 1024);
  assert(cache.size > 2);
  assert.equal(cache.find("large 00", "large 00\xff"), undefined);
  assert.notEqual(cache.find("large 19", "large 19\xff"), undefined);
  for (let i = 0; i < 1000; i++) keep(`small ${i}`, 1, 10);
  assert.equal(cache.size, 256);
  assert.equal(cache.find("large 19", "large 19\xff"), undefined);

  for (let i = 0; i < 100; i++) cache.onChange("small 9990", Buffer.alloc(10));
  assert.notEqual(cache.find("small 999", "small 999\xff"), undefined);
  for (let i = 0; i < 300; i++) cache.onChange("small 9990", Buffer.alloc(10));
  assert.equal(cache.find("small 999", "small 999\xff"), undefined);
  const grown = 9 * 1024 * 1024;
  cache.onChange("small 9980", Buffer.alloc(grown));
  assert.equal(cache.find("small 998", "small 998\xff"), undefined);
  cache.clear();
  assert.deepEqual([cache.bytes, cache.size], [0, 0]);
});

test("what is kept holds on to no more memory than it says", () => {
  const bench = new StoreBench();
  for (let i = 0; i < 40; i++) bench.put(keyOf(i));
  for (let round = 0; round < 3; round++) bench.machine.readRange(plain).run();
  bench.put(keyOf(3), "new");
  const { keyValues, isShared } = bench.machine.readRange(plain).run();
  assert(isShared);
  for (const keyValue of keyValues) assert(keyValue.buffer.byteLength <= 256, `${keyValue.buffer.byteLength} bytes`);
});

test("a range is worth keeping when it is read again", () => {
  const cache = new RangeCache();
  assert.equal(cache.isWanted("a", "b"), false);
  for (let i = 0; i < 1000; i++) assert.equal(cache.isWanted(`other ${i}`, undefined), false);
  assert.equal(cache.isWanted("a", "b"), true);
  assert.equal(cache.isWanted("c", "d"), false);
  for (let i = 0; i < 1100; i++) cache.isWanted(`more ${i}`, undefined);
  assert.equal(cache.isWanted("c", "d"), false, "remembered for ever");
});
