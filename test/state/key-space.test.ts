// Keys of any length, in byte order, in tables whose own keys are short: against a plain sorted array.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../server/lib/random.ts";
import { escapedKeyEnd, escapeKey, unescapeKey } from "../../server/state/mvcc/key-escape.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { putOf, StoreBench } from "./store-bench.ts";

const bytesOfInterest = ["\0", "\x01", "\x02", "a", "\xfe", "\xff"];

function randomKey(random: Random, lengthMax: number): string {
  let key = "";
  const length = random.below(lengthMax);
  while (key.length < length) key += bytesOfInterest[random.below(bytesOfInterest.length)];
  return key;
}

test("escaping keeps the order of keys and what follows them, and comes back", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  const suffixes = ["", "\0", "\0\0\0\0\0\x01", "\xff\xff\xff\xff\xff\xff"];
  for (let round = 0; round < 20_000; round++) {
    const [a, b] = [randomKey(random, 6), randomKey(random, 6)];
    const [x, y] = [suffixes[random.below(4)] as string, suffixes[random.below(4)] as string];
    const expected = a === b ? Math.sign(Number(x > y) - Number(x < y)) : a < b ? -1 : 1;
    const [left, right] = [escapeKey(a) + x, escapeKey(b) + y];
    assert.equal(left < right ? -1 : left > right ? 1 : 0, expected);
    const prefix = randomKey(random, 4);
    assert.equal(unescapeKey(prefix + left, prefix.length), a);
    assert.equal(escapedKeyEnd(prefix + left, prefix.length), prefix.length + left.length - x.length);
  }
});

/** Keys up to 10,000 bytes long that share long beginnings and part in places where pieces end. */
function awkwardKeys(random: Random, count: number): string[] {
  const stems = ["a", "\0", "\xff", "ab", "a\0"].map((piece) => piece.repeat(10_000).slice(0, 10_000));
  const keys = new Set<string>();
  const lengths = [1, 2, 450, 899, 900, 901, 902, 1799, 1800, 1801, 2699, 2700, 2701, 3600, 9000, 9999, 10_000];
  while (keys.size < count) {
    const stem = stems[random.below(stems.length)] as string;
    const length = random.below(3) === 0 ? 1 + random.below(10_000) : (lengths[random.below(lengths.length)] as number);
    let key = stem.slice(0, length);
    if (random.below(2) === 0) key += randomKey(random, 4);
    if (random.below(3) === 0) {
      const at = random.below(key.length);
      key = key.slice(0, at) + bytesOfInterest[random.below(bytesOfInterest.length)] + key.slice(at + 1);
    }
    keys.add(key.slice(0, 10_000));
  }
  return [...keys];
}

test("ranges over keys of up to 10,000 bytes find what a sorted array has, now and before", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  const bench = new StoreBench();
  const keys = awkwardKeys(random, 150);
  const moments: { readonly revision: number; readonly sorted: readonly string[] }[] = [];
  const live = new Set<string>();
  for (let step = 0; step < 600; step++) {
    const key = keys[random.below(keys.length)] as string;
    const revision = random.below(3) === 0 ? bench.delete(key) : bench.put(key, `value ${step}`);
    if (revision > (moments.at(-1)?.revision ?? 1)) {
      if (live.has(key) && bench.machine.mvcc.current(key) === undefined) live.delete(key);
      else live.add(key);
      moments.push({ revision, sorted: [...live].sort() });
    }
  }
  const bounds = [
    ...keys,
    ...keys.map((key) => `${key}\0`),
    ...keys.map((key) => key.slice(0, 900)),
    "a".repeat(12_000),
  ];
  for (let round = 0; round < 1500; round++) {
    const [from, to] = [bounds[random.below(bounds.length)] as string, bounds[random.below(bounds.length)] as string];
    const isOpen = random.below(6) === 0;
    const moment = moments[random.below(2) === 0 ? moments.length - 1 : random.below(moments.length)];
    assert(moment !== undefined);
    const range = { kind: "interval", from, to: isOpen ? undefined : to } as const;
    const limit = random.below(4) === 0 ? 1 + random.below(10) : 0;
    const scan = bench.machine.mvcc.scan(range, moment.revision, { limit, isCounted: true });
    while (!scan.step(1 + random.below(20)));
    const expected = moment.sorted.filter((key) => key >= from && (isOpen || key < to));
    assert.deepEqual(
      scan.versions.map(({ key }) => key),
      limit > 0 ? expected.slice(0, limit) : expected,
    );
    assert.equal(scan.count, expected.length);
  }
  for (const key of keys) {
    const moment = moments[random.below(moments.length)];
    assert(moment !== undefined);
    assert.equal(bench.machine.mvcc.versionAt(key, moment.revision) !== undefined, moment.sorted.includes(key));
  }
  for (const key of live) bench.delete(key);
  bench.compact();
  // The deletes of the compacted revision itself stay, for watchers that start there.
  assert.deepEqual(bench.rowCounts, { events: 1 });
});

test("a key as long as a request may be is a key like any other", () => {
  const bench = new StoreBench();
  const key = "k".repeat(1_500_000);
  bench.put(key, "one");
  const first = bench.machine.mvcc.currentRevision;
  bench.put(key, "two");
  bench.put(`${key}\0`, "after");
  const scan = bench.machine.mvcc.scan({ kind: "interval", from: "a", to: undefined }, first + 2, {
    limit: 0,
    isCounted: true,
  });
  while (!scan.step(1000));
  assert.deepEqual(
    scan.versions.map((version) => version.key.length),
    [1_500_000, 1_500_001],
  );
  assert.equal(String(bench.machine.mvcc.valueOf(bench.machine.mvcc.versionAt(key, first) as never)), "one");
  bench.delete(key);
  bench.delete(`${key}\0`);
  bench.compact();
  assert.deepEqual(bench.rowCounts, { events: 1 });
});

test("a long key that came and went in one transaction leaves no prefix", () => {
  const bench = new StoreBench();
  const key = "long".repeat(500);
  const range = { kind: "key", key } as const;
  bench.apply({
    kind: "txn",
    compares: [],
    success: [putOf(key), { kind: "delete-range", range, wantsPrevious: false }],
    failure: [],
  });
  bench.put("a");
  bench.compact();
  assert.deepEqual(bench.rowCounts, { current: 1, events: 1 });
});

test("keys on leases come back in byte order, long ones among short ones", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  const bench = new StoreBench();
  bench.apply({ kind: "lease-grant", id: 7n, ttlSeconds: 100 });
  bench.apply({ kind: "lease-grant", id: -1n, ttlSeconds: 100 });
  const keys = awkwardKeys(random, 80);
  for (const key of keys) bench.put(key, "x", { lease: 7n });
  const moved = keys.filter(() => random.below(3) === 0);
  for (const key of moved) bench.put(key, "x", { lease: -1n });
  assert.deepEqual(bench.machine.leases.keysOf(-1n), [...moved].sort());
  const events = bench.apply({ kind: "lease-revoke", id: 7n, expiry: undefined }).events?.events ?? [];
  const rest = keys.filter((key) => !moved.includes(key)).sort();
  assert.deepEqual(
    events.map(({ key }) => key),
    rest,
  );
  assert.equal(bench.rows("leaseKeys"), moved.length);
});

test("numbers of prefixes go on where they stood after a restart", async () => {
  const bench = new StoreBench();
  const keys = ["a", "b", "c"].map((letter) => letter.repeat(2000));
  for (const key of keys) bench.put(key, key);
  await bench.flush();
  const again = new StoreBench(bench.image);
  again.put("d".repeat(2000), "d");
  for (const key of keys)
    assert.equal(String(again.machine.mvcc.valueOf(again.machine.mvcc.current(key) as never)), key);
  assert.equal(new Set([...again.backend.scan("prefixes", "", undefined)].map(({ value }) => String(value))).size, 8);
});
