// npm run sim -- --seeds N [--seed S] [--workers W]: runs seeds S to S + N - 1 and says what it has seen.
// With --verbose one seed is run here and tells its story; --mutation switches a planted bug on,
// --favourite makes one kind of fault frequent.
import { armMutation } from "../../server/lib/mutation.ts";
import { parseSimArguments, type SimArguments } from "./arguments.ts";
import { CampaignCounts, runCampaign } from "./campaign.ts";
import { ProbeCounts, probes } from "./probes.ts";
import { ProgressBar } from "./progress-bar.ts";
import { runSeed } from "./simulation.ts";

/** Fewer seeds than this are not expected to come to every rare place. */
const probedSeedsMin = 500;
const failuresShown = 10;

/** The line that runs a seed again. */
function replayLine(seed: number, { mutation, favourite }: SimArguments): string {
  const armed = mutation === undefined ? "" : ` --mutation ${mutation}`;
  const made = favourite === undefined ? "" : ` --favourite ${favourite}`;
  return `npm run sim -- --seeds 1 --seed ${seed}${armed}${made} --verbose`;
}

async function tell({ seed, mutation, favourite }: SimArguments): Promise<boolean> {
  if (mutation !== undefined) armMutation(mutation);
  const { failure, counts } = await runSeed(seed, { favourite, onLine: (line) => console.log(line) });
  console.log(JSON.stringify(counts, undefined, 1));
  console.log(failure === undefined ? `seed ${seed} passes` : `seed ${seed} fails: ${failure}`);
  return failure === undefined;
}

async function campaign(options: SimArguments): Promise<boolean> {
  const { seed: first, seeds, workers, mutation, favourite } = options;
  const total = new CampaignCounts();
  const bar = new ProgressBar(seeds);
  const startedMs = Date.now();
  let next = first;
  let failures = 0;
  await runCampaign({
    workers: Math.min(workers, seeds),
    next: () => (next < first + seeds ? { seed: next++, mutation, favourite } : undefined),
    onReport: ({ seed, failure, counts }) => {
      total.add(counts);
      if (failure !== undefined && ++failures <= failuresShown) {
        bar.clear();
        console.log(`seed ${seed} fails: ${failure}\n  again: ${replayLine(seed, options)}`);
      }
      bar.show(total.runs, `${total.acknowledgedWrites} writes acknowledged, ${failures} failures`);
    },
  });
  bar.clear();
  print(total, (Date.now() - startedMs) / 1000, failures);
  const missing = total.runs >= probedSeedsMin ? ProbeCounts.missing(total.probes) : [];
  if (missing.length > 0) console.log(`\nFAILED: never hit: ${missing.join("; ")}`);
  return failures === 0 && missing.length === 0;
}

function print(total: CampaignCounts, seconds: number, failures: number): void {
  const count = (number: number): string => Math.round(number).toLocaleString("en-US");
  const hours = total.simulatedMs / 3_600_000;
  console.log(`${count(total.runs)} seeds in ${seconds.toFixed(0)} s, ${failures} failures`);
  console.log(`  ${hours.toFixed(1)} hours of simulated time`);
  console.log(`  ${count(total.operations)} requests, ${count(total.acknowledgedWrites)} writes acknowledged`);
  console.log(`  ${count(total.applied)} entries applied, ${count(total.messages)} messages sent`);
  console.log(`  ${count(total.watchEvents)} events watched, ${count(total.leases)} leases held`);
  console.log("faults:");
  for (const [kind, number] of [...total.faults].sort((a, b) => b[1] - a[1]))
    console.log(`  ${kind.padEnd(46)} ${count(number).padStart(10)}`);
  console.log("probes:");
  for (const name of Object.keys(probes))
    console.log(`  ${name.padEnd(46)} ${count(total.probes.get(name) ?? 0).padStart(10)}`);
}

const chosen = parseSimArguments(process.argv.slice(2), 200);
const isGood = chosen.isVerbose ? await tell(chosen) : await campaign(chosen);
process.exitCode = isGood ? 0 : 1;
