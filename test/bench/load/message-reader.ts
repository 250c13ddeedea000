// Cuts the bytes of one stream into gRPC messages. A message that lies whole in one frame is handed on where it lies.

const prefixBytes = 5;

export class MessageReader {
  readonly #onMessage: (bytes: Buffer, start: number, end: number) => void;
  #held = Buffer.alloc(0);

  /** @param onMessage Gets the message as `bytes[start..end)`, valid only during the call. */
  constructor(onMessage: (bytes: Buffer, start: number, end: number) => void) {
    this.#onMessage = onMessage;
  }

  feed(chunk: Buffer, start: number, end: number): void {
    let bytes = chunk;
    let at = start;
    let last = end;
    if (this.#held.length > 0) {
      bytes = Buffer.concat([this.#held, chunk.subarray(start, end)]);
      at = 0;
      last = bytes.length;
    }
    while (last - at >= prefixBytes) {
      if (bytes[at] !== 0) throw new Error("a compressed message was not asked for");
      const next = at + prefixBytes + bytes.readUInt32BE(at + 1);
      if (next > last) break;
      this.#onMessage(bytes, at + prefixBytes, next);
      at = next;
    }
    if (at < last || this.#held.length > 0) this.#held = Buffer.from(bytes.subarray(at, last));
  }
}
