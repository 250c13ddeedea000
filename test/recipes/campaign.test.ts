// A few seconds of each campaign: what is guarded loses nothing, and what is not guarded does lose, which shows that the
// referee can see it. Longer ones: dist/test/recipes/campaign/main.js.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seedFromEnvironment } from "../support/seed.ts";
import { targets } from "../support/server-under-test.ts";
import { allFaults, runCampaign } from "./campaign/campaign.ts";
import { isExpectedToFail, modes } from "./campaign/protocol.ts";

const seed = seedFromEnvironment(Math.floor(Math.random() * 2 ** 31));

describe("campaigns", () => {
  for (const target of targets()) {
    describe(`against ${target.name}`, () => {
      // Against etcd a sample, for the recipes' sake; our own member has to stand the rest as well.
      for (const mode of target.name === "quorate" ? modes : (["outside", "outside-unfenced"] as const)) {
        const isUnsafe = isExpectedToFail(mode);
        test(`${mode}: ${isUnsafe ? "updates are lost" : "nothing is lost"}`, async (t) => {
          const report = await runCampaign(target, {
            mode,
            seed,
            sections: isUnsafe ? 0 : 100,
            untilLost: isUnsafe,
            // A busy machine takes longer over the same; the limit is for one that is stuck.
            limitMs: 120_000,
            faultPauseMs: isUnsafe ? 700 : 1000,
            faults: isUnsafe ? ["stop-holder"] : allFaults,
            workers: 3,
            loops: 4,
            names: 4,
          });
          t.diagnostic(JSON.stringify(report));
          if (isUnsafe) assert(report.violations > 0, "nothing was lost: this campaign is blind");
          else assert.equal(report.violations, 0);
          assert(report.outcomes.done > 0, "nothing was done");
        });
      }
    });
  }
});
