// Violations made by hand, one for each way in which stores of this kind have gone wrong: each must be found. Beside
// most of them stands a history that looks alike and is legal: it must pass.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkHistory, type HistoryOptions } from "./check-history.ts";
import { drawCounterexample } from "./counterexample.ts";
import type { Operation } from "./operation.ts";
import {
  all,
  changesOf,
  compact,
  expire,
  failed,
  get,
  grant,
  isAt,
  key,
  kv,
  put,
  putStep,
  refused,
  remove,
  revoke,
  txn,
} from "./scene.ts";

interface Violation {
  readonly title: string;
  readonly bad: readonly Operation[];
  readonly good?: readonly Operation[];
  readonly options?: HistoryOptions;
}

const a1 = kv("a", "1", 2);
const a2 = kv("a", "2", 3, 2, 2);
const b1 = kv("b", "1", 2);

const violations: readonly Violation[] = [
  {
    title: "a stale read",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), get([4, 5], key("a"), [a1], 2)],
    good: [put([0, 1], "a", "1", 2), put([2, 5], "a", "2", 3), get([4, 5], key("a"), [a1], 2)],
  },
  {
    title: "a stale value under a fresh header",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), get([4, 5], key("a"), [a1], 3)],
    good: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), get([4, 5], key("a"), [a2], 3)],
  },
  {
    title: "reads that go back in time",
    bad: [
      put([0, 1], "a", "1", 2),
      put([2, 9], "a", "2", 3),
      get([3, 4], key("a"), [a2], 3),
      get([5, 6], key("a"), [a1], 2),
    ],
    good: [
      put([0, 1], "a", "1", 2),
      put([2, 9], "a", "2", 3),
      get([3, 5], key("a"), [a2], 3),
      get([4, 6], key("a"), [a1], 2),
    ],
  },
  {
    title: "an acknowledged write that is lost",
    bad: [put([0, 1], "a", "1", 2), get([2, 3], key("a"), [], 1)],
    good: [put([0], "a", "1"), get([2, 3], key("a"), [], 1)],
  },
  {
    title: "an acknowledged write that is lost, its revision given to another",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "b", "1", 2)],
    good: [put([0, 1], "a", "1", 2), put([2, 3], "b", "1", 3)],
  },
  {
    title: "a write that failed for sure and is there",
    bad: [failed(put([0, 1], "a", "1")), get([2, 3], key("a"), [a1], 2)],
    good: [put([0], "a", "1"), get([2, 3], key("a"), [a1], 2)],
  },
  {
    title: "a write of unknown outcome that comes and goes",
    bad: [put([0], "a", "1"), get([1, 2], key("a"), [a1], 2), get([3, 4], key("a"), [], 2)],
  },
  {
    title: "a write carried out twice",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "b", "1", 4)],
    good: [put([0, 1], "a", "1", 2), put([0], "a", "1"), put([2, 3], "b", "1", 4)],
  },
  {
    title: "a write seen before it was asked for",
    bad: [get([0, 1], key("a"), [a1], 2), put([2, 3], "a", "1", 2)],
    good: [get([0, 2], key("a"), [a1], 2), put([2, 3], "a", "1", 2)],
  },
  {
    title: "a value that nobody wrote",
    bad: [put([0, 1], "a", "1", 2), get([2, 3], key("a"), [kv("a", "9", 2)], 2)],
  },
  {
    title: "revisions against real time",
    bad: [put([0, 1], "a", "1", 3), put([2, 3], "b", "1", 2)],
    good: [put([0, 2], "a", "1", 3), put([2, 3], "b", "1", 2)],
  },
  {
    title: "two writes of one revision",
    bad: [put([0, 5], "a", "1", 2), put([0, 5], "b", "1", 2)],
  },
  {
    title: "a revision left out",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 4)],
    good: [put([0, 1], "a", "1", 2), put([0], "b", "x"), put([2, 3], "a", "2", 4)],
  },
  {
    title: "a version that is not counted on",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), get([4, 5], key("a"), [kv("a", "2", 3, 2, 1)], 3)],
  },
  {
    title: "a creation revision that is forgotten",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), get([4, 5], key("a"), [kv("a", "2", 3, 3, 2)], 3)],
  },
  {
    title: "a key that is created anew and remembers its former life",
    bad: [
      put([0, 1], "a", "1", 2),
      remove([2, 3], key("a"), 1, 3),
      put([4, 5], "a", "2", 4),
      get([6, 7], key("a"), [kv("a", "2", 4, 2, 2)], 4),
    ],
    good: [
      put([0, 1], "a", "1", 2),
      remove([2, 3], key("a"), 1, 3),
      put([4, 5], "a", "2", 4),
      get([6, 7], key("a"), [kv("a", "2", 4)], 4),
    ],
  },
  {
    title: "a delete that deletes nothing and takes a revision",
    bad: [remove([0, 1], key("a"), 0, 2)],
    good: [remove([0, 1], key("a"), 0, 1)],
  },
  {
    title: "a delete that counts what was not there",
    bad: [put([0, 1], "a", "1", 2), remove([2, 3], all, 2, 3)],
    good: [put([0, 1], "a", "1", 2), remove([2, 3], all, 1, 3)],
  },
  {
    title: "a deleted key that comes back",
    bad: [put([0, 1], "a", "1", 2), remove([2, 3], key("a"), 1, 3), get([4, 5], key("a"), [a1], 3)],
  },
  {
    title: "the wrong previous version",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), put([4, 5], "a", "3", 4, 0n, a1)],
    good: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), put([4, 5], "a", "3", 4, 0n, a2)],
  },
  {
    title: "a read that shows one half of a txn",
    bad: [
      txn(
        [0, 1],
        [],
        [putStep("a", "1"), putStep("b", "1")],
        [],
        true,
        [
          { kind: "put", revision: 2 },
          { kind: "put", revision: 2 },
        ],
        2,
      ),
      get([2, 3], all, [a1], 2),
    ],
    good: [
      txn(
        [0, 1],
        [],
        [putStep("a", "1"), putStep("b", "1")],
        [],
        true,
        [
          { kind: "put", revision: 2 },
          { kind: "put", revision: 2 },
        ],
        2,
      ),
      get([2, 3], all, [a1, b1], 2),
    ],
  },
  {
    title: "a txn of two revisions",
    bad: [
      txn(
        [0, 1],
        [],
        [putStep("a", "1"), putStep("b", "1")],
        [],
        true,
        [
          { kind: "put", revision: 2 },
          { kind: "put", revision: 3 },
        ],
        3,
      ),
    ],
  },
  {
    title: "a txn that takes the wrong branch",
    bad: [
      put([0, 1], "a", "1", 2),
      txn([2, 3], [isAt("a", 0)], [putStep("a", "2")], [], true, [{ kind: "put", revision: 3 }], 3),
    ],
    good: [put([0, 1], "a", "1", 2), txn([2, 3], [isAt("a", 0)], [putStep("a", "2")], [], false, [], 2)],
  },
  {
    title: "two that win the same compare-and-set",
    bad: [
      txn([0, 9], [isAt("a", 0)], [putStep("a", "1")], [], true, [{ kind: "put", revision: 2 }], 2),
      txn([0, 9], [isAt("a", 0)], [putStep("a", "2")], [], true, [{ kind: "put", revision: 3 }], 3),
    ],
    good: [
      txn([0, 9], [isAt("a", 0)], [putStep("a", "1")], [], true, [{ kind: "put", revision: 2 }], 2),
      txn([0, 9], [isAt("a", 0)], [putStep("a", "2")], [], false, [], 2),
    ],
  },
  {
    title: "a read-only txn that takes a revision",
    bad: [
      txn(
        [0, 1],
        [],
        [{ kind: "range", keys: key("a") }],
        [],
        true,
        [{ kind: "range", revision: 2, keyValues: [], count: 0, hasMore: false }],
        2,
      ),
    ],
  },
  {
    title: "a txn with a comparison inside that saw what the txn wrote",
    bad: [
      txn(
        [0, 1],
        [],
        [putStep("a", "1"), { kind: "txn", compares: [isAt("a", 1)], success: [putStep("b", "1")], failure: [] }],
        [],
        true,
        [
          { kind: "put", revision: 2 },
          { kind: "txn", revision: undefined, succeeded: true, results: [{ kind: "put", revision: 2 }] },
        ],
        2,
      ),
    ],
    good: [
      txn(
        [0, 1],
        [],
        [putStep("a", "1"), { kind: "txn", compares: [isAt("a", 1)], success: [putStep("b", "1")], failure: [] }],
        [],
        true,
        [
          { kind: "put", revision: 2 },
          { kind: "txn", revision: undefined, succeeded: false, results: [] },
        ],
        2,
      ),
    ],
  },
  {
    title: "a put that is refused for a lease that exists",
    bad: [grant([0, 1], 7n), refused(put([2, 3], "a", "1", 2, 7n), "lease-not-found")],
    good: [grant([0, 2], 7n), refused(put([2, 3], "a", "1", 2, 7n), "lease-not-found")],
  },
  {
    title: "a put with a lease that is gone",
    bad: [grant([0, 1], 7n), revoke([2, 3], 7n), put([4, 5], "a", "1", 2, 7n)],
    good: [grant([0, 1], 7n), revoke([2, 4], 7n, 3), put([4, 5], "a", "1", 2, 7n)],
  },
  {
    title: "a key that outlives its lease",
    bad: [grant([0, 1], 7n), put([2, 3], "a", "1", 2, 7n), revoke([4, 5], 7n, 2)],
    good: [grant([0, 1], 7n), put([2, 3], "a", "1", 2, 7n), revoke([4, 5], 7n, 3), get([6, 7], all, [], 3)],
  },
  {
    title: "a key that goes before its lease can have run out",
    bad: [grant([0, 1], 7n), put([2, 3], "a", "1", 2, 7n), get([4, 5], all, [], 3), expire(9, 7n)],
    good: [grant([0, 1], 7n), put([2, 3], "a", "1", 2, 7n), get([4, 9], all, [], 3), expire(9, 7n)],
  },
  {
    title: "a key that goes with a lease it was taken off",
    bad: [
      grant([0, 1], 7n),
      put([2, 3], "a", "1", 2, 7n),
      put([4, 5], "a", "2", 3),
      revoke([6, 7], 7n, 4),
      get([8, 9], all, [], 4),
    ],
    good: [grant([0, 1], 7n), put([2, 3], "a", "1", 2, 7n), put([4, 5], "a", "2", 3), revoke([6, 7], 7n, 3)],
  },
  {
    title: "a lease granted twice",
    bad: [grant([0, 1], 7n), grant([2, 3], 7n)],
    good: [grant([0, 1], 7n), refused(grant([2, 3], 7n), "lease-exists")],
  },
  {
    title: "a read of what is compacted",
    bad: [
      put([0, 1], "a", "1", 2),
      put([2, 3], "a", "2", 3),
      compact([4, 5], 3, 3),
      get([6, 7], key("a"), [a1], 3, { revision: 2 }),
    ],
    good: [
      put([0, 1], "a", "1", 2),
      put([2, 3], "a", "2", 3),
      compact([4, 6], 3, 3),
      get([6, 7], key("a"), [a1], 3, { revision: 2 }),
    ],
  },
  {
    title: "a read that is refused as compacted, which it is not",
    bad: [
      put([0, 1], "a", "1", 2),
      put([2, 3], "a", "2", 3),
      refused(get([6, 7], key("a"), [], 3, { revision: 2 }), "compacted"),
    ],
    good: [
      put([0, 1], "a", "1", 2),
      put([2, 3], "a", "2", 3),
      compact([3], 3, 3),
      refused(get([6, 7], key("a"), [], 3, { revision: 2 }), "compacted"),
    ],
  },
  {
    title: "a read of an older revision that shows the present",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), get([4, 5], key("a"), [a2], 3, { revision: 2 })],
    good: [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), get([4, 5], key("a"), [a1], 3, { revision: 2 })],
  },
  {
    title: "a revision that is refused as future and is not",
    bad: [put([0, 1], "a", "1", 2), refused(get([2, 3], key("a"), [], 2, { revision: 2 }), "future-revision")],
    good: [put([0, 1], "a", "1", 2), refused(get([2, 3], key("a"), [], 2, { revision: 3 }), "future-revision")],
  },
  {
    title: "keys out of order",
    bad: [put([0, 1], "a", "1", 2), put([2, 3], "b", "2", 3), get([4, 5], all, [kv("b", "2", 3), a1], 3)],
    good: [put([0, 1], "a", "1", 2), put([2, 3], "b", "2", 3), get([4, 5], all, [a1, kv("b", "2", 3)], 3)],
  },
  {
    title: "a change that watchers saw and no operation made",
    bad: [put([0, 1], "a", "1", 2)],
    good: [put([0, 1], "a", "1", 2), put([2], "b", "x")],
    options: { changes: changesOf([a1], [kv("b", "x", 3)]) },
  },
  {
    title: "watchers that saw something else than was written",
    bad: [put([0, 1], "a", "1", 2), put([0], "a", "2"), put([2, 3], "b", "2", 4)],
    good: [put([0, 1], "a", "1", 2), put([0], "a", "3"), put([2, 3], "b", "2", 4)],
    options: { changes: changesOf([a1], [kv("a", "3", 3, 2, 2)], [kv("b", "2", 4)]) },
  },
  {
    title: "a register that forgets, told without revisions",
    bad: [
      put([0, 1], "a", "1"),
      put([0, 1], "b", "1"),
      get([2, 3], key("b"), [b1], 0),
      put([4, 5], "a", "2"),
      get([6, 7], key("a"), [kv("a", "1", 0)], 0),
    ],
    good: [
      put([0, 1], "a", "1"),
      put([0, 1], "b", "1"),
      get([2, 3], key("b"), [b1], 0),
      put([4, 6], "a", "2"),
      get([6, 7], key("a"), [kv("a", "1", 0)], 0),
    ],
    options: { revisions: "ignored" },
  },
];

for (const { title, bad, good, options } of violations) {
  test(`found: ${title}`, (t) => {
    const verdict = checkHistory(bad, options);
    assert.equal(verdict.kind, "illegal", `not found: ${title}`);
    if (verdict.kind === "illegal") t.diagnostic(drawCounterexample(verdict.counterexample));
    if (good === undefined) return;
    const other = checkHistory(good, options);
    if (other.kind === "illegal") assert.fail(drawCounterexample(other.counterexample));
    assert.equal(other.kind, "legal");
  });
}

test("a counterexample shows what matters and no more", () => {
  const noise = Array.from({ length: 30 }, (_, at) => put([10 + 2 * at, 11 + 2 * at], "x", `n${at}`, 4 + at));
  const history = [put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3), ...noise, get([100, 101], key("a"), [a1], 33)];
  const verdict = checkHistory(history);
  assert(verdict.kind === "illegal");
  const drawn = drawCounterexample(verdict.counterexample);
  assert.match(drawn, /put a = 2 -> ok @3, unless/);
  assert.match(drawn, /\[100, 101\] range a -> 1: \[a=1/);
  assert.match(drawn, /would now answer: 1: \[a=2/);
  assert(!drawn.includes("put x"), drawn);
});
