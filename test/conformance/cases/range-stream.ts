// KV.RangeStream. etcd 3.5 does not have it: our answers are compared with 3.7's. How chunks of large values are cut is
// left to the server.
import type { Group } from "../case.ts";
import { compact, finish, put, rev, send } from "../steps.ts";

const open = (method: string, stream = "s") => ({ kind: "open", stream, method }) as const;

export const rangeStream: Group = {
  name: "range-stream",
  cases: [
    {
      name: "a short range",
      rows: ["KV11"],
      setup: ["a", "b", "c"].map((key) => put(key, key)),
      steps: [open("KV/RangeStream"), send("s", { key: "a", rangeEnd: "c" }), finish("s")],
    },
    {
      name: "over everything, more than one chunk",
      rows: ["KV11"],
      setup: Array.from({ length: 35 }, (_, index) => put(`k${String(index).padStart(2, "0")}`, `${index}`)),
      steps: [
        open("KV/RangeStream"),
        send("s", { key: "\x00", rangeEnd: "\x00" }),
        finish("s"),
        open("KV/RangeStream", "limited"),
        send("limited", { key: "\x00", rangeEnd: "\x00", limit: 12n }),
        finish("limited"),
      ],
    },
    {
      name: "of nothing, one key, a count, keys alone",
      rows: ["KV11"],
      setup: ["a", "b", "c"].map((key) => put(key, key)),
      steps: [
        { key: "zz" },
        { key: "b" },
        { key: "\x00", rangeEnd: "\x00", countOnly: true },
        { key: "\x00", rangeEnd: "\x00", keysOnly: true },
        { key: "\x00", rangeEnd: "\x00", revision: rev(2) },
        { key: "\x00", rangeEnd: "\x00", limit: 1n },
        { key: "\x00", rangeEnd: "\x00", serializable: true, limit: 3n },
      ].flatMap((request, index) => [
        open("KV/RangeStream", `s${index}`),
        send(`s${index}`, request),
        finish(`s${index}`),
      ]),
    },
    {
      name: "refused",
      rows: ["KV11"],
      setup: [put("a", "1"), put("a", "2"), compact(rev(2))],
      steps: [
        { key: "" },
        { key: "a", revision: rev(3) },
        { key: "a", revision: rev(1) },
        { key: "a", sortOrder: 2 },
        { key: "a", sortOrder: 1 },
        { key: "a", sortTarget: 3 },
        { key: "a", sortTarget: 3, sortOrder: 1 },
        { key: "a", minModRevision: 1n },
        { key: "a", maxCreateRevision: 1n },
      ].flatMap((request, index) => [
        open("KV/RangeStream", `s${index}`),
        send(`s${index}`, request),
        finish(`s${index}`),
      ]),
    },
    {
      name: "whose keys fill chunks exactly",
      rows: ["KV11"],
      setup: Array.from({ length: 30 }, (_, index) => put(`k${String(index).padStart(2, "0")}`, "v")),
      steps: [
        { key: "k", rangeEnd: "k10" },
        { key: "k", rangeEnd: "k11" },
        { key: "k", rangeEnd: "l" },
        { key: "k", rangeEnd: "l", limit: 10n },
        { key: "k", rangeEnd: "l", limit: 30n },
      ].flatMap((request, index) => [
        open("KV/RangeStream", `s${index}`),
        send(`s${index}`, request),
        finish(`s${index}`),
      ]),
    },
    {
      name: "with a sort target",
      rows: ["KV11"],
      setup: [put("b", "1"), put("a", "2"), put("b", "3")],
      steps: [
        { key: "a", rangeEnd: "c", sortTarget: 3 },
        { key: "a", rangeEnd: "c", sortTarget: 3, limit: 1n },
        { key: "a", rangeEnd: "c", sortOrder: 1 },
        { key: "a", rangeEnd: "c", sortOrder: 7 },
        { key: "a", rangeEnd: "c", sortTarget: 9 },
      ].flatMap((request, index) => [
        open("KV/RangeStream", `s${index}`),
        send(`s${index}`, request),
        finish(`s${index}`),
      ]),
    },
  ],
};
