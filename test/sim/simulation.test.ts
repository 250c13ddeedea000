// A fixed hundred seeds, for every build. Campaigns with many more are `npm run sim`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CampaignCounts } from "./campaign.ts";
import { runSeed } from "./simulation.ts";

const seeds = 100;
/** Probes that even so few seeds must hit, or the simulation has lost its teeth. */
const expected = [
  "leader changed",
  "installed a snapshot",
  "torn write recovered",
  "lease expired",
  "applying waited for the store",
  "proposal made again",
  "membership changed",
];

test("a hundred seeds pass", async (t) => {
  const total = new CampaignCounts();
  for (let seed = 1; seed <= seeds; seed++) {
    const { failure, counts } = await runSeed(seed);
    assert.equal(
      failure,
      undefined,
      `seed ${seed}: ${failure}; again: npm run sim -- --seeds 1 --seed ${seed} --verbose`,
    );
    total.add(counts);
  }
  t.diagnostic(
    `${total.acknowledgedWrites} writes acknowledged in ${Math.round(total.simulatedMs / 1000)} s of its own time`,
  );
  for (const probe of expected) assert((total.probes.get(probe) ?? 0) > 0, `${probe} was never seen`);
});

test("a seed runs the same way twice, and another seed another way", async () => {
  const [first, second, other] = [await runSeed(7), await runSeed(7), await runSeed(8)];
  assert.deepEqual(first.counts, second.counts);
  assert.notEqual(first.counts.traceHash, other.counts.traceHash);
});
