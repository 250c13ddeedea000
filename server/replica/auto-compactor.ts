// Compacts by itself, as leader, so that history does not grow for ever: what is older than some time, or all but so many
// revisions. Every member keeps the account, so that one that becomes the leader can go on. When and how much is as in
// etcd.
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { WireWriter } from "../lib/wire-writer.ts";
import type { Command } from "../state/command.ts";

export type AutoCompaction =
  /** Keep what is not older than this. */
  | { readonly mode: "periodic"; readonly retentionMs: number }
  /** Keep this many revisions. */
  | { readonly mode: "revision"; readonly retentionRevisions: number };

export interface AutoCompactorOptions {
  readonly settings: AutoCompaction;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isLeader: () => boolean;
  readonly currentRevision: () => number;
  /** Reads below it are refused already. */
  readonly compactRevision: () => number;
  /** Compacts to a revision. May reject: it is tried again. */
  readonly compact: (command: Extract<Command, { kind: "compact" }>, request: Uint8Array) => Promise<unknown>;
}

/** Longest time between two compactions, and how often the revision is looked at meanwhile. */
const periodMsMax = 60 * 60 * 1000;
const looksPerPeriod = 10;
const intervalMsMin = 100;
const revisionModeIntervalMs = 5 * 60 * 1000;

export class AutoCompactor {
  readonly #options: AutoCompactorOptions;
  readonly #intervalMs: number;
  /** Revisions of earlier looks, oldest first: the first one is as old as what is kept. Periodic mode only. */
  readonly #looks: number[] = [];
  /** From when on the next compaction is due. */
  #dueMs: number;
  #timer: Timer | undefined;
  #isClosed = false;

  /** Starts. */
  constructor(options: AutoCompactorOptions) {
    const { settings, clock } = options;
    this.#options = options;
    if (settings.mode === "periodic") {
      this.#intervalMs = Math.max(intervalMsMin, periodOf(settings.retentionMs) / looksPerPeriod);
      this.#looks.push(options.currentRevision());
      this.#dueMs = clock.nowMs() + settings.retentionMs;
    } else {
      this.#intervalMs = revisionModeIntervalMs;
      this.#dueMs = clock.nowMs() + revisionModeIntervalMs;
    }
    this.#schedule();
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(this.#intervalMs, () => {
      void this.#look().finally(() => {
        if (!this.#isClosed) this.#schedule();
      });
    });
  }

  async #look(): Promise<void> {
    const { clock, isLeader, compactRevision } = this.#options;
    const revision = this.#oldestToKeep();
    // Before the first change there is nothing to compact.
    const compacted = Math.max(1, compactRevision());
    if (!isLeader() || clock.nowMs() < this.#dueMs || revision <= compacted) return;
    await this.#compact(revision);
  }

  /** The revision to compact to; 0 and less for none. */
  #oldestToKeep(): number {
    const { settings, currentRevision } = this.#options;
    if (settings.mode === "revision") return currentRevision() - settings.retentionRevisions;
    const oldest = this.#looks[0] as number;
    this.#looks.push(currentRevision());
    const looksMax = Math.max(1, Math.floor(settings.retentionMs / this.#intervalMs));
    if (this.#looks.length > looksMax) this.#looks.shift();
    return oldest;
  }

  async #compact(revision: number): Promise<void> {
    const { settings, clock, logger, compact } = this.#options;
    try {
      await compact({ kind: "compact", revision, isPhysical: false }, encodeCompactionRequest(revision));
      logger.log("info", "compacted by itself", { revision, mode: settings.mode });
      const periodMs = settings.mode === "periodic" ? periodOf(settings.retentionMs) : revisionModeIntervalMs;
      this.#dueMs = clock.nowMs() + periodMs;
    } catch (error) {
      if (this.#isClosed) return;
      logger.log("warn", "compacting by itself failed; trying again", { revision, error: String(error) });
    }
  }

  /** Twice is fine. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }
}

function periodOf(retentionMs: number): number {
  return Math.min(retentionMs, periodMsMax);
}

/** etcdserverpb.CompactionRequest, as a client would send it: commands of the KV service are logged in that form. */
function encodeCompactionRequest(revision: number): Uint8Array {
  const writer = new WireWriter(16);
  writer.uintField(1, revision);
  return writer.finish();
}
