// Handing leadership over is a routine of operators: clients with a thousand writes under way hear nothing of it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Cluster } from "./cluster/cluster.ts";
import { handOverUnderLoad } from "./hand-over.ts";

const writes = 1000;
const failuresMax = writes / 100;

for (const how of ["move", "stop"] as const) {
  test(`a thousand writes are under way when leadership is handed over: ${how}`, async (t) => {
    // Held to what a hand-over costs, not to how a machine that stands still for a second elects somebody.
    await using cluster = await Cluster.start({ size: 3, hasNetwork: false, args: ["--election-timeout", "4000"] });
    const found = await handOverUnderLoad(cluster, { how, writes });
    const failed = [...found.answers].filter(([said]) => said !== "");
    const failures = failed.reduce((sum, [, count]) => sum + count, 0);
    t.diagnostic(`${found.underWay} under way, ${found.answers.get("")} acknowledged, ${failures} not`);
    assert.deepEqual(found.lost, []);
    assert.deepEqual(found.repeated, []);
    assert(failures <= failuresMax, failed.map(([said, count]) => `${count} times ${said}`).join("; "));
  });
}
