// Calls that take exactly one request message: unary and server-streaming. The handler starts when the client has said
// that nothing follows the message; in the common case message and end come in one DATA frame and are not copied.
import { readUint32 } from "../lib/wire-get.ts";
import { GrpcCall } from "./grpc-call.ts";
import { type GrpcStatus, statusCode } from "./grpc-status.ts";
import { MessageAssembler, type MessageSink, messagePrefixBytes } from "./message-assembler.ts";
import { encodingFault } from "./message-compression.ts";
import {
  assemblyFaultStatus,
  missingRequest,
  noReceiveMemory,
  secondRequest,
  truncatedRequest,
  undecodableRequest,
} from "./request-faults.ts";

export class SingleRequestCall extends GrpcCall implements MessageSink {
  #assembler: MessageAssembler | undefined = undefined;
  /** The message, while the client has not said that it was the only one. Taken from the receive budget. */
  #held: Buffer | undefined = undefined;
  #isHeldCompressed = false;
  #hasRun = false;
  #waitingSinceMs: number | undefined = undefined;

  onData(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    const length = end - start;
    // What piles up is one message, within its limit and the budget: no reason to hold the client back.
    if (!isLast) this.stream.consumed(length);
    if (this.isOver) return;
    const isWhole =
      isLast &&
      this.#assembler === undefined &&
      length >= messagePrefixBytes &&
      bytes[start] === 0 &&
      readUint32(bytes, start + 1) === length - messagePrefixBytes &&
      length - messagePrefixBytes <= this.environment.limits.receiveMessageBytesMax;
    if (isWhole) {
      this.#run(bytes, start + messagePrefixBytes, end);
      return;
    }
    const { receiveBudget, limits } = this.environment;
    this.#assembler ??= new MessageAssembler(receiveBudget, limits.receiveMessageBytesMax);
    const fault = this.#assembler.push(bytes, start, end, this);
    if (fault !== undefined) this.refuse(assemblyFaultStatus(fault, limits.receiveMessageBytesMax));
    else if (isLast) this.onEnd();
  }

  onMessage(isCompressed: boolean, bytes: Buffer, start: number, end: number): boolean {
    if (this.#held !== undefined) {
      this.refuse(secondRequest);
      return false;
    }
    if (!this.environment.receiveBudget.take(end - start)) {
      this.refuse(noReceiveMemory);
      return false;
    }
    this.#held = Buffer.from(bytes.subarray(start, end));
    this.#isHeldCompressed = isCompressed;
    return true;
  }

  onEnd(): void {
    if (this.isOver) return;
    if (this.#assembler?.isMidMessage === true) this.refuse(truncatedRequest);
    else if (this.#held === undefined) this.refuse(missingRequest);
    else if (this.#isHeldCompressed) this.#runCompressed(this.#held);
    else {
      const message = this.#held;
      this.#release();
      this.#run(message, 0, message.length);
    }
  }

  onSweep(nowMs: number): void {
    if (this.#hasRun || this.isOver) return;
    this.#waitingSinceMs ??= nowMs;
    const { requestTimeoutMs } = this.environment.limits;
    if (nowMs - this.#waitingSinceMs < requestTimeoutMs) return;
    const status: GrpcStatus = {
      code: statusCode.deadlineExceeded,
      details: `the request was not complete within ${requestTimeoutMs} ms`,
    };
    this.refuse(status);
  }

  protected releaseRequest(): void {
    this.#release();
  }

  #release(): void {
    this.#assembler?.release();
    if (this.#held !== undefined) this.environment.receiveBudget.giveBack(this.#held.length);
    this.#held = undefined;
  }

  #runCompressed(message: Buffer): void {
    const fault = encodingFault(this.requestEncoding);
    if (fault !== undefined) {
      this.refuse(fault);
      return;
    }
    this.#hasRun = true;
    const { compression, limits } = this.environment;
    compression.decompress(message, limits.receiveMessageBytesMax, (result) => {
      if (this.isOver) return;
      this.#release();
      if (Buffer.isBuffer(result)) this.#run(result, 0, result.length);
      else this.refuse(result);
    });
  }

  #run(bytes: Buffer, start: number, end: number): void {
    this.#hasRun = true;
    this.environment.observer?.onMessage?.(this.method, "received", end - start);
    let request: unknown;
    try {
      request = this.method.decode(bytes, start, end);
    } catch (error) {
      this.refuse(undecodableRequest(error));
      return;
    }
    this.runHandler(request);
  }
}
