// One watch: where it stands, what it has buffered, and how it goes on after a broken stream, a slow reader or a
// compaction. The position is the only truth: everything up to `#next - 1` was delivered or is in the buffer, nothing
// from `#next` on was. Every resumption asks for exactly `#next`, so nothing is doubled, skipped or out of order.
import type { WatchCreateRequest } from "../proto/gen/etcdserverpb/rpc.ts";
import { WatchCreateRequest_FilterType } from "../proto/gen/etcdserverpb/rpc.ts";
import { type Event, Event_EventType } from "../proto/gen/mvccpb/kv.ts";
import { createDeferred, type Deferred, monotonicMs, onAbort, sleep } from "./abort.ts";
import type { Caller } from "./caller.ts";
import { type Codec, string } from "./codec.ts";
import { watchChannel } from "./diagnostics.ts";
import { type ClientError, CompactedError, InvalidArgumentError, WatchOverflowError } from "./errors.ts";
import type { Header } from "./key-value.ts";
import { copyOfKeys, isRange, type KeyOrRange, keyText, toWireRange } from "./keys.ts";
import type { Logger } from "./logger.ts";
import { kvMethods } from "./methods.ts";
import { type OpContext, rangeRequest } from "./op.ts";
import { backoffMs } from "./retry.ts";
import { type Page, pagesOf } from "./scan.ts";
import { abortError, closedError } from "./server-errors.ts";
import { type RawBatch, WatchBuffer } from "./watch-buffer.ts";
import { toWatchBatch, type WatchBatch } from "./watch-event.ts";
import type { MuxWatcher, WatchMux } from "./watch-mux.ts";
import { checkedBufferMax, needsState, type WatchOptions } from "./watch-options.ts";
import { byModRevision, putEvent, WatchState } from "./watch-state.ts";

/** What a watch needs of its client. */
export interface WatchHost {
  readonly caller: Caller;
  readonly mux: WatchMux;
  readonly context: OpContext;
  readonly logger: Logger;
  readonly onEnd: (watch: Watch<unknown>) => void;
}

const listBackoff = { firstMs: 50, maxMs: 1000 };

/**
 * A running watch, read with `for await`. It starts with the call that made it and ends with `close()`, `return` from the
 * loop, its `signal`, an error, or its client.
 *
 * It survives broken connections, member changes and restarts by asking again for exactly what it has not seen yet.
 *
 * @example
 * for await (const batch of client.watch({ prefix: "config/" }, { snapshot: true })) {
 *   for (const event of batch.events) {
 *     if (event.type === "put") console.log(event.key, "=", event.kv.value);
 *     if (event.type === "delete") console.log(event.key, "is gone");
 *   }
 * }
 */
export class Watch<T = string> implements AsyncIterableIterator<WatchBatch<T>>, AsyncDisposable {
  readonly #ready: Deferred<void> = createDeferred();
  readonly #host: WatchHost;
  readonly #keys: KeyOrRange;
  readonly #name: string;
  readonly #options: WatchOptions<T>;
  readonly #codec: Codec<T, never>;
  readonly #buffer: WatchBuffer;
  /** Undefined where no difference will ever have to be made: see `needsState`. */
  readonly #state: WatchState | undefined;
  readonly #ending = new AbortController();
  readonly #watcher: MuxWatcher;
  readonly #stopListening: () => void;
  /** First revision that is neither delivered nor buffered. 0: whatever comes next, not yet known. */
  #next = 0n;
  /** Events below it are taken into the state but not delivered: the reader asked for a later start. */
  #deliverFrom = 0n;
  /** A list of the range is being read; the watch is not attached meanwhile. */
  #isListing = false;
  #isPaused = false;
  /** Since when no member watches for it; undefined while one does. */
  #staleSinceMs: number | undefined = monotonicMs();
  #isRef: boolean;
  #failure: ClientError | undefined;
  #isEnded = false;
  #arrival: Deferred<void> | undefined;
  /** Reads one after the other, also when `next()` is called again before the last one came. */
  #reads: Promise<unknown> = Promise.resolve();
  #delivered = 0n;

  /** @internal */
  constructor(host: WatchHost, keys: KeyOrRange, options: WatchOptions<T>) {
    this.#host = host;
    this.#keys = copyOfKeys(keys);
    this.#options = options;
    this.#codec = options.codec ?? (string as Codec<unknown> as Codec<T, never>);
    const wire = toWireRange(keys, host.context.namespace);
    this.#name = keyText(wire.key) + (isRange(keys) ? "*" : "");
    this.#buffer = new WatchBuffer(checkedBufferMax(options.bufferMax));
    this.#state = needsState(options) ? new WatchState() : undefined;
    this.#isRef = options.ref ?? true;
    if (options.snapshot && options.startRevision !== undefined) {
      throw new InvalidArgumentError("watch: `snapshot` and `startRevision` exclude each other");
    }
    const { startRevision = 1n } = options;
    if (startRevision < 1n || startRevision >= 2n ** 63n) {
      throw new InvalidArgumentError(`startRevision: expected at least 1 and below 2^63, found ${startRevision}`);
    }
    this.#watcher = {
      createRequest: () => this.#createRequest(),
      onCreated: (revision) => this.#onCreated(revision),
      onInterrupted: () => this.#setLive(false),
      onEvents: (events, header) => this.#onEvents(events, header),
      onProgress: (header) => this.#onProgress(header),
      onCompacted: (compactRevision) => this.#onCompacted(compactRevision),
      onFailed: (error) => this.#end(error),
    };
    this.#stopListening = onAbort(options.signal, () => this.#end(abortError(options.signal!, "notApplied")));
    if (!this.#isEnded) this.#start();
  }

  /**
   * Resolves when a member has confirmed the watch for the first time: every change made after that is reported.
   * Rejects when the watch ends before. Whoever asks for it is taken to wait for it, which keeps the process alive.
   */
  get ready(): Promise<void> {
    return this.#host.caller.hold.during(this.#ready.promise);
  }

  /** Every event up to and including this revision has been handed to the reader. `0n` before the first batch. */
  get revision(): bigint {
    return this.#delivered;
  }

  /**
   * Milliseconds since the watch was last connected to a member that watches for it; 0 while it is. A member that has
   * fallen silent is noticed within the client's `liveness.deadAfter`.
   */
  staleForMs(): number {
    return this.#staleSinceMs === undefined ? 0 : monotonicMs() - this.#staleSinceMs;
  }

  /** True once no more will be received. What was received before may still be read. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Asks the member how far the watch has come. Where the watch has `progress`, the answer comes as such a batch. */
  requestProgress(): void {
    this.#host.mux.requestProgress();
  }

  /** Waiting for the next batch keeps the process alive (the default). */
  ref(): this {
    this.#isRef = true;
    return this;
  }

  /** Waiting for the next batch does not keep the process alive. */
  unref(): this {
    this.#isRef = false;
    return this;
  }

  /** The next batch; `done` once the watch was closed. Rejects once it has ended for another reason. */
  next(): Promise<IteratorResult<WatchBatch<T>, undefined>> {
    const read = this.#reads.then(() => this.#read());
    this.#reads = read.catch(() => undefined);
    return this.#isRef ? this.#host.caller.hold.during(read) : read;
  }

  /** Ends the watch; what is buffered is dropped. */
  async return(): Promise<IteratorResult<WatchBatch<T>, undefined>> {
    this.#end(undefined);
    return { done: true, value: undefined };
  }

  /** Ends the watch. Closing twice is fine. */
  async close(): Promise<void> {
    this.#end(undefined);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(undefined);
  }

  /** Where it stands, for `client.inspect()`. */
  inspect() {
    const state = this.#isListing ? "listing" : this.#isPaused ? "paused" : "watching";
    return {
      keys: this.#name,
      state: this.#isEnded ? "ended" : state,
      delivered: this.#delivered.toString(),
      received: (this.#next === 0n ? 0n : this.#next - 1n).toString(),
      buffered: this.#buffer.events,
      keysKnown: this.#state?.size ?? 0,
    } as const;
  }

  // --- start and resumption ---

  #start(): void {
    this.#publish("start");
    const { startRevision, snapshot = false } = this.#options;
    if (snapshot) this.#relist("snapshot");
    else if (startRevision !== undefined) {
      this.#next = startRevision;
      this.#deliverFrom = startRevision;
      if (this.#state === undefined) this.#host.mux.attach(this.#watcher);
      else this.#startAt(startRevision, this.#state);
    } else if (this.#state === undefined) this.#host.mux.attach(this.#watcher);
    else this.#startNow(this.#state);
  }

  /** From now on: the keys that exist now are the base, and the watch starts right after them. */
  #startNow(state: WatchState): void {
    this.#list({ keysOnly: true }, (kvs, revision) => {
      state.setBase(kvs);
      this.#next = revision + 1n;
      this.#host.mux.attach(this.#watcher);
    });
  }

  /** From a given revision: the base is what existed just before it. It is read beside the watch, not before it. */
  #startAt(startRevision: bigint, state: WatchState): void {
    if (startRevision === 1n) {
      state.setBase([]);
      this.#host.mux.attach(this.#watcher);
      return;
    }
    void this.#readBase(startRevision, state);
  }

  async #readBase(startRevision: bigint, state: WatchState): Promise<void> {
    const attached = (): void => this.#host.mux.attach(this.#watcher);
    // Attached at once unless the start lies in the future, which only the read can tell.
    if (startRevision <= this.#host.caller.guards.revision + 1n) attached();
    try {
      const { kvs } = await this.#listOnce({ keysOnly: true, revision: startRevision - 1n });
      state.setBase(kvs);
      attached();
    } catch (error) {
      if (this.#isEnded) return;
      const code = (error as ClientError).code;
      if (code === "FUTURE_REVISION") {
        // The base is what exists now, kept up to date by the events until the start, which are not delivered.
        this.#startNow(state);
      } else {
        // Without a base the watch works as well; only a resync will have to tell the whole state.
        attached();
      }
    }
  }

  #createRequest(): Omit<WatchCreateRequest, "watchId" | "fragment"> {
    const { only, previous = false } = this.#options;
    const filters: WatchCreateRequest["filters"] = [];
    // Puts can be left out by the server only where no state has to follow them.
    if (only === "put") filters.push(WatchCreateRequest_FilterType.NODELETE);
    if (only === "delete" && this.#state === undefined) filters.push(WatchCreateRequest_FilterType.NOPUT);
    return {
      ...toWireRange(this.#keys, this.#host.context.namespace),
      startRevision: this.#next,
      progressNotify: true,
      filters,
      prevKv: previous,
    };
  }

  #onCreated(revision: bigint): void {
    this.#setLive(true);
    if (this.#next === 0n) this.#next = revision + 1n;
    this.#ready.resolve();
    // A member that is behind where the watch stands catches up, or was wiped and never tells. Asking properly decides.
    if (revision < this.#next - 1n) void this.#checkMember();
  }

  /** A linearizable read passes the guard against a store that went back; a follower that lags passes it too. */
  async #checkMember(): Promise<void> {
    const request = rangeRequest(this.#keys, { limit: 1 }, { countOnly: true }, this.#host.context);
    try {
      await this.#host.caller.unary(
        kvMethods.range,
        request,
        { signal: this.#ending.signal },
        { isLinearizable: true },
      );
    } catch (error) {
      const { code } = error as ClientError;
      if (code === "REVISION_REGRESSED" || code === "CLUSTER_MISMATCH") this.#end(error as ClientError);
    }
  }

  #setLive(isLive: boolean): void {
    if (isLive) this.#staleSinceMs = undefined;
    else this.#staleSinceMs ??= monotonicMs();
  }

  // --- what the stream brings ---

  #onEvents(events: readonly Event[], header: Header): void {
    const fresh = events.filter((event) => event.kv !== undefined && event.kv.modRevision >= this.#next);
    const last = fresh.at(-1)?.kv?.modRevision;
    if (last === undefined) return;
    for (const event of fresh) this.#state?.apply(event);
    this.#next = last + 1n;
    this.#host.caller.guards.see(last);
    const wanted = fresh.filter((event) => event.kv!.modRevision >= this.#deliverFrom && this.#isWanted(event));
    if (wanted.length > 0) this.#push({ kind: "delta", revision: last, events: wanted, isWhole: false, header });
  }

  #isWanted(event: Event): boolean {
    const { only } = this.#options;
    return only === undefined || (only === "delete") === (event.type === Event_EventType.DELETE);
  }

  #onProgress(header: Header): void {
    const { revision } = header;
    if (this.#next === 0n || revision < this.#next) {
      // Nothing new about the position, but whoever asked for progress gets an answer.
      if (this.#next === 0n || revision !== this.#next - 1n) return;
    } else {
      this.#next = revision + 1n;
    }
    if (this.#options.progress && revision >= this.#deliverFrom) {
      this.#push({ kind: "progress", revision, events: [], isWhole: false, header });
    }
  }

  #onCompacted(compactRevision: bigint): void {
    this.#setLive(false);
    if (this.#options.resync === "error") {
      const text = `the events from revision ${this.#next} on have been compacted, up to ${compactRevision}`;
      this.#end(new CompactedError(text, compactRevision));
      return;
    }
    this.#host.logger.warn({ keys: this.#name, compactRevision, next: this.#next }, "watch fell behind, reading anew");
    this.#relist("resync");
  }

  // --- reading the range ---

  /** Reads the whole range and goes on from there. */
  #relist(kind: "snapshot" | "resync"): void {
    const state = this.#state;
    const keysOnly = kind === "resync" && this.#options.only === "delete";
    this.#list({ keysOnly }, (kvs, revision) => {
      const isWhole = kind === "snapshot" || (state !== undefined && !state.isBaseKnown);
      const events = kind === "snapshot" ? [...kvs].sort(byModRevision).map(putEvent) : this.#difference(kvs, revision);
      if (kind === "snapshot") state?.setBase(kvs);
      this.#next = revision + 1n;
      if (kind === "resync") this.#publish("resync");
      const wanted = events.filter((event) => this.#isWanted(event));
      this.#push({ kind, revision, events: wanted, isWhole, header: undefined });
      if (!this.#isPaused) this.#host.mux.attach(this.#watcher);
    });
  }

  /** The events that lead from where the watch stands to `kvs`, the range at `revision`. */
  #difference(kvs: Page["kvs"], revision: bigint): readonly Event[] {
    // For puts alone no state is kept: what changed since the position is what has a higher revision.
    return (
      this.#state?.advance(kvs, revision) ??
      kvs
        .filter((kv) => kv.modRevision >= this.#next)
        .sort(byModRevision)
        .map(putEvent)
    );
  }

  /** Lists the range, again and again until it works or the watch ends, and hands the result over. */
  #list(options: { keysOnly: boolean }, onListed: (kvs: Page["kvs"], revision: bigint) => void): void {
    this.#isListing = true;
    void (async () => {
      for (let attempt = 1; !this.#isEnded; attempt++) {
        try {
          const { kvs, revision } = await this.#listOnce(options);
          if (this.#isEnded) return;
          this.#isListing = false;
          onListed(kvs, revision);
          return;
        } catch (error) {
          const { retryable, code } = error as ClientError;
          // Compacted in the middle of a long listing: the next one starts at a newer revision.
          const mayWork = retryable || code === "COMPACTED";
          if (!mayWork) this.#end(error as ClientError);
          else await sleep(backoffMs(listBackoff, attempt), this.#ending.signal);
        }
      }
    })();
  }

  async #listOnce(options: { keysOnly: boolean; revision?: bigint }): Promise<{ kvs: Page["kvs"]; revision: bigint }> {
    const kvs: Page["kvs"][number][] = [];
    let revision = 0n;
    const signal = this.#ending.signal;
    for await (const page of pagesOf(this.#host.caller, this.#keys, this.#host.context, { ...options, signal })) {
      for (const kv of page.kvs) kvs.push(kv);
      revision = page.revision;
    }
    return { kvs, revision };
  }

  // --- the buffer and its reader ---

  #push(batch: RawBatch): void {
    this.#buffer.push(batch);
    if (this.#buffer.isFull && this.#options.overflow === "latest") this.#buffer.coalesce();
    if (this.#buffer.isFull) this.#onFull();
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }

  #onFull(): void {
    if (this.#options.overflow === "error") {
      this.#end(new WatchOverflowError(`the reader is ${this.#buffer.events} events behind`));
      return;
    }
    // The server keeps the history; asking again later costs less than buffering without bound.
    this.#isPaused = true;
    this.#setLive(false);
    this.#host.mux.detach(this.#watcher);
    this.#publish("pause");
  }

  async #read(): Promise<IteratorResult<WatchBatch<T>, undefined>> {
    for (;;) {
      // What was received before a failure is still delivered; a close drops it.
      const batch = this.#isEnded && this.#failure === undefined ? undefined : this.#buffer.shift();
      if (batch !== undefined) {
        if (this.#isPaused && this.#buffer.isLow) this.#resume();
        const decoded = await toWatchBatch(batch, this.#codec, this.#host.context.namespace.length);
        this.#delivered = batch.revision;
        return { done: false, value: decoded };
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isEnded) return { done: true, value: undefined };
      this.#arrival ??= createDeferred<void>();
      await this.#arrival.promise;
    }
  }

  #resume(): void {
    this.#isPaused = false;
    this.#publish("resume");
    if (!this.#isListing && !this.#isEnded) this.#host.mux.attach(this.#watcher);
  }

  #end(failure: ClientError | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#failure = failure;
    this.#setLive(false);
    this.#ending.abort();
    this.#stopListening?.();
    this.#host.mux.detach(this.#watcher);
    this.#host.onEnd(this as Watch<unknown>);
    this.#ready.reject(failure ?? closedError("the watch"));
    this.#publish("end");
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }

  /** @internal Ends it because its client closes. */
  endWith(failure: ClientError | undefined): void {
    this.#end(failure);
  }

  #publish(event: "start" | "resume" | "pause" | "resync" | "end"): void {
    if (watchChannel.hasSubscribers) {
      watchChannel.publish({ event, key: this.#name, revision: this.#next === 0n ? 0n : this.#next - 1n });
    }
  }
}
