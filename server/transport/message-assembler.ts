// Cuts the DATA of a gRPC stream into messages: five bytes of prefix (compressed flag, length), then the message. A
// message that lies whole within one piece of DATA is handed on where it lies; others are put together in a buffer that
// grows with what has come, never with what was merely announced.
import { readUint32 } from "../lib/wire-get.ts";
import type { MemoryBudget } from "./memory-budget.ts";

export interface MessageSink {
  /** One message, still compressed if `isCompressed`. `bytes` do not change any more. False to stop. */
  onMessage(isCompressed: boolean, bytes: Buffer, start: number, end: number): boolean;
}

/** Why assembling cannot go on. */
export type AssemblyFault =
  | { readonly kind: "too-large"; readonly sizeBytes: number }
  | { readonly kind: "bad-flag"; readonly flag: number }
  | { readonly kind: "no-memory" };

export const messagePrefixBytes = 5;
/** The first buffer for a message in pieces. */
const firstBufferBytes = 1024;

export class MessageAssembler {
  readonly #budget: MemoryBudget;
  readonly #messageBytesMax: number;
  readonly #prefix = Buffer.alloc(messagePrefixBytes);
  #prefixBytes = 0;
  /** The message being put together, taken from the budget in full. */
  #buffer: Buffer | undefined;
  #bufferedBytes = 0;
  #messageBytes = 0;

  constructor(budget: MemoryBudget, messageBytesMax: number) {
    this.#budget = budget;
    this.#messageBytesMax = messageBytesMax;
  }

  /** A message has begun and is not complete. */
  get isMidMessage(): boolean {
    return this.#prefixBytes > 0;
  }

  push(bytes: Buffer, start: number, end: number, sink: MessageSink): AssemblyFault | undefined {
    let at = start;
    for (;;) {
      // What nearly always comes: prefix and message whole.
      while (this.#prefixBytes === 0 && end - at >= messagePrefixBytes) {
        const from = at + messagePrefixBytes;
        const length = readUint32(bytes, at + 1);
        if (length > this.#messageBytesMax || length > end - from || bytes[at]! > 1) break;
        const isCompressed = bytes[at] === 1;
        at = from + length;
        if (!sink.onMessage(isCompressed, bytes, from, at)) return undefined;
      }
      while (this.#prefixBytes < messagePrefixBytes) {
        if (at === end) return undefined;
        this.#prefix[this.#prefixBytes++] = bytes[at++]!;
        if (this.#prefixBytes < messagePrefixBytes) continue;
        const fault = this.#checkPrefix();
        if (fault !== undefined) return fault;
      }
      const wanted = this.#messageBytes - this.#bufferedBytes;
      const available = Math.min(wanted, end - at);
      if (this.#buffer === undefined && available === wanted) {
        this.#prefixBytes = 0;
        at += wanted;
        if (!sink.onMessage(this.#prefix[0] === 1, bytes, at - wanted, at)) return undefined;
        continue;
      }
      if (available === 0) return undefined;
      if (!this.#keep(bytes, at, available)) return { kind: "no-memory" };
      at += available;
      if (available < wanted) return undefined;
      const message = this.#buffer!.subarray(0, this.#messageBytes);
      this.#prefixBytes = 0;
      this.release();
      if (!sink.onMessage(this.#prefix[0] === 1, message, 0, message.length)) return undefined;
    }
  }

  /** Gives back what is held of an incomplete message. */
  release(): void {
    if (this.#buffer !== undefined) this.#budget.giveBack(this.#buffer.length);
    this.#buffer = undefined;
    this.#bufferedBytes = 0;
  }

  #checkPrefix(): AssemblyFault | undefined {
    const flag = this.#prefix[0]!;
    if (flag > 1) return { kind: "bad-flag", flag };
    this.#messageBytes = readUint32(this.#prefix, 1);
    if (this.#messageBytes > this.#messageBytesMax) return { kind: "too-large", sizeBytes: this.#messageBytes };
    return undefined;
  }

  /** Copies a part of the message into the buffer, which grows to twice its size at least. */
  #keep(bytes: Buffer, at: number, length: number): boolean {
    const needed = this.#bufferedBytes + length;
    const room = this.#buffer?.length ?? 0;
    if (needed > room) {
      const wanted = Math.min(this.#messageBytes, Math.max(needed, room * 2, firstBufferBytes));
      if (!this.#budget.take(wanted - room)) return false;
      const larger = Buffer.allocUnsafeSlow(wanted);
      this.#buffer?.copy(larger, 0, 0, this.#bufferedBytes);
      this.#buffer = larger;
    }
    bytes.copy(this.#buffer!, this.#bufferedBytes, at, at + length);
    this.#bufferedBytes = needed;
    return true;
  }
}
