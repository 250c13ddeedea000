// One measurement: a fresh server, what the row needs in it, a warm-up, then the load, with what the server used
// meanwhile. Refuses to report a load whose answers were not all what they should be.
import { setTimeout as sleep } from "node:timers/promises";
import { type Contender, RunningContender } from "./contender.ts";
import { hasH2load, runH2load } from "./h2load.ts";
import { Histogram } from "./lib/histogram.ts";
import { machineCpuSeconds } from "./lib/process-usage.ts";
import { untilQuiet } from "./lib/quiet.ts";
import { type HandledCalls, handledCalls, handledSince, loopDelayMs, scrape, storeRevision } from "./lib/scrape.ts";
import type { Shape } from "./lib/shape.ts";
import { LoadRun } from "./load/load-run.ts";
import { fillWork, type Row } from "./rows.ts";

export type Generator = "h2load" | "own";

export interface MeasureOptions {
  readonly members: number;
  readonly dataFolder: string;
  /** Most that is waited, before the servers start, for the machine to be quiet. */
  readonly quietSeconds: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Processes of the own generator. */
  readonly generatorProcesses: number;
  /** Which generator drives rows that h2load could drive too. */
  readonly generator: Generator;
}

/** Lets somebody do things to the server while it is under load. */
export interface MeasureHooks {
  /** The measured part begins: the warm-up is over. */
  readonly onMeasure?: (running: RunningContender) => Promise<void> | void;
  /** It has just ended; the server still runs. */
  readonly onMeasured?: (running: RunningContender) => Promise<void> | void;
}

export interface Measurement {
  readonly generator: Generator;
  readonly operations: number;
  readonly seconds: number;
  readonly operationsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** CPU time of all members over the measured time. */
  readonly cpuSeconds: number;
  readonly cpuMicrosPerOperation: number;
  readonly peakMemoryMib: number;
  /** Longest delay of the leader's event loop; NaN for a server that has none. */
  readonly loopDelayMaxMs: number;
  /** CPU time of the generator as a share of one core for each of its threads. Near 1: it was the bottleneck. */
  readonly generatorShare: number;
  /** Calls that did not end with OK, the cancelled ones of the load's end left out. They are no operations. */
  readonly failedCalls: number;
  /** Cores that were busy with neither servers nor generator: somebody else was at work, and the figures suffer. */
  readonly othersCores: number;
  /** What they ended with. */
  readonly failure: string | undefined;
}

/** Which generator will drive a row. */
export function generatorOf(row: Row, wanted: Generator): Generator {
  return wanted === "h2load" && row.constant !== undefined && hasH2load() ? "h2load" : "own";
}

export async function measure(
  contender: Contender,
  row: Row,
  shape: Shape,
  seed: number,
  options: MeasureOptions,
  hooks: MeasureHooks = {},
): Promise<Measurement> {
  await untilQuiet(options.quietSeconds);
  await using running = await RunningContender.start(contender, options);
  if (row.keys > 0) await fill(running, row.keys);
  const idleDelayMs = await idleLoopDelay(running);
  const observed = new Observation(running, row, idleDelayMs, hooks);
  const load =
    generatorOf(row, options.generator) === "h2load"
      ? await driveWithH2load(running, row, shape, options, observed)
      : await driveWithOwn(running, row, shape, seed, options, observed);
  const after = observed.end;
  checkAnswers(row, shape, load, after);
  const { generatorCores, ...figures } = load;
  return {
    ...figures,
    seconds: load.operations / load.operationsPerSecond,
    cpuSeconds: after.cpuSeconds,
    // The server's own count covers exactly the time its CPU was read over; the generator's is a little shorter.
    cpuMicrosPerOperation: (after.cpuSeconds / (after.handled.get("OK") ?? load.operations)) * 1e6,
    peakMemoryMib: after.peakMemoryBytes / 2 ** 20,
    loopDelayMaxMs: after.loopDelayMaxMs,
    othersCores: Math.max(0, after.machineCpuSeconds - after.cpuSeconds) / after.seconds - generatorCores,
  };
}

type LoadFigures = Pick<
  Measurement,
  | "generator"
  | "operations"
  | "operationsPerSecond"
  | "p50Ms"
  | "p99Ms"
  | "maxMs"
  | "generatorShare"
  | "failedCalls"
  | "failure"
> & { readonly generatorCores: number };

const fillShape: Shape = { connections: 10, streams: 50 };
const fillTimeoutMs = 600_000;

/**
 * The first part of a warm-up, whatever the row's shape. Code is compiled, and heaps find their size, by what has been
 * done, not by the time it took: one stream that waits for the disk would need minutes to come to where a service is
 * after a day. The rest of the warm-up has the row's own shape.
 */
const rehearsalShape: Shape = { connections: 10, streams: 50 };
/** Most that is waited for a server to put away what the rehearsal left: the row is to measure its own load. */
const afterRehearsalSecondsMax = 5;

function warmUpOf({ warmUpSeconds }: MeasureOptions): { rehearsalSeconds: number; settlingSeconds: number } {
  return { rehearsalSeconds: warmUpSeconds / 2, settlingSeconds: warmUpSeconds / 2 };
}

/** Puts keys 0 .. count-1, each once. */
export async function fill(
  running: RunningContender,
  count: number,
  onProgress?: (operations: number) => void,
): Promise<void> {
  const load = await LoadRun.start({ target: running.target, shape: fillShape, work: fillWork(count), seed: 1 });
  await load.untilExhausted(fillTimeoutMs, onProgress);
  const [result] = await load.finish();
  // A put that failed was sent again.
  if (result?.operations !== count) throw new Error(`filling the store: ${result?.operations} of ${count} puts`);
  if (result.errors > 0)
    process.stderr.write(`filling the store: ${result.errors} puts failed: ${result.firstError}\n`);
}

/**
 * The delay that the event loop reports while nothing happens. A monitor that samples every few milliseconds counts its
 * own interval in; that is not delay, and is taken off.
 */
async function idleLoopDelay(running: RunningContender): Promise<number> {
  await scrape(running.endpoint);
  await sleep(200);
  return loopDelayMs(await scrape(running.endpoint), "0.5");
}

interface Observed {
  /** Of the clock on the wall. */
  readonly seconds: number;
  readonly machineCpuSeconds: number;
  readonly cpuSeconds: number;
  readonly handled: HandledCalls;
  /** By how much the store's revision grew. */
  readonly revisions: number;
  readonly peakMemoryBytes: number;
  readonly loopDelayMaxMs: number;
}

/** What the server did between two moments. */
class Observation {
  readonly #running: RunningContender;
  readonly #row: Row;
  readonly #idleDelayMs: number;
  readonly #hooks: MeasureHooks;
  #revision = 0;
  #cpuSeconds = 0;
  #machineCpuSeconds = 0;
  #startMs = 0;
  #handled: HandledCalls = new Map();
  #end: Observed | undefined;

  constructor(running: RunningContender, row: Row, idleDelayMs: number, hooks: MeasureHooks) {
    this.#running = running;
    this.#row = row;
    this.#idleDelayMs = idleDelayMs;
    this.#hooks = hooks;
  }

  async begin(): Promise<void> {
    const samples = await scrape(this.#running.endpoint);
    this.#handled = this.#count(samples);
    this.#revision = storeRevision(samples);
    await this.#hooks.onMeasure?.(this.#running);
    this.#cpuSeconds = this.#running.cpuSeconds();
    this.#machineCpuSeconds = machineCpuSeconds();
    this.#startMs = performance.now();
  }

  async finish(): Promise<void> {
    const cpuSeconds = this.#running.cpuSeconds() - this.#cpuSeconds;
    const machineSeconds = machineCpuSeconds() - this.#machineCpuSeconds;
    const seconds = (performance.now() - this.#startMs) / 1000;
    await this.#hooks.onMeasured?.(this.#running);
    const samples = await scrape(this.#running.endpoint);
    this.#end = {
      seconds,
      machineCpuSeconds: machineSeconds,
      cpuSeconds,
      revisions: storeRevision(samples) - this.#revision,
      handled: handledSince(this.#handled, this.#count(samples)),
      peakMemoryBytes: this.#running.peakMemoryBytes(),
      loopDelayMaxMs: loopDelayMs(samples, "1") - this.#idleDelayMs,
    };
  }

  #count(samples: Awaited<ReturnType<typeof scrape>>): HandledCalls {
    return this.#row.method === undefined ? new Map() : handledCalls(samples, this.#row.method);
  }

  get end(): Observed {
    if (this.#end === undefined) throw new Error("the observation has not ended");
    return this.#end;
  }
}

async function driveWithH2load(
  running: RunningContender,
  row: Row,
  shape: Shape,
  options: MeasureOptions,
  observed: Observation,
): Promise<LoadFigures> {
  const work = row.constant!;
  const load = { endpoint: running.endpoint, shape, work };
  const { rehearsalSeconds, settlingSeconds } = warmUpOf(options);
  if (rehearsalSeconds > 0) {
    await runH2load({ ...load, shape: rehearsalShape, seconds: rehearsalSeconds });
    await untilQuiet(afterRehearsalSecondsMax);
  }
  if (settlingSeconds > 0) await runH2load({ ...load, seconds: settlingSeconds });
  await observed.begin();
  const result = await runH2load({ ...load, seconds: options.seconds });
  await observed.finish();
  if (result.failed > 0) throw new Error(`${row.name}: ${result.failed} requests failed`);
  // What h2load takes for success includes calls that failed: HTTP status 200 and no body. The server tells them apart.
  const failed = failures(observed.end.handled, shape.connections * shape.streams);
  const operations = result.operations - failed.failedCalls;
  if (result.bodyBytes < operations * work.responseBytesMin) {
    throw new Error(
      `${row.name}: ${operations} answers of ${result.bodyBytes} bytes together are too short to be right`,
    );
  }
  return {
    generator: "h2load",
    ...failed,
    operations,
    operationsPerSecond: (result.requestsPerSecond * operations) / result.operations,
    ...percentiles(result.latency),
    generatorShare: result.cpuSeconds / options.seconds,
    generatorCores: result.cpuSeconds / options.seconds,
  };
}

async function driveWithOwn(
  running: RunningContender,
  row: Row,
  shape: Shape,
  seed: number,
  options: MeasureOptions,
  observed: Observation,
): Promise<LoadFigures> {
  const { target } = running;
  const { rehearsalSeconds, settlingSeconds } = warmUpOf(options);
  const spec = { target, work: row.work, seed, processes: options.generatorProcesses };
  // Keys and leases of its own: those of the load that counts must be as it expects them.
  if (rehearsalSeconds > 0) {
    await rehearse({ ...spec, shape: rehearsalShape, seed: seed + 1000 }, rehearsalSeconds);
    await untilQuiet(afterRehearsalSecondsMax);
  }
  const load = await LoadRun.start({ ...spec, shape });
  try {
    await Promise.race([sleep(settlingSeconds * 1000), load.failure()]);
    await observed.begin();
    load.measure();
    await Promise.race([sleep(options.seconds * 1000), load.failure()]);
    const results = await load.finish();
    await observed.finish();
    const latency = new Histogram();
    for (const result of results) {
      latency.merge(result.latency);
    }
    return {
      generator: "own",
      failedCalls: results.reduce((sum, { errors }) => sum + errors, 0),
      failure: results.find(({ firstError }) => firstError !== undefined)?.firstError,
      operations: results.reduce((sum, { operations }) => sum + operations, 0),
      operationsPerSecond: results.reduce((sum, { operations, seconds }) => sum + operations / seconds, 0),
      ...percentiles(latency),
      generatorShare: Math.max(...results.map(({ cpuSeconds, seconds }) => cpuSeconds / seconds)),
      generatorCores: results.reduce((sum, { cpuSeconds, seconds }) => sum + cpuSeconds / seconds, 0),
    };
  } finally {
    load.end();
  }
}

async function rehearse(spec: Parameters<typeof LoadRun.start>[0], seconds: number): Promise<void> {
  const load = await LoadRun.start(spec);
  try {
    await Promise.race([sleep(seconds * 1000), load.failure()]);
    await load.finish();
  } finally {
    load.end();
  }
}

function percentiles(latency: Histogram): { p50Ms: number; p99Ms: number; maxMs: number } {
  return { p50Ms: latency.quantile(0.5) / 1000, p99Ms: latency.quantile(0.99) / 1000, maxMs: latency.max / 1000 };
}

/** What servers call a call whose connection was cut when a load ended: the measured one, or late, the warm-up's. */
const cutOffCodes: readonly string[] = ["Canceled", "Unknown", "Unavailable"];

function failures(handled: HandledCalls, underWay: number): { failedCalls: number; failure: string | undefined } {
  const isFailure = ([code, count]: readonly [string, number]): boolean =>
    code !== "OK" && !(cutOffCodes.includes(code) && count <= underWay * 2);
  const failed = [...handled].filter(isFailure);
  return { failedCalls: failed.reduce((sum, [, count]) => sum + count, 0), failure: failed[0]?.[0] };
}

const failedShareMax = 0.01;

/**
 * Compares the generator's count with the server's own: as many calls must have ended well. Calls that were under way
 * when the generator began or stopped may be in one count and not in the other.
 */
function checkAnswers(row: Row, shape: Shape, load: LoadFigures, { handled, revisions }: Observed): void {
  if (load.failedCalls > failedShareMax * load.operations) {
    throw new Error(`${row.name}: ${load.failedCalls} calls failed, ${load.operations} did not; ${load.failure}`);
  }
  if (row.method === undefined) return;
  const ok = handled.get("OK") ?? 0;
  const underWay = shape.connections * shape.streams;
  // The own generator's count starts and ends a moment away from the server's, while the load goes on.
  const slack = underWay * 2 + (load.generator === "own" ? load.operationsPerSecond * 0.2 : 0);
  if (Math.abs(ok - load.operations) > slack) {
    throw new Error(
      `${row.name}: the generator counted ${load.operations} answers, the server ${ok} calls that ended with OK`,
    );
  }
  // Every write of these rows makes one revision.
  if (row.method !== "Range" && Math.abs(revisions - load.operations) > slack) {
    throw new Error(`${row.name}: ${load.operations} writes were answered, the store has ${revisions} more revisions`);
  }
}
