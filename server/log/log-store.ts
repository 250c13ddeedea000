// The durable log: takes saves from raft in order, makes them durable in groups, and reads entries back for raft.
//
// While one frame is being synced, everything that arrives goes into the next: the number of syncs follows the disk,
// not the number of requests. One frame is in flight at a time; recovery relies on that (frame-codec.ts).
import { dirname } from "node:path";
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Disk } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import type { Counter, Histogram, Metrics } from "../lib/metrics.ts";
import type { Random } from "../lib/random.ts";
import type { LogGap, LogReader } from "../raft/log-reader.ts";
import type { Save } from "../raft/ready.ts";
import { type Entry, type EntryId, entrySizeBytes, type HardState, type SnapshotMeta } from "../raft/types.ts";
import { EntryCache } from "./entry-cache.ts";
import { decodeRecords, FrameEncoder, frameAt, payloadOf } from "./frame-codec.ts";
import { LogError } from "./log-error.ts";
import type { FrameReference, LogIndex } from "./log-index.ts";
import { mutated } from "./mutations.ts";
import { type OpenSegment, recoverLog } from "./recover.ts";
import { encodeSegmentHeader, segmentDataStart } from "./segment.ts";
import { SegmentPool } from "./segment-pool.ts";

export interface LogStoreOptions {
  readonly disk: Disk;
  /** Created when it does not exist. Nothing else may live in it. */
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Without it equal logs have equal bytes, and what clients store can be made to look like a part of the log. */
  readonly random?: Random;
  /** Where a log begins that has no files yet, and the hard state it begins with. */
  readonly bootstrap: { readonly base: EntryId; readonly hardState: HardState };
  /** Size of a file, 16 MiB by default. A larger frame gets a file of its own size. */
  readonly segmentBytes?: number;
  /** Recent entries that are kept in memory for followers and for applying, 8 MiB by default. */
  readonly cacheBytes?: number;
  /** Called with the id of the newest save that is durable, in order. */
  readonly onSaved: (id: number) => void;
  /** Called once when the disk failed; the process must stop. */
  readonly onFailed: (error: LogError) => void;
}

const segmentBytesDefault = 16 * 1024 * 1024;
const frameHintBytes = 256 * 1024;
const cacheBytesDefault = 8 * 1024 * 1024;

/** Entries of a frame that later ones have not replaced: from `first` to `last`, or none when that is smaller. */
interface FrameEntries {
  readonly first: number;
  readonly last: number;
}

const noEntries: FrameEntries = { first: 0, last: -1 };

export class LogStore implements LogReader {
  readonly #options: LogStoreOptions;
  readonly #pool: SegmentPool;
  readonly #index: LogIndex;
  readonly #segments: OpenSegment[];
  readonly #cache: EntryCache;
  readonly #syncSeconds: Histogram;
  readonly #writtenBytes: Counter;
  /** The frame that saves are collected in, and the one that is being written, with the entries they hold. */
  #pending = new FrameEncoder(frameHintBytes);
  #pendingEntries = noEntries;
  #inFlight = new FrameEncoder(frameHintBytes);
  #inFlightEntries = noEntries;
  #pendingSaveId: number | undefined;
  /** The place after which the log went on, in the order of writing: of what is written, and of what is not yet. */
  #writtenEnd: EntryId;
  #pendingEnd: EntryId;
  #offset: number;
  #checksum: number;
  #writing: Promise<void> | undefined;
  /** Files that go, one after the other in the order of their making, whoever gave them up. */
  #removing: Promise<void> = Promise.resolve();
  #state: "open" | "failed" | "closed" = "open";

  private constructor(
    options: LogStoreOptions,
    pool: SegmentPool,
    index: LogIndex,
    segments: OpenSegment[],
    end: { readonly offset: number; readonly checksum: number },
  ) {
    this.#options = options;
    this.#pool = pool;
    this.#index = index;
    this.#segments = segments;
    this.#offset = end.offset;
    this.#checksum = end.checksum;
    this.#cache = new EntryCache(options.cacheBytes ?? cacheBytesDefault, index.lastIndex + 1);
    this.#writtenEnd = { index: index.lastIndex, term: index.term(index.lastIndex) ?? 0 };
    this.#pendingEnd = this.#writtenEnd;
    this.#syncSeconds = options.metrics.histogram("etcd_disk_wal_fsync_duration_seconds");
    this.#writtenBytes = options.metrics.counter("etcd_disk_wal_write_bytes_total");
  }

  /** @throws LogError `corrupt`; nothing was changed then. `io` when there is no room for the first file. */
  static async open(options: LogStoreOptions): Promise<LogStore> {
    const { disk, folder, logger } = options;
    disk.makeFolder(folder);
    // What is durable in a folder whose own name is not, is not durable.
    await disk.syncFolder(dirname(folder));
    const recovered = recoverLog(disk, folder, options.bootstrap);
    const segments = [...recovered.segments];
    const last = segments.at(-1);
    if (last !== undefined && recovered.tornBytes > 0) {
      logger.log("warn", "zeroing a torn write at the end of the log", {
        path: last.path,
        offset: recovered.endOffset,
      });
      await last.file.writeDurably(Buffer.alloc(recovered.tornBytes), recovered.endOffset);
    }
    const pool = new SegmentPool({ ...options, segmentBytes: options.segmentBytes ?? segmentBytesDefault });
    const end = { offset: recovered.endOffset, checksum: recovered.lastChecksum };
    const store = new LogStore(options, pool, recovered.index, segments, end);
    if (last === undefined) {
      await pool.makeFirst();
      await store.#roll(0);
    }
    pool.prepare();
    return store;
  }

  /** What raft must not forget, as last saved. */
  get hardState(): HardState {
    return this.#index.hardState;
  }

  /** The snapshot that the log last began anew with, if it ever did. */
  get resetSnapshot(): SnapshotMeta | undefined {
    return this.#index.snapshot;
  }

  /**
   * Bytes of entries that surely find room. When the next file cannot be made because the disk is full, only what is
   * left of the current one remains; whoever proposes must stay within it and keep some for what frees space.
   */
  get roomBytes(): number {
    if (!this.#pool.isShort) return Number.MAX_SAFE_INTEGER;
    return Math.max(0, this.#pool.segmentBytes - this.#offset - this.#pending.length - this.#inFlight.length);
  }

  /**
   * Begins the log anew after a snapshot whose state is in the store already: the end of an installation that a crash
   * cut short. Only before the first save.
   */
  async resetTo(snapshot: SnapshotMeta): Promise<void> {
    assert(this.#pendingSaveId === undefined && this.#writing === undefined, "a reset of a log that is in use");
    const { term, vote, commit } = this.#index.hardState;
    const isNewerTerm = snapshot.term > term;
    const hardState = {
      term: Math.max(term, snapshot.term),
      vote: isNewerTerm ? undefined : vote,
      commit: Math.max(commit, snapshot.index),
    };
    const frame = new FrameEncoder(1024);
    frame.addHardState(hardState);
    frame.addReset(snapshot);
    this.#index.setHardState(hardState);
    this.#index.addReset(snapshot);
    this.#cache.reset(snapshot.index + 1);
    await this.#writeFrame(frame);
    this.#writtenEnd = { index: snapshot.index, term: snapshot.term };
    this.#pendingEnd = this.#writtenEnd;
  }

  /** Takes a save. It and all before it are durable once `onSaved` was called with its id. */
  save(save: Save): void {
    assert(this.#state !== "closed", "a save for a closed log");
    this.#index.setHardState(save.hardState);
    const isVoteLost = mutated("log/vote-not-saved") && save.entries.length === 0;
    this.#pending.addHardState(isVoteLost ? { ...save.hardState, vote: undefined } : save.hardState);
    if (save.snapshot !== undefined) this.#reset(save.snapshot);
    for (const entry of save.entries) {
      this.#pending.addEntry(entry);
      this.#index.addEntry(entry);
      this.#cache.add(entry);
    }
    const [first] = save.entries;
    if (first !== undefined) this.#noteEntries(first.index, save.entries[save.entries.length - 1] as Entry);
    this.#pendingSaveId = save.id;
    this.#startWriting();
  }

  /** Entries in a row, the first at `from`, went into the pending frame; they cut off what both frames have from there on. */
  #noteEntries(from: number, { index, term }: EntryId): void {
    const { first, last } = this.#pendingEntries;
    assert(last === -1 || from <= last + 1, () => `entry ${from} after ${last} in one frame`);
    this.#pendingEntries = { first: first === 0 ? from : Math.min(first, from), last: index };
    if (from <= this.#inFlightEntries.last) this.#inFlightEntries = { ...this.#inFlightEntries, last: from - 1 };
    this.#pendingEnd = { index, term };
  }

  #reset(snapshot: SnapshotMeta): void {
    this.#pending.addReset(snapshot);
    this.#index.addReset(snapshot);
    this.#cache.reset(snapshot.index + 1);
    this.#pendingEntries = noEntries;
    this.#inFlightEntries = noEntries;
    this.#pendingEnd = { index: snapshot.index, term: snapshot.term };
  }

  #startWriting(): void {
    if (this.#writing !== undefined || this.#state === "failed") return;
    this.#writing = this.#writeFrames().then(
      () => {
        this.#writing = undefined;
      },
      (cause) => {
        this.#writing = undefined;
        // Nobody was told that what still waited for room is durable.
        if (this.#state === "closed") return;
        this.#state = "failed";
        this.#options.onFailed(new LogError("io", `cannot write the log: ${(cause as Error).message}`, { cause }));
      },
    );
  }

  async #writeFrames(): Promise<void> {
    while (this.#pendingSaveId !== undefined) {
      const frame = this.#pending;
      const saveId = this.#pendingSaveId;
      this.#pending = this.#inFlight;
      this.#inFlight = frame;
      this.#inFlightEntries = this.#pendingEntries;
      this.#pendingSaveId = undefined;
      this.#pendingEntries = noEntries;
      const end = this.#pendingEnd;
      await this.#writeFrame(frame);
      this.#writtenEnd = end;
      frame.clear();
      this.#options.onSaved(saveId);
    }
  }

  async #writeFrame(frame: FrameEncoder): Promise<void> {
    // Rolling changes the checksum's seed only through the file's header, which repeats it.
    if (this.#offset + frame.length + segmentDataStart > this.#pool.segmentBytes && this.#offset > segmentDataStart) {
      await this.#roll(frame.length);
    }
    const previousChecksum = this.#checksum;
    const segment = this.#segments.at(-1) as OpenSegment;
    const offset = this.#offset;
    const { bytes, checksum } = frame.finish({ previousChecksum, offset, salt: segment.header.salt });
    const startedMs = this.#options.clock.nowMs();
    // The same bytes in the same place do no harm. Any failure but a full disk is final.
    await this.#pool.whenThereIsRoom(segment.path, () => {
      if (mutated("log/acknowledged-before-sync")) return segment.file.write(bytes, offset);
      const written = segment.file.writeDurably(bytes, offset);
      return mutated("log/failed-sync-forgotten") ? written.catch(() => undefined) : written;
    });
    this.#syncSeconds.observe((this.#options.clock.nowMs() - startedMs) / 1000);
    this.#writtenBytes.add(bytes.length);
    this.#offset += bytes.length;
    this.#checksum = checksum;
    const { sequence } = segment.header;
    // Later saves may have cut entries of this frame off again while it was written, and none of theirs are in it.
    const { first: firstIndex, last: lastIndex } = this.#inFlightEntries;
    this.#inFlightEntries = noEntries;
    if (firstIndex <= lastIndex) {
      this.#index.addFrame({ sequence, offset, length: bytes.length, previousChecksum, firstIndex, lastIndex });
    }
  }

  /** Goes on in a new file. */
  async #roll(frameBytes: number): Promise<void> {
    const before = this.#segments.at(-1);
    const sequence = (before?.header.sequence ?? 0) + 1;
    // The index is ahead: entries that wait for this file are in it already, and may have cut off what is written.
    const salt = this.#options.random?.below(2 ** 32) ?? 0;
    const header = { sequence, previous: this.#writtenEnd, previousChecksum: this.#checksum, salt };
    const segment = await this.#pool.take(encodeSegmentHeader(header), sequence, frameBytes + 2 * segmentDataStart);
    this.#segments.push({ header, ...segment });
    this.#offset = segmentDataStart;
    this.#pool.prepare();
  }

  firstIndex(): number {
    return this.#index.base.index + 1;
  }

  lastIndex(): number {
    return this.#index.lastIndex;
  }

  term(index: number): number | LogGap {
    return this.#index.term(index) ?? (index < this.#index.base.index ? "compacted" : "unavailable");
  }

  entries(low: number, high: number, bytesMax: number): readonly Entry[] | LogGap {
    if (low <= this.#index.base.index) return "compacted";
    if (this.#cache.holds(low)) return this.#cache.slice(low, high, bytesMax);
    const found: Entry[] = [];
    let bytes = 0;
    for (let index = low; index < high; ) {
      const frame = this.#index.frameOf(index);
      if (frame === undefined) break;
      const before = index;
      for (const entry of this.#readFrame(frame)) {
        if (entry.index !== index || index >= high) continue;
        bytes += entrySizeBytes(entry);
        if (found.length > 0 && bytes > bytesMax) return found;
        found.push(entry);
        index++;
      }
      assert(index > before, () => `entry ${before} is not in the frame that is said to hold it`);
    }
    return found.length > 0 ? found : "unavailable";
  }

  /** Entries of a frame that no later one replaced. */
  #readFrame(reference: FrameReference): Entry[] {
    const segment = this.#segments.find(({ header }) => header.sequence === reference.sequence);
    assert(segment !== undefined, () => `no segment ${reference.sequence} for entry ${reference.firstIndex}`);
    const bytes = segment.file.read(reference.offset, reference.length);
    const frame = frameAt(bytes, 0, segment.header.salt, reference.offset);
    if (frame.kind !== "valid" || frame.previousChecksum !== reference.previousChecksum) {
      throw new LogError(
        "corrupt",
        `${segment.path}: the frame at byte ${reference.offset} was damaged since it was written`,
      );
    }
    const entries: Entry[] = [];
    for (const record of decodeRecords(payloadOf(bytes, frame))) {
      if (record.kind === "reset") entries.length = 0;
      if (record.kind !== "entry") continue;
      while ((entries.at(-1)?.index ?? 0) >= record.entry.index) entries.pop();
      entries.push(record.entry);
    }
    return entries.filter(({ index }) => index >= reference.firstIndex && index <= reference.lastIndex);
  }

  /** Entries up to `index` will hardly be asked for again: they need not be kept in memory. On disk they stay. */
  forget(index: number): void {
    this.#cache.forget(index);
  }

  /** Snapshots are the replica's; the log has none of its own. */
  snapshot(): undefined {
    return undefined;
  }

  /**
   * Gives files up whose entries are all at or below `index`. The caller has their effect on disk elsewhere. Some
   * entries at or below `index` stay, since files go whole. Resolves when the files are gone; those of a log that is
   * closed before their turn has come stay.
   */
  release(index: number): Promise<void> {
    let count = 0;
    while ((this.#segments[count + 1]?.header.previous.index ?? Number.POSITIVE_INFINITY) <= index) count++;
    if (count > 0) {
      const gone = this.#segments.splice(0, count);
      this.#index.dropTo((this.#segments[0] as OpenSegment).header.previous.index);
      // A second release must not overtake a first one: a gap between the files that a crash leaves is damage.
      const turn = mutated("log/releases-overtake") ? Promise.resolve() : this.#removing;
      this.#removing = turn.then(() => this.#remove(gone));
    }
    return this.#removing;
  }

  async #remove(segments: readonly OpenSegment[]): Promise<void> {
    for (const segment of segments) {
      await segment.file.close();
      if (this.#state === "closed") continue;
      this.#options.disk.remove(segment.path);
      // One by one, oldest first: two names that are not yet synced might go in either order, and leave a gap.
      await this.#options.disk.syncFolder(this.#options.folder);
    }
  }

  /** Waits for what was saved to be durable, unless the disk has no room for it, and ends. Twice is fine. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#pool.stopWaiting();
    await this.#writing;
    // Whoever gave the files up hears of a failure.
    await this.#removing.catch(() => undefined);
    await this.#pool.close();
    for (const segment of this.#segments) await segment.file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
