// The bench: `npm run bench`. Without options it measures in process; with --etcd it compares over the wire; with
// --profile it shows where one row's time goes.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../support/paths.ts";
import { type ComparedRow, compare, comparisonNotes, comparisonToJson, formatComparison } from "./compare.ts";
import { type Contender, etcdContender, quorateContender } from "./contender.ts";
import { hasH2load } from "./h2load.ts";
import { benchOpen, formatOpen } from "./in-process/open-store.ts";
import { benchPuts, formatPuts } from "./in-process/puts.ts";
import { benchStartUp, formatStartUp } from "./in-process/start-up.ts";
import { formatMachineFacts, type MachineFacts, readMachineFacts } from "./lib/machine.ts";
import { type BenchOptions, type InProcessPart, parseOptions, UsageError, usage } from "./options.ts";
import { profileRow } from "./profile/profile-row.ts";
import type { Row } from "./rows.ts";

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  mkdirSync(options.dataFolder, { recursive: true });
  const machine = readMachineFacts(join(repositoryRoot, "package.json"), options.dataFolder);
  if (options.profile !== undefined) return runProfile(options, options.profile, machine);
  const isComparison = options.etcd !== undefined || options.baseline !== undefined || options.only !== undefined;
  return isComparison ? runComparison(options, machine) : runInProcess(options, machine);
}

async function runProfile(options: BenchOptions, row: Row, machine: MachineFacts): Promise<number> {
  const [shape] = options.shapes;
  process.stdout.write(`${formatMachineFacts(machine)}\n\n${await profileRow(row, shape!, options)}\n`);
  return 0;
}

async function runInProcess(options: BenchOptions, machine: MachineFacts): Promise<number> {
  const say = (text: string): void => void (options.json ? process.stderr : process.stdout).write(`${text}\n\n`);
  say(formatMachineFacts(machine));
  const result: { [part: string]: unknown } = { machine };
  let hasFailed = false;
  for (const part of options.parts) {
    try {
      const { figures, text } = await runPart(part, options);
      result[part] = figures;
      say(text);
    } catch (error) {
      // The other parts have something to say all the same.
      hasFailed = true;
      say(`FAILED: ${part}: ${(error as Error).message}`);
    }
  }
  if (options.json) process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  return hasFailed ? 1 : 0;
}

async function runPart(part: InProcessPart, options: BenchOptions): Promise<{ figures: unknown; text: string }> {
  switch (part) {
    case "puts": {
      const figures = await benchPuts(options);
      return { figures, text: formatPuts(figures) };
    }
    case "open": {
      const figures = await benchOpen(options);
      return { figures, text: formatOpen(figures) };
    }
    case "start": {
      const figures = await benchStartUp(options);
      return { figures, text: formatStartUp(figures) };
    }
  }
}

function contendersOf({ etcd, baseline, only }: BenchOptions): readonly Contender[] {
  const contenders: Contender[] = [];
  if (only !== "etcd") contenders.push(quorateContender());
  if (only === "quorate") return contenders;
  if (etcd !== undefined) contenders.push(etcdContender(etcd));
  if (baseline !== undefined) contenders.push(quorateContender("baseline", baseline));
  return contenders;
}

async function runComparison(options: BenchOptions, machine: MachineFacts): Promise<number> {
  const contenders = contendersOf(options);
  const say = (text: string): void => void (options.json ? process.stderr : process.stdout).write(`${text}\n`);
  say(formatMachineFacts(machine));
  say(contenders.map(({ name, version, program }) => `${name}: ${version} (${program})`).join("\n"));
  if (!hasH2load()) say("h2load is not installed: the bench's own generator drives every row");
  say(`${options.runs} interleaved runs of ${options.warmUpSeconds} s warm-up and ${options.seconds} s each\n`);
  const compared: ComparedRow[] = [];
  await compare({ ...options, contenders }, (row) => {
    compared.push(row);
    // A long run should tell what it knows; the whole table comes at the end.
    process.stderr.write(`${formatComparison([row], contenders).split("\n").slice(2).join("\n")}\n`);
  });
  say(`\n${formatComparison(compared, contenders)}\n\n${comparisonNotes}`);
  if (options.json) {
    const servers = contenders.map(({ name, version }) => ({ name, version }));
    const { runs, seconds, warmUpSeconds, members } = options;
    const result = { machine, servers, runs, seconds, warmUpSeconds, members, rows: comparisonToJson(compared) };
    process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  }
  return compared.some(({ entries }) => entries.some(({ problem }) => problem !== undefined)) ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`bench: ${isUsage ? `${error.message}\n\n${usage}` : ((error as Error).stack ?? error)}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
