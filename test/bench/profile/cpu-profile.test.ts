// Time in itself, by function and by part, from a small profile made by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CpuProfile, selfTimes, selfTimesByPart } from "./cpu-profile.ts";

const frame = (functionName: string, url: string, lineNumber = 0) => ({ functionName, url, lineNumber });

const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame("(root)", "") },
    { id: 2, callFrame: frame("put", "file:///top/dist/server/state/apply-kv.js", 9) },
    // The same function, called from elsewhere.
    { id: 3, callFrame: frame("put", "file:///top/dist/server/state/apply-kv.js", 9) },
    { id: 4, callFrame: frame("", "file:///top/dist/server/log/log-store.js", 4) },
    { id: 5, callFrame: frame("inc", "file:///top/node_modules/prom-client/lib/counter.js", 1) },
    { id: 6, callFrame: frame("(garbage collector)", "") },
    { id: 7, callFrame: frame("writeBuffer", "") },
    { id: 8, callFrame: frame("onread", "node:internal/stream_base_commons", 3) },
  ],
  samples: [2, 3, 2, 4, 5, 6, 7, 8],
  // Clocks of different cores can disagree: a negative distance counts as none.
  timeDeltas: [100, 200, -50, 40, 30, 20, 10, 5],
};

test("time in itself adds up by function, wherever it was called from", () => {
  assert.deepEqual(selfTimes(profile, "/top"), [
    { name: "put", place: "dist/server/state/apply-kv.js:10", micros: 300 },
    { name: "(anonymous)", place: "dist/server/log/log-store.js:5", micros: 40 },
    { name: "inc", place: "node_modules/prom-client/lib/counter.js:2", micros: 30 },
    { name: "(garbage collector)", place: "", micros: 20 },
    { name: "writeBuffer", place: "", micros: 10 },
    { name: "onread", place: "node:internal/stream_base_commons:4", micros: 5 },
  ]);
});

test("time in itself adds up by part of the program", () => {
  const parts = selfTimesByPart(selfTimes(profile, "/top")).map(({ name, micros }) => [name, micros]);
  assert.deepEqual(parts, [
    ["server/state", 300],
    ["server/log", 40],
    ["node_modules/prom-client", 30],
    ["(garbage collector)", 20],
    ["native", 10],
    ["node", 5],
  ]);
});
