// KV.Compact: which revisions it takes, what stays readable, what it leaves alone.
import type { Group } from "../case.ts";
import { all, call, compact, del, grant, op, put, range, rev, revoke, timeToLive, txn } from "../steps.ts";

const history = [put("a", "1"), put("a", "2"), put("b", "1"), del("a"), put("c", "1"), put("b", "2")];
const eachRevision = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => all({ revision: rev(from + index) }));

/** Needs a store that was never compacted. */
export const kvUncompacted: Group = {
  name: "kv-uncompacted",
  fresh: true,
  cases: [
    {
      name: "a fresh store is at revision 1",
      rows: ["KV29"],
      steps: [all({ revision: 1n }), all({ revision: 2n }), put("a", "1"), range("a"), all({ revision: 1n })],
    },
    {
      name: "a negative revision in a txn before the first compaction",
      rows: ["KV22"],
      setup: [put("a", "1")],
      steps: [
        txn({ success: [op.range("a", { revision: -1n })] }),
        txn({ success: [op.put("b", "1"), op.range("a", { revision: -7n })] }),
        range("a", { revision: -1n }),
      ],
    },
    {
      name: "compacting a future revision",
      rows: ["KV24"],
      setup: [put("a", "1")],
      steps: [compact(rev(2)), compact(rev(9))],
    },
    {
      name: "compacting revision 0, once",
      rows: ["KV24"],
      setup: [put("a", "1")],
      steps: [compact(0n, false), compact(0n, false), compact(-1n, false), all({ revision: 1n })],
    },
  ],
};

export const kvCompact: Group = {
  name: "kv-compact",
  cases: [
    {
      name: "what stays readable",
      rows: ["KV24", "KV26", "KV2"],
      setup: history,
      steps: [compact(rev(3)), ...eachRevision(1, 6), compact(rev(5)), ...eachRevision(3, 6)],
    },
    {
      name: "the current revision",
      rows: ["KV24", "KV26"],
      setup: history,
      steps: [compact(rev(6)), ...eachRevision(4, 6), put("a", "3"), all(), all({ revision: rev(6) })],
    },
    {
      name: "a deleted key whose delete is the compact revision",
      rows: ["KV26"],
      setup: history,
      steps: [compact(rev(4)), all({ revision: rev(4) }), range("a", { revision: rev(4) }), range("a")],
    },
    {
      name: "revisions already compacted",
      rows: ["KV24"],
      setup: [...history, compact(rev(4))],
      steps: [compact(rev(4)), compact(rev(3)), compact(0n), compact(-5n), compact(rev(5))],
    },
    {
      name: "future revisions",
      rows: ["KV24"],
      setup: history,
      steps: [compact(rev(7)), compact(2n ** 63n - 1n), compact(rev(6))],
    },
    {
      name: "not physical",
      rows: ["KV25", "KV26"],
      setup: history,
      steps: [compact(rev(5), false), all({ revision: rev(4) }), all({ revision: rev(5) }), compact(rev(5), false)],
    },
    {
      name: "the header has the current revision",
      rows: ["KV25"],
      setup: history,
      steps: [compact(rev(2)), compact(rev(3), false), put("z", "1"), compact(rev(4))],
    },
    {
      name: "a compaction is no revision",
      rows: ["KV25", "KV29"],
      setup: [...history, compact(rev(6))],
      steps: [put("d", "1"), all()],
    },
    {
      name: "versions and create revisions survive",
      rows: ["KV26"],
      setup: [put("a", "1"), put("a", "2"), put("a", "3"), compact(rev(3))],
      steps: [range("a"), put("a", "4"), range("a"), range("a", { revision: rev(3) })],
    },
    {
      name: "a key that is put again after its delete was compacted",
      rows: ["KV26", "KV29"],
      setup: [put("a", "1"), del("a"), put("b", "1"), compact(rev(3))],
      steps: [put("a", "2"), range("a"), range("a", { revision: rev(3) })],
    },
    {
      name: "leases survive",
      rows: ["KV26"],
      setup: [grant(100n, 5n), put("a", "1", { lease: 5n }), put("a", "2", { lease: 5n }), compact(rev(2))],
      steps: [timeToLive(5n, true), range("a"), revoke(5n), range("a"), all({ revision: rev(2) })],
    },
    {
      name: "writes of one txn at the compact revision",
      rows: ["KV26"],
      setup: [
        txn({ success: [op.put("a", "1"), op.put("b", "1"), op.put("c", "1")] }),
        txn({ success: [op.put("a", "2"), op.del("b")] }),
      ],
      steps: [compact(rev(2)), all({ revision: rev(2) }), all({ revision: rev(1) }), put("b", "2"), all()],
    },
    {
      name: "many versions of one key",
      rows: ["KV26"],
      setup: Array.from({ length: 30 }, (_, index) => put("a", `${index}`)),
      steps: [
        compact(rev(29)),
        range("a", { revision: rev(28) }),
        range("a", { revision: rev(29) }),
        range("a", { revision: rev(30) }),
      ],
    },
    { name: "an empty request", rows: ["KV24"], setup: [put("a", "1"), compact(rev(1))], steps: [call("KV/Compact")] },
  ],
};
