// Every planted bug of the raft room must be found: by a rule, or by one of the first simulated seeds.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { armMutation, disarmMutations } from "../../server/lib/mutation.ts";
import { raftMutations } from "../../server/raft/mutations.ts";
import { rules } from "./rules.ts";
import { Simulation } from "./simulation.ts";

const seedsMax = 40;

afterEach(disarmMutations);

/** What goes wrong, in one line, or `undefined`. */
function failureOf(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return String(error instanceof Error ? error.message : error).split("\n")[0];
  }
}

function findByRules(): string | undefined {
  for (const { title, run } of rules) {
    const failure = failureOf(run);
    if (failure !== undefined) return `${title}: ${failure}`;
  }
  return undefined;
}

function findBySeeds(): string | undefined {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const failure = failureOf(() => new Simulation(seed).run());
    if (failure !== undefined) return failure;
  }
  return undefined;
}

for (const [name, sentence] of Object.entries(raftMutations)) {
  test(`${name} is found`, (t) => {
    armMutation(name);
    const found = findByRules() ?? findBySeeds();
    assert(found !== undefined, `${sentence} Neither a rule nor ${seedsMax} seeds notice.`);
    t.diagnostic(found);
  });
}

test("nothing is armed that was not asked for, and nothing unknown can be", () => {
  assert.equal(findByRules(), undefined);
  assert.throws(() => armMutation("raft/no-such-bug"), /no mutation raft\/no-such-bug/);
});
