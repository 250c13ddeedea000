// The long campaign: `node dist/test/raft/simulate.js [seeds] [first seed]`. A failure prints the line that repeats it.
import { performance } from "node:perf_hooks";
import { Simulation, type SimulationCounts } from "./simulation.ts";

const seeds = Number(process.argv[2] ?? 2000);
const first = Number(process.argv[3] ?? 1);
const totals: Partial<Record<keyof SimulationCounts, number>> = {};
const startMs = performance.now();
for (let seed = first; seed < first + seeds; seed++) {
  const simulation = new Simulation(seed);
  try {
    simulation.run();
  } catch (error) {
    console.error(error);
    console.error(`again: node --enable-source-maps dist/test/raft/simulate.js 1 ${seed}`);
    process.exit(1);
  }
  for (const [name, count] of Object.entries(simulation.counts) as [keyof SimulationCounts, number][])
    totals[name] = (totals[name] ?? 0) + count;
}
console.log(`${seeds} seeds in ${((performance.now() - startMs) / 1000).toFixed(1)} s`, totals);
