// Many runs, spread over threads. Who hands out the work decides what comes next when a run is over.
import { Worker } from "node:worker_threads";
import type { Report, Task } from "./sim-worker.ts";
import type { RunCounts } from "./simulation.ts";

export interface CampaignOptions {
  readonly workers: number;
  /** The next run, or undefined when there is none. */
  readonly next: () => Task | undefined;
  readonly onReport: (report: Report) => void;
}

/** Longest that one run may take on a busy machine; one that takes longer does not end at all. */
const runMsMax = 180_000;

const noCounts: RunCounts = {
  operations: 0,
  acknowledgedWrites: 0,
  applied: 0,
  messages: 0,
  watchEvents: 0,
  leases: 0,
  events: 0,
  simulatedMs: 0,
  faults: {},
  probes: {},
  traceHash: 0,
};

/** Resolves when all work is done. */
export async function runCampaign(options: CampaignOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.workers }, () => runThread(options)));
}

async function runThread(options: CampaignOptions): Promise<void> {
  let worker: Worker | undefined;
  try {
    for (let task = options.next(); task !== undefined; task = options.next()) {
      worker ??= new Worker(new URL("./sim-worker.js", import.meta.url));
      const { report, isWorkerLost } = await runTask(worker, task);
      options.onReport(report);
      if (isWorkerLost) {
        await worker.terminate();
        worker = undefined;
      }
    }
  } finally {
    await worker?.terminate();
  }
}

function runTask(worker: Worker, task: Task): Promise<{ readonly report: Report; readonly isWorkerLost: boolean }> {
  return new Promise((resolve) => {
    const settle = (report: Report, isWorkerLost: boolean): void => {
      clearTimeout(timer);
      worker.off("message", onMessage);
      worker.off("error", onError);
      resolve({ report, isWorkerLost });
    };
    const lose = (failure: string): void => settle({ ...task, failure, counts: noCounts }, true);
    const onMessage = (report: Report): void => settle(report, false);
    const onError = (error: Error): void => lose(`the simulator itself broke: ${error.stack ?? error.message}`);
    const timer = setTimeout(() => lose(`the run does not end within ${runMsMax / 1000} s`), runMsMax);
    worker.on("message", onMessage);
    worker.on("error", onError);
    worker.postMessage(task);
  });
}

/** Sums of what runs have counted. */
export class CampaignCounts {
  runs = 0;
  operations = 0;
  acknowledgedWrites = 0;
  applied = 0;
  messages = 0;
  watchEvents = 0;
  leases = 0;
  simulatedMs = 0;
  readonly faults = new Map<string, number>();
  readonly probes = new Map<string, number>();

  add(counts: RunCounts): void {
    this.runs++;
    this.operations += counts.operations;
    this.acknowledgedWrites += counts.acknowledgedWrites;
    this.applied += counts.applied;
    this.messages += counts.messages;
    this.watchEvents += counts.watchEvents;
    this.leases += counts.leases;
    this.simulatedMs += counts.simulatedMs;
    for (const [kind, count] of Object.entries(counts.faults))
      this.faults.set(kind, (this.faults.get(kind) ?? 0) + count);
    for (const [name, count] of Object.entries(counts.probes))
      this.probes.set(name, (this.probes.get(name) ?? 0) + count);
  }
}
