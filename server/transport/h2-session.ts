// The state of one HTTP/2 connection without its socket (RFC 9113, server role, no push, no priorities): bytes in
// through `receive`, bytes out through the sender. It keeps the rules of the connection as a whole: preface, SETTINGS,
// PING, GOAWAY, the connection's windows, graceful shutdown, and giving up.

import type { Clock } from "../lib/clock.ts";
import { readUint32 } from "../lib/wire-get.ts";
import { AbuseGuard } from "./abuse-guard.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { writeGoaway, writePing, writeSettings, writeSettingsAck, writeWindowUpdate } from "./frame-writer.ts";
import type { H2Stream, StreamOwner } from "./h2-stream.ts";
import {
  clientPreface,
  type ErrorCode,
  errorCode,
  frameFlag,
  frameType,
  settingId,
  streamIdLimit,
  windowBytesDefault,
} from "./http2-constants.ts";
import { ConnectionError } from "./http2-error.ts";
import { Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import type { TransportLimits } from "./limits.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import type { SlabPool } from "./output-buffer.ts";
import { PeerSettings } from "./peer-settings.ts";
import { RequestFrames } from "./request-frames.ts";
import type { RequestHead } from "./request-head.ts";
import { Sender } from "./sender.ts";
import { StreamTable } from "./stream-table.ts";

export interface H2SessionOptions {
  readonly limits: TransportLimits;
  readonly keepalive: KeepaliveOptions;
  readonly clock: Clock;
  readonly slabs: SlabPool;
  readonly sendBudget: MemoryBudget;
  readonly onRequest: (stream: H2Stream, head: RequestHead) => StreamOwner;
  /** Output waits: take it with {@link Sender.output} at the end of the turn and call {@link Sender.onFlush}. */
  readonly requestFlush: () => void;
  /**
   * Nothing more will be sent or received after the output that waits: close the connection. `isOrderly` where every call
   * on it has come to its end. Called once.
   */
  readonly onFinished: (reason: string, isOrderly: boolean) => void;
}

/** The pings of ours that must be told apart when they come back. */
const drainPing = Buffer.from("drained?", "latin1");
const keepalivePing = Buffer.from("still on", "latin1");

/** A client gets this long to answer the ping behind the first GOAWAY before the second one is sent. */
const drainPingTimeoutMs = 1_000;
/**
 * Window updates that one DATA frame of ours explains: one for the stream, one for the connection, and some slack. A new
 * stream explains as many: gRPC's C core widens a stream's window as soon as it has opened it.
 */
const windowUpdatesPerCause = 4;

export class H2Session implements FrameSink {
  readonly sender: Sender;
  readonly streams: StreamTable;
  readonly #limits: TransportLimits;
  readonly #clock: Clock;
  readonly #reader = new FrameReader(this);
  readonly #requests: RequestFrames;
  readonly #settings = new PeerSettings();
  readonly #keepalive: Keepalive;
  readonly #onFinished: H2SessionOptions["onFinished"];
  #isFinished = false;
  #prefaceBytes = 0;
  #hasSettings = false;
  #windowUpdates = 0;
  /** What was incomplete at the latest sweep, and since when the same thing has been. */
  #incomplete: { readonly what: number; readonly sinceMs: number } | undefined;
  /** Graceful shutdown: not begun, first GOAWAY sent at a time, or second GOAWAY sent. */
  #drain: { readonly startedAtMs: number; isFinal: boolean } | undefined;

  constructor(options: H2SessionOptions) {
    const nowMs = options.clock.nowMs();
    this.#limits = options.limits;
    this.#clock = options.clock;
    this.#onFinished = options.onFinished;
    this.#keepalive = new Keepalive(options.keepalive, nowMs);
    this.sender = new Sender({
      slabs: options.slabs,
      budget: options.sendBudget,
      backlogBytesMax: options.limits.socketBacklogBytesMax,
      requestFlush: options.requestFlush,
      nowMs,
    });
    this.streams = new StreamTable(this.sender, options.limits.streamsMax, () => this.#onIdle());
    this.#requests = new RequestFrames({
      limits: options.limits,
      streams: this.streams,
      guard: new AbuseGuard(options.clock, options.limits.nuisanceBurst, options.limits.nuisancePerSecond),
      settings: this.#settings,
      onRequest: (stream, head) => {
        const owner = options.onRequest(stream, head);
        if (this.#drain !== undefined) owner.onShutdown();
        return owner;
      },
    });
    this.#greet();
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** Takes in what the client sent. */
  receive(chunk: Buffer): void {
    if (this.#isFinished) return;
    this.#keepalive.onHeard(this.sender.coarseNowMs);
    try {
      const from = this.#prefaceBytes < clientPreface.length ? this.#checkPreface(chunk) : 0;
      if (from < chunk.length) this.#reader.feed(chunk, from);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.finish(error.code, error.message);
    }
  }

  /** Ends the connection with GOAWAY; every call on it is aborted. */
  finish(code: ErrorCode, reason: string): void {
    if (this.#isFinished) return;
    writeGoaway(this.sender.output, this.streams.lastId, code, reason);
    this.#end(reason);
  }

  /** The socket is gone. */
  onDisconnected(reason: string): void {
    if (!this.#isFinished) this.#end(reason);
  }

  /**
   * Begins a graceful shutdown (RFC 9113 section 6.8): the client is told to open no further streams, those that it has
   * opened meanwhile are still served, and the connection ends with its last stream.
   */
  drain(): void {
    if (this.#isFinished || this.#drain !== undefined) return;
    this.#drain = { startedAtMs: this.#clock.nowMs(), isFinal: false };
    writeGoaway(this.sender.output, streamIdLimit, errorCode.noError, "graceful_stop");
    writePing(this.sender.output, drainPing, false);
    this.sender.touch();
    for (const stream of [...this.streams.values()]) stream.owner?.onShutdown();
  }

  /** What time brings: to be called about once a second. */
  sweep(nowMs: number): void {
    if (this.#isFinished) return;
    this.sender.coarseNowMs = nowMs;
    this.streams.sweepCount += 1;
    if (this.#isStuckIncomplete(nowMs)) {
      this.finish(errorCode.enhanceYourCalm, "a frame or header block stayed incomplete");
      return;
    }
    for (const stream of [...this.streams.values()]) {
      if (stream.waitingBytes > 0 && nowMs - stream.movedAtMs >= this.#limits.sendStallTimeoutMs) {
        this.streams.fail(stream, errorCode.enhanceYourCalm);
      } else stream.owner?.onSweep(nowMs);
    }
    const drain = this.#drain;
    if (drain !== undefined && !drain.isFinal && nowMs - drain.startedAtMs >= drainPingTimeoutMs) this.#endDrain();
    this.#sweepKeepalive(nowMs);
  }

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (this.#isFinished) return;
    if (!this.#hasSettings) this.#requireSettings(type, flags);
    if (this.#requests.openBlockStreamId !== 0 && type !== frameType.continuation) {
      throw new ConnectionError(errorCode.protocolError, "a frame within a header block");
    }
    switch (type) {
      case frameType.data:
        this.#requests.onData(flags, streamId, bytes, start, end);
        break;
      case frameType.headers:
        this.#requests.onHeaders(flags, streamId, bytes, start, end);
        break;
      case frameType.continuation:
        this.#requests.onContinuation(flags, streamId, bytes, start, end);
        break;
      case frameType.rstStream:
        this.#requests.onRstStream(streamId, start, end);
        break;
      case frameType.windowUpdate:
        this.#onWindowUpdate(streamId, bytes, start, end);
        break;
      case frameType.ping:
        this.#onPing(flags, streamId, bytes, start, end);
        break;
      case frameType.settings:
        this.#onSettings(flags, streamId, bytes, start, end);
        break;
      case frameType.priority:
        this.#onPriority(streamId, bytes, start, end);
        break;
      case frameType.goaway:
        // The client opens no more streams; those that are open go on. Nothing to do but to check the form.
        if (streamId !== 0) throw new ConnectionError(errorCode.protocolError, "GOAWAY on a stream");
        if (end - start < 8) throw new ConnectionError(errorCode.frameSizeError, "GOAWAY too short");
        this.#requests.charge();
        break;
      case frameType.pushPromise:
        throw new ConnectionError(errorCode.protocolError, "PUSH_PROMISE from a client");
      default:
        // RFC 9113 section 5.5: frames of types we do not know are ignored.
        this.#requests.charge();
    }
  }

  #greet(): void {
    writeSettings(this.sender.output, [
      [settingId.maxConcurrentStreams, this.#limits.streamsMax],
      [settingId.initialWindowSize, this.#limits.streamWindowBytes],
      [settingId.maxHeaderListSize, this.#limits.headerListBytesMax],
    ]);
    const widening = this.#limits.connectionWindowBytes - windowBytesDefault;
    if (widening > 0) writeWindowUpdate(this.sender.output, 0, widening);
    this.sender.touch();
  }

  /** Returns where the first frame begins, or the end of `chunk` while the preface is incomplete. */
  #checkPreface(chunk: Buffer): number {
    const length = Math.min(chunk.length, clientPreface.length - this.#prefaceBytes);
    const expected = clientPreface.subarray(this.#prefaceBytes, this.#prefaceBytes + length);
    if (!chunk.subarray(0, length).equals(expected)) {
      throw new ConnectionError(errorCode.protocolError, "the client preface is not HTTP/2's");
    }
    this.#prefaceBytes += length;
    return length;
  }

  #requireSettings(type: number, flags: number): void {
    if (type !== frameType.settings || (flags & frameFlag.ack) !== 0) {
      throw new ConnectionError(errorCode.protocolError, "the first frame is not SETTINGS");
    }
    this.#hasSettings = true;
  }

  #onSettings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw new ConnectionError(errorCode.protocolError, "SETTINGS on a stream");
    if ((flags & frameFlag.ack) !== 0) {
      if (end > start) throw new ConnectionError(errorCode.frameSizeError, "SETTINGS acknowledgement with a payload");
      this.#requests.charge();
      return;
    }
    if ((end - start) % 6 !== 0) throw new ConnectionError(errorCode.frameSizeError, "SETTINGS not of whole settings");
    // Each open stream's window has to follow, so a change is dearer the more there are.
    this.#requests.charge(1 + this.streams.openCount / 100);
    const windowBefore = this.#settings.initialWindowBytes;
    this.#settings.apply(bytes, start, end);
    this.sender.encoder.onTableSize(this.#settings.headerTableBytes);
    // Before anything that follows from the new values.
    writeSettingsAck(this.sender.output);
    this.sender.touch();
    const change = this.#settings.initialWindowBytes - windowBefore;
    if (change !== 0) {
      for (const stream of [...this.streams.values()]) {
        if (!stream.widen(change))
          throw new ConnectionError(errorCode.flowControlError, "a stream's window above 2^31-1");
      }
    }
  }

  #onWindowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionError(errorCode.frameSizeError, "WINDOW_UPDATE not of 4 bytes");
    const increment = readUint32(bytes, start) & 0x7fff_ffff;
    this.#windowUpdates += 1;
    const causes = this.sender.dataFramesSent + this.streams.openedCount;
    if (this.#windowUpdates > causes * windowUpdatesPerCause) this.#requests.charge();
    if (streamId === 0) {
      if (increment === 0) throw new ConnectionError(errorCode.protocolError, "WINDOW_UPDATE of 0");
      if (!this.sender.onWindowUpdate(increment)) {
        throw new ConnectionError(errorCode.flowControlError, "connection window above 2^31-1");
      }
      return;
    }
    if (streamId > this.streams.lastId) {
      throw new ConnectionError(errorCode.protocolError, "WINDOW_UPDATE on an idle stream");
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) return;
    const code = increment === 0 ? errorCode.protocolError : errorCode.flowControlError;
    if (increment === 0 || !stream.widen(increment)) {
      this.streams.fail(stream, code);
      this.#requests.charge();
    }
  }

  #onPing(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw new ConnectionError(errorCode.protocolError, "PING on a stream");
    if (end - start !== 8) throw new ConnectionError(errorCode.frameSizeError, "PING not of 8 bytes");
    this.#requests.charge();
    const opaque = bytes.subarray(start, end);
    if ((flags & frameFlag.ack) !== 0) {
      if (this.#drain !== undefined && opaque.equals(drainPing)) this.#endDrain();
      return;
    }
    writePing(this.sender.output, opaque, true);
    this.sender.touch();
    if (this.sender.hasSent) {
      this.sender.hasSent = false;
      this.#keepalive.hasSent = true;
    }
    if (!this.#keepalive.onPing(this.#clock.nowMs(), this.streams.openCount > 0)) {
      throw new ConnectionError(errorCode.enhanceYourCalm, "too_many_pings");
    }
  }

  /** Priorities are not served, but a malformed one is still an error (RFC 9113 section 6.3). */
  #onPriority(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) throw new ConnectionError(errorCode.protocolError, "PRIORITY on stream 0");
    if (end - start !== 5) throw new ConnectionError(errorCode.frameSizeError, "PRIORITY not of 5 bytes");
    if ((readUint32(bytes, start) & 0x7fff_ffff) === streamId) {
      throw new ConnectionError(errorCode.protocolError, "a stream that depends on itself");
    }
    this.#requests.charge();
  }

  /**
   * Whether the client began something long ago that it has to finish: its preface, a frame or a header block. A client
   * that is busy sending is likely to be seen within a frame each time, but never within the same one.
   */
  #isStuckIncomplete(nowMs: number): boolean {
    const openBlock = this.#requests.openBlockStreamId;
    if (!this.#reader.isMidFrame && openBlock === 0 && this.#hasSettings) {
      this.#incomplete = undefined;
      return false;
    }
    const what = openBlock === 0 ? this.#reader.frameCount : -openBlock;
    if (this.#incomplete?.what !== what) this.#incomplete = { what, sinceMs: nowMs };
    return nowMs - this.#incomplete.sinceMs >= this.#limits.incompleteFrameTimeoutMs;
  }

  #sweepKeepalive(nowMs: number): void {
    const due = this.#keepalive.due(nowMs);
    if (due === "give-up") this.finish(errorCode.noError, "keepalive ping was not answered");
    else if (due === "ping") {
      writePing(this.sender.output, keepalivePing, false);
      this.sender.touch();
    }
  }

  /** The client has seen the first GOAWAY: what it opened until now is served, nothing after it. */
  #endDrain(): void {
    const drain = this.#drain;
    if (drain === undefined || drain.isFinal || this.#isFinished) return;
    drain.isFinal = true;
    this.#requests.refuseAboveId = this.streams.lastId;
    writeGoaway(this.sender.output, this.streams.lastId, errorCode.noError, "graceful_stop");
    this.sender.touch();
    if (this.streams.openCount === 0) this.#end("drained", true);
  }

  #onIdle(): void {
    if (this.#drain?.isFinal === true && !this.#isFinished) this.#end("drained", true);
  }

  #end(reason: string, isOrderly = false): void {
    this.#isFinished = true;
    this.sender.touch();
    this.streams.abortAll("disconnected");
    this.#onFinished(reason, isOrderly);
  }
}
