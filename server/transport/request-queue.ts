// The requests of a client-streaming or bidi call, as the async iterable that its handler reads, or pushed to a handler
// that knows how to take them. Messages that the handler has not asked for, or has no room for, wait here undecoded,
// within the stream's window and the receive budget: it sets the client's pace.
import type { GrpcStatus } from "./grpc-status.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { type CompressionQueue, encodingFault } from "./message-compression.ts";
import { type MessageSink, type PushSource, pushTo } from "./push-source.ts";

/** What the queue needs of its call. */
export interface RequestQueueHost {
  readonly receiveBudget: MemoryBudget;
  readonly messageBytesMax: number;
  readonly compression: CompressionQueue;
  /** `grpc-encoding` of the request. */
  readonly encoding: string;
  decode(bytes: Buffer, start: number, end: number): unknown;
  /** The handler has taken a message that was this long when it came in: the client may send as much again. */
  onTaken(messageBytes: number): void;
  /** Requests cannot be read any further; ends the call, which then fails the queue. */
  onFault(fault: GrpcStatus | { readonly undecodable: unknown }): void;
}

/** Somebody who takes the next message. */
interface Waiter {
  readonly resolve: (result: IteratorResult<unknown, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

interface Entry {
  readonly bytes: Buffer;
  readonly isCompressed: boolean;
}

/** What a waiting message costs beside its bytes, so that a flood of empty ones counts too. */
const entryOverheadBytes = 128;

export class RequestQueue implements AsyncIterableIterator<unknown>, PushSource<unknown> {
  readonly #host: RequestQueueHost;
  #entries: Entry[] = [];
  #heldBytes = 0;
  #waiters: Waiter[] = [];
  /** Takes messages as they come, as long as it has room. */
  #sink: MessageSink<unknown> | undefined = undefined;
  #hasSinkRoom = false;
  #isDecompressing = false;
  #isEnded = false;
  #failure: unknown = undefined;

  constructor(host: RequestQueueHost) {
    this.#host = host;
  }

  /** Nothing waits for the handler. */
  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Adds a message. False where there is no memory for it. */
  push(isCompressed: boolean, bytes: Buffer, start: number, end: number): boolean {
    if (this.#isEnded) return true;
    if (this.#isWanted && !isCompressed && this.#entries.length === 0 && !this.#isDecompressing) {
      this.#deliver(bytes, start, end, end - start);
      return true;
    }
    const cost = end - start + entryOverheadBytes;
    if (!this.#host.receiveBudget.take(cost)) return false;
    this.#heldBytes += cost;
    // A copy: waiting must not keep the whole read alive that the message came in.
    this.#entries.push({ bytes: Buffer.from(bytes.subarray(start, end)), isCompressed });
    this.#serve();
    return true;
  }

  /** The client sends no more. */
  end(): void {
    this.#isEnded = true;
    this.#serve();
  }

  /** The call is over: readers get `error`, or the end of the stream where there is none. */
  close(error: unknown): void {
    this.#isEnded = true;
    this.#failure = error;
    this.#entries = [];
    this.#host.receiveBudget.giveBack(this.#heldBytes);
    this.#heldBytes = 0;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (error === undefined) waiter.resolve({ done: true, value: undefined });
      else waiter.reject(error);
    }
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.end(error);
  }

  [pushTo](sink: MessageSink<unknown>): void {
    this.#sink = sink;
    this.#hasSinkRoom = true;
    sink.onReady = () => {
      this.#hasSinkRoom = true;
      this.#serve();
    };
    this.#serve();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#serve();
    });
  }

  /** The handler reads no further; what comes still is dropped, and not acknowledged. */
  return(): Promise<IteratorResult<unknown, undefined>> {
    this.close(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Whether somebody takes a message now. */
  get #isWanted(): boolean {
    return this.#sink === undefined ? this.#waiters.length > 0 : this.#hasSinkRoom;
  }

  #serve(): void {
    while (this.#isWanted && !this.#isDecompressing) {
      const entry = this.#entries.shift();
      if (entry === undefined) {
        if (this.#isEnded) this.close(this.#failure);
        return;
      }
      const cost = entry.bytes.length + entryOverheadBytes;
      this.#heldBytes -= cost;
      this.#host.receiveBudget.giveBack(cost);
      if (entry.isCompressed) this.#decompress(entry.bytes);
      else this.#deliver(entry.bytes, 0, entry.bytes.length, entry.bytes.length);
    }
  }

  /**
   * Gives a message to whoever {@link RequestQueue.#isWanted} saw. `receivedBytes` is what it took when it came in,
   * before decompression.
   */
  #deliver(bytes: Buffer, start: number, end: number, receivedBytes: number): void {
    let message: unknown;
    try {
      message = this.#host.decode(bytes, start, end);
    } catch (error) {
      this.#host.onFault({ undecodable: error });
      return;
    }
    this.#host.onTaken(receivedBytes);
    if (this.#sink === undefined) this.#waiters.shift()!.resolve({ done: false, value: message });
    else {
      // Before the sink is told, which may say that there is room again while it is at it.
      this.#hasSinkRoom = false;
      if (this.#sink.write(message)) this.#hasSinkRoom = true;
    }
  }

  #decompress(bytes: Buffer): void {
    const fault = encodingFault(this.#host.encoding);
    if (fault !== undefined) {
      this.#host.onFault(fault);
      return;
    }
    this.#isDecompressing = true;
    this.#host.compression.decompress(bytes, this.#host.messageBytesMax, (result) => {
      this.#isDecompressing = false;
      if (!Buffer.isBuffer(result)) {
        this.#host.onFault(result);
        return;
      }
      // The call may have ended meanwhile, which answered everybody who waited.
      if (!this.#isWanted) return;
      this.#deliver(result, 0, result.length, bytes.length);
      this.#serve();
    });
  }
}
