// Opening a large store: how long until the first read is answered, and what it costs in memory, beside an empty one.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { untilQuiet } from "../lib/quiet.ts";
import { type Spread, spreadOf } from "../lib/statistics.ts";
import { formatCount, formatShort, formatTable } from "../lib/text-table.ts";
import { findLargeStore } from "./large-store.ts";
import type { OpenResult, OpenSpec } from "./open-program.ts";
import { runProgram } from "./run-program.ts";

/** Aimed at. */
const openMsMax = 1000;
const heapGrowthMibMax = 30;

export interface OpenFigures {
  readonly keys: number;
  readonly openMs: Spread;
  readonly heapMib: Spread;
}

export interface OpenOptions {
  readonly dataFolder: string;
  readonly keys: number;
  readonly isFresh: boolean;
  readonly runs: number;
  readonly quietSeconds: number;
}

/** The empty store's figures, then the large one's; their runs are interleaved. */
export async function benchOpen(options: OpenOptions): Promise<readonly [empty: OpenFigures, large: OpenFigures]> {
  const large = await findLargeStore(options.dataFolder, options.keys, options.isFresh);
  const results: { empty: OpenResult[]; large: OpenResult[] } = { empty: [], large: [] };
  for (let run = 0; run < options.runs; run++) {
    await untilQuiet(options.quietSeconds);
    const empty = mkdtempSync(join(options.dataFolder, "empty-"));
    try {
      // The first start makes the store; the second opens it, as the large one is opened.
      await open({ dataDir: empty, key: undefined });
      results.empty.push(await open({ dataDir: empty, key: undefined }));
    } finally {
      rmSync(empty, { recursive: true, force: true });
    }
    results.large.push(await open({ dataDir: large, key: Math.floor((options.keys - 1) * (run / options.runs)) }));
  }
  return [figuresOf(0, results.empty), figuresOf(options.keys, results.large)];
}

const open = (spec: OpenSpec): Promise<OpenResult> => runProgram<OpenResult>("open-program", spec, ["--expose-gc"]);

function figuresOf(keys: number, results: readonly OpenResult[]): OpenFigures {
  return {
    keys,
    openMs: spreadOf(results.map(({ openMs }) => openMs)),
    heapMib: spreadOf(results.map(({ heapBytes }) => heapBytes / 2 ** 20)),
  };
}

export function formatOpen(figures: readonly [empty: OpenFigures, large: OpenFigures]): string {
  const growth = figures[1].heapMib.median - figures[0].heapMib.median;
  const table = formatTable(
    [
      { title: "keys" },
      { title: "start to first read ms (min..max)" },
      { title: "aim" },
      { title: "heap MiB (min..max)" },
      { title: "growth MiB" },
      { title: "aim" },
    ],
    figures.map(({ keys, openMs, heapMib }) => [
      formatCount(keys),
      formatSpread(openMs),
      keys === 0 ? "" : `below ${formatCount(openMsMax)}`,
      formatSpread(heapMib),
      keys === 0 ? "" : formatShort(growth),
      keys === 0 ? "" : `below ${heapGrowthMibMax}`,
    ]),
  );
  return `Opening a store, and the first read through the client port\n\n${table}`;
}

const formatSpread = ({ median, min, max }: Spread): string =>
  `${formatShort(median)} (${formatShort(min)}..${formatShort(max)})`;
