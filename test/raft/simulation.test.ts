// Chance, a few hundred seeds of it. `node dist/test/raft/simulate.js` runs as many as one likes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { seedFromEnvironment } from "../support/seed.ts";
import { Simulation, type SimulationCounts } from "./simulation.ts";

const seeds = 300;

test("raft keeps its promises under chance, and everything comes to rest in agreement", (t) => {
  const first = seedFromEnvironment();
  const totals: Partial<Record<keyof SimulationCounts, number>> = {};
  for (let seed = first; seed < first + seeds; seed++) {
    const simulation = new Simulation(seed);
    simulation.run();
    for (const [name, count] of Object.entries(simulation.counts) as [keyof SimulationCounts, number][])
      totals[name] = (totals[name] ?? 0) + count;
  }
  t.diagnostic(JSON.stringify(totals));
  // A run that does not reach what it is for proves nothing.
  for (const [name, count] of Object.entries(totals)) assert(count > seeds, `${name}: only ${count}`);
});

test("the same seed gives the same run", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const [first, second] = [new Simulation(seed, true), new Simulation(seed, true)];
    first.run();
    second.run();
    assert.equal(first.traceHash, second.traceHash, `seed ${seed}`);
    assert.deepEqual(first.counts, second.counts);
  }
});
