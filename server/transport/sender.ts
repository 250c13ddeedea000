// The sending half of a connection: its output, the client's connection window, and the streams that wait for either.
// Waiting streams take turns of one frame, so that a large response does not hold up small ones.
import { HpackEncoder } from "./hpack-encoder.ts";
import { windowBytesDefault, windowBytesLimit } from "./http2-constants.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { OutputBuffer, type SlabPool } from "./output-buffer.ts";

/** A stream with DATA that could not be sent at once. */
export interface WaitingStream {
  /** Sends at most one frame. True where the stream waits for the connection's turn again. */
  sendTurn(): boolean;
}

export class Sender {
  readonly output: OutputBuffer;
  readonly encoder: HpackEncoder;
  /** Bytes of DATA that wait in streams. */
  readonly budget: MemoryBudget;
  /** What the client's connection window has room for. */
  window = windowBytesDefault;
  /** The socket holds too much already: nothing more is sent until it drains. */
  isBacklogged = false;
  /** HEADERS or DATA went out since this was last cleared. */
  hasSent = false;
  dataFramesSent = 0;
  /** The time at the latest sweep, about a second old at most: enough to see that something stalls. */
  coarseNowMs: number;
  readonly #backlogBytesMax: number;
  readonly #requestFlush: () => void;
  #isFlushRequested = false;
  /** First in, first out; the consumed part before #next is cut off from time to time. */
  #queue: WaitingStream[] = [];
  #next = 0;
  #isPumping = false;

  constructor(options: {
    readonly slabs: SlabPool;
    readonly budget: MemoryBudget;
    readonly backlogBytesMax: number;
    /** Asks for {@link Sender.onFlush} at the end of the turn. */
    readonly requestFlush: () => void;
    readonly nowMs: number;
  }) {
    this.output = new OutputBuffer(options.slabs);
    this.encoder = new HpackEncoder(this.output);
    this.budget = options.budget;
    this.#backlogBytesMax = options.backlogBytesMax;
    this.#requestFlush = options.requestFlush;
    this.coarseNowMs = options.nowMs;
  }

  get hasWaiting(): boolean {
    return this.#next < this.#queue.length;
  }

  /** Whether DATA of `bytes` bytes may be written now, as far as the connection is concerned. */
  hasRoom(bytes: number): boolean {
    return bytes <= this.window && !this.isBacklogged && this.output.waitingBytes < this.#backlogBytesMax;
  }

  /** To be called after anything was written to {@link output}. */
  touch(): void {
    if (this.#isFlushRequested) return;
    this.#isFlushRequested = true;
    this.#requestFlush();
  }

  /** The output was handed to the socket. */
  onFlush(isBacklogged: boolean): void {
    this.#isFlushRequested = false;
    this.isBacklogged = isBacklogged;
    this.pump();
  }

  /** A WINDOW_UPDATE for the connection. False where the window would exceed 2^31-1. */
  onWindowUpdate(increment: number): boolean {
    if (this.window + increment > windowBytesLimit) return false;
    this.window += increment;
    this.pump();
    return true;
  }

  enqueue(stream: WaitingStream): void {
    this.#queue.push(stream);
  }

  /** Lets waiting streams send as long as there is room. */
  pump(): void {
    // A stream that is drained may have its owner send more at once; the loop below will come to it.
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#next < this.#queue.length && this.hasRoom(1)) {
      const stream = this.#queue[this.#next++]!;
      if (stream.sendTurn()) this.#queue.push(stream);
      if (this.#next === this.#queue.length) this.#cutQueue();
      else if (this.#next >= 64 && this.#next * 2 >= this.#queue.length) this.#cutQueue();
    }
    this.#isPumping = false;
  }

  #cutQueue(): void {
    this.#queue = this.#next === this.#queue.length ? [] : this.#queue.slice(this.#next);
    this.#next = 0;
  }
}
