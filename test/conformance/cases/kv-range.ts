// KV.Range: what a range is, at which revision it is read, limits and counts.
import type { Group } from "../case.ts";
import { all, call, compact, del, grant, put, range, raw, rev } from "../steps.ts";

const abc = [put("a", "1"), put("b", "2"), put("c", "3")];

export const kvRange: Group = {
  name: "kv-range",
  cases: [
    { name: "empty key", rows: ["KV1"], setup: abc, steps: [range("")] },
    { name: "empty key with a range end", rows: ["KV1"], setup: abc, steps: [range("", { rangeEnd: "z" })] },
    { name: "single key", rows: ["KV1"], setup: abc, steps: [range("b"), range("bb"), range("B")] },
    { name: "half-open range", rows: ["KV1"], setup: abc, steps: [range("a", { rangeEnd: "c" })] },
    {
      name: "range end one zero byte: from the key on",
      rows: ["KV1"],
      setup: abc,
      steps: [range("b", { rangeEnd: "\x00" })],
    },
    { name: "key and range end one zero byte: everything", rows: ["KV1"], setup: abc, steps: [all()] },
    {
      name: "key one zero byte alone is the key of that name",
      rows: ["KV1"],
      setup: [...abc, put("\x00", "zero")],
      steps: [range("\x00"), range("\x00", { rangeEnd: "b" })],
    },
    { name: "range end before the key: nothing", rows: ["KV1"], setup: abc, steps: [range("c", { rangeEnd: "a" })] },
    { name: "range end equal to the key: nothing", rows: ["KV1"], setup: abc, steps: [range("b", { rangeEnd: "b" })] },
    {
      name: "range end one zero byte longer than the key: that key",
      rows: ["KV1"],
      setup: [...abc, put("b\x00", "2+")],
      steps: [range("b", { rangeEnd: "b\x00" }), range("b", { rangeEnd: "b\x01" })],
    },
    {
      name: "range end of two zero bytes is a key, not the open end",
      rows: ["KV1"],
      setup: [...abc, put("\x00", "zero")],
      steps: [range("\x00", { rangeEnd: "\x00\x00" }), range("a", { rangeEnd: "\x00\x00" })],
    },
    {
      name: "prefix of 0xff bytes",
      rows: ["KV1"],
      setup: [put("\xff", "1"), put("\xff\xff", "2"), put("\xff\x00", "3"), put("\xfe\xff\xff", "4")],
      steps: [
        range("\xff", { rangeEnd: "\x00" }),
        range("\xff\xff", { rangeEnd: "\x00" }),
        range("\xfe", { rangeEnd: "\xff" }),
        range("\xfe\xff", { rangeEnd: "\xff" }),
      ],
    },
    {
      name: "byte order, not text order",
      rows: ["KV1"],
      setup: ["a", "B", "\x00", "\xff", "\x7f", "\x80", "a\x00", "a\x00b", "a\xff", "aa", ""]
        .filter((key) => key !== "")
        .map((key) => put(key, "v")),
      steps: [all({ keysOnly: true })],
    },
    {
      name: "revisions below one read the current state",
      rows: ["KV2"],
      setup: abc,
      steps: [range("a", { revision: 0n }), range("a", { revision: -1n }), range("a", { revision: -(2n ** 63n) })],
    },
    {
      name: "older revisions",
      rows: ["KV2"],
      setup: [put("a", "1"), put("a", "2"), put("b", "x"), del("a"), put("a", "3")],
      steps: [
        all({ revision: rev(0) }),
        all({ revision: rev(1) }),
        all({ revision: rev(2) }),
        all({ revision: rev(3) }),
        all({ revision: rev(4) }),
        all({ revision: rev(5) }),
      ],
    },
    {
      name: "future revision",
      rows: ["KV2"],
      setup: abc,
      steps: [
        range("a", { revision: rev(4) }),
        range("a", { revision: 2n ** 63n - 1n }),
        range("zz", { revision: rev(4) }),
      ],
    },
    {
      name: "compacted revision, and the compact revision itself",
      rows: ["KV2"],
      setup: [...abc, put("a", "4"), compact(rev(3))],
      steps: [
        all({ revision: rev(2) }),
        all({ revision: rev(3) }),
        all({ revision: rev(4) }),
        all({ revision: 1n }),
        range("missing", { revision: rev(2) }),
        range("a", { revision: -1n }),
      ],
    },
    {
      name: "limit",
      rows: ["KV3", "KV4"],
      setup: abc,
      steps: [
        all({ limit: 1n }),
        all({ limit: 2n }),
        all({ limit: 3n }),
        all({ limit: 4n }),
        range("b", { limit: 1n }),
        range("a", { rangeEnd: "c", limit: 2n }),
      ],
    },
    {
      name: "limits of zero and below are none",
      rows: ["KV3"],
      setup: abc,
      steps: [all({ limit: 0n }), all({ limit: -1n }), all({ limit: -(2n ** 63n) }), all({ limit: 2n ** 63n - 1n })],
    },
    {
      name: "count is of the range, whatever the limit, at that revision",
      rows: ["KV4"],
      setup: [...abc, del("a"), put("d", "4")],
      steps: [all({ limit: 1n }), all({ limit: 1n, revision: rev(2) }), all({ limit: 1n, revision: rev(4) })],
    },
    {
      name: "count only",
      rows: ["KV5"],
      setup: abc,
      steps: [
        all({ countOnly: true }),
        all({ countOnly: true, limit: 1n }),
        range("b", { countOnly: true }),
        range("missing", { countOnly: true }),
        all({ countOnly: true, revision: rev(1) }),
        all({ countOnly: true, keysOnly: true }),
        all({ countOnly: true, revision: rev(9) }),
      ],
    },
    {
      name: "count only with filters and sorting",
      rows: ["KV4", "KV5"],
      setup: abc,
      steps: [
        all({ countOnly: true, minModRevision: rev(3) }),
        all({ countOnly: true, sortOrder: 2, sortTarget: 4 }),
        all({ countOnly: true, minModRevision: rev(2), limit: 1n }),
      ],
    },
    {
      name: "keys only",
      rows: ["KV6"],
      setup: [grant(100n, 77n), put("a", "1"), put("b", "2", { lease: 77n }), put("b", "3", { lease: 77n })],
      steps: [all({ keysOnly: true }), range("b", { keysOnly: true }), all({ keysOnly: true, revision: rev(2) })],
    },
    {
      name: "keys only sorted by value",
      rows: ["KV6", "KV7"],
      setup: [put("a", "3"), put("b", "1"), put("c", "2")],
      steps: [all({ keysOnly: true, sortOrder: 1, sortTarget: 4 }), all({ keysOnly: true, sortTarget: 4 })],
    },
    {
      name: "serializable reads answer alike",
      rows: ["KV10"],
      setup: abc,
      steps: [
        all({ serializable: true }),
        range("a", { serializable: true, revision: rev(1) }),
        range("a", { serializable: true, revision: rev(9) }),
        range("", { serializable: true }),
      ],
    },
    {
      name: "value, version and revisions of one key through its lives",
      rows: ["KV29"],
      setup: [put("a", "1"), put("a", "2"), del("a"), put("a", "3"), put("a", "")],
      steps: [
        range("a"),
        range("a", { revision: rev(1) }),
        range("a", { revision: rev(2) }),
        range("a", { revision: rev(3) }),
        range("a", { revision: rev(4) }),
      ],
    },
    { name: "an empty store", rows: ["KV1"], steps: [all(), range("a"), all({ limit: 1n })] },
    {
      name: "unknown fields in the request are ignored",
      rows: ["KV1"],
      setup: abc,
      steps: [raw("KV/Range", Buffer.from("0a016298f00107a2f00103616263", "hex"))],
    },
    {
      name: "garbage in place of a request",
      rows: ["X6"],
      setup: abc,
      steps: [raw("KV/Range", Buffer.from("0aff", "hex"))],
    },
    {
      name: "the same field twice: the last wins",
      rows: ["KV1"],
      setup: abc,
      steps: [raw("KV/Range", Buffer.from("0a01610a0162", "hex"))],
    },
    { name: "an empty message", rows: ["KV1"], steps: [raw("KV/Range", Buffer.alloc(0)), call("KV/Range")] },
  ],
};
