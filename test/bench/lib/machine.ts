// What the bench ran on, so that its numbers mean something to somebody else.
import { closeSync, fdatasyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly system: string;
  readonly node: string;
  readonly v8: string;
  /** Of this program's package. */
  readonly quorate: string;
  readonly dataFolder: string;
  /** Appends of 300 bytes with fdatasync after each, by one thread, a second. */
  readonly syncsPerSecond: number;
  /** Processes that wanted to run just before the start, over the last minute: above 0.5 somebody else is at work. */
  readonly loadBefore: number;
}

/** @param packageFile Path of package.json. @param dataFolder Where the servers will keep their data; made if need be. */
export function readMachineFacts(packageFile: string, dataFolder: string): MachineFacts {
  const { version } = JSON.parse(readFileSync(packageFile, "utf8")) as { version: string };
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    v8: process.versions.v8,
    quorate: version,
    dataFolder,
    syncsPerSecond: measureSyncRate(dataFolder),
    loadBefore: loadavg()[0] ?? Number.NaN,
  };
}

const syncMeasureMs = 500;

function measureSyncRate(folder: string): number {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `sync-rate-${process.pid}`);
  const descriptor = openSync(path, "w");
  const record = Buffer.alloc(300, 1);
  let syncs = 0;
  const startMs = performance.now();
  try {
    while (performance.now() - startMs < syncMeasureMs) {
      writeSync(descriptor, record);
      fdatasyncSync(descriptor);
      syncs++;
    }
    return (syncs / (performance.now() - startMs)) * 1000;
  } finally {
    closeSync(descriptor);
    rmSync(path);
  }
}

/** Lines to stand above the results. */
export function formatMachineFacts(facts: MachineFacts): string {
  return [
    `${facts.cpu}, ${facts.cores} cores, ${facts.memoryGib} GiB, ${facts.system}; load before the start ${facts.loadBefore.toFixed(2)}`,
    `Node ${facts.node} (V8 ${facts.v8}), quorate ${facts.quorate}`,
    `data below ${facts.dataFolder}: ${Math.round(facts.syncsPerSecond).toLocaleString("en-US")} appends with fdatasync a second`,
  ].join("\n");
}
