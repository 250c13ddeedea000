// npm run sim:mutants [-- --seeds N --only part]: switches each planted bug on and counts the seeds until it is found.
// A bug that no seed finds fails the program: then either the bug is none, or the simulation misses a whole kind.
import { parseSimArguments } from "./arguments.ts";
import { runCampaign } from "./campaign.ts";
import { huntedMutants, type Mutant } from "./hunted-mutants.ts";
import { ProgressBar } from "./progress-bar.ts";

interface Hunt {
  readonly mutant: Mutant;
  seed: number;
  found: string | undefined;
  isRunning: boolean;
}

const { seeds, seed: first, workers, only } = parseSimArguments(process.argv.slice(2), 500);
const hunts: Hunt[] = huntedMutants
  .filter(({ name }) => only.split(",").some((part) => name.includes(part)))
  .map((mutant) => ({ mutant, seed: first - 1, found: undefined, isRunning: false }));
const bar = new ProgressBar(hunts.length);
const isOpen = (hunt: Hunt): boolean => hunt.found === undefined && hunt.seed < first + seeds - 1;

await runCampaign({
  workers,
  // One thread a bug, so that the seeds it needs are counted in order.
  next: () => {
    const hunt = hunts.find((candidate) => !candidate.isRunning && isOpen(candidate));
    if (hunt === undefined) return undefined;
    hunt.isRunning = true;
    hunt.seed++;
    const { name: mutation, favourite } = hunt.mutant;
    return { seed: hunt.seed, mutation, favourite };
  },
  onReport: ({ mutation, failure }) => {
    const hunt = hunts.find(({ mutant }) => mutant.name === mutation) as Hunt;
    hunt.isRunning = false;
    hunt.found = failure;
    if (isOpen(hunt)) return;
    bar.clear();
    print(hunt);
    bar.show(hunts.filter((other) => !isOpen(other)).length, "");
  },
});
bar.clear();

function print({ mutant, seed, found }: Hunt): void {
  const needed = found === undefined ? "survives" : String(seed - first + 1);
  const what = found?.split("\n")[0]?.slice(0, 110) ?? "";
  console.log(`${mutant.name.padEnd(40)} ${mutant.row.padEnd(8)} ${needed.padStart(8)}  ${what}`);
}

const survivors = hunts.filter(({ found }) => found === undefined);
console.log(`${hunts.length - survivors.length} of ${hunts.length} planted bugs found within ${seeds} seeds each`);
if (survivors.length > 0) {
  console.log(`FAILED: ${survivors.map(({ mutant }) => mutant.name).join(", ")}`);
  process.exitCode = 1;
}
