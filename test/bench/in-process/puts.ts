// Puts through log and state in process, at several concurrencies.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Progress } from "../lib/progress.ts";
import { untilQuiet } from "../lib/quiet.ts";
import { type Spread, spreadOf } from "../lib/statistics.ts";
import { formatCount, formatShort, formatTable } from "../lib/text-table.ts";
import type { PutsResult, PutsSpec } from "./puts-program.ts";
import { runProgram } from "./run-program.ts";

const concurrencies = [1, 10, 100, 500] as const;
const keys = 100_000;
/** Aimed at, at a concurrency of 500. */
const putsPerSecondMin = 60_000;

export interface PutsRow {
  readonly concurrency: number;
  readonly putsPerSecond: Spread;
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  readonly cpuMicrosPerPut: Spread;
  /** Puts that were refused in all runs together, and why the first one was. */
  readonly refused: number;
  readonly refusal: string | undefined;
}

export async function benchPuts(options: {
  readonly dataFolder: string;
  readonly runs: number;
  readonly seconds: number;
  readonly quietSeconds: number;
  readonly warmUpSeconds: number;
}): Promise<readonly PutsRow[]> {
  const progress = new Progress("puts in process");
  const rows: PutsRow[] = [];
  for (const [i, concurrency] of concurrencies.entries()) {
    const results: PutsResult[] = [];
    for (let run = 0; run < options.runs; run++) {
      const done = (i + run / options.runs) / concurrencies.length;
      progress.update(done, `concurrency ${concurrency}, run ${run + 1}/${options.runs}`);
      await untilQuiet(options.quietSeconds);
      results.push(await runOnce(options, concurrency));
    }
    const spread = (figure: Exclude<keyof PutsResult, "refusal">): Spread =>
      spreadOf(results.map((result) => result[figure]));
    rows.push({
      concurrency,
      putsPerSecond: spread("putsPerSecond"),
      p50Ms: spread("p50Ms"),
      p99Ms: spread("p99Ms"),
      cpuMicrosPerPut: spread("cpuMicrosPerPut"),
      refused: results.reduce((sum, { refused }) => sum + refused, 0),
      refusal: results.find(({ refusal }) => refusal !== undefined)?.refusal,
    });
  }
  progress.done();
  return rows;
}

async function runOnce(
  { dataFolder, seconds, warmUpSeconds }: { dataFolder: string; seconds: number; warmUpSeconds: number },
  concurrency: number,
): Promise<PutsResult> {
  const folder = mkdtempSync(join(dataFolder, "puts-"));
  try {
    const spec: PutsSpec = { folder, concurrency, warmUpMs: warmUpSeconds * 1000, measureMs: seconds * 1000, keys };
    return await runProgram<PutsResult>("puts-program", spec);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function formatPuts(rows: readonly PutsRow[]): string {
  const table = formatTable(
    [
      { title: "concurrency" },
      { title: "puts/s (min..max)" },
      { title: "aim" },
      { title: "p50 ms" },
      { title: "p99 ms" },
      { title: "cpu us/put" },
      { title: "notes", align: "left" },
    ],
    rows.map(
      ({ concurrency, putsPerSecond: { median, min, max }, p50Ms, p99Ms, cpuMicrosPerPut, refused, refusal }) => [
        String(concurrency),
        `${formatCount(median)} (${formatCount(min)}..${formatCount(max)})`,
        concurrency === 500 ? formatCount(putsPerSecondMin) : "",
        formatShort(p50Ms.median),
        formatShort(p99Ms.median),
        formatShort(cpuMicrosPerPut.median),
        refused === 0 ? "" : `${formatCount(refused)} puts were refused: ${refusal}`,
      ],
    ),
  );
  return `Puts through log and state, no network: 256-byte values, ${formatCount(keys)} keys by chance\n\n${table}`;
}
