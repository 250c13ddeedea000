// Who hears of which changes. New batches go straight to the watchers that have everything before; all others read
// history by revision until they have caught up. A watcher whose history was compacted away is cancelled with the
// compact revision, never moved past the gap.
import { assert } from "../lib/assert.ts";
import type { ByteString } from "../lib/byte-string.ts";
import { IntervalTree } from "../lib/interval-tree.ts";
import { isEmptyRange, type KeyRange, rangeIncludes } from "../state/key-range.ts";
import type { Event, EventBatch } from "../state/mvcc/events.ts";
import { mutated } from "./mutations.ts";
import { Watcher, type WatcherOptions, type WatchLimits, WatchStream, watchLimitsDefault } from "./watch-stream.ts";
import { WatchedBatch, type WatchSource } from "./watched-batch.ts";

export interface WatchCreate extends WatcherOptions {
  /** First revision to report; 0 for the next one. */
  readonly startRevision: number;
  /** 0 lets the hub choose. */
  readonly watchId: bigint;
}

export interface WatchCounts {
  readonly streams: number;
  readonly watchers: number;
  /** Watchers that are behind, for whatever reason. */
  readonly slowWatchers: number;
}

/** Texts that etcd gives as reason for not making a watcher. */
const emptyRangeReason = "mvcc: watcher range is empty";
const duplicateIdReason = "mvcc: duplicate watch ID provided on the WatchStream";
const negativeRevisionReason = "etcdserver: mvcc: required revision has been compacted";

/** Positions in a batch of one event. One array for all, so that its events are encoded and joined once. */
const firstOnly: readonly number[] = [0];

export class WatchHub {
  readonly #source: WatchSource;
  readonly #onWork: () => void;
  readonly #limits: WatchLimits;
  readonly #streams = new Set<WatchStream>();
  readonly #byKey = new Map<ByteString, Set<Watcher>>();
  readonly #byInterval = new IntervalTree<Set<Watcher>>();
  readonly #unsynced = new Set<Watcher>();
  #isSuspended = false;
  #watcherCount = 0;
  #blockedCount = 0;
  /** Last revision whose batch was handed over. */
  #notifiedRevision: number;

  /** @param onWork Called when {@link WatchHub.catchUp} has something to do and had nothing before. */
  constructor(source: WatchSource, onWork: () => void, limits: WatchLimits = watchLimitsDefault) {
    this.#source = source;
    this.#onWork = onWork;
    this.#limits = limits;
    this.#notifiedRevision = source.currentRevision;
  }

  get counts(): WatchCounts {
    return {
      streams: this.#streams.size,
      watchers: this.#watcherCount,
      slowWatchers: this.#unsynced.size + this.#blockedCount,
    };
  }

  openStream(onReadable: () => void): WatchStream {
    const stream = new WatchStream(onReadable, (freed) => this.#unblock(freed), this.#limits);
    this.#streams.add(stream);
    return stream;
  }

  closeStream(stream: WatchStream): void {
    for (const watcher of [...stream.watchers.values()]) this.#drop(watcher);
    this.#streams.delete(stream);
    stream.close();
  }

  /** Makes a watcher, or says on the stream why not. */
  create(stream: WatchStream, request: WatchCreate): void {
    const refusal = this.#refusalOf(stream, request);
    if (refusal !== undefined) {
      const revision = this.#notifiedRevision;
      stream.push({ kind: "canceled", watchId: -1n, isCreation: true, revision, reason: refusal, compactRevision: 0 });
      return;
    }
    const watchId = request.watchId === 0n ? stream.nextFreeId() : request.watchId;
    const nextRevision = request.startRevision === 0 ? this.#notifiedRevision + 1 : request.startRevision;
    const isBehind = nextRevision <= this.#notifiedRevision;
    const watcher = new Watcher(watchId, request, stream, nextRevision, isBehind ? "unsynced" : "synced");
    stream.watchers.set(watchId, watcher);
    this.#watcherCount++;
    stream.push({ kind: "created", watchId, revision: this.#notifiedRevision });
    if (isBehind) this.#addUnsynced(watcher);
    else this.#addSynced(watcher);
  }

  #refusalOf(stream: WatchStream, request: WatchCreate): string | undefined {
    if (isEmptyRange(request.range)) return emptyRangeReason;
    if (request.watchId !== 0n && stream.watchers.has(request.watchId)) return duplicateIdReason;
    if (request.startRevision < 0) return negativeRevisionReason;
    return undefined;
  }

  /** Ends a watcher at its client's wish. An unknown id is passed over in silence, as etcd does. */
  cancel(stream: WatchStream, watchId: bigint): void {
    const watcher = stream.watchers.get(watchId);
    if (watcher === undefined) return;
    this.#drop(watcher);
    const revision = this.#notifiedRevision;
    stream.push({ kind: "canceled", watchId, isCreation: false, revision, reason: "", compactRevision: 0 });
  }

  /**
   * Answers a client that asks how far its stream is; says nothing unless there are watchers and every one of them is
   * up to date. One that compaction ended stands in the way until the client cancels it, as in etcd.
   */
  requestProgress(stream: WatchStream): void {
    const revision = this.#notifiedRevision;
    if (stream.watchers.size === 0) return;
    for (const watcher of stream.watchers.values()) {
      if (mutated("watch/progress-ahead")) break;
      if (watcher.state !== "synced" || watcher.nextRevision > revision + 1) return;
    }
    stream.push({ kind: "progress", watchId: -1n, revision });
  }

  /** The regular notice to watchers that asked for one and got nothing since the last. */
  notifyProgress(stream: WatchStream): void {
    const revision = this.#notifiedRevision;
    for (const watcher of stream.watchers.values()) {
      const wasQuiet = !watcher.hasSentEvents;
      watcher.hasSentEvents = false;
      if (!watcher.options.wantsProgress || !wasQuiet || watcher.state !== "synced") continue;
      if (watcher.nextRevision <= revision + 1) stream.push({ kind: "progress", watchId: watcher.id, revision });
    }
  }

  /** Hands a new batch to everybody who is up to date. Called once for every revision, in order. */
  notify(batch: EventBatch): void {
    assert(
      batch.revision === this.#notifiedRevision + 1,
      () => `watchers were told ${this.#notifiedRevision}, then ${batch.revision}`,
    );
    this.#notifiedRevision = batch.revision;
    if (this.#byKey.size === 0 && this.#byInterval.size === 0) return;
    const watched = new WatchedBatch(this.#source, batch);
    const refused: Watcher[] = [];
    const offer = (watcher: Watcher, eventIndexes: readonly number[]): void => {
      if (watcher.nextRevision > batch.revision && !mutated("watch/future-ignored")) return;
      if (watcher.stream.offer(watcher, watched, eventIndexes, batch.revision)) {
        watcher.nextRevision = batch.revision + 1;
      } else if (mutated("watch/full-queue-drops")) watcher.nextRevision = batch.revision + 1;
      else refused.push(watcher);
    };
    // A watcher has one range, so a single event finds it once.
    if (batch.events.length === 1)
      this.#visitConcerned(batch.events[0] as Event, (watcher) => offer(watcher, firstOnly));
    else for (const [watcher, eventIndexes] of this.#concernedBy(batch)) offer(watcher, eventIndexes);
    for (const watcher of refused) {
      this.#removeSynced(watcher);
      watcher.nextRevision = batch.revision;
      this.#block(watcher);
    }
  }

  /** Watchers that hear of any of these events, with the positions of those they hear of. */
  #concernedBy(batch: EventBatch): Map<Watcher, number[]> {
    const concerned = new Map<Watcher, number[]>();
    for (const [index, event] of batch.events.entries()) {
      this.#visitConcerned(event, (watcher) => {
        const indexes = concerned.get(watcher);
        if (indexes === undefined) concerned.set(watcher, [index]);
        else indexes.push(index);
      });
    }
    return concerned;
  }

  /** Calls `visit` with every watcher that hears of the event. It must not add or remove any. */
  #visitConcerned(event: Event, visit: (watcher: Watcher) => void): void {
    const isPut = event.kind === "put";
    const visitAll = (watchers: Set<Watcher>): void => {
      for (const watcher of watchers) {
        if (isPut ? watcher.options.wantsPuts : watcher.options.wantsDeletes) visit(watcher);
      }
    };
    const exact = this.#byKey.get(event.key);
    if (exact !== undefined) visitAll(exact);
    if (this.#byInterval.size > 0) this.#byInterval.visitContaining(event.key, visitAll);
  }

  /** The store is about to be replaced; history is not to be read until {@link WatchHub.resume}. */
  suspend(): void {
    this.#isSuspended = true;
  }

  /**
   * The store was replaced by a later state of the same history, or kept. Nobody was told of what lies between; all
   * watchers read it up now, and those for whom it is compacted are cancelled.
   */
  resume(): void {
    this.#isSuspended = false;
    const told = this.#notifiedRevision;
    this.#notifiedRevision = this.#source.currentRevision;
    if (told === this.#notifiedRevision) return;
    for (const stream of this.#streams) {
      for (const watcher of stream.watchers.values()) {
        if (watcher.state !== "synced") continue;
        watcher.nextRevision = Math.max(watcher.nextRevision, told + 1);
        if (mutated("watch/snapshot-skips")) watcher.nextRevision = this.#notifiedRevision + 1;
        if (mutated("watch/snapshot-repeats")) watcher.nextRevision = Math.max(1, told - 5);
        if (watcher.nextRevision > this.#notifiedRevision) continue;
        this.#removeSynced(watcher);
        watcher.state = "unsynced";
        this.#addUnsynced(watcher);
      }
    }
    if (this.#unsynced.size > 0) this.#onWork();
  }

  /** Lets watchers that are behind read a piece of history. Returns whether more is left to do. */
  catchUp(): boolean {
    if (this.#isSuspended) return false;
    this.#cancelCompacted();
    let from = Number.POSITIVE_INFINITY;
    for (const watcher of this.#unsynced) from = Math.min(from, watcher.nextRevision);
    if (from === Number.POSITIVE_INFINITY) return false;
    const { catchUpRevisionsMax, catchUpBytesMax } = this.#limits;
    const batches = this.#source
      .readEvents(from, catchUpRevisionsMax, catchUpBytesMax)
      .map((batch) => new WatchedBatch(this.#source, batch));
    // Compaction may have removed whole revisions; having read to the end means having seen all there is.
    const last = batches.at(-1);
    const isAtEnd = last === undefined || last.revision >= this.#notifiedRevision;
    const readTo = isAtEnd ? this.#notifiedRevision : last.revision;
    for (const watcher of this.#unsynced) if (watcher.nextRevision <= readTo) this.#replay(watcher, batches, readTo);
    return this.#unsynced.size > 0;
  }

  #replay(watcher: Watcher, batches: readonly WatchedBatch[], readTo: number): void {
    for (const batch of batches) {
      if (batch.revision < watcher.nextRevision) continue;
      const indexes = matchingEvents(watcher, batch);
      if (indexes.length > 0 && !watcher.stream.offer(watcher, batch, indexes, this.#notifiedRevision)) {
        this.#unsynced.delete(watcher);
        watcher.nextRevision = batch.revision;
        this.#block(watcher);
        return;
      }
      watcher.nextRevision = batch.revision + 1;
    }
    watcher.nextRevision = readTo + 1;
    if (readTo < this.#notifiedRevision) return;
    this.#unsynced.delete(watcher);
    watcher.state = "synced";
    this.#addSynced(watcher);
  }

  /** Ends the watchers whose next revision is no longer complete. */
  #cancelCompacted(): void {
    const compactRevision = this.#source.compactRevision;
    for (const watcher of this.#unsynced) {
      if (watcher.nextRevision >= compactRevision) continue;
      if (mutated("watch/compaction-skips")) {
        watcher.nextRevision = compactRevision;
        continue;
      }
      const { id: watchId, stream } = watcher;
      this.#unsynced.delete(watcher);
      watcher.state = "compacted";
      stream.push({ kind: "canceled", watchId, isCreation: false, revision: 0, reason: "", compactRevision });
    }
  }

  /** Ends everybody who still has to read history, because it cannot be read. */
  cancelUnsynced(reason: string): void {
    for (const watcher of [...this.#unsynced]) {
      const { id: watchId, stream } = watcher;
      this.#drop(watcher);
      const revision = this.#notifiedRevision;
      stream.push({ kind: "canceled", watchId, isCreation: false, revision, reason, compactRevision: 0 });
    }
  }

  #block(watcher: Watcher): void {
    watcher.state = "blocked";
    this.#blockedCount++;
  }

  #unblock(stream: WatchStream): void {
    for (const watcher of stream.watchers.values()) {
      if (watcher.state !== "blocked") continue;
      this.#blockedCount--;
      watcher.state = "unsynced";
      this.#addUnsynced(watcher);
    }
  }

  #addUnsynced(watcher: Watcher): void {
    const hadWork = this.#unsynced.size > 0;
    this.#unsynced.add(watcher);
    if (!hadWork) this.#onWork();
  }

  #addSynced(watcher: Watcher): void {
    const { range } = watcher.options;
    const existing = this.#watchersOf(range);
    if (existing !== undefined) {
      existing.add(watcher);
      return;
    }
    const watchers = new Set([watcher]);
    if (range.kind === "key") this.#byKey.set(range.key, watchers);
    else this.#byInterval.insert(range.from, range.to, watchers);
  }

  #removeSynced(watcher: Watcher): void {
    const { range } = watcher.options;
    const watchers = this.#watchersOf(range);
    if (watchers === undefined) return;
    watchers.delete(watcher);
    if (watchers.size > 0) return;
    if (range.kind === "key") this.#byKey.delete(range.key);
    else this.#byInterval.delete(range.from, range.to);
  }

  #watchersOf(range: KeyRange): Set<Watcher> | undefined {
    return range.kind === "key" ? this.#byKey.get(range.key) : this.#byInterval.get(range.from, range.to);
  }

  #drop(watcher: Watcher): void {
    if (watcher.state === "synced") this.#removeSynced(watcher);
    else if (watcher.state === "unsynced") this.#unsynced.delete(watcher);
    else if (watcher.state === "blocked") this.#blockedCount--;
    watcher.state = "closed";
    watcher.stream.forget(watcher);
    this.#watcherCount--;
  }
}

function matchingEvents(watcher: Watcher, batch: WatchedBatch): number[] {
  const { range, wantsPuts, wantsDeletes } = watcher.options;
  const indexes: number[] = [];
  for (const [index, event] of batch.events.entries()) {
    if ((event.kind === "put" ? wantsPuts : wantsDeletes) && rangeIncludes(range, event.key)) indexes.push(index);
  }
  return indexes;
}
