// A log on a disk in memory, with what tests ask of it: saves made from a few words, and what is in it as text.
import assert from "node:assert/strict";
import { silentLogger } from "../../server/lib/logger.ts";
import { noMetrics } from "../../server/lib/metrics.ts";
import type { Random } from "../../server/lib/random.ts";
import type { LogError } from "../../server/log/log-error.ts";
import { LogStore, type LogStoreOptions } from "../../server/log/log-store.ts";
import type { Save } from "../../server/raft/ready.ts";
import { type Entry, emptyHardState, type HardState, noEntryId, type SnapshotMeta } from "../../server/raft/types.ts";
import { type DiskFault, type DiskOperation, MemoryDisk, type MemoryDiskOptions } from "../support/memory-disk.ts";
import { microtasks, VirtualClock } from "../support/virtual-clock.ts";

export const logFolder = "/data/log";

export interface OpenLog {
  readonly log: LogStore;
  readonly clock: VirtualClock;
  /** Ids of saves that were reported as durable, in order. */
  readonly saved: number[];
  readonly failures: LogError[];
}

/** A disk that has the folder above the log's for certain. */
export function diskWithFolder(random: Random): MemoryDisk {
  const disk = new MemoryDisk({ random });
  disk.makeFolder("/data");
  return disk.copy();
}

/** A disk that completes operations when asked to, in order. */
export class SlowDisk {
  readonly disk: MemoryDisk;
  fault: ((operation: DiskOperation) => DiskFault | undefined) | undefined;
  isFast = true;
  readonly #waiting: (() => void)[] = [];

  constructor(random: Random, from?: MemoryDisk, capacityBytes?: number) {
    const options: MemoryDiskOptions = {
      random,
      schedule: (_, complete) => {
        if (this.isFast) queueMicrotask(complete);
        else this.#waiting.push(complete);
      },
      faultOf: (operation) => this.fault?.(operation),
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
    };
    this.disk = (from ?? diskWithFolder(random)).copy(options);
  }

  async completeSome(count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.#waiting.shift()?.();
    await microtasks();
  }

  async completeAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.completeSome(this.#waiting.length);
  }
}

export async function openLog(
  disk: MemoryDisk,
  options: Partial<Pick<LogStoreOptions, "segmentBytes" | "cacheBytes">> & { readonly random?: Random } = {},
): Promise<OpenLog> {
  const saved: number[] = [];
  const failures: LogError[] = [];
  const clock = new VirtualClock();
  const log = await LogStore.open({
    disk,
    folder: logFolder,
    clock,
    logger: silentLogger,
    metrics: noMetrics,
    bootstrap: { base: noEntryId, hardState: emptyHardState },
    segmentBytes: 8192,
    ...options,
    onSaved: (id) => saved.push(id),
    onFailed: (error) => failures.push(error),
  });
  return { log, clock, saved, failures };
}

export function entryOf(
  index: number,
  term: number,
  data: Uint8Array | string = `entry ${index} of term ${term}`,
): Entry {
  return { index, term, kind: "normal", data: Buffer.from(data) };
}

export function saveOf(
  id: number,
  entries: readonly Entry[],
  hardState: Partial<HardState> = {},
  snapshot?: SnapshotMeta,
): Save {
  const term = entries.at(-1)?.term ?? snapshot?.term ?? 1;
  return {
    id,
    hardState: { term, vote: 7n, commit: 0, ...hardState },
    snapshot,
    entries,
    messagesAfter: [],
  };
}

/** Saves and waits until that is durable. */
export async function saveNow({ log, saved }: OpenLog, save: Save): Promise<void> {
  log.save(save);
  while (saved.at(-1) !== save.id) await microtasks();
}

export function textOfEntry({ index, term, kind, data }: Entry): string {
  return `${term}/${index} ${kind} ${Buffer.from(data).toString("base64")}`;
}

/** All that a log holds, as text. */
export function contentOf(log: LogStore): string[] {
  const { term, vote, commit } = log.hardState;
  const first = log.firstIndex();
  const last = log.lastIndex();
  const lines = [`hard state ${term} ${vote} ${commit}`, `after ${log.term(first - 1)}/${first - 1}`];
  for (let index = first; index <= last; ) {
    const entries = log.entries(index, last + 1, 300);
    assert(typeof entries !== "string", `entry ${index}: ${String(entries)}`);
    assert.equal(entries[0]?.index, index);
    for (const entry of entries) {
      assert.equal(log.term(entry.index), entry.term);
      lines.push(textOfEntry(entry));
    }
    index += entries.length;
  }
  return lines;
}
