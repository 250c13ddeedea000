// KV.Txn, operations: order, revisions, nesting, reads of own writes, what a refused txn leaves behind.
import type { Group } from "../case.ts";
import {
  all,
  cmp,
  compact,
  create,
  del,
  grant,
  op,
  openWatch,
  put,
  range,
  receive,
  rev,
  timeToLive,
  txn,
} from "../steps.ts";

const ab = [put("a", "1"), put("b", "2")];

export const kvTxn: Group = {
  name: "kv-txn",
  cases: [
    { name: "empty txn", rows: ["KV19"], setup: ab, steps: [txn({}), txn({ when: [cmp.version("a", "=", 5n)] })] },
    {
      name: "put, range and delete in one",
      rows: ["KV20"],
      setup: ab,
      steps: [
        txn({ success: [op.put("c", "3"), op.range("a"), op.del("b", { prevKv: true })] }),
        all(),
        all({ revision: rev(2) }),
      ],
    },
    {
      name: "the other branch",
      rows: ["KV15", "KV20"],
      setup: ab,
      steps: [
        txn({
          when: [cmp.value("a", "=", "x")],
          success: [op.put("s", "1")],
          failure: [op.put("f", "1"), op.range("a")],
        }),
        all(),
      ],
    },
    {
      name: "create a key only where it is missing",
      rows: ["KV16", "KV20"],
      steps: [
        txn({ when: [cmp.create("k", "=", 0n)], success: [op.put("k", "mine")], failure: [op.range("k")] }),
        txn({ when: [cmp.create("k", "=", 0n)], success: [op.put("k", "mine")], failure: [op.range("k")] }),
      ],
    },
    {
      name: "one revision for many puts",
      rows: ["KV20", "KV29"],
      steps: [txn({ success: ["c", "a", "b"].map((key) => op.put(key, key)) }), all(), put("a", "again"), all()],
    },
    {
      name: "later reads see earlier writes",
      rows: ["KV20"],
      setup: ab,
      steps: [
        txn({
          success: [
            op.range("a"),
            op.put("a", "new"),
            op.range("a"),
            op.del("b"),
            op.range("b"),
            op.range("\x00", { rangeEnd: "\x00" }),
          ],
        }),
      ],
    },
    {
      name: "reads of old revisions inside a writing txn",
      rows: ["KV20"],
      setup: [...ab, put("a", "3")],
      steps: [
        txn({ success: [op.put("a", "4"), op.range("a", { revision: rev(1) }), op.range("a", { revision: rev(3) })] }),
        txn({ success: [op.put("a", "5"), op.range("a", { revision: rev(4) }), op.range("a", { countOnly: true })] }),
      ],
    },
    {
      name: "the revision that the txn itself will make is in the future",
      rows: ["KV21"],
      setup: ab,
      steps: [txn({ success: [op.put("a", "3"), op.range("a", { revision: rev(3) })] }), all()],
    },
    {
      name: "deletes that find nothing raise no revision",
      rows: ["KV20", "KV14"],
      setup: ab,
      steps: [txn({ success: [op.del("zz"), op.del("x", { rangeEnd: "z" }), op.range("a")] }), put("c", "1")],
    },
    {
      name: "a put that changes nothing is a write",
      rows: ["KV20"],
      setup: ab,
      steps: [txn({ success: [op.put("a", "1")] }), range("a")],
    },
    {
      name: "delete, then range, then delete again",
      rows: ["KV18", "KV20"],
      setup: ab,
      steps: [txn({ success: [op.del("a"), op.del("a"), op.del("a", { rangeEnd: "c" }), op.range("a")] }), all()],
    },
    {
      name: "previous kvs inside a txn",
      rows: ["KV20"],
      setup: ab,
      steps: [
        txn({
          success: [
            op.put("a", "x", { prevKv: true }),
            op.put("n", "x", { prevKv: true }),
            op.del("b", { prevKv: true }),
            op.del("zz", { prevKv: true }),
          ],
        }),
      ],
    },
    {
      name: "ranges with limit, sorting and count inside a txn",
      rows: ["KV20", "KV7"],
      setup: [...ab, put("c", "0")],
      steps: [
        txn({
          success: [
            op.range("a", { rangeEnd: "z", limit: 1n }),
            op.range("a", { rangeEnd: "z", sortOrder: 1, sortTarget: 4 }),
            op.range("a", { rangeEnd: "z", countOnly: true }),
            op.range("a", { rangeEnd: "z", keysOnly: true, minModRevision: rev(2) }),
            op.range("zz"),
          ],
        }),
      ],
    },
    {
      name: "leases inside a txn",
      rows: ["KV20", "KV21", "L13"],
      setup: [grant(100n, 5n), ...ab],
      steps: [
        txn({ success: [op.put("a", "x", { lease: 5n }), op.put("b", "", { ignoreValue: true, lease: 5n })] }),
        timeToLive(5n, true),
        txn({ success: [op.put("a", "y"), op.put("b", "z", { ignoreLease: true })] }),
        timeToLive(5n, true),
        all(),
      ],
    },
    {
      name: "ignore value or lease of a key that the txn does not find",
      rows: ["KV13", "KV21"],
      setup: ab,
      steps: [
        txn({ success: [op.put("a", "x"), op.put("n", "", { ignoreValue: true })] }),
        txn({ success: [op.put("a", "x"), op.put("n", "v", { ignoreLease: true })] }),
        all(),
      ],
    },
    {
      name: "ignore value of a key that an earlier operation of the txn deletes",
      rows: ["KV13", "KV21"],
      note: "a delete and a put of one key are refused as duplicates before the key is looked at",
      setup: ab,
      steps: [txn({ success: [op.del("a"), op.put("a", "", { ignoreValue: true })] })],
    },
    {
      name: "an unknown lease rejects all",
      rows: ["KV21"],
      setup: ab,
      steps: [txn({ success: [op.put("a", "x"), op.put("b", "x", { lease: 99n })] }), all()],
    },
    {
      name: "an unknown lease in the branch that does not run",
      rows: ["KV21"],
      setup: ab,
      steps: [txn({ success: [op.put("a", "x")], failure: [op.put("b", "x", { lease: 99n })] }), all()],
    },
    {
      name: "a future revision rejects all",
      rows: ["KV21"],
      setup: ab,
      steps: [
        txn({ success: [op.put("a", "x"), op.range("a", { revision: rev(100) })] }),
        txn({ success: [op.put("a", "x")], failure: [op.range("a", { revision: rev(100) })] }),
        txn({ success: [op.range("a", { revision: rev(100) })] }),
        all(),
      ],
    },
    {
      name: "a compacted revision rejects all",
      rows: ["KV21"],
      setup: [...ab, put("a", "3"), compact(rev(3))],
      steps: [
        txn({ success: [op.put("a", "x"), op.range("a", { revision: rev(2) })] }),
        txn({ success: [op.put("a", "x"), op.range("a", { revision: rev(3) })] }),
        txn({ success: [op.range("a", { revision: rev(2) })] }),
        txn({ success: [op.range("a", { revision: rev(3) })] }),
        all(),
      ],
    },
    {
      name: "a negative revision after a compaction",
      rows: ["KV22"],
      setup: [...ab, compact(rev(2))],
      steps: [
        txn({ success: [op.range("a", { revision: -1n })] }),
        txn({ success: [op.put("b", "x"), op.range("a", { revision: -1n })] }),
        txn({ success: [op.range("a", { revision: -1n, serializable: true })] }),
        range("a", { revision: -1n }),
        all(),
      ],
    },
    {
      name: "read-only txns",
      rows: ["KV23"],
      setup: ab,
      steps: [
        txn({ success: [op.range("a"), op.range("b")] }),
        txn({ success: [op.range("a", { serializable: true }), op.range("b", { serializable: true })] }),
        txn({ success: [op.range("a", { serializable: true }), op.range("b")] }),
        txn({ when: [cmp.version("a", "=", 7n)], success: [op.put("a", "x")], failure: [op.range("a")] }),
      ],
    },
    {
      name: "nested txns",
      rows: ["KV20", "KV23"],
      setup: ab,
      steps: [
        txn({
          success: [
            op.put("x", "1"),
            op.txn({
              when: [cmp.value("a", "=", "1")],
              success: [op.put("y", "1"), op.range("x")],
              failure: [op.del("a")],
            }),
            op.txn({ when: [cmp.value("a", "=", "2")], success: [op.del("a")], failure: [op.range("y"), op.txn({})] }),
          ],
        }),
        all(),
      ],
    },
    {
      name: "nested conditions see the state before any write",
      rows: ["KV20"],
      setup: ab,
      steps: [
        txn({
          success: [
            op.put("a", "changed"),
            op.txn({ when: [cmp.value("a", "=", "1")], success: [op.put("n", "old")], failure: [op.put("n", "new")] }),
            op.txn({ when: [cmp.value("a", "=", "changed")], success: [op.range("n")], failure: [op.range("a")] }),
          ],
        }),
        all(),
      ],
    },
    {
      name: "nested txns that only read",
      rows: ["KV23"],
      setup: ab,
      steps: [
        txn({ success: [op.txn({ success: [op.range("a")] })] }),
        txn({ success: [op.txn({})] }),
        txn({ failure: [op.txn({ success: [op.range("a")] })] }),
      ],
    },
    {
      name: "four levels deep",
      rows: ["KV20"],
      steps: [
        txn({
          success: [
            op.put("l1", "1"),
            op.txn({
              success: [
                op.put("l2", "2"),
                op.txn({
                  success: [
                    op.put("l3", "3"),
                    op.txn({ success: [op.put("l4", "4"), op.range("l1"), op.range("l3")] }),
                  ],
                }),
              ],
            }),
            op.range("l4"),
          ],
        }),
        all(),
      ],
    },
    {
      name: "failures inside a nested txn reject all",
      rows: ["KV21"],
      setup: ab,
      steps: [
        txn({ success: [op.put("a", "x"), op.txn({ success: [op.put("n", "x", { lease: 99n })] })] }),
        txn({ success: [op.put("a", "x"), op.txn({ success: [op.range("n", { revision: rev(50) })] })] }),
        txn({ success: [op.put("a", "x"), op.txn({ success: [op.put("n", "", { ignoreValue: true })] })] }),
        txn({
          success: [
            op.put("a", "x"),
            op.txn({ when: [cmp.version("a", "=", 9n)], success: [op.put("n", "x", { lease: 99n })] }),
          ],
        }),
        all(),
      ],
    },
    {
      name: "one key put and then deleted in one revision",
      rows: ["KV18", "KV20", "W7", "W9"],
      note: "nested txns beside each other get past the check for duplicates in this order",
      setup: [grant(100n, 5n), ...ab],
      steps: [
        openWatch(),
        create("\x00", { rangeEnd: "\x00", prevKv: true }),
        receive(1),
        txn({
          success: [
            op.txn({ success: [op.put("a", "2", { lease: 5n }), op.put("n", "1", { lease: 5n })] }),
            op.range("a"),
            op.txn({ success: [op.del("a", { prevKv: true }), op.del("n")] }),
            op.range("a"),
          ],
        }),
        receive(1),
        all(),
        all({ revision: rev(2) }),
        all({ revision: rev(3) }),
        timeToLive(5n, true),
        put("n", "2"),
        put("a", "3", { prevKv: true }),
        receive(2),
        create("\x00", { rangeEnd: "\x00", prevKv: true, startRevision: rev(1) }),
        receive(2),
        compact(rev(3)),
        all({ revision: rev(3) }),
        create("\x00", { rangeEnd: "\x00", startRevision: rev(3) }),
        receive(2),
        all(),
      ],
    },
    {
      name: "one key deleted and then put in one revision",
      rows: ["KV18", "KV20", "W7", "W9"],
      note:
        "the check for duplicates does not see what an open-ended delete covers; compacting to that very revision and reading it " +
        "ends the process of etcd 3.5, so the compaction here is one later",
      setup: [grant(100n, 5n), put("a", "1", { lease: 5n }), put("a", "2", { lease: 5n }), put("b", "1")],
      steps: [
        openWatch(),
        create("\x00", { rangeEnd: "\x00", prevKv: true }),
        receive(1),
        txn({
          success: [op.del("a", { rangeEnd: "\x00", prevKv: true }), op.put("a", "3", { prevKv: true }), op.range("a")],
        }),
        receive(1),
        all(),
        all({ revision: rev(3) }),
        all({ revision: rev(4) }),
        timeToLive(5n, true),
        put("a", "4"),
        receive(1),
        create("\x00", { rangeEnd: "\x00", prevKv: true, startRevision: rev(1) }),
        receive(2),
        compact(rev(5)),
        all({ revision: rev(5) }),
      ],
    },
    {
      name: "one key put, deleted and put again in one revision",
      rows: ["KV18", "KV20", "W7"],
      setup: ab,
      steps: [
        openWatch(),
        create("a"),
        receive(1),
        txn({
          success: [
            op.txn({ success: [op.put("a", "2")] }),
            op.txn({ success: [op.del("a", { rangeEnd: "\x00" })] }),
            op.put("b", "2"),
            op.range("\x00", { rangeEnd: "\x00" }),
          ],
        }),
        receive(1),
        all(),
        del("a"),
        put("a", "4"),
        receive(1),
        all({ revision: rev(3) }),
      ],
    },
    {
      name: "sub-revisions keep the order of writes in the history",
      rows: ["KV20"],
      steps: [
        txn({ success: [op.put("b", "1"), op.txn({ success: [op.put("a", "2")] }), op.put("c", "3")] }),
        txn({ success: [op.del("b"), op.put("a", "4")] }),
        all({ revision: rev(1) }),
        all({ revision: rev(2) }),
      ],
    },
  ],
};
