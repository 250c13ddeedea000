// Which planted bugs does chance alone find, and how soon? `node dist/test/raft/mutants.js [seeds] [part of a name]`.
import { armMutation, disarmMutations } from "../../server/lib/mutation.ts";
import { raftMutations } from "../../server/raft/mutations.ts";
import { Simulation } from "./simulation.ts";

const seeds = Number(process.argv[2] ?? 500);
const part = process.argv[3] ?? "";

function firstFailure(): string {
  for (let seed = 1; seed <= seeds; seed++)
    try {
      new Simulation(seed).run();
    } catch (error) {
      return String(error instanceof Error ? error.message : error).split("\n")[0] ?? "";
    }
  return `survives ${seeds} seeds`;
}

for (const name of Object.keys(raftMutations).filter((known) => known.includes(part))) {
  armMutation(name);
  console.log(name.padEnd(40), firstFailure().slice(0, 150));
  disarmMutations();
}
