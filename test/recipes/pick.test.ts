// The strategies and the memory for failures, by themselves.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Candidate,
  leastPending,
  type PickStrategy,
  random,
  roundRobin,
  sticky,
  weighted,
} from "../../recipes/index.ts";
import { FailureLedger } from "../../recipes/pick.ts";

const candidate = (key: string, weight = 1, pending = 0): Candidate => ({ key, weight, pending });

/** How often each was chosen. */
function tally(strategy: PickStrategy, candidates: readonly Candidate[], times: number): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(candidates.map(({ key }) => [key, 0]));
  for (let index = 0; index < times; index++) counts[strategy.pick(candidates, undefined).key]! += 1;
  return counts;
}

test("round robin: each in turn, also when the list changes under it", () => {
  const strategy = roundRobin();
  const three = [candidate("a"), candidate("b"), candidate("c")];
  assert.deepEqual(tally(strategy, three, 9), { a: 3, b: 3, c: 3 });
  assert.deepEqual(tally(strategy, three.slice(0, 2), 4), { a: 2, b: 2 });
  assert.deepEqual(tally(strategy, [candidate("a")], 3), { a: 3 });
});

test("random: each is reached", () => {
  const counts = tally(random(), [candidate("a"), candidate("b"), candidate("c")], 600);
  for (const count of Object.values(counts)) assert(count > 100);
});

test("least pending: whoever has least to do for its weight; equals take turns", () => {
  const strategy = leastPending();
  const busy = [candidate("a", 1, 3), candidate("b", 1, 1), candidate("c", 1, 2)];
  assert.deepEqual(tally(strategy, busy, 4), { a: 0, b: 4, c: 0 });
  // Three calls on a weight of ten are less than one on a weight of one.
  assert.equal(strategy.pick([candidate("big", 10, 3), candidate("small", 1, 1)], undefined).key, "big");
  assert.deepEqual(tally(strategy, [candidate("a"), candidate("b")], 4), { a: 2, b: 2 });
  assert.equal(strategy.pick([candidate("none", 0), candidate("some", 1, 50)], undefined).key, "some");
});

test("weighted: in exact proportion, evenly spread, and nothing for weight 0", () => {
  const strategy = weighted();
  const three = [candidate("a", 5), candidate("b", 1), candidate("c", 1)];
  const order = Array.from({ length: 7 }, () => strategy.pick(three, undefined).key).join("");
  assert.equal(order, "aabacaa");
  assert.deepEqual(tally(strategy, three, 70), { a: 50, b: 10, c: 10 });
  assert.deepEqual(tally(weighted(), [candidate("a", 0), candidate("b", 2)], 5), { a: 0, b: 5 });
  assert.deepEqual(tally(weighted(), [candidate("a", 0), candidate("b", 0)], 4), { a: 2, b: 2 });
  // Whoever comes and goes leaves nothing behind that could grow, and upsets nobody's share for long.
  for (let index = 0; index < 1000; index++) strategy.pick([candidate(`x${index}`), candidate("a", 5)], undefined);
  const counts = tally(strategy, [candidate("a", 5), candidate("b", 1)], 60);
  assert(counts["a"]! >= 45 && counts["b"]! >= 5, JSON.stringify(counts));
});

test("sticky: the same for the same affinity; who goes moves only what it had; weights count", () => {
  const strategy = sticky();
  const list = ["a", "b", "c", "d"].map((key) => candidate(key));
  const names = Array.from({ length: 400 }, (_, index) => `customer-${index}`);
  const before = new Map(names.map((name) => [name, strategy.pick(list, name).key]));
  for (const name of names) assert.equal(strategy.pick([...list].reverse(), name).key, before.get(name));
  const without = list.filter(({ key }) => key !== "b");
  for (const name of names) {
    const now = strategy.pick(without, name).key;
    if (before.get(name) !== "b") assert.equal(now, before.get(name));
    else assert.notEqual(now, "b");
  }
  const shares = new Set(before.values());
  assert.equal(shares.size, 4);
  const heavy = names.filter((name) => strategy.pick([candidate("x", 9), candidate("y", 1)], name).key === "x").length;
  assert(heavy > 320 && heavy < 395, String(heavy));
  const own = strategy.pick(list, undefined).key;
  for (let index = 0; index < 10; index++) assert.equal(strategy.pick(list, undefined).key, own);
});

test("failures: passed over for longer each time, forgiven by a success, never all at once", () => {
  const ledger = new FailureLedger({ firstMs: 100, maxMs: 1000 });
  const list = ["a", "b"].map((incarnation) => ({ incarnation }));
  const usable = (nowMs: number): string =>
    ledger
      .usable(list, nowMs)
      .map(({ incarnation }) => incarnation)
      .join("");
  assert.equal(usable(0), "ab");
  ledger.failed("a", 0);
  assert.equal(usable(79), "b");
  assert.equal(usable(121), "ab");
  ledger.failed("a", 0);
  assert.equal(usable(159), "b");
  for (let index = 0; index < 50; index++) ledger.failed("a", 0);
  assert.equal(usable(799), "b");
  assert.equal(usable(1201), "ab");
  // All have failed: the one whose time is up first is better than nobody.
  ledger.failed("b", 0);
  assert.equal(usable(10), "b");
  ledger.succeeded("a");
  assert.equal(usable(10), "a");
  ledger.keepOnly(new Set(["a"]));
  assert.equal(usable(10), "ab");
  assert.deepEqual(ledger.usable([], 0), []);
});
