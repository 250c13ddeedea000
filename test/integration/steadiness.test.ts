// What must not shake a cluster does not: no election that nobody needed, and no lease lost.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster } from "./cluster/cluster.ts";
import {
  drawSteadiness,
  followerStalls,
  leaderDiskIsSlow,
  type Steadiness,
  snapshotOf,
  startTroubled,
} from "./steadiness.ts";

/** A machine that is busy enough makes members wait longer than an election timeout by itself, but not every time. */
const attempts = 3;

async function staysSteady(cluster: Cluster, what: () => Promise<Steadiness>): Promise<Steadiness> {
  for (let attempt = 1; ; attempt++) {
    let found: Steadiness;
    try {
      found = await what();
    } catch (error) {
      if (attempt === attempts) throw error;
      continue;
    }
    const isSteady = found.elections === 0 && found.leasesLost === 0;
    if (isSteady || attempt === attempts) {
      assert(isSteady, drawSteadiness([found]));
      assert.equal(cluster.unexpectedEnds.length, 0);
      return found;
    }
  }
}

test("a follower's stall, the leader's slow disk and a snapshot cost no election and no lease", async (t) => {
  await using cluster = await startTroubled();
  const rows = [
    await staysSteady(cluster, () => followerStalls(cluster, "event loop")),
    await staysSteady(cluster, () => leaderDiskIsSlow(cluster, 4000)),
    await staysSteady(cluster, () => snapshotOf(cluster, 16)),
  ];
  for (const line of drawSteadiness(rows).split("\n")) t.diagnostic(line);
});
