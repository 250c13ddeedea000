// The watch hub agrees with a naive history, over streams that read at every speed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { WatchTrial } from "./watch-trial.ts";

test("100,000 random operations: watchers hear everything once, in order, or that it is gone", async (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const trial = new WatchTrial(createRandom(seed).fork("watch"));
  for (let step = 0; step < 100_000; step++) await trial.step();
  trial.finish();
  trial.store.finish();
  t.diagnostic(JSON.stringify(trial.counts));
  for (const count of Object.values(trial.counts)) assert(count > 10, "the trial never met what it is for");
});
