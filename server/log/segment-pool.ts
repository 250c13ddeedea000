// Keeps one file of zeros ready for the log to go on in, so that nobody waits for it to be made. Making it takes the
// room on disk: when there is none, this is where it shows, with the rest of the current file still to spare.
import { join } from "node:path";
import type { Clock } from "../lib/clock.ts";
import { createDeferred, type Deferred } from "../lib/deferred.ts";
import type { Disk, DiskFile } from "../lib/disk.ts";
import { isNoSpaceError } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import { LogError } from "./log-error.ts";
import { createZeroedFile, segmentName } from "./segment.ts";

export interface SegmentPoolOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly segmentBytes: number;
}

const spareName = "spare.tmp";
/** How long a full disk is left alone before the next try. */
const retryMs = 1000;

export class SegmentPool {
  readonly #options: SegmentPoolOptions;
  #spare: DiskFile | undefined;
  #preparing: Promise<void> | undefined;
  #isShort = false;
  #isClosed = false;
  readonly #pauses = new Set<Deferred<void>>();

  constructor(options: SegmentPoolOptions) {
    this.#options = options;
  }

  get segmentBytes(): number {
    return this.#options.segmentBytes;
  }

  /** The disk had no room for the next file. False while that file is still being made. */
  get isShort(): boolean {
    return this.#isShort;
  }

  /**
   * Makes the first file of a new log, which nothing waits for yet: a start without room is better told than waited out.
   * @throws LogError `io`
   */
  async makeFirst(): Promise<void> {
    const { disk, folder, segmentBytes } = this.#options;
    try {
      this.#spare = await createZeroedFile(disk, join(folder, spareName), segmentBytes);
    } catch (cause) {
      throw new LogError("io", `cannot make a file of the log in ${folder}: ${(cause as Error).message}`, { cause });
    }
  }

  /** Starts making the spare file if there is none. A full disk is tried again until there is room. */
  prepare(): void {
    if (!this.#isClosed) this.#prepare();
  }

  #prepare(): void {
    if (this.#spare !== undefined || this.#preparing !== undefined) return;
    this.#preparing = this.#makeSpare().finally(() => {
      this.#preparing = undefined;
    });
    // Whoever needs the file awaits it and meets the error there.
    this.#preparing.catch(() => undefined);
  }

  async #makeSpare(): Promise<void> {
    const { disk, folder, segmentBytes, logger } = this.#options;
    const path = join(folder, spareName);
    for (let isWarned = false; ; ) {
      try {
        this.#spare = await createZeroedFile(disk, path, segmentBytes);
        this.#isShort = false;
        return;
      } catch (error) {
        if (!isNoSpaceError(error) || this.#isClosed) throw error;
        this.#isShort = true;
        if (!isWarned) logger.log("error", "the disk is full: no room for the next file of the log", { path });
        isWarned = true;
        await this.#pause();
      }
    }
  }

  /**
   * The spare file under its final name, with `header` in it, durable. `sizeBytes` is how much it must hold at least;
   * a frame that is larger than a file makes its file longer.
   */
  async take(header: Buffer, sequence: number, sizeBytes: number): Promise<{ path: string; file: DiskFile }> {
    const { disk, folder, segmentBytes } = this.#options;
    // Also while the log is being closed: what was saved before is still written.
    this.#prepare();
    await this.#preparing;
    const file = this.#spare as DiskFile;
    if (sizeBytes > segmentBytes) {
      await this.whenThereIsRoom(join(folder, spareName), () =>
        file.write(Buffer.alloc(sizeBytes - segmentBytes), segmentBytes),
      );
    }
    this.#spare = undefined;
    // The header is durable before the file has a name that recovery looks at.
    await file.writeDurably(header, 0);
    const path = join(folder, segmentName(sequence));
    disk.rename(join(folder, spareName), path);
    await disk.syncFolder(folder);
    return { path, file };
  }

  /** Does `work` again and again while the disk is full, until it is done or the pool is closed. */
  async whenThereIsRoom(path: string, work: () => Promise<void>): Promise<void> {
    for (let isWarned = false; ; isWarned = true) {
      try {
        await work();
        return;
      } catch (error) {
        if (!isNoSpaceError(error) || this.#isClosed) throw error;
        if (!isWarned) this.#options.logger.log("error", "the disk is full; the log waits for room", { path });
        await this.#pause();
      }
    }
  }

  /** Waits a while, or until the pool is closed. */
  async #pause(): Promise<void> {
    if (this.#isClosed) return;
    const pausing = createDeferred<void>();
    const timer = this.#options.clock.setTimer(retryMs, () => pausing.resolve());
    this.#pauses.add(pausing);
    await pausing.promise;
    this.#pauses.delete(pausing);
    timer.cancel();
  }

  /** Nothing waits for room any more; what did, fails. */
  stopWaiting(): void {
    this.#isClosed = true;
    for (const pausing of this.#pauses) pausing.resolve();
  }

  async close(): Promise<void> {
    this.stopWaiting();
    await this.#preparing?.catch(() => undefined);
    await this.#spare?.close();
    this.#spare = undefined;
  }
}
