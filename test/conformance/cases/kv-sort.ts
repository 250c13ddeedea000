// KV.Range: sorting by five targets, the four revision filters, and how both go together with limits and counts.
import type { Case, Group } from "../case.ts";
import { all, del, grant, put, range, rev } from "../steps.ts";

const NONE = 0;
const ASCEND = 1;
const DESCEND = 2;
const KEY = 0;
const VERSION = 1;
const CREATE = 2;
const MOD = 3;
const VALUE = 4;

/** Keys whose order is another one for each sort target. */
const mixed = [
  put("b", "m"),
  put("d", "a"),
  put("a", "z"),
  put("c", "k"),
  put("b", "x"),
  put("d", "y"),
  put("b", "c"),
  put("c", "b"),
];

const targets = { key: KEY, version: VERSION, create: CREATE, mod: MOD, value: VALUE } as const;
const orders = { none: NONE, ascend: ASCEND, descend: DESCEND } as const;

const sortings: readonly Case[] = Object.entries(targets).flatMap(([targetName, sortTarget]) =>
  Object.entries(orders).map(([orderName, sortOrder]) => ({
    name: `target ${targetName}, order ${orderName}`,
    rows: ["KV7", "KV8"],
    setup: mixed,
    steps: [
      all({ sortTarget, sortOrder }),
      all({ sortTarget, sortOrder, limit: 2n }),
      all({ sortTarget, sortOrder, limit: 4n }),
      all({ sortTarget, sortOrder, revision: rev(5) }),
      all({ sortTarget, sortOrder, limit: 1n, revision: rev(4) }),
      range("b", { rangeEnd: "d", sortTarget, sortOrder, limit: 1n }),
    ],
  })),
);

const unknownTarget = "an unknown sort target ends the whole server process of etcd 3.5";

const equal = [put("b", "same"), put("c", "same"), put("a", "same"), put("d", "other")];

export const kvSort: Group = {
  name: "kv-sort",
  cases: [
    ...sortings,
    {
      name: "equal values keep key order, also descending",
      rows: ["KV7"],
      note: "etcd sorts with an unstable algorithm; for so few elements it is an insertion sort, which is stable",
      setup: equal,
      steps: [
        all({ sortTarget: VALUE, sortOrder: ASCEND }),
        all({ sortTarget: VALUE, sortOrder: DESCEND }),
        all({ sortTarget: VERSION, sortOrder: ASCEND }),
        all({ sortTarget: VERSION, sortOrder: DESCEND }),
      ],
    },
    {
      name: "values compare as bytes",
      rows: ["KV7", "KV8"],
      setup: [put("a", "\xff"), put("b", ""), put("c", "\x00"), put("d", "aa"), put("e", "a"), put("f", "B")],
      steps: [all({ sortTarget: VALUE, sortOrder: ASCEND }), all({ sortTarget: VALUE, sortOrder: DESCEND })],
    },
    {
      name: "sorting one key and nothing",
      rows: ["KV7"],
      setup: mixed,
      steps: [
        range("b", { sortTarget: MOD, sortOrder: DESCEND }),
        range("zz", { sortTarget: MOD, sortOrder: DESCEND }),
        range("zz", { sortTarget: MOD, sortOrder: DESCEND, limit: 1n }),
      ],
    },
    {
      name: "limit with keys only, sorted",
      rows: ["KV6", "KV7"],
      setup: mixed,
      steps: [
        all({ sortTarget: VALUE, sortOrder: ASCEND, limit: 2n, keysOnly: true }),
        all({ sortTarget: MOD, sortOrder: NONE, limit: 2n, keysOnly: true }),
      ],
    },
    {
      name: "count only, sorted",
      rows: ["KV5", "KV7"],
      setup: mixed,
      steps: [all({ sortTarget: VALUE, sortOrder: DESCEND, countOnly: true, limit: 1n })],
    },
    { name: "unknown sort order", rows: ["KV8"], setup: mixed, steps: [all({ sortOrder: 7 as 0 })] },
    {
      name: "unknown sort target",
      rows: ["KV8"],
      notOn35: unknownTarget,
      setup: mixed,
      steps: [all({ sortTarget: 9 as 0 })],
    },
    {
      name: "unknown sort order with a target",
      rows: ["KV8"],
      setup: mixed,
      steps: [all({ sortOrder: 3 as 0, sortTarget: MOD })],
    },
    {
      name: "unknown sort target with an order",
      rows: ["KV8"],
      notOn35: unknownTarget,
      setup: mixed,
      steps: [all({ sortOrder: DESCEND, sortTarget: 5 as 0 })],
    },
    { name: "negative sort order", rows: ["KV8"], setup: mixed, steps: [all({ sortOrder: -1 as 0 })] },
    {
      name: "empty key is named before a bad sort option",
      rows: ["KV1", "KV8"],
      steps: [range("", { sortOrder: 7 as 0 })],
    },
    {
      name: "min mod revision",
      rows: ["KV9", "KV4"],
      setup: mixed,
      steps: [
        all({ minModRevision: rev(1) }),
        all({ minModRevision: rev(6) }),
        all({ minModRevision: rev(8) }),
        all({ minModRevision: rev(9) }),
      ],
    },
    {
      name: "max mod revision",
      rows: ["KV9", "KV4"],
      setup: mixed,
      steps: [all({ maxModRevision: rev(2) }), all({ maxModRevision: rev(6) }), all({ maxModRevision: rev(8) })],
    },
    {
      name: "min and max create revision",
      rows: ["KV9", "KV4"],
      setup: mixed,
      steps: [
        all({ minCreateRevision: rev(2) }),
        all({ maxCreateRevision: rev(2) }),
        all({ minCreateRevision: rev(2), maxCreateRevision: rev(3) }),
        all({ minCreateRevision: rev(3), maxCreateRevision: rev(2) }),
      ],
    },
    {
      name: "all four filters",
      rows: ["KV9"],
      setup: mixed,
      steps: [
        all({
          minModRevision: rev(3),
          maxModRevision: rev(7),
          minCreateRevision: rev(1),
          maxCreateRevision: rev(2),
        }),
      ],
    },
    {
      name: "filters before the limit",
      rows: ["KV9", "KV3"],
      setup: mixed,
      steps: [
        all({ minModRevision: rev(6), limit: 1n }),
        all({ minModRevision: rev(6), limit: 2n }),
        all({ minModRevision: rev(6), limit: 3n }),
        all({ minModRevision: rev(6), limit: 4n }),
        all({ maxModRevision: rev(3), limit: 1n }),
      ],
    },
    {
      name: "filters, sorting and a limit",
      rows: ["KV9", "KV7"],
      setup: mixed,
      steps: [
        all({ minModRevision: rev(6), sortTarget: VALUE, sortOrder: ASCEND, limit: 2n }),
        all({ minModRevision: rev(6), sortTarget: VALUE, sortOrder: NONE, limit: 2n }),
        all({ maxCreateRevision: rev(3), sortTarget: MOD, sortOrder: DESCEND, limit: 1n }),
      ],
    },
    {
      name: "negative filters",
      rows: ["KV9"],
      setup: mixed,
      steps: [
        all({ minModRevision: -1n, limit: 1n }),
        all({ maxModRevision: -1n }),
        all({ minCreateRevision: -5n }),
        all({ maxCreateRevision: -5n }),
      ],
    },
    {
      name: "filters on an older revision",
      rows: ["KV9", "KV2"],
      setup: [...mixed, del("a")],
      steps: [all({ revision: rev(4), minModRevision: rev(2) }), all({ revision: rev(8), maxCreateRevision: rev(3) })],
    },
    {
      name: "filters on one key",
      rows: ["KV9", "KV4"],
      setup: [grant(100n, 3n), ...mixed],
      steps: [range("b", { minModRevision: rev(8) }), range("b", { maxModRevision: rev(7) })],
    },
    {
      name: "sorting many keys by equal versions and limits",
      rows: ["KV7", "KV3"],
      setup: Array.from({ length: 40 }, (_, index) => put(`k${(index * 17) % 40}`, `v${(index * 23) % 7}`)),
      steps: [
        all({ sortTarget: CREATE, sortOrder: DESCEND, limit: 5n }),
        all({ sortTarget: CREATE, sortOrder: ASCEND, limit: 39n, keysOnly: true }),
        all({ sortTarget: KEY, sortOrder: DESCEND, limit: 3n }),
        all({ sortTarget: MOD, sortOrder: ASCEND, limit: 40n, keysOnly: true }),
      ],
    },
  ],
};
