// The comparison: every row at every shape, one server after the other, interleaved and repeated, never two under load
// at once. Prints medians with the runs' range, ratios, and what each ratio should be.
import type { Contender } from "./contender.ts";
import { Progress } from "./lib/progress.ts";
import { formatShape, type Shape } from "./lib/shape.ts";
import { type Spread, spreadOf } from "./lib/statistics.ts";
import { type Column, formatCount, formatRatio, formatShort, formatTable } from "./lib/text-table.ts";
import { type Generator, generatorOf, type Measurement, type MeasureOptions, measure } from "./measure.ts";
import type { Row } from "./rows.ts";

export interface CompareOptions extends MeasureOptions {
  /** One or two; ratios are the first's to the second's. */
  readonly contenders: readonly Contender[];
  readonly rows: readonly Row[];
  readonly shapes: readonly Shape[];
  readonly runs: number;
}

/** All runs of one server in one row and shape. */
export interface Entry {
  readonly contender: string;
  readonly runs: readonly Measurement[];
  /** Why there are no runs, or fewer than wanted. */
  readonly problem: string | undefined;
}

export interface ComparedRow {
  readonly row: Row;
  readonly shape: Shape;
  /** The least ratio of operations that is aimed at. */
  readonly ratioMin: number;
  readonly generator: Generator;
  readonly entries: readonly Entry[];
}

/** Runs everything; `onRow` gets each row as soon as it is complete. */
export async function compare(options: CompareOptions, onRow: (row: ComparedRow) => void): Promise<void> {
  const { contenders, rows, shapes, runs } = options;
  const total = rows.length * shapes.length * contenders.length * runs;
  const progress = new Progress("measuring");
  let done = 0;
  for (const row of rows) {
    for (const shape of shapes) {
      const entries = contenders.map(({ name }) => ({ contender: name, runs: [] as Measurement[], problem: "" }));
      for (let run = 0; run < runs; run++) {
        for (const [i, contender] of contenders.entries()) {
          const entry = entries[i]!;
          const place = `${row.name} ${formatShape(shape)} ${contender.name} ${run + 1}/${runs}`;
          progress.update(done / total, place);
          done++;
          // A server that failed in a row fails in it again; the others go on.
          if (entry.problem !== "") continue;
          try {
            entry.runs.push(await measure(contender, row, shape, run + 1, options));
          } catch (error) {
            entry.problem = `${place}: ${(error as Error).message}`;
          }
        }
      }
      progress.done();
      onRow({
        row,
        shape,
        ratioMin: row.ratioMin(shape, options.members),
        generator: generatorOf(row, options.generator),
        entries: entries.map((entry) => ({ ...entry, problem: entry.problem === "" ? undefined : entry.problem })),
      });
    }
  }
}

type Figure = keyof Omit<Measurement, "generator" | "failure">;

const figures: readonly Figure[] = [
  "operationsPerSecond",
  "p50Ms",
  "p99Ms",
  "maxMs",
  "cpuSeconds",
  "cpuMicrosPerOperation",
  "peakMemoryMib",
  "loopDelayMaxMs",
  "generatorShare",
  "failedCalls",
  "othersCores",
];

const spread = ({ runs }: Entry, figure: Figure): Spread => spreadOf(runs.map((run) => run[figure]));

/** The table of rows that are complete. Where two servers share a cell, the first one's figure comes first. */
export function formatComparison(compared: readonly ComparedRow[], contenders: readonly Contender[]): string {
  const isPair = contenders.length === 2;
  const onlyPair = (title: string): Column[] => (isPair ? [{ title }] : []);
  const columns: Column[] = [
    { title: "row", align: "left" },
    { title: "shape", align: "left" },
    { title: "by", align: "left" },
    ...contenders.map(({ name }) => ({ title: `${name} ops/s (min..max)` })),
    ...onlyPair("ratio"),
    ...onlyPair("aim"),
    { title: "p50 ms" },
    { title: "p99 ms" },
    ...onlyPair("ratio"),
    { title: "cpu s" },
    { title: "cpu us/op" },
    { title: "peak MiB" },
    ...onlyPair("ratio"),
    { title: "loop ms" },
    { title: "others" },
    { title: "notes", align: "left" },
  ];
  const table = formatTable(
    columns,
    compared.map((row) => formatRow(row, isPair)),
  );
  const problems = compared.flatMap(({ entries }) => entries.flatMap(({ problem }) => problem ?? []));
  return [table, ...problems.map((problem) => `FAILED: ${problem}`)].join("\n");
}

function formatRow({ row, shape, ratioMin, generator, entries }: ComparedRow, isPair: boolean): string[] {
  const medianOf = (entry: Entry, figure: Figure): number => spread(entry, figure).median;
  const ratio = (figure: Figure): string[] =>
    isPair ? [formatRatio(medianOf(entries[0]!, figure) / medianOf(entries[1]!, figure))] : [];
  const all = (figure: Figure): string => entries.map((entry) => formatShort(medianOf(entry, figure))).join(" / ");
  return [
    row.name,
    formatShape(shape),
    generator,
    ...entries.map((entry) => formatSpread(spread(entry, "operationsPerSecond"))),
    ...ratio("operationsPerSecond"),
    ...(isPair ? [ratioMin.toFixed(1)] : []),
    all("p50Ms"),
    all("p99Ms"),
    ...ratio("p99Ms"),
    all("cpuSeconds"),
    all("cpuMicrosPerOperation"),
    all("peakMemoryMib"),
    ...ratio("peakMemoryMib"),
    formatShort(medianOf(entries[0]!, "loopDelayMaxMs")),
    all("othersCores"),
    notesOf(ratioMin, entries, isPair).join("; "),
  ];
}

const formatSpread = ({ median, min, max }: Spread): string =>
  `${formatCount(median)} (${formatCount(min)}..${formatCount(max)})`;

const loopDelayMsMax = 20;
const memoryRatioMax = 2;
/** Above this share of a core the generator's own speed is part of the result. */
const generatorShareMax = 0.9;

/** What falls short in a row, and what to know about its numbers. */
function notesOf(ratioMin: number, entries: readonly Entry[], isPair: boolean): string[] {
  const notes: string[] = [];
  const median = (i: number, figure: Figure): number => spread(entries[i]!, figure).median;
  const ratio = (figure: Figure): number => median(0, figure) / median(1, figure);
  if (isPair) {
    if (ratio("operationsPerSecond") < ratioMin) notes.push("below aim");
    if (ratio("p99Ms") > 1) notes.push("p99 above");
    if (ratio("peakMemoryMib") > memoryRatioMax) notes.push("memory above 2x");
  }
  if (median(0, "loopDelayMaxMs") > loopDelayMsMax) notes.push(`loop above ${loopDelayMsMax} ms`);
  for (const [i, { contender, problem }] of entries.entries()) {
    if (median(i, "generatorShare") > generatorShareMax) notes.push(`generator-bound (${contender})`);
    const failing = entries[i]!.runs.find(({ failedCalls }) => failedCalls > 0);
    if (failing !== undefined)
      notes.push(`${contender}: ${failing.failedCalls} calls of a run failed: ${failing.failure}`);
    if (problem !== undefined) notes.push(`${contender} FAILED`);
  }
  return notes;
}

/** Everything as plain values, for `--json`. */
export function comparisonToJson(compared: readonly ComparedRow[]): unknown {
  return compared.map(({ row, shape, ratioMin, generator, entries }) => ({
    row: row.name,
    shape: formatShape(shape),
    generator,
    ratioMin,
    servers: entries.map((entry) => ({
      name: entry.contender,
      problem: entry.problem,
      figures: Object.fromEntries(figures.map((figure) => [figure, spread(entry, figure)])),
      runs: entry.runs,
    })),
    ratios:
      entries.length < 2
        ? undefined
        : Object.fromEntries(
            (["operationsPerSecond", "p50Ms", "p99Ms", "cpuMicrosPerOperation", "peakMemoryMib"] as const).map(
              (figure) => [figure, spread(entries[0]!, figure).median / spread(entries[1]!, figure).median],
            ),
          ),
  }));
}

/** How the figures come about; printed under the table. */
export const comparisonNotes = `
ops/s: median over the runs (smallest..largest). ratio: of the medians. aim: the ratio that is aimed at.
by: h2load sends one constant request; "own" is this bench's generator. Both are closed loops: a stream sends its next
call when the last one is answered, so a stall counts once per stream (coordinated omission), not for calls that a fixed
rate would have sent meanwhile. Watch rows count events, and their times are from sending the put to receiving the event.
cpu: user and system time of the server's processes over the measured time; generator and server share the cores.
peak: largest resident set of a member, pages of the mapped store included. Each run has new processes and new data.
loop: longest delay of the member's event loop, median of the runs. others: cores that were busy with something else.`.trim();
