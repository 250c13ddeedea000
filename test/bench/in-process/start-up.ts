// What it costs to start the program: CPU time until the line that says it serves, the way a supervisor would see it.
import { quorateContender, RunningContender } from "../contender.ts";
import { untilQuiet } from "../lib/quiet.ts";
import { type Spread, spreadOf } from "../lib/statistics.ts";
import { formatShort } from "../lib/text-table.ts";

/** Aimed at. */
const cpuSecondsMax = 0.5;

export interface StartUpFigures {
  readonly cpuSeconds: Spread;
  readonly wallMs: Spread;
  readonly memoryMib: Spread;
}

export async function benchStartUp(options: {
  readonly dataFolder: string;
  readonly runs: number;
  readonly quietSeconds: number;
}): Promise<StartUpFigures> {
  const cpuSeconds: number[] = [];
  const wallMs: number[] = [];
  const memoryMib: number[] = [];
  const contender = quorateContender();
  for (let run = 0; run < options.runs; run++) {
    await untilQuiet(options.quietSeconds);
    const startMs = performance.now();
    await using running = await RunningContender.start(contender, { members: 1, dataFolder: options.dataFolder });
    cpuSeconds.push(running.cpuSeconds());
    wallMs.push(performance.now() - startMs);
    memoryMib.push(running.peakMemoryBytes() / 2 ** 20);
  }
  return { cpuSeconds: spreadOf(cpuSeconds), wallMs: spreadOf(wallMs), memoryMib: spreadOf(memoryMib) };
}

export function formatStartUp({ cpuSeconds, wallMs, memoryMib }: StartUpFigures): string {
  const { median, min, max } = cpuSeconds;
  return (
    `Starting the program, new data folder, until it is ready: ${formatShort(median)} s of CPU ` +
    `(${formatShort(min)}..${formatShort(max)}; aim: below ${cpuSecondsMax}), ${formatShort(wallMs.median)} ms, ` +
    `${formatShort(memoryMib.median)} MiB resident`
  );
}
