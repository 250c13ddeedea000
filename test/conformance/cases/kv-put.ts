// KV.Put: leases, previous values, keeping value or lease, and what a refused put leaves behind.
import type { Group } from "../case.ts";
import { all, call, del, grant, grantAs, id, put, range, rev, revoke, timeToLive } from "../steps.ts";

export const kvPut: Group = {
  name: "kv-put",
  cases: [
    { name: "first and second version", rows: ["KV29"], steps: [put("a", "1"), range("a"), put("a", "2"), range("a")] },
    {
      name: "the same value again is a new version",
      rows: ["KV29"],
      steps: [put("a", "1"), put("a", "1"), range("a")],
    },
    { name: "empty value", rows: ["KV29"], steps: [put("a", ""), range("a")] },
    { name: "empty key", rows: ["KV12"], steps: [put("", "1"), put("", ""), call("KV/Put")] },
    {
      name: "binary key and value",
      rows: ["KV12"],
      steps: [put("\x00", "\x00\xff\x80"), put("\xff\xfe\x00\x01", "\x00"), all()],
    },
    { name: "previous kv of a new key", rows: ["KV12"], steps: [put("a", "1", { prevKv: true })] },
    {
      name: "previous kv",
      rows: ["KV12"],
      setup: [grant(100n, 5n), put("a", "1", { lease: 5n })],
      steps: [put("a", "2", { prevKv: true }), put("a", "3", { prevKv: true }), put("a", "4")],
    },
    {
      name: "previous kv after a delete",
      rows: ["KV12", "KV29"],
      setup: [put("a", "1"), del("a")],
      steps: [put("a", "2", { prevKv: true }), range("a")],
    },
    {
      name: "unknown lease",
      rows: ["KV12"],
      setup: [put("a", "1")],
      steps: [put("a", "2", { lease: 4242n }), range("a")],
    },
    { name: "unknown negative lease", rows: ["KV12"], steps: [put("a", "2", { lease: -1n }), range("a")] },
    {
      name: "attach, and detach by a put without lease",
      rows: ["KV12", "L13"],
      setup: [grant(100n, 5n)],
      steps: [put("a", "1", { lease: 5n }), timeToLive(5n, true), put("a", "2"), timeToLive(5n, true), range("a")],
    },
    {
      name: "move from one lease to another",
      rows: ["KV12", "L13"],
      setup: [grant(100n, 5n), grant(100n, 6n)],
      steps: [
        put("a", "1", { lease: 5n }),
        put("a", "2", { lease: 6n }),
        timeToLive(5n, true),
        timeToLive(6n, true),
        revoke(5n),
        range("a"),
        revoke(6n),
        range("a"),
      ],
    },
    {
      name: "a lease that the server chose",
      rows: ["KV12", "L1"],
      setup: [grantAs("mine", 100n)],
      steps: [put("a", "1", { lease: id("mine") }), range("a"), timeToLive(id("mine"), true)],
    },
    {
      name: "a revoked lease",
      rows: ["KV12"],
      setup: [grant(100n, 5n), revoke(5n)],
      steps: [put("a", "1", { lease: 5n })],
    },
    {
      name: "ignore value",
      rows: ["KV13"],
      setup: [grant(100n, 5n), put("a", "keep")],
      steps: [
        put("a", "", { ignoreValue: true, lease: 5n }),
        range("a"),
        put("a", "", { ignoreValue: true, prevKv: true }),
        range("a"),
      ],
    },
    {
      name: "ignore value with a value",
      rows: ["KV13"],
      setup: [put("a", "keep")],
      steps: [put("a", "x", { ignoreValue: true }), put("missing", "x", { ignoreValue: true }), range("a")],
    },
    { name: "ignore value on a missing key", rows: ["KV13"], steps: [put("a", "", { ignoreValue: true })] },
    {
      name: "ignore value on a deleted key",
      rows: ["KV13"],
      setup: [put("a", "1"), del("a")],
      steps: [put("a", "", { ignoreValue: true }), put("a", "", { ignoreValue: true, prevKv: true })],
    },
    {
      name: "ignore lease",
      rows: ["KV13"],
      setup: [grant(100n, 5n), put("a", "1", { lease: 5n })],
      steps: [put("a", "2", { ignoreLease: true }), range("a"), timeToLive(5n, true), put("a", "3"), range("a")],
    },
    {
      name: "ignore lease on a key without lease",
      rows: ["KV13"],
      setup: [put("a", "1")],
      steps: [put("a", "2", { ignoreLease: true }), range("a")],
    },
    {
      name: "ignore lease with a lease",
      rows: ["KV13"],
      setup: [grant(100n, 5n), put("a", "1")],
      steps: [put("a", "2", { ignoreLease: true, lease: 5n }), put("a", "2", { ignoreLease: true, lease: 999n })],
    },
    { name: "ignore lease on a missing key", rows: ["KV13"], steps: [put("a", "1", { ignoreLease: true })] },
    {
      name: "ignore both",
      rows: ["KV13"],
      setup: [grant(100n, 5n), put("a", "1", { lease: 5n })],
      steps: [
        put("a", "", { ignoreLease: true, ignoreValue: true }),
        range("a"),
        put("missing", "", { ignoreLease: true, ignoreValue: true }),
      ],
    },
    {
      name: "ignore both with both: the value is named",
      rows: ["KV13"],
      setup: [put("a", "1")],
      steps: [put("a", "x", { ignoreLease: true, ignoreValue: true, lease: 5n })],
    },
    {
      name: "empty key is named before everything else",
      rows: ["KV12", "KV13"],
      steps: [
        put("", "x", { ignoreValue: true }),
        put("", "", { ignoreLease: true, lease: 7n }),
        put("", "1", { lease: 99n }),
      ],
    },
    {
      name: "ignore value with an unknown lease",
      rows: ["KV12", "KV13"],
      setup: [put("a", "1")],
      steps: [put("a", "", { ignoreValue: true, lease: 99n }), put("missing", "", { ignoreValue: true, lease: 99n })],
    },
    {
      name: "previous kv with an unknown lease",
      rows: ["KV12"],
      setup: [put("a", "1")],
      steps: [put("a", "2", { prevKv: true, lease: 99n })],
    },
    {
      name: "a value of 100,000 bytes",
      rows: ["KV12"],
      steps: [put("a", "v".repeat(100_000)), range("a"), put("a", "2", { prevKv: true })],
    },
    {
      name: "each put is one revision",
      rows: ["KV29"],
      steps: [put("a", "1"), put("b", "1"), put("a", "2"), all(), all({ revision: rev(2) })],
    },
  ],
};
