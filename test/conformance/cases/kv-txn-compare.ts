// KV.Txn, conditions: five targets, four relations, ranges, missing keys, odd unions. The txns have no operations: the
// answer's `succeeded` is what is asked for.
import type { Case, Group } from "../case.ts";
import { call, cmp, compact, del, grant, grantAs, id, put, type Relation, rev, txn } from "../steps.ts";

const markers = [put("yes", "y"), put("no", "n")];
const relations: readonly Relation[] = ["=", "!=", ">", "<"];

/** One key (version 2, created at +3, changed at +4, value "m", lease 7) against smaller, equal and larger values. */
const perRelation: readonly Case[] = relations.map((relation) => ({
  name: `every target ${relation}`,
  rows: ["KV15"],
  setup: [...markers, put("k", "a"), grant(100n, 7n), put("k", "m", { lease: 7n })],
  steps: [
    ...[1n, 2n, 3n].map((value) => txn({ when: [cmp.version("k", relation, value)] })),
    ...[2, 3, 4].map((offset) => txn({ when: [cmp.create("k", relation, rev(offset))] })),
    ...[3, 4, 5].map((offset) => txn({ when: [cmp.mod("k", relation, rev(offset))] })),
    ...["l", "m", "n"].map((value) => txn({ when: [cmp.value("k", relation, value)] })),
    ...[6n, 7n, 8n].map((value) => txn({ when: [cmp.lease("k", relation, value)] })),
  ],
}));

const missing: readonly Case[] = relations.map((relation) => ({
  name: `a missing key ${relation}`,
  rows: ["KV16"],
  setup: markers,
  steps: [
    ...[-1n, 0n, 1n].map((value) => txn({ when: [cmp.version("none", relation, value)] })),
    ...[-1n, 0n, 1n].map((value) => txn({ when: [cmp.create("none", relation, value)] })),
    ...[-1n, 0n, 1n].map((value) => txn({ when: [cmp.mod("none", relation, value)] })),
    ...["", "a"].map((value) => txn({ when: [cmp.value("none", relation, value)] })),
    ...[-1n, 0n, 1n].map((value) => txn({ when: [cmp.lease("none", relation, value)] })),
  ],
}));

const rangeData = [...markers, put("p/a", "1"), put("p/b", "2"), put("p/c", "3"), put("p/b", "2")];
const rangeEnd = "p0";

const ranges: readonly Case[] = relations.map((relation) => ({
  name: `a range ${relation}: every key must hold`,
  rows: ["KV15"],
  setup: rangeData,
  steps: [
    ...[0n, 1n, 2n, 3n].map((value) => txn({ when: [cmp.version("p/", relation, value, { rangeEnd })] })),
    ...[2, 3, 5, 6].map((offset) => txn({ when: [cmp.create("p/", relation, rev(offset), { rangeEnd })] })),
    ...[2, 3, 6, 7].map((offset) => txn({ when: [cmp.mod("p/", relation, rev(offset), { rangeEnd })] })),
    ...["0", "1", "3", "4"].map((value) => txn({ when: [cmp.value("p/", relation, value, { rangeEnd })] })),
    ...[0n, 1n].map((value) => txn({ when: [cmp.lease("p/", relation, value, { rangeEnd })] })),
  ],
}));

const emptyRanges: readonly Case[] = relations.map((relation) => ({
  name: `a range without keys ${relation}`,
  rows: ["KV15", "KV16"],
  setup: markers,
  steps: [
    ...[0n, 1n].map((value) => txn({ when: [cmp.version("p/", relation, value, { rangeEnd })] })),
    ...["", "x"].map((value) => txn({ when: [cmp.value("p/", relation, value, { rangeEnd })] })),
    ...[0n, 1n].map((value) => txn({ when: [cmp.lease("p/", relation, value, { rangeEnd })] })),
  ],
}));

export const kvTxnCompare: Group = {
  name: "kv-txn-compare",
  cases: [
    ...perRelation,
    ...missing,
    ...ranges,
    ...emptyRanges,
    { name: "no condition at all is true", rows: ["KV15", "KV19"], setup: markers, steps: [txn({})] },
    {
      name: "all conditions must hold",
      rows: ["KV15"],
      setup: markers,
      steps: [
        txn({ when: [cmp.version("yes", "=", 1n), cmp.version("no", "=", 1n)] }),
        txn({ when: [cmp.version("yes", "=", 1n), cmp.version("no", "=", 2n)] }),
        txn({ when: [cmp.version("yes", "=", 2n), cmp.version("no", "=", 1n)] }),
      ],
    },
    {
      name: "one key twice among the conditions",
      rows: ["KV15"],
      setup: markers,
      steps: [
        txn({ when: [cmp.version("yes", "=", 1n), cmp.value("yes", "=", "y")] }),
        txn({ when: [cmp.version("yes", "=", 1n), cmp.version("yes", "!=", 1n)] }),
      ],
    },
    {
      name: "an empty key",
      rows: ["KV15"],
      setup: markers,
      steps: [
        txn({ when: [cmp.version("", "=", 0n)] }),
        txn({ when: [cmp.version("", "=", 0n, { rangeEnd: "z" })] }),
        call("KV/Txn", { compare: [{}] }),
      ],
    },
    {
      name: "open-ended and odd range ends",
      rows: ["KV15"],
      setup: markers,
      steps: [
        txn({ when: [cmp.version("\x00", "=", 1n, { rangeEnd: "\x00" })] }),
        txn({ when: [cmp.version("\x00", ">", 1n, { rangeEnd: "\x00" })] }),
        txn({ when: [cmp.version("yes", "=", 1n, { rangeEnd: "\x00" })] }),
        txn({ when: [cmp.version("yes", "=", 9n, { rangeEnd: "a" })] }),
        txn({ when: [cmp.version("yes", "=", 9n, { rangeEnd: "yes" })] }),
        txn({ when: [cmp.value("yes", "=", "x", { rangeEnd: "a" })] }),
      ],
    },
    {
      name: "an unset union compares with zero or with nothing",
      rows: ["KV16"],
      setup: markers,
      steps: [0, 1, 2, 3, 4].flatMap((target) =>
        [0, 3].map((result) =>
          call("KV/Txn", {
            compare: [{ key: "yes", target, result }],
          }),
        ),
      ),
    },
    {
      name: "an unset union on a missing key",
      rows: ["KV16"],
      setup: markers,
      steps: [0, 1, 2, 3, 4].map((target) => call("KV/Txn", { compare: [{ key: "none", target }] })),
    },
    {
      name: "a union that is not the target's",
      rows: ["KV16"],
      setup: [...markers, put("yes", "y")],
      note: "the target decides what is compared; a union of another kind counts as unset",
      steps: [
        txn({ when: [{ ...cmp.version("yes", "=", 2n), target: 2 }] }),
        txn({ when: [{ ...cmp.version("none", "=", 2n), target: 2 }] }),
        txn({ when: [{ ...cmp.mod("yes", "=", 2n), target: 0 }] }),
        txn({ when: [{ ...cmp.value("yes", "=", "y"), target: 4 }] }),
        txn({ when: [{ ...cmp.lease("yes", "=", 0n), target: 3 }] }),
      ],
    },
    {
      name: "an unknown target",
      rows: ["KV15"],
      setup: markers,
      steps: [
        txn({ when: [{ ...cmp.version("yes", "=", 1n), target: 9 as 0 }] }),
        txn({ when: [{ ...cmp.version("yes", "!=", 1n), target: 9 as 0 }] }),
        txn({ when: [{ ...cmp.version("yes", ">", 1n), target: 9 as 0 }] }),
        txn({ when: [{ ...cmp.version("none", "!=", 0n), target: 9 as 0 }] }),
      ],
    },
    {
      name: "an unknown relation",
      rows: ["KV15"],
      setup: markers,
      steps: [
        txn({ when: [{ ...cmp.version("yes", "=", 1n), result: 9 as 0 }] }),
        txn({ when: [{ ...cmp.version("yes", "=", 5n), result: 9 as 0 }] }),
        txn({ when: [{ ...cmp.value("none", "=", "5"), result: 9 as 0 }] }),
      ],
    },
    {
      name: "values compare as bytes",
      rows: ["KV15"],
      setup: [...markers, put("k", "b\x80")],
      steps: [
        txn({ when: [cmp.value("k", ">", "b\x7f")] }),
        txn({ when: [cmp.value("k", "<", "b\xff")] }),
        txn({ when: [cmp.value("k", ">", "b")] }),
        txn({ when: [cmp.value("k", "<", "b\x80\x00")] }),
        txn({ when: [cmp.value("k", ">", "")] }),
      ],
    },
    {
      name: "64-bit extremes",
      rows: ["KV15"],
      setup: markers,
      steps: [
        txn({ when: [cmp.version("yes", "<", 2n ** 63n - 1n)] }),
        txn({ when: [cmp.version("yes", ">", -(2n ** 63n))] }),
        txn({ when: [cmp.mod("yes", "<", 2n ** 53n + 1n)] }),
        txn({ when: [cmp.create("yes", "!=", 2n ** 63n - 1n)] }),
      ],
    },
    {
      name: "leases of any sign and size",
      rows: ["KV15"],
      setup: [
        ...markers,
        grant(100n, -5n),
        grant(100n, 2n ** 62n + 3n),
        grantAs("mine", 100n),
        put("n", "", { lease: -5n }),
        put("l", "", { lease: 2n ** 62n + 3n }),
        put("m", "", { lease: id("mine") }),
      ],
      steps: [
        txn({ when: [cmp.lease("n", "=", -5n)] }),
        txn({ when: [cmp.lease("n", "<", 0n)] }),
        txn({ when: [cmp.lease("l", "=", 2n ** 62n + 3n)] }),
        txn({ when: [cmp.lease("l", "=", 2n ** 62n + 2n)] }),
        txn({ when: [cmp.lease("l", ">", 2n ** 62n + 2n)] }),
        txn({ when: [cmp.lease("m", "=", id("mine"))] }),
      ],
    },
    {
      name: "a deleted key counts as missing",
      rows: ["KV16"],
      setup: [...markers, put("k", "1"), del("k")],
      steps: [
        txn({ when: [cmp.version("k", "=", 0n), cmp.create("k", "=", 0n), cmp.mod("k", "=", 0n)] }),
        txn({ when: [cmp.value("k", "!=", "1")] }),
      ],
    },
    {
      name: "conditions see the state after a compaction",
      rows: ["KV15"],
      setup: [...markers, put("k", "1"), put("k", "2"), compact(rev(4))],
      steps: [txn({ when: [cmp.version("k", "=", 2n), cmp.create("k", "=", rev(3))] })],
    },
  ],
};
