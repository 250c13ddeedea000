// Calls that take a stream of request messages: client-streaming and bidi. The handler starts with the request's
// headers and reads messages at its own pace; the client is given room only as messages are taken.
import { type CallEnvironment, GrpcCall } from "./grpc-call.ts";
import type { GrpcMethod } from "./grpc-method.ts";
import { CallAborted, type CallAbortKind } from "./grpc-status.ts";
import type { H2Stream } from "./h2-stream.ts";
import { MessageAssembler, type MessageSink, messagePrefixBytes } from "./message-assembler.ts";
import { assemblyFaultStatus, noReceiveMemory, truncatedRequest, undecodableRequest } from "./request-faults.ts";
import type { RequestHead } from "./request-head.ts";
import { RequestQueue } from "./request-queue.ts";

export class StreamRequestCall extends GrpcCall implements MessageSink {
  readonly #assembler: MessageAssembler;
  readonly #queue: RequestQueue;
  /** Received and not given back to the client's window. */
  #heldBytes = 0;

  constructor(environment: CallEnvironment, stream: H2Stream, method: GrpcMethod, head: RequestHead) {
    super(environment, stream, method, head);
    const { receiveBudget, limits, observer, compression } = environment;
    this.#assembler = new MessageAssembler(receiveBudget, limits.receiveMessageBytesMax);
    this.#queue = new RequestQueue({
      receiveBudget,
      compression,
      messageBytesMax: limits.receiveMessageBytesMax,
      encoding: this.requestEncoding,
      decode: (bytes, start, end) => {
        observer?.onMessage?.(method, "received", end - start);
        return method.decode(bytes, start, end);
      },
      onTaken: (messageBytes) => this.#onTaken(messageBytes),
      onFault: (fault) => this.refuse("undecodable" in fault ? undecodableRequest(fault.undecodable) : fault),
    });
  }

  /** Runs the handler, which finds its requests in the queue. */
  start(): void {
    this.runHandler(this.#queue);
  }

  onData(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    if (this.isOver) return;
    this.#heldBytes += end - start;
    const fault = this.#assembler.push(bytes, start, end, this);
    if (fault !== undefined) {
      this.refuse(assemblyFaultStatus(fault, this.environment.limits.receiveMessageBytesMax));
    } else if (isLast) this.onEnd();
    else this.#giveRoom();
  }

  onMessage(isCompressed: boolean, bytes: Buffer, start: number, end: number): boolean {
    if (!this.#queue.push(isCompressed, bytes, start, end)) this.refuse(noReceiveMemory);
    return !this.isOver;
  }

  onEnd(): void {
    if (this.isOver) return;
    if (this.#assembler.isMidMessage) this.refuse(truncatedRequest);
    else this.#queue.end();
  }

  onSweep(): void {
    // A stream of requests may be silent for as long as the client likes.
  }

  protected releaseRequest(kind: CallAbortKind | undefined): void {
    this.#assembler.release();
    this.#queue.close(kind === undefined ? undefined : new CallAborted(kind));
  }

  #onTaken(messageBytes: number): void {
    const bytes = messageBytes + messagePrefixBytes;
    this.#heldBytes -= bytes;
    this.stream.consumed(bytes);
    this.#giveRoom();
  }

  /**
   * Lets the client send again once nothing waits for the handler: whatever is held then is part of one message, which
   * may be larger than the window and has to get in.
   */
  #giveRoom(): void {
    if (!this.#queue.isEmpty) return;
    this.stream.consumed(this.#heldBytes);
    this.#heldBytes = 0;
  }
}
