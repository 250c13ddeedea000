// Fifty kills, and what must hold after them.
import { test } from "node:test";
import { seedFromEnvironment } from "../support/seed.ts";
import { runKillStorm } from "./kill-storm.ts";

test("a member that is killed 50 times loses nothing, comes back by itself and keeps its promises", async (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const report = await runKillStorm({ kills: 50, seed });
  t.diagnostic(JSON.stringify(report));
});
