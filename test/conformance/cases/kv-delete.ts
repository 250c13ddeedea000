// KV.DeleteRange: the same range rules as Range, one revision for all, none for nothing.
import type { Group } from "../case.ts";
import { all, call, del, grant, put, range, rev, revoke, timeToLive } from "../steps.ts";

const abc = [put("a", "1"), put("b", "2"), put("c", "3")];

export const kvDelete: Group = {
  name: "kv-delete",
  cases: [
    { name: "one key", rows: ["KV14"], setup: abc, steps: [del("b"), all()] },
    {
      name: "a missing key raises no revision",
      rows: ["KV14"],
      setup: abc,
      steps: [del("zz"), del("bb"), put("d", "4")],
    },
    { name: "a deleted key is gone", rows: ["KV14"], setup: [...abc, del("b")], steps: [del("b"), range("b")] },
    {
      name: "empty key",
      rows: ["KV14"],
      setup: abc,
      steps: [del(""), del("", { rangeEnd: "z" }), call("KV/DeleteRange")],
    },
    { name: "half-open range, one revision", rows: ["KV14"], setup: abc, steps: [del("a", { rangeEnd: "c" }), all()] },
    { name: "from a key on", rows: ["KV14"], setup: abc, steps: [del("b", { rangeEnd: "\x00" }), all()] },
    { name: "everything", rows: ["KV14"], setup: abc, steps: [del("\x00", { rangeEnd: "\x00" }), all()] },
    {
      name: "the key of one zero byte",
      rows: ["KV14"],
      setup: [...abc, put("\x00", "0")],
      steps: [del("\x00"), all()],
    },
    {
      name: "range end before or at the key: nothing",
      rows: ["KV14"],
      setup: abc,
      steps: [del("c", { rangeEnd: "a" }), del("b", { rangeEnd: "b" }), all()],
    },
    {
      name: "range end of two zero bytes",
      rows: ["KV14"],
      setup: [...abc, put("\x00", "0")],
      steps: [del("\x00", { rangeEnd: "\x00\x00" }), all()],
    },
    {
      name: "previous kvs",
      rows: ["KV14"],
      setup: [grant(100n, 5n), ...abc, put("b", "2b", { lease: 5n })],
      steps: [del("a", { rangeEnd: "c", prevKv: true }), del("c", { prevKv: true }), del("c", { prevKv: true })],
    },
    {
      name: "versions start again after a delete",
      rows: ["KV14", "KV29"],
      setup: [put("a", "1"), put("a", "2"), del("a")],
      steps: [put("a", "3"), range("a"), range("a", { revision: rev(2) }), range("a", { revision: rev(3) })],
    },
    {
      name: "deleting detaches from the lease",
      rows: ["KV14", "L13"],
      setup: [grant(100n, 5n), put("a", "1", { lease: 5n }), put("b", "1", { lease: 5n })],
      steps: [del("a"), timeToLive(5n, true), put("a", "2"), revoke(5n), all()],
    },
    {
      name: "a key in the middle of others",
      rows: ["KV14"],
      setup: [put("k", "1"), put("k\x00", "2"), put("k\x00\x00", "3"), put("l", "4")],
      steps: [del("k\x00"), all(), del("k", { rangeEnd: "l" }), all()],
    },
    {
      name: "history stays readable below the delete",
      rows: ["KV14", "KV2"],
      setup: [...abc, del("a", { rangeEnd: "c" }), put("a", "9")],
      steps: [all({ revision: rev(3) }), all({ revision: rev(4) }), all({ revision: rev(5) })],
    },
  ],
};
