// KV.Txn, what is refused before anything runs: empty keys and unions, too many operations, one key written twice.

import type { RequestOp } from "../../../proto/gen/etcdserverpb/rpc.ts";
import type { Case, Group, Loose } from "../case.ts";
import { all, call, cmp, del, op, put, txn } from "../steps.ts";

const ab = [put("a", "1"), put("b", "2")];
const puts = (count: number, prefix = "k"): Loose<RequestOp>[] =>
  Array.from({ length: count }, (_, index) => op.put(`${prefix}${index}`, "v"));
const ranges = (count: number): Loose<RequestOp>[] => Array.from({ length: count }, () => op.range("a"));

/** Two operations in every relation that matters, each in one list, and across nesting. */
const pairs: { readonly [name: string]: readonly [Loose<RequestOp>, Loose<RequestOp>] } = {
  "put and put of one key": [op.put("a", "1"), op.put("a", "2")],
  "put and put of two keys": [op.put("a", "1"), op.put("b", "2")],
  "put and delete of one key": [op.put("a", "1"), op.del("a")],
  "delete and put of one key": [op.del("a"), op.put("a", "1")],
  "put and delete of a range with it": [op.put("b", "1"), op.del("a", { rangeEnd: "c" })],
  "delete of a range and put in it": [op.del("a", { rangeEnd: "c" }), op.put("b", "1")],
  "put at the start of a deleted range": [op.del("a", { rangeEnd: "c" }), op.put("a", "1")],
  "put at the end of a deleted range": [op.del("a", { rangeEnd: "c" }), op.put("c", "1")],
  "put just before the end of a deleted range": [op.del("a", { rangeEnd: "c" }), op.put("b\xff\xff", "1")],
  "put in a deleted open-ended range": [op.del("b", { rangeEnd: "\x00" }), op.put("zzz", "1")],
  "put below a deleted open-ended range": [op.del("b", { rangeEnd: "\x00" }), op.put("a", "1")],
  "put with everything deleted": [op.del("\x00", { rangeEnd: "\x00" }), op.put("a", "1")],
  "put in a range that ends before it starts": [op.del("c", { rangeEnd: "a" }), op.put("b", "1")],
  "delete and delete of one key": [op.del("a"), op.del("a")],
  "delete of overlapping ranges": [op.del("a", { rangeEnd: "c" }), op.del("b", { rangeEnd: "z" })],
  "put and range of one key": [op.put("a", "1"), op.range("a")],
  "put of a key and its longer neighbour": [op.put("a", "1"), op.put("a\x00", "1")],
  "delete of a key and put of its neighbour": [op.del("a"), op.put("a\x00", "1")],
};

const flatPairs: readonly Case[] = Object.entries(pairs).map(([name, [first, second]]) => ({
  name: `${name}, in every arrangement`,
  rows: ["KV18"],
  setup: ab,
  steps: [
    txn({ success: [first, second] }),
    txn({ when: [cmp.version("a", "=", 50n)], failure: [first, second] }),
    txn({ when: [cmp.version("a", "=", 50n)], success: [first, second] }),
    txn({ success: [first], failure: [second] }),
    txn({ success: [first, op.txn({ success: [second] })] }),
    txn({ success: [op.txn({ success: [first] }), second] }),
    txn({ success: [op.txn({ success: [first] }), op.txn({ success: [second] })] }),
    txn({ success: [op.txn({ success: [first], failure: [second] })] }),
    txn({ success: [op.txn({ failure: [first] }), op.txn({ failure: [second] })] }),
    txn({ success: [op.txn({ success: [first] }), op.txn({ failure: [second] })] }),
    txn({ failure: [op.txn({ success: [first] }), second] }),
  ],
}));

export const kvTxnCheck: Group = {
  name: "kv-txn-check",
  cases: [
    ...flatPairs,
    {
      name: "an operation without content",
      rows: ["KV19"],
      setup: ab,
      steps: [
        txn({ success: [op.empty] }),
        txn({ failure: [op.empty] }),
        txn({ success: [op.put("a", "x"), op.empty] }),
        txn({ success: [op.txn({ success: [op.empty] })] }),
        all(),
      ],
    },
    {
      name: "empty keys of operations",
      rows: ["KV1", "KV12", "KV14", "KV19"],
      setup: ab,
      steps: [
        txn({ success: [op.put("", "x")] }),
        txn({ success: [op.range("")] }),
        txn({ success: [op.del("")] }),
        txn({ success: [op.put("a", "x"), op.del("", { rangeEnd: "z" })] }),
        txn({ failure: [op.put("", "x")] }),
        txn({ failure: [op.txn({ failure: [op.range("")] })] }),
        txn({ success: [op.txn({ when: [cmp.version("", "=", 1n)] })] }),
      ],
    },
    {
      name: "bad put options inside a txn",
      rows: ["KV13"],
      setup: ab,
      steps: [
        txn({ success: [op.put("a", "x", { ignoreValue: true })] }),
        txn({ success: [op.put("a", "x", { ignoreLease: true, lease: 3n })] }),
        txn({ failure: [op.put("a", "x", { ignoreValue: true })] }),
      ],
    },
    {
      name: "an unknown sort option inside a txn",
      rows: ["KV8"],
      setup: ab,
      steps: [txn({ success: [op.range("a", { sortOrder: 7 as 0 })] })],
    },
    {
      name: "128 operations in each list",
      rows: ["KV17"],
      steps: [
        txn({ success: puts(128) }),
        txn({ failure: puts(128) }),
        txn({
          when: Array.from({ length: 128 }, () => cmp.version("k1", "=", 1n)),
          success: puts(128),
          failure: puts(128),
        }),
      ],
    },
    {
      name: "129 operations",
      rows: ["KV17"],
      setup: ab,
      steps: [
        txn({ success: puts(129) }),
        txn({ failure: puts(129) }),
        txn({ when: Array.from({ length: 129 }, () => cmp.version("a", "=", 1n)) }),
        txn({ success: ranges(129) }),
        all(),
      ],
    },
    {
      name: "too many operations is named before an empty key",
      rows: ["KV17"],
      steps: [
        txn({ when: [cmp.version("", "=", 0n)], success: puts(129) }),
        txn({ success: [...puts(128), op.put("", "x")] }),
        txn({ when: [cmp.version("", "=", 0n)], success: [op.put("a", "1"), op.put("a", "2")] }),
      ],
    },
    {
      name: "an empty key is named before a duplicate, in the order of the list",
      rows: ["KV18", "KV19"],
      steps: [
        txn({ success: [op.put("a", "1"), op.put("a", "1"), op.put("", "x")] }),
        txn({ success: [op.put("a", "1"), op.put("a", "1"), op.empty] }),
        txn({ success: [op.empty, op.put("", "x")] }),
        txn({ success: [op.put("", "x"), op.empty] }),
        txn({ success: [op.put("a", "1"), op.put("a", "1")], failure: [op.put("", "x")] }),
        txn({ success: [op.put("a", "1"), op.put("a", "1"), op.txn({ success: puts(127) })] }),
      ],
    },
    {
      name: "the budget of nested txns",
      rows: ["KV17"],
      note: "a nested txn has what its parent's widest list leaves",
      steps: [
        txn({ success: [op.txn({ success: puts(127) })] }),
        txn({ success: [op.txn({ success: puts(128) })] }),
        txn({ success: [...puts(63, "a"), op.txn({ success: puts(64, "b") })] }),
        txn({ success: [...puts(63, "a"), op.txn({ success: puts(65, "b") })] }),
        txn({ success: [op.txn({ success: puts(1) })], failure: puts(127) }),
        txn({ success: [op.txn({ success: puts(2) })], failure: puts(127) }),
        txn({ success: [op.txn({ success: puts(1) })], failure: puts(128) }),
        txn({
          when: Array.from({ length: 100 }, () => cmp.version("x", "=", 0n)),
          success: [op.txn({ success: puts(29) })],
        }),
        txn({
          when: Array.from({ length: 100 }, () => cmp.version("x", "=", 0n)),
          success: [op.txn({ success: puts(28) })],
        }),
      ],
    },
    {
      name: "the budget counts depth, not the sum",
      rows: ["KV17"],
      steps: [
        txn({ success: Array.from({ length: 3 }, (_, index) => op.txn({ success: puts(125, `n${index}-`) })) }),
        txn({ success: Array.from({ length: 3 }, (_, index) => op.txn({ success: puts(126, `n${index}-`) })) }),
        txn({ success: [op.txn({ success: [op.txn({ success: puts(126) })] })] }),
        txn({ success: [op.txn({ success: [op.txn({ success: puts(127) })] })] }),
      ],
    },
    {
      name: "nested txns as deep as the budget",
      rows: ["KV17"],
      steps: [40, 60, 127, 128, 129].map((depth) => {
        let inner = op.put("deep", `${depth}`);
        for (let level = 1; level < depth; level += 1) inner = op.txn({ success: [inner] });
        return txn({ success: [inner] });
      }),
    },
    {
      name: "128 operations that change one key each, then delete them all",
      rows: ["KV17", "KV20"],
      setup: [txn({ success: puts(128) })],
      steps: [all({ countOnly: true }), del("k", { rangeEnd: "l" }), all({ countOnly: true })],
    },
    { name: "raw txn without any field", rows: ["KV19"], steps: [call("KV/Txn")] },
  ],
};
