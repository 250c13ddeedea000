// Snapshots between members: makes one of the newest state when raft wants a follower to have it, and installs one
// that arrived. One is made and sent at a time, one is received at a time.
import type { Clock } from "../lib/clock.ts";
import { createDeferred } from "../lib/deferred.ts";
import type { Logger } from "../lib/logger.ts";
import type { Counter, Histogram, Metrics } from "../lib/metrics.ts";
import type { SnapshotFile, SnapshotStore, SnapshotWriter } from "../log/snapshot-store.ts";
import type { SnapshotMessage } from "../raft/message.ts";
import type { MemberId, SnapshotMeta } from "../raft/types.ts";
import { type InstalledSnapshot, installedSnapshotRow } from "../state/meta.ts";
import { type Backend, StorageError } from "../storage/backend.ts";
import { BatchEncoder } from "../storage/batch-codec.ts";
import type { Transport } from "./transport.ts";

export interface SnapshotterOptions {
  readonly backend: Backend;
  readonly snapshots: SnapshotStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called when a flush seals its rows; writes the position and says what state the rows are. */
  readonly onSeal: () => SnapshotMeta;
  /** How the transfer to a member ended. */
  readonly report: (id: MemberId, status: "finished" | "failed") => void;
}

/** The one snapshot that arrived and waits for raft to want it. */
interface Received {
  readonly meta: SnapshotMeta;
  readonly file: SnapshotFile;
}

/** How long a full disk is left alone before a snapshot is tried on it again. */
const roomRetryMs = 1000;
/** After a transfer that failed, how long that member waits for the next. */
const retryMs = 500;

export class Snapshotter {
  readonly #options: SnapshotterOptions;
  readonly #sendSeconds: Histogram;
  readonly #sendFailures: Counter;
  #sending: Promise<void> = Promise.resolve();
  #isReceiving = false;
  #received: Received | undefined;
  /** Ends the wait for room, where there is one. */
  #endPause: (() => void) | undefined;
  #isClosed = false;

  constructor(options: SnapshotterOptions) {
    this.#options = options;
    this.#sendSeconds = options.metrics.histogram("etcd_snap_db_save_total_duration_seconds");
    this.#sendFailures = options.metrics.counter("quorate_snapshot_send_failures_total");
  }

  /** Sends a member a snapshot of the newest state, in place of the older one that the message names. */
  send(message: SnapshotMessage): void {
    this.#sending = this.#sending.then(async () => {
      if (this.#isClosed) return;
      try {
        await this.#makeAndSend(message);
        this.#options.report(message.to, "finished");
      } catch (error) {
        if (this.#isClosed) return;
        this.#sendFailures.add(1);
        this.#options.logger.log("warn", "sending a snapshot failed; raft asks again", {
          to: message.to.toString(16),
          error: String(error),
        });
        // Not at once: making a snapshot is a walk over the whole store, and what refused it is often still busy.
        this.#options.clock.setTimer(retryMs, () => {
          if (!this.#isClosed) this.#options.report(message.to, "failed");
        });
      }
    });
  }

  async #makeAndSend(message: SnapshotMessage): Promise<void> {
    const { backend, clock, logger, transport } = this.#options;
    const startedMs = clock.nowMs();
    let meta = message.snapshot;
    const dump = await backend.dump(() => {
      meta = this.#options.onSeal();
    });
    const writer = this.#options.snapshots.create();
    let file: SnapshotFile;
    try {
      for await (const piece of dump.chunks()) await writer.addPiece(piece);
      file = await writer.finish();
    } catch (error) {
      await writer.abort();
      throw error;
    } finally {
      await dump.close();
    }
    try {
      const fields = { to: message.to.toString(16), index: meta.index, sizeBytes: file.sizeBytes };
      logger.log("info", "sending a snapshot", fields);
      await transport.sendSnapshot({ ...message, snapshot: meta }, file);
      logger.log("info", "sent a snapshot", { ...fields, tookMs: Math.round(clock.nowMs() - startedMs) });
      this.#sendSeconds.observe((clock.nowMs() - startedMs) / 1000);
    } finally {
      await file.dispose();
    }
  }

  /** Where a snapshot that is about to arrive goes; undefined while another one is on its way. */
  openIncoming(): SnapshotWriter | undefined {
    if (this.#isClosed || this.#isReceiving || this.#received !== undefined) return undefined;
    const writer = this.#options.snapshots.create();
    this.#isReceiving = true;
    const done = (): void => {
      this.#isReceiving = false;
    };
    const failed = (error: unknown): never => {
      done();
      throw error;
    };
    return {
      addPiece: (piece) => writer.addPiece(piece),
      addRaw: (bytes) => writer.addRaw(bytes),
      // One that is whole is offered next. No other may come in between.
      finish: () => writer.finish().catch(failed),
      finishRaw: () => writer.finishRaw().catch(failed),
      abort: () => writer.abort().finally(done),
    };
  }

  /** Keeps a snapshot that arrived until raft has decided about it. */
  offer(meta: SnapshotMeta, file: SnapshotFile): void {
    this.#isReceiving = false;
    this.#received = { meta, file };
  }

  /** Raft does not want what was offered, or is done with it. */
  dismiss(): void {
    const received = this.#received;
    this.#received = undefined;
    received?.file.dispose().catch((error: unknown) => {
      this.#options.logger.log("warn", "a snapshot file was not removed", { error: String(error) });
    });
  }

  /**
   * Replaces the state by the snapshot that was offered, atomically. Waits for room while the disk is full.
   * @param onLoaded Called when the new rows are there; reads them in.
   * @throws StorageError LogError
   */
  async install(meta: SnapshotMeta, onLoaded: () => void): Promise<void> {
    const received = this.#received;
    if (received?.meta.index !== meta.index || received.meta.term !== meta.term) {
      throw new Error(`raft installs snapshot ${meta.index}, but ${received?.meta.index ?? "none"} arrived`);
    }
    await this.#load(received, onLoaded);
    this.dismiss();
  }

  async #load({ file, meta }: Received, onLoaded: () => void): Promise<void> {
    for (let isWarned = false; ; isWarned = true) {
      try {
        await this.#options.backend.load(piecesOf(file, meta), onLoaded);
        return;
      } catch (error) {
        // Everything is as it was: the state from before the snapshot and the log that goes with it.
        if (!(error instanceof StorageError) || error.code !== "no-space" || this.#isClosed) throw error;
        if (!isWarned) {
          const fields = { index: meta.index, sizeBytes: file.sizeBytes, error: error.message };
          this.#options.logger.log("error", "the disk is full; a snapshot is installed once there is room", fields);
        }
        await this.#pause();
      }
    }
  }

  async #pause(): Promise<void> {
    const pause = createDeferred<void>();
    const timer = this.#options.clock.setTimer(roomRetryMs, () => pause.resolve());
    this.#endPause = () => {
      timer.cancel();
      pause.resolve();
    };
    await pause.promise;
    this.#endPause = undefined;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#endPause?.();
    this.dismiss();
    await this.#sending;
  }
}

/** The snapshot's rows, and the one that says that it is a snapshot's state. */
async function* piecesOf(file: SnapshotFile, installed: InstalledSnapshot): AsyncIterable<Uint8Array> {
  yield* file.pieces();
  const encoder = new BatchEncoder();
  encoder.add(installedSnapshotRow(installed));
  const { buffer, length } = encoder.finish();
  yield new Uint8Array(buffer, 0, length);
}
