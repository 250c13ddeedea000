// The streams of one connection: those that are open, those whose handlers outlive them, and what is remembered of the
// closed ones. Every way in which a stream can end goes through here.
import { ClosedStreams, type Ending } from "./closed-streams.ts";
import { writeRstStream, writeWindowUpdate } from "./frame-writer.ts";
import { type AbortCause, H2Stream, type StreamHost } from "./h2-stream.ts";
import { type ErrorCode, errorCode } from "./http2-constants.ts";
import type { Sender } from "./sender.ts";

export class StreamTable implements StreamHost {
  readonly sender: Sender;
  /** The highest stream id that the client has used. */
  lastId = 0;
  /** Streams that were opened, ever. */
  openedCount = 0;
  /** Goes up by one about once a second. */
  sweepCount = 0;
  readonly #streamsMax: number;
  readonly #onIdle: () => void;
  readonly #open = new Map<number, H2Stream>();
  readonly #closed = new ClosedStreams();
  /** Handlers at work for streams that are closed: they count as streams until they finish. */
  #orphans = 0;

  /** `onIdle` is called whenever the last open stream has closed. */
  constructor(sender: Sender, streamsMax: number, onIdle: () => void) {
    this.sender = sender;
    this.#streamsMax = streamsMax;
    this.#onIdle = onIdle;
  }

  get openCount(): number {
    return this.#open.size;
  }

  get isFull(): boolean {
    return this.#open.size + this.#orphans >= this.#streamsMax;
  }

  get(id: number): H2Stream | undefined {
    return this.#open.get(id);
  }

  /** How a closed stream ended; undefined where it was never open or is forgotten. */
  endingOf(id: number): Ending | undefined {
    return this.#closed.endingOf(id);
  }

  values(): IterableIterator<H2Stream> {
    return this.#open.values();
  }

  /** `id` must be above {@link lastId}, which the caller moves. */
  open(id: number, sendWindow: number, receiveWindow: number): H2Stream {
    const stream = new H2Stream(id, this, sendWindow, receiveWindow);
    stream.openedAtSweep = this.sweepCount;
    this.openedCount += 1;
    this.#open.set(id, stream);
    return stream;
  }

  /** Whether the stream has been open for a second or two at least. */
  hasLasted(stream: H2Stream): boolean {
    return this.sweepCount - stream.openedAtSweep >= 2;
  }

  /** Answers a request that gets no stream at all. */
  refuse(id: number, code: ErrorCode): void {
    this.#closed.add(id, "by-us");
    this.sendReset(id, code);
  }

  /** Says that a stream is not open, without remembering anything. */
  sendReset(id: number, code: ErrorCode): void {
    writeRstStream(this.sender.output, id, code);
    this.sender.touch();
  }

  /** The client has said that it sends no more on this stream. */
  onReceivedEnd(stream: H2Stream): void {
    stream.isReceiving = false;
    if (!stream.isSending) this.#remove(stream, "complete");
  }

  onSent(stream: H2Stream): void {
    if (!stream.isReceiving) {
      this.#remove(stream, "complete");
      return;
    }
    // The answer is complete without the rest of the request (RFC 9113 section 8.1): tell the client to stop sending.
    this.sendReset(stream.id, errorCode.noError);
    this.#remove(stream, "by-us");
  }

  reset(stream: H2Stream, code: ErrorCode): void {
    this.refuse(stream.id, code);
    this.#remove(stream, undefined);
  }

  /** The client broke a rule on this stream. */
  fail(stream: H2Stream, code: ErrorCode): void {
    this.reset(stream, code);
    stream.owner?.onAbort("protocol");
  }

  /** The client reset the stream. */
  cancel(stream: H2Stream): void {
    this.#remove(stream, "reset-by-client");
    stream.owner?.onAbort("cancelled");
  }

  /** The connection is gone, and all streams with it. */
  abortAll(cause: AbortCause): void {
    for (const stream of [...this.#open.values()]) {
      this.#remove(stream, "by-us");
      stream.owner?.onAbort(cause);
    }
  }

  sendWindowUpdate(streamId: number, increment: number): void {
    writeWindowUpdate(this.sender.output, streamId, increment);
    this.sender.touch();
  }

  onOrphanDone(): void {
    this.#orphans -= 1;
  }

  #remove(stream: H2Stream, ending: Ending | undefined): void {
    this.#open.delete(stream.id);
    if (ending !== undefined) this.#closed.add(stream.id, ending);
    if (stream.isBusy) this.#orphans += 1;
    stream.close();
    if (this.#open.size === 0) this.#onIdle();
  }
}
