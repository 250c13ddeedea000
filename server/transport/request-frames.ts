// The frames that carry requests: HEADERS, CONTINUATION, DATA, RST_STREAM. What each may do in each stream state is
// RFC 9113 section 5.1; faults of one stream are answered with RST_STREAM and charged, faults of the connection thrown.
import { readUint32 } from "../lib/wire-get.ts";
import type { AbuseGuard } from "./abuse-guard.ts";
import type { H2Stream, StreamOwner } from "./h2-stream.ts";
import { HeaderBlockReader } from "./header-block.ts";
import { errorCode, frameFlag } from "./http2-constants.ts";
import { ConnectionError } from "./http2-error.ts";
import type { TransportLimits } from "./limits.ts";
import type { PeerSettings } from "./peer-settings.ts";
import type { RequestHead } from "./request-head.ts";
import type { StreamTable } from "./stream-table.ts";

export interface RequestFramesOptions {
  readonly limits: TransportLimits;
  readonly streams: StreamTable;
  readonly guard: AbuseGuard;
  readonly settings: PeerSettings;
  /** Names the owner of a new stream. It may answer at once. */
  readonly onRequest: (stream: H2Stream, head: RequestHead) => StreamOwner;
}

const expectedResetWeight = 0.1;

export class RequestFrames {
  readonly #limits: TransportLimits;
  readonly #streams: StreamTable;
  readonly #guard: AbuseGuard;
  readonly #settings: PeerSettings;
  readonly #onRequest: RequestFramesOptions["onRequest"];
  readonly #headers: HeaderBlockReader;
  /** Of the HEADERS frame whose block is still open. */
  #openBlockEndsStream = false;
  #openBlockDependsOnItself = false;
  /** What the client may still send on the whole connection, and what it has sent since it was last told. */
  #receiveWindow: number;
  #receivedBytes = 0;
  /** Resets of streams that were closed already. */
  #lateResets = 0;
  /** Requests above this id are not looked at any more: the final GOAWAY named it. */
  refuseAboveId = Number.POSITIVE_INFINITY;

  constructor(options: RequestFramesOptions) {
    this.#limits = options.limits;
    this.#streams = options.streams;
    this.#guard = options.guard;
    this.#settings = options.settings;
    this.#onRequest = options.onRequest;
    this.#headers = new HeaderBlockReader(options.limits);
    this.#receiveWindow = options.limits.connectionWindowBytes;
  }

  /** The stream whose header block is incomplete, else 0. */
  get openBlockStreamId(): number {
    return this.#headers.openStreamId;
  }

  onHeaders(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id % 2 === 0) throw new ConnectionError(errorCode.protocolError, "HEADERS on a stream that no client may open");
    let from = start;
    let to = end;
    if ((flags & frameFlag.padded) !== 0) {
      to = unpaddedEnd(bytes, start, end);
      from += 1;
    }
    let dependsOnItself = false;
    if ((flags & frameFlag.priority) !== 0) {
      if (to - from < 5) throw new ConnectionError(errorCode.frameSizeError, "HEADERS too short for its priority");
      dependsOnItself = (readUint32(bytes, from) & 0x7fff_ffff) === id;
      from += 5;
    }
    const endsStream = (flags & frameFlag.endStream) !== 0;
    if ((flags & frameFlag.endHeaders) !== 0) {
      this.#onBlock(id, endsStream, dependsOnItself, bytes, from, to);
      return;
    }
    this.#openBlockEndsStream = endsStream;
    this.#openBlockDependsOnItself = dependsOnItself;
    this.#headers.begin(id, bytes, from, to);
  }

  /** The caller has checked that this continues the open block. */
  onContinuation(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    // Zero is both the connection's id and "no block is open".
    if (id === 0 || this.#headers.openStreamId !== id) {
      throw new ConnectionError(errorCode.protocolError, "CONTINUATION without a header block to continue");
    }
    this.#headers.continue(bytes, start, end);
    if ((flags & frameFlag.endHeaders) === 0) return;
    const block = this.#headers.complete();
    this.#onBlock(id, this.#openBlockEndsStream, this.#openBlockDependsOnItself, block, 0, block.length);
  }

  onData(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) throw new ConnectionError(errorCode.protocolError, "DATA on stream 0");
    const length = end - start;
    this.#receiveOnConnection(length);
    let from = start;
    let to = end;
    if ((flags & frameFlag.padded) !== 0) {
      to = unpaddedEnd(bytes, start, end);
      from += 1;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#onStrayData(id);
      return;
    }
    if (!stream.isReceiving) {
      this.#streams.fail(stream, errorCode.streamClosed);
      this.charge();
      return;
    }
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) {
      this.#streams.fail(stream, errorCode.flowControlError);
      this.charge();
      return;
    }
    const isLast = (flags & frameFlag.endStream) !== 0;
    // Padding is used up as soon as it is here.
    if (to - from < length) stream.consumed(length - (to - from));
    if (stream.bodyBytesLeft >= 0) {
      stream.bodyBytesLeft -= to - from;
      if (stream.bodyBytesLeft < 0 || (isLast && stream.bodyBytesLeft > 0)) {
        this.#streams.fail(stream, errorCode.protocolError);
        this.charge();
        return;
      }
    }
    if (isLast) {
      this.#streams.onReceivedEnd(stream);
      stream.owner!.onData(bytes, from, to, true);
    } else if (to > from) stream.owner!.onData(bytes, from, to, false);
    else this.charge();
  }

  onRstStream(id: number, start: number, end: number): void {
    if (id === 0) throw new ConnectionError(errorCode.protocolError, "RST_STREAM on stream 0");
    if (end - start !== 4) throw new ConnectionError(errorCode.frameSizeError, "RST_STREAM not of 4 bytes");
    if (id > this.#streams.lastId) throw new ConnectionError(errorCode.protocolError, "RST_STREAM on an idle stream");
    const stream = this.#streams.get(id);
    this.charge(this.#isExpectedReset(stream) ? expectedResetWeight : 1);
    if (stream !== undefined) this.#streams.cancel(stream);
  }

  /**
   * A client whose calls all wait gives up thousands at once when their deadlines come, and for some of them the answer
   * is under way by then: that is no rapid reset.
   */
  #isExpectedReset(stream: H2Stream | undefined): boolean {
    if (stream !== undefined) return this.#streams.hasLasted(stream);
    this.#lateResets += 1;
    return this.#lateResets <= this.#streams.openedCount;
  }

  /** Counts one nuisance, or as many as `weight` says. */
  charge(weight = 1): void {
    if (!this.#guard.charge(weight)) throw new ConnectionError(errorCode.enhanceYourCalm, "too many useless frames");
  }

  /** The connection's window is refilled as bytes come in: what may pile up is bounded per stream and by budgets. */
  #receiveOnConnection(length: number): void {
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0) throw new ConnectionError(errorCode.flowControlError, "connection window exceeded");
    this.#receivedBytes += length;
    if (this.#receivedBytes * 2 < this.#limits.connectionWindowBytes) return;
    this.#streams.sendWindowUpdate(0, this.#receivedBytes);
    this.#receiveWindow += this.#receivedBytes;
    this.#receivedBytes = 0;
  }

  #onStrayData(id: number): void {
    if (id > this.#streams.lastId) throw new ConnectionError(errorCode.protocolError, "DATA on an idle stream");
    if (id > this.refuseAboveId) return;
    // Under way when we ended the stream: nothing is wrong with it, unless it goes on and on.
    if (this.#streams.endingOf(id) !== "by-us") this.#streams.sendReset(id, errorCode.streamClosed);
    this.charge();
  }

  #onBlock(id: number, endsStream: boolean, dependsOnItself: boolean, block: Buffer, start: number, end: number): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) this.#onTrailers(stream, endsStream, block, start, end);
    else if (id <= this.#streams.lastId) this.#onLateHeaders(id, block, start, end);
    else this.#onNewRequest(id, endsStream, dependsOnItself, block, start, end);
  }

  #onTrailers(stream: H2Stream, endsStream: boolean, block: Buffer, start: number, end: number): void {
    const problem = this.#headers.readTrailers(block, start, end);
    if (!stream.isReceiving) {
      this.#streams.fail(stream, errorCode.streamClosed);
      this.charge();
    } else if (!endsStream || problem !== undefined || stream.bodyBytesLeft > 0) {
      this.#streams.fail(stream, errorCode.protocolError);
      this.charge();
    } else {
      this.#streams.onReceivedEnd(stream);
      stream.owner!.onEnd();
    }
  }

  #onLateHeaders(id: number, block: Buffer, start: number, end: number): void {
    const ending = this.#streams.endingOf(id);
    if (ending === undefined) throw new ConnectionError(errorCode.protocolError, "stream ids must grow");
    if (ending !== "by-us") throw new ConnectionError(errorCode.streamClosed, "HEADERS on a closed stream");
    this.#headers.readTrailers(block, start, end);
    this.charge();
  }

  #onNewRequest(
    id: number,
    endsStream: boolean,
    dependsOnItself: boolean,
    block: Buffer,
    start: number,
    end: number,
  ): void {
    this.#streams.lastId = id;
    // Decoded whatever becomes of the request: the two ends' header tables must stay in step.
    const head = this.#headers.readRequest(block, start, end);
    if (id > this.refuseAboveId) return;
    if (this.#streams.isFull) {
      this.#streams.refuse(id, errorCode.refusedStream);
      this.charge();
      return;
    }
    const hasProblem = head !== "too-large" && "problem" in head;
    if (hasProblem || dependsOnItself) {
      this.#streams.refuse(id, errorCode.protocolError);
      this.charge();
      return;
    }
    const stream = this.#streams.open(id, this.#settings.initialWindowBytes, this.#limits.streamWindowBytes);
    if (endsStream) stream.isReceiving = false;
    if (head === "too-large") {
      stream.sendHeaders(431, [], true);
      this.charge();
      return;
    }
    stream.bodyBytesLeft = head.contentLength;
    if (endsStream && head.contentLength > 0) {
      this.#streams.reset(stream, errorCode.protocolError);
      this.charge();
      return;
    }
    stream.owner = this.#onRequest(stream, head);
    if (endsStream && !stream.isClosed) stream.owner.onEnd();
  }
}

/** Where the payload of a padded frame ends; the byte at `start` says how much padding follows. */
function unpaddedEnd(bytes: Buffer, start: number, end: number): number {
  if (end === start) throw new ConnectionError(errorCode.frameSizeError, "padded frame without a pad length");
  const paddedEnd = end - bytes[start]!;
  if (paddedEnd < start + 1) throw new ConnectionError(errorCode.protocolError, "more padding than payload");
  return paddedEnd;
}
