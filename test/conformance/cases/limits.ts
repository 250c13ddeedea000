// Limits of size: keys from one byte to 200,000, requests over 1.5 MiB, messages over 2 MiB, long histories.
import type { Case, Group } from "../case.ts";
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
  receiveEvents,
  rev,
  revoke,
  timeToLive,
  txn,
} from "../steps.ts";

const everything = { rangeEnd: "\x00" } as const;
const MiB = 1024 * 1024;
/** etcd's limit, which counts the whole proposal, not the value alone. */
const requestBytesMax = 1.5 * MiB;

const lengths = [1, 2, 1000, 1977, 1978, 1979, 2000, 10_000, 200_000];

/** Keys that share long beginnings, so that an order by a prefix or a digest would show. */
const perLength: readonly Case[] = lengths.map((length) => {
  const key = "k".repeat(length);
  const before = `${"k".repeat(length - 1)}j`;
  const after = `${"k".repeat(length - 1)}l`;
  const longer = `${key}\x00`;
  return {
    name: `keys of ${length} bytes`,
    rows: ["KV1", "KV2", "KV14", "KV20"],
    setup: [
      grant(100n, 5n),
      put(after, "after"),
      put(key, "1"),
      put(longer, "longer"),
      put(before, "before", { lease: 5n }),
    ],
    steps: [
      range(key),
      all(),
      range(key, { rangeEnd: longer }),
      range(key, { rangeEnd: after }),
      range(before, { rangeEnd: key, keysOnly: true }),
      range(key, { rangeEnd: "\x00", limit: 1n }),
      put(key, "2", { prevKv: true }),
      range(key, { revision: rev(2) }),
      all({ revision: rev(3), sortOrder: 2, keysOnly: true }),
      txn({
        when: [cmp.version(key, "=", 2n), cmp.value(longer, "=", "longer"), cmp.create(`${key}x`, "=", 0n)],
        success: [op.put(key, "3"), op.range(key), op.del(longer, { prevKv: true })],
      }),
      all({ revision: rev(5) }),
      timeToLive(5n, true),
      openWatch(),
      create(key, { rangeEnd: after, startRevision: rev(1), prevKv: true }),
      receiveEvents(5),
      del(before, { rangeEnd: after, prevKv: true }),
      receive(1),
      compact(rev(6)),
      range(key, { revision: rev(6) }),
      all(),
      put(key, "again"),
      receive(1),
      range(key),
    ],
  };
});

export const limits: Group = {
  name: "limits",
  cases: [
    ...perLength,
    {
      name: "keys of many lengths in byte order",
      rows: ["KV1"],
      setup: [
        ...[200_000, 1, 10_000, 1978, 1979, 3, 2000, 1000, 1977].map((length) => put("m".repeat(length), `${length}`)),
        put(`${"m".repeat(1978)}a`, "1978a"),
        put(`${"m".repeat(9_999)}\xff`, "9999ff"),
        put(`${"m".repeat(9_999)}\x00`, "999900"),
        put(`${"m".repeat(1_500)}z`, "1500z"),
      ],
      steps: [
        all(),
        range("m".repeat(1978), { rangeEnd: "m".repeat(10_000) }),
        range("m".repeat(5000), { rangeEnd: "\x00", limit: 2n }),
        range("m".repeat(1979), { rangeEnd: `${"m".repeat(1978)}n`, countOnly: true }),
        del("m".repeat(1979), { rangeEnd: `${"m".repeat(1978)}n` }),
        all({ keysOnly: true }),
      ],
    },
    {
      name: "a lease with long keys",
      rows: ["L4"],
      setup: [
        grant(100n, 5n),
        put("m".repeat(200_000), "1", { lease: 5n }),
        put("m".repeat(1978), "1", { lease: 5n }),
        put("m".repeat(3000), "1", { lease: 5n }),
      ],
      steps: [openWatch(), create("m", everything), receive(1), revoke(5n), receive(1), all()],
    },
    {
      name: "a value that just fits and one that does not",
      rows: ["N1"],
      setup: [put("a", "1")],
      note: "the limit counts the encoded request with etcd's own envelope; only clear distances are compared",
      steps: [
        put("big", "x".repeat(requestBytesMax - 100)),
        put("big", "x".repeat(requestBytesMax + 1)),
        put("big", "x".repeat(requestBytesMax + 400_000)),
        put("a", "2"),
      ],
    },
    {
      name: "a key that is too large",
      rows: ["N1"],
      steps: [
        put("x".repeat(requestBytesMax + 1), "1"),
        del("x".repeat(requestBytesMax + 1)),
        range("x".repeat(requestBytesMax + 1)),
      ],
    },
    {
      name: "a txn that is too large, a reading one that is not",
      rows: ["N1", "KV23"],
      setup: [put("a", "1")],
      steps: [
        txn({ success: [op.put("a", "x".repeat(MiB)), op.put("b", "x".repeat(MiB / 2))] }),
        txn({ success: [op.range("x".repeat(MiB)), op.range("y".repeat(MiB / 2))] }),
        txn({ when: [cmp.value("a", "=", "x".repeat(requestBytesMax))], success: [op.range("a")] }),
        txn({ when: [cmp.value("a", "=", "x".repeat(requestBytesMax))], failure: [op.put("a", "2")] }),
        all(),
      ],
    },
    {
      name: "a bad request that is too large is named by what is bad",
      rows: ["N1", "KV12", "KV18"],
      steps: [
        put("", "x".repeat(requestBytesMax + 1)),
        put("a", "x".repeat(requestBytesMax + 1), { ignoreValue: true }),
        put("a", "x".repeat(requestBytesMax + 1), { lease: 99n }),
        txn({ success: [op.put("a", "x".repeat(MiB)), op.put("a", "x".repeat(MiB / 2))] }),
      ],
    },
    {
      name: "a message over 2 MiB",
      rows: ["N2", "X7"],
      setup: [put("a", "1")],
      steps: [put("big", "x".repeat(2 * MiB + 1)), range("y".repeat(2 * MiB)), put("a", "2")],
    },
    {
      name: "answers may be larger than requests",
      rows: ["X7"],
      setup: Array.from({ length: 6 }, (_, index) => put(`a${index}`, `${index}`.repeat(MiB))),
      steps: [all(), txn({ success: [op.range("a", everything), op.range("a", { rangeEnd: "b", keysOnly: true })] })],
    },
  ],
};
