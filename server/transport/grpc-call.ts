// One gRPC call: the owner of its stream, and the context its handler sees. This class has what all kinds of calls
// share: the ways to end (answered, failed, deadline, given up by the client), the response's headers, messages and
// trailers, and a context whose parts come into being when they are touched. How requests come in is the subclasses'.

import type { Metadata } from "nice-grpc-common";
import { InvariantError } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { putUint32 } from "../lib/wire-put.ts";
import { answersLater, type ConnectionInfo, type TransportCallContext } from "./call-context.ts";
import type { CallObserver } from "./call-observer.ts";
import type { Deadline, DeadlineOwner, DeadlineWheel } from "./deadline-wheel.ts";
import { EncodedMessage } from "./encoded-message.ts";
import type { GrpcMethod } from "./grpc-method.ts";
import { grpcRequestOf } from "./grpc-request.ts";
import {
  CallAborted,
  type CallAbortKind,
  encodeGrpcMessage,
  type GrpcStatus,
  statusCode,
  statusOfError,
} from "./grpc-status.ts";
import type { AbortCause, H2Stream, StreamOwner } from "./h2-stream.ts";
import type { ResponseFields } from "./hpack-encoder.ts";
import { errorCode } from "./http2-constants.ts";
import type { TransportLimits } from "./limits.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import { messagePrefixBytes } from "./message-assembler.ts";
import { acceptedEncodings, type CompressionQueue } from "./message-compression.ts";
import { CallMetadata, toResponseFields } from "./metadata.ts";
import type { OutputBuffer } from "./output-buffer.ts";
import type { RequestHead } from "./request-head.ts";
import { ResponsePump } from "./response-pump.ts";

/** What calls of one connection share. */
export interface CallEnvironment {
  readonly connection: ConnectionInfo;
  readonly limits: TransportLimits;
  readonly clock: Clock;
  readonly deadlines: DeadlineWheel;
  readonly output: OutputBuffer;
  readonly receiveBudget: MemoryBudget;
  readonly observer: CallObserver | undefined;
  readonly compression: CompressionQueue;
  /** Compress responses for clients that accept gzip. */
  readonly compressesResponses: boolean;
  /** A handler failed with something that is no status: a fault of ours, which the client sees as UNKNOWN. */
  readonly onError: (error: unknown, path: string) => void;
}

const ok: GrpcStatus = { code: statusCode.ok, details: "" };
const unknownError: GrpcStatus = { code: statusCode.unknown, details: "Unknown server error occurred" };
const contentType = ["content-type", "application/grpc"] as const;

export abstract class GrpcCall implements StreamOwner, DeadlineOwner, TransportCallContext {
  protected readonly environment: CallEnvironment;
  readonly stream: H2Stream;
  protected readonly method: GrpcMethod;
  /** The client has got its status, or will hear nothing more. */
  isOver = false;
  readonly #head: RequestHead;
  readonly #startedAtMs: number;
  #deadline: Deadline | undefined = undefined;
  #hasSentHeaders = false;
  #abortKind: CallAbortKind | undefined = undefined;
  #controller: AbortController | undefined = undefined;
  #metadata: CallMetadata | undefined = undefined;
  #header: CallMetadata | undefined = undefined;
  #pump: ResponsePump | undefined = undefined;
  #trailer: CallMetadata | undefined = undefined;

  constructor(environment: CallEnvironment, stream: H2Stream, method: GrpcMethod, head: RequestHead) {
    this.environment = environment;
    this.stream = stream;
    this.method = method;
    this.#head = head;
    this.#startedAtMs = environment.observer?.afterCall === undefined ? 0 : environment.clock.nowMs();
  }

  // ---- the context

  get metadata(): Metadata {
    return (this.#metadata ??= CallMetadata.fromRequest(this.#head.fields));
  }

  get peer(): string {
    return this.environment.connection.peer;
  }

  get connection(): ConnectionInfo {
    return this.environment.connection;
  }

  get header(): Metadata {
    return (this.#header ??= new CallMetadata());
  }

  get trailer(): Metadata {
    return (this.#trailer ??= new CallMetadata());
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortKind !== undefined) this.#controller.abort(new CallAborted(this.#abortKind));
    }
    return this.#controller.signal;
  }

  get deadlineMs(): number | undefined {
    return this.#deadline?.atMs;
  }

  sendHeader(): void {
    if (!this.isOver && this.#header !== undefined && !this.#header.isEmpty) this.#sendHeaders();
  }

  // ---- the stream's events

  abstract onData(bytes: Buffer, start: number, end: number, isLast: boolean): void;
  abstract onEnd(): void;
  abstract onSweep(nowMs: number): void;

  /** `grpc-encoding` of the request. */
  protected get requestEncoding(): string {
    return grpcRequestOf(this.#head).encoding;
  }

  /** Lets go of request bytes that are held; `kind` says why, where the call was aborted. */
  protected abstract releaseRequest(kind: CallAbortKind | undefined): void;

  onDrain(): void {
    this.#pump?.onDrain();
  }

  onAbort(cause: AbortCause): void {
    if (this.isOver) return;
    const kind = cause === "protocol" ? "refused" : cause;
    this.#finish({ code: statusCode.cancelled, details: "" }, kind);
    this.#abort(kind);
  }

  onShutdown(): void {
    if (!this.isOver && (this.method.requestStream || this.method.responseStream)) this.#abort("shutdown");
  }

  onDeadline(): void {
    this.endEarly({ code: statusCode.deadlineExceeded, details: "context deadline exceeded" }, "deadline");
  }

  // ---- running

  /** Starts the deadline. False where the call is over already. */
  begin(): boolean {
    this.environment.observer?.onStart?.(this.method);
    const { timeoutMs, invalidTimeout } = grpcRequestOf(this.#head);
    if (invalidTimeout !== undefined) {
      this.refuse({ code: statusCode.internal, details: `malformed grpc-timeout: ${JSON.stringify(invalidTimeout)}` });
      return false;
    }
    if (timeoutMs !== undefined) this.#deadline = this.environment.deadlines.add(timeoutMs, this);
    return true;
  }

  /** Runs the handler; its result, or what it threw, goes where it belongs. */
  protected runHandler(request: unknown): void {
    const { stream, method } = this;
    stream.isBusy = true;
    let result: unknown;
    try {
      this.environment.observer?.beforeCall?.(method, this);
      result = method.handler(request, this);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.#onResult(result);
  }

  /** What the handler returned: a message, a promise of one, or messages to come. */
  #onResult(result: unknown): void {
    if (this.method.responseStream) {
      this.#pump = new ResponsePump(this);
      this.#pump.start(result);
    } else if (result instanceof Promise || isThenable(result)) {
      (result as Promise<unknown>).then(
        (response) => this.answer(response),
        (error: unknown) => this.fail(error),
      );
    } else if (result !== answersLater) this.answer(result);
  }

  answer(response: unknown): void {
    this.handlerDone();
    if (this.isOver) return;
    if (response === undefined || response === null) {
      this.#failWith(new Error(`${this.method.path}: the handler returned no message`));
    } else if (this.usesGzip) this.#answerCompressed(response);
    else if (this.sendMessage(response)) this.#end(ok);
  }

  fail(error: unknown): void {
    this.handlerDone();
    if (!this.isOver) this.#failWith(error);
  }

  /** The handler has nothing more to do; harmless when said twice. */
  handlerDone(): void {
    if (this.stream.isBusy) this.stream.onHandlerDone();
  }

  /** Ends a stream of responses. */
  endResponses(): void {
    this.handlerDone();
    if (!this.isOver) this.#end(ok);
  }

  /** Ends the call before its handler ran, or against it. */
  protected endEarly(status: GrpcStatus, kind: CallAbortKind): void {
    if (this.isOver) return;
    if (this.stream.waitingBytes === 0) this.#end(status, kind);
    else {
      // The status would have to wait behind data that the client does not take.
      this.#finish(status, kind);
      this.stream.reset(errorCode.cancel);
    }
    this.#abort(kind);
  }

  /** Ends the call because of what the client asked for. */
  refuse(status: GrpcStatus): void {
    this.endEarly(status, "refused");
  }

  #abort(kind: CallAbortKind): void {
    // A call that was told of the shutdown may be cancelled later; its signal fires only once.
    this.#abortKind = kind;
    if (this.#controller !== undefined && !this.#controller.signal.aborted) {
      this.#controller.abort(new CallAborted(kind));
    }
  }

  // ---- sending

  /** Sends one message, and the response's headers before the first. False where that ended the call instead. */
  sendMessage(response: unknown): boolean {
    if (this.method.encodeInto !== undefined && !(response instanceof EncodedMessage))
      return this.#sendInPlace(response);
    const encoded = this.#serialize(response);
    return encoded !== undefined && this.#sendEncoded(encoded, 0);
  }

  /** Whether messages have to go through {@link sendMessageAsNegotiated}. */
  get usesGzip(): boolean {
    return this.environment.compressesResponses && grpcRequestOf(this.#head).acceptsGzip;
  }

  /** The same with gzip where client and configuration want it. */
  async sendMessageAsNegotiated(response: unknown): Promise<boolean> {
    if (!this.usesGzip) return this.sendMessage(response);
    const encoded = this.#serialize(response);
    if (encoded === undefined) return false;
    const bytes = encoded instanceof EncodedMessage ? encoded.toBytes() : encoded;
    const compressed = await this.environment.compression.compress(bytes);
    return !this.isOver && this.#sendEncoded(compressed, 1);
  }

  #answerCompressed(response: unknown): void {
    this.sendMessageAsNegotiated(response).then(
      (isSent) => {
        if (isSent) this.#end(ok);
      },
      (error: unknown) => this.fail(error),
    );
  }

  /** Undefined where the message cannot be encoded, which ended the call. */
  #serialize(response: unknown): Uint8Array | EncodedMessage | undefined {
    try {
      return this.method.serialize(response);
    } catch (error) {
      this.#failToEncode(error);
      return undefined;
    }
  }

  /** Lets the method write the message where it will be sent from. */
  #sendInPlace(response: unknown): boolean {
    const { method, stream, environment } = this;
    const sizeBytesMax = method.sizeBytes!(response);
    if (sizeBytesMax > environment.limits.sendMessageBytesMax) return this.#refuseSize(sizeBytesMax);
    if (!this.#hasSentHeaders) this.#sendHeaders();
    const start = stream.beginData(messagePrefixBytes + sizeBytesMax);
    if (start === -1) {
      const encoded = this.#encodeApart(response, sizeBytesMax);
      return encoded !== undefined && this.#sendEncoded(encoded, 0);
    }
    const { bytes } = environment.output;
    let end: number;
    try {
      end = method.encodeInto!(response, bytes, start + messagePrefixBytes);
    } catch (error) {
      stream.dropData(start);
      this.#failToEncode(error);
      return false;
    }
    putPrefix(bytes, start, 0, end - start - messagePrefixBytes);
    stream.endData(start, end);
    environment.observer?.onMessage?.(method, "sent", end - start - messagePrefixBytes);
    return true;
  }

  #encodeApart(response: unknown, sizeBytesMax: number): Buffer | undefined {
    const target = Buffer.allocUnsafe(sizeBytesMax);
    try {
      return target.subarray(0, this.method.encodeInto!(response, target, 0));
    } catch (error) {
      this.#failToEncode(error);
      return undefined;
    }
  }

  #failToEncode(error: unknown): void {
    this.environment.onError(error, this.method.path);
    this.refuse({ code: statusCode.internal, details: "grpc: error while marshaling the response" });
  }

  /** `flag` is the first byte of a message: whether it is compressed. */
  #sendEncoded(encoded: Uint8Array | EncodedMessage, flag: number): boolean {
    const { stream, environment } = this;
    const sizeBytes = encoded instanceof EncodedMessage ? encoded.sizeBytes : encoded.length;
    if (sizeBytes > environment.limits.sendMessageBytesMax) return this.#refuseSize(sizeBytes);
    if (!this.#hasSentHeaders) this.#sendHeaders();
    const start = stream.beginData(messagePrefixBytes + sizeBytes);
    if (start === -1) {
      const prefix = Buffer.allocUnsafe(messagePrefixBytes);
      putPrefix(prefix, 0, flag, sizeBytes);
      const pieces = encoded instanceof EncodedMessage ? encoded.chunks : [encoded];
      if (!stream.send([prefix, ...pieces])) {
        this.refuse({ code: statusCode.resourceExhausted, details: "too many responses wait for this client" });
        return false;
      }
    } else {
      const { bytes } = environment.output;
      putPrefix(bytes, start, flag, sizeBytes);
      let at = start + messagePrefixBytes;
      if (encoded instanceof EncodedMessage) {
        for (const chunk of encoded.chunks) {
          bytes.set(chunk, at);
          at += chunk.length;
        }
      } else {
        bytes.set(encoded, at);
        at += sizeBytes;
      }
      stream.endData(start, at);
    }
    environment.observer?.onMessage?.(this.method, "sent", sizeBytes);
    return true;
  }

  #refuseSize(sizeBytes: number): false {
    const { sendMessageBytesMax } = this.environment.limits;
    const details = `grpc: trying to send message larger than max (${sizeBytes} vs. ${sendMessageBytesMax})`;
    this.refuse({ code: statusCode.resourceExhausted, details });
    return false;
  }

  #sendHeaders(): void {
    if (this.#hasSentHeaders) return;
    this.#hasSentHeaders = true;
    const custom = this.#header === undefined || this.#header.isEmpty ? [] : toResponseFields(this.#header);
    if (custom.length === 0 && !this.usesGzip) {
      this.stream.sendGrpcHeaders();
      return;
    }
    const fields: ResponseFields = this.usesGzip
      ? [contentType, ["grpc-encoding", "gzip"], ["grpc-accept-encoding", acceptedEncodings], ...custom]
      : [contentType, ...custom];
    this.stream.sendHeaders(200, fields, false);
  }

  // ---- ending

  #failWith(error: unknown): void {
    let status = statusOfError(error, this.#abortKind);
    if (status === undefined) {
      this.environment.onError(error, this.method.path);
      status = unknownError;
      if (error instanceof InvariantError) stopProcess(error);
    }
    this.#end(status);
  }

  /** Sends the status and closes our side. */
  #end(status: GrpcStatus, kind?: CallAbortKind): void {
    this.#finish(status, kind);
    const trailer = this.#trailer === undefined || this.#trailer.isEmpty ? [] : toResponseFields(this.#trailer);
    // Without messages the response may be a single HEADERS frame, unless the handler has headers of its own to send.
    if (!this.#hasSentHeaders && this.#header !== undefined && !this.#header.isEmpty) this.#sendHeaders();
    if (this.#hasSentHeaders && status === ok && trailer.length === 0) {
      this.stream.end("grpc-ok");
      return;
    }
    const fields: (readonly [string, string])[] = [["grpc-status", String(status.code)]];
    if (status.details !== "") fields.push(["grpc-message", encodeGrpcMessage(status.details)]);
    fields.push(...trailer);
    if (this.#hasSentHeaders) this.stream.end(fields);
    else this.stream.sendHeaders(200, [contentType, ...fields], true);
  }

  #finish(status: GrpcStatus, kind?: CallAbortKind): void {
    this.isOver = true;
    if (this.#deadline !== undefined) this.environment.deadlines.remove(this.#deadline);
    this.releaseRequest(kind);
    if (kind !== undefined) this.#pump?.onOver();
    const { observer, clock } = this.environment;
    observer?.afterCall?.(this.method, status, (clock.nowMs() - this.#startedAtMs) / 1000);
  }
}

/** What precedes each message: whether it is compressed, and its length. */
function putPrefix(bytes: Buffer, at: number, flag: number, sizeBytes: number): void {
  bytes[at] = flag;
  putUint32(bytes, at + 1, sizeBytes);
}

/** A broken invariant ends the process, whoever was calling: it must not pass for a failed call. */
function stopProcess(error: InvariantError): void {
  queueMicrotask(() => {
    throw error;
  });
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
