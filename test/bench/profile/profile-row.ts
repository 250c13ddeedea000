// Where the CPU time of one row goes: runs it against our member once, records a profile of the measured time only, and
// prints functions and parts by the time they spent in themselves, and threads by CPU time.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { repositoryRoot } from "../../support/paths.ts";
import { quorateContender } from "../contender.ts";
import { type ThreadUsage, threadUsageOf } from "../lib/process-usage.ts";
import { formatShape, type Shape } from "../lib/shape.ts";
import { formatCount, formatShort, formatTable } from "../lib/text-table.ts";
import { type MeasureOptions, measure } from "../measure.ts";
import type { Row } from "../rows.ts";
import { type CpuProfile, type SelfTime, selfTimes, selfTimesByPart } from "./cpu-profile.ts";

const preload = fileURLToPath(new URL("preload.js", import.meta.url));
const functionsShown = 40;
const profileTimeoutMs = 30_000;

/** Runs the row and returns the report. The profile itself stays in the folder for data, for other tools. */
export async function profileRow(row: Row, shape: Shape, options: MeasureOptions): Promise<string> {
  const folder = mkdtempSync(join(options.dataFolder, "profile-"));
  const file = join(folder, "profile");
  const plain = quorateContender();
  const contender = {
    ...plain,
    programArgs: ["--import", preload, ...plain.programArgs],
    env: { QUORATE_BENCH_PROFILE: file },
  };
  let before: readonly ThreadUsage[] = [];
  let after: readonly ThreadUsage[] = [];
  try {
    const measured = await measure(contender, row, shape, 1, options, {
      onMeasure: ({ leaderPid }) => {
        process.kill(leaderPid, "SIGUSR2");
        before = threadUsageOf(leaderPid);
      },
      onMeasured: async ({ leaderPid }) => {
        after = threadUsageOf(leaderPid);
        process.kill(leaderPid, "SIGUSR2");
        await untilExists(file);
      },
    });
    const kept = join(options.dataFolder, `${row.name}-${formatShape(shape)}.cpuprofile`);
    renameSync(file, kept);
    const times = selfTimes(JSON.parse(readFileSync(kept, "utf8")) as CpuProfile, repositoryRoot);
    return [
      `${row.name} ${formatShape(shape)}: ${formatCount(measured.operationsPerSecond)} operations/s with the profiler on, ` +
        `p50 ${formatShort(measured.p50Ms)} ms, p99 ${formatShort(measured.p99Ms)} ms, ` +
        `${formatShort(measured.cpuMicrosPerOperation)} us of CPU for each, loop delay ${formatShort(measured.loopDelayMaxMs)} ms`,
      `Threads of the member\n\n${formatThreads(before, after, measured.seconds)}`,
      `Main thread, time in itself by part\n\n${formatTimes(selfTimesByPart(times), measured.operations, 25)}`,
      `Main thread, time in itself by function\n\n${formatTimes(times, measured.operations, functionsShown)}`,
      `The whole profile, for a viewer: ${kept}`,
    ].join("\n\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function untilExists(file: string): Promise<void> {
  const deadlineMs = Date.now() + profileTimeoutMs;
  while (!existsSync(file)) {
    if (Date.now() > deadlineMs) throw new Error(`the member wrote no profile within ${profileTimeoutMs} ms`);
    await sleep(50);
  }
}

function formatTimes(times: readonly SelfTime[], operations: number, shown: number): string {
  const total = times.reduce((sum, { micros }) => sum + micros, 0);
  return formatTable(
    [{ title: "%" }, { title: "us/op" }, { title: "what", align: "left" }, { title: "where", align: "left" }],
    times
      .slice(0, shown)
      .map(({ name, place, micros }) => [
        ((micros / total) * 100).toFixed(1),
        formatShort(micros / operations),
        name,
        place,
      ]),
  );
}

/** Threads that used any CPU, most first. Threads of one name and no note of their own are added up. */
function formatThreads(before: readonly ThreadUsage[], after: readonly ThreadUsage[], seconds: number): string {
  const used = after
    .map(({ threadId, name, cpuSeconds }) => ({
      threadId,
      name,
      cpuSeconds: cpuSeconds - (before.find((thread) => thread.threadId === threadId)?.cpuSeconds ?? 0),
    }))
    .filter(({ cpuSeconds }) => cpuSeconds > 0)
    .sort((a, b) => b.cpuSeconds - a.cpuSeconds);
  return formatTable(
    [{ title: "% of a core" }, { title: "thread" }, { title: "name", align: "left" }],
    used.map(({ threadId, name, cpuSeconds }) => [((cpuSeconds / seconds) * 100).toFixed(0), String(threadId), name]),
  );
}
