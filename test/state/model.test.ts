// The multi-version store agrees with a naive one, step for step.
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { StoreTrial } from "./store-trial.ts";

test("100,000 random operations agree with the naive store", async (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const trial = new StoreTrial(createRandom(seed).fork("state"));
  for (let step = 0; step < 100_000; step++) await trial.step();
  trial.finish();
});
