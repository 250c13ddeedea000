// One client's stream of watchers: the messages that wait to be sent to it, in order, within a limit.
//
// Events do not wait without bound for a slow client. When the queue is full, a watcher stops being offered new ones
// and reads them from history later; nothing is kept for it meanwhile but its revision.
import { assert } from "../lib/assert.ts";
import type { KeyRange } from "../state/key-range.ts";
import { mutated } from "./mutations.ts";
import type { EncodedEvents, WatchedBatch } from "./watched-batch.ts";

export interface WatchLimits {
  /** Bytes of events that may wait on one stream. A single revision may exceed it, since it is not divided. */
  readonly queueBytesMax: number;
  /** Messages other than events that may wait on one stream before its client's requests are left unread. */
  readonly queueMessagesMax: number;
  /** Consecutive revisions for one watcher are joined into one message up to this size. */
  readonly joinBytesMax: number;
  /** Revisions and bytes that are read from history at a time. */
  readonly catchUpRevisionsMax: number;
  readonly catchUpBytesMax: number;
}

export const watchLimitsDefault: WatchLimits = {
  queueBytesMax: 4 * 1024 * 1024,
  queueMessagesMax: 10_000,
  joinBytesMax: 256 * 1024,
  catchUpRevisionsMax: 1000,
  catchUpBytesMax: 1024 * 1024,
};

export type WatchMessage =
  | { readonly kind: "created"; readonly watchId: bigint; readonly revision: number }
  /** The watcher was never made, or is over. `watchId` is -1 when it was never made. */
  | {
      readonly kind: "canceled";
      readonly watchId: bigint;
      readonly isCreation: boolean;
      readonly revision: number;
      readonly reason: string;
      readonly compactRevision: number;
    }
  /** Nothing up to `revision` is outstanding, for one watcher or, with id -1, for all of the stream. */
  | { readonly kind: "progress"; readonly watchId: bigint; readonly revision: number }
  | EventsMessage;

export interface EventsMessage {
  readonly kind: "events";
  readonly watchId: bigint;
  /** Revision of the store when the newest of these events was handed over. */
  readonly revision: number;
  /** mvccpb.Event each, in wire form. Whole revisions, ascending. */
  readonly events: readonly Uint8Array[];
  /** Sum of the events' lengths. */
  readonly bytes: number;
  readonly allowsFragments: boolean;
}

export interface WatcherOptions {
  readonly range: KeyRange;
  readonly wantsPuts: boolean;
  readonly wantsDeletes: boolean;
  readonly wantsPrevious: boolean;
  /** Responses may be split inside a revision when they get large. */
  readonly allowsFragments: boolean;
  /** Wants to hear how far it is when nothing happens. */
  readonly wantsProgress: boolean;
}

/**
 * - `synced`: has everything up to the current revision, and gets new batches as they come.
 * - `unsynced`: reads history until it has caught up.
 * - `blocked`: its stream has no room; it goes on reading history when there is some again.
 * - `compacted`: what it needs next is gone. It was told so, and hears no more; its id stays taken until it is cancelled.
 * - `closed`: cancelled.
 */
export type WatcherState = "synced" | "unsynced" | "blocked" | "compacted" | "closed";

/**
 * One watcher: what it wants, and how far it is. `nextRevision` is the only truth about its progress: everything
 * before it was handed over or did not concern it, everything from it on was not.
 */
export class Watcher {
  readonly id: bigint;
  readonly options: WatcherOptions;
  readonly stream: WatchStream;
  state: WatcherState;
  nextRevision: number;
  /** Whether anything was sent since the last regular progress notice. */
  hasSentEvents = false;
  /** The message in its stream's queue that its next events may still be joined to. */
  open: QueuedEvents | undefined = undefined;

  constructor(id: bigint, options: WatcherOptions, stream: WatchStream, nextRevision: number, state: WatcherState) {
    this.id = id;
    this.options = options;
    this.stream = stream;
    this.nextRevision = nextRevision;
    this.state = state;
  }
}

/** Events that wait in a stream's queue. */
class QueuedEvents implements EventsMessage {
  readonly kind = "events";
  readonly watcher: Watcher;
  revision: number;
  bytes: number;
  /** Shared with other watchers until something is joined. */
  readonly #shared: readonly Uint8Array[];
  #own: Uint8Array[] | undefined = undefined;

  constructor(watcher: Watcher, { events, bytes }: EncodedEvents, revision: number) {
    this.watcher = watcher;
    this.revision = revision;
    this.bytes = bytes;
    this.#shared = events;
  }

  get watchId(): bigint {
    return this.watcher.id;
  }

  get allowsFragments(): boolean {
    return this.watcher.options.allowsFragments;
  }

  get events(): readonly Uint8Array[] {
    return this.#own ?? this.#shared;
  }

  join({ events, bytes }: EncodedEvents, revision: number): void {
    this.#own ??= [...this.#shared];
    for (const event of events) this.#own.push(event);
    this.bytes += bytes;
    this.revision = revision;
  }
}

type QueuedMessage = Exclude<WatchMessage, EventsMessage> | QueuedEvents;

/** A queue that had more places than this gives them back once it is empty. */
const queuePlacesKept = 1024;

export class WatchStream {
  readonly watchers = new Map<bigint, Watcher>();
  readonly #onReadable: () => void;
  readonly #onRoom: (stream: WatchStream) => void;
  readonly #limits: WatchLimits;
  /** What waits stands from #head to before #tail. */
  #queue: (QueuedMessage | undefined)[] = [];
  #head = 0;
  #tail = 0;
  #queuedBytes = 0;
  /** Messages in the queue that are not events. */
  #queuedControls = 0;
  #nextId = 0n;
  #isRoomAwaited = false;
  #isClosed = false;

  /**
   * @param onReadable Called when a message waits and none did before.
   * @param onRoom Called when the queue was full, and is no more.
   */
  constructor(onReadable: () => void, onRoom: (stream: WatchStream) => void, limits: WatchLimits = watchLimitsDefault) {
    this.#onReadable = onReadable;
    this.#onRoom = onRoom;
    this.#limits = limits;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The client sends requests and does not read the answers; no more should be read of it until it does. */
  get isOverrun(): boolean {
    return this.#queuedControls > this.#limits.queueMessagesMax;
  }

  /** An id for a watcher whose client left the choice to us. Never one that was given before. */
  nextFreeId(): bigint {
    while (this.watchers.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  /** Adds a message other than events. These are always taken. */
  push(message: Exclude<WatchMessage, EventsMessage>): void {
    if (!this.#isClosed) this.#queuedControls++;
    this.#add(message);
  }

  /**
   * Offers the events of one revision to a watcher of this stream. False when there is no room; the watcher then has
   * nothing of this revision.
   * @param headerRevision Revision of the store now.
   */
  offer(watcher: Watcher, batch: WatchedBatch, eventIndexes: readonly number[], headerRevision: number): boolean {
    if (this.#queuedBytes >= this.#limits.queueBytesMax) {
      this.#isRoomAwaited = true;
      return false;
    }
    // All of them before any is queued: one that cannot be read must not leave half a revision behind.
    const encoded = batch.encode(eventIndexes, watcher.options.wantsPrevious);
    if (mutated("watch/revision-split")) {
      for (const event of encoded.events) this.#join(watcher, { events: [event], bytes: event.length }, headerRevision);
    } else this.#join(watcher, encoded, headerRevision);
    watcher.hasSentEvents = true;
    return true;
  }

  #join(watcher: Watcher, encoded: EncodedEvents, revision: number): void {
    this.#queuedBytes += encoded.bytes;
    if (watcher.open !== undefined && watcher.open.bytes < this.#limits.joinBytesMax) {
      watcher.open.join(encoded, revision);
      return;
    }
    watcher.open = new QueuedEvents(watcher, encoded, revision);
    this.#add(watcher.open);
  }

  /** The next message to send, which is then the caller's. */
  take(): WatchMessage | undefined {
    const message = this.#queue[this.#head];
    if (message === undefined) return undefined;
    this.#queue[this.#head++] = undefined;
    if (this.#head === this.#tail) {
      this.#head = 0;
      this.#tail = 0;
      if (this.#queue.length > queuePlacesKept) this.#queue = [];
    } else if (this.#head > queuePlacesKept) {
      // A queue that never runs empty must not grow with all that ever went through it.
      this.#queue = this.#queue.slice(this.#head, this.#tail);
      this.#tail -= this.#head;
      this.#head = 0;
    }
    if (message.kind === "events") this.#release(message);
    else this.#queuedControls--;
    return message;
  }

  #release(message: QueuedEvents): void {
    const { watcher } = message;
    if (watcher.open === message) watcher.open = undefined;
    this.#queuedBytes -= message.bytes;
    assert(this.#queuedBytes >= 0, "a watch stream gave out more than it took");
    // Half empty, so that a slow reader causes few large reads of history instead of many small ones.
    if (!this.#isRoomAwaited || this.#queuedBytes > this.#limits.queueBytesMax / 2) return;
    this.#isRoomAwaited = false;
    this.#onRoom(this);
  }

  #add(message: QueuedMessage): void {
    if (this.#isClosed) return;
    this.#queue[this.#tail++] = message;
    if (this.#tail === this.#head + 1) this.#onReadable();
  }

  /** A watcher ended: events already queued for it are still sent, but nothing is joined to them. */
  forget(watcher: Watcher): void {
    this.watchers.delete(watcher.id);
    watcher.open = undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.#queue = [];
    this.#head = 0;
    this.#tail = 0;
    this.#queuedBytes = 0;
    this.#queuedControls = 0;
    this.watchers.clear();
  }
}
