// A response message that is already encoded. A service that answers many calls with the same bytes (a watch event for
// a thousand watchers), or that writes its messages by hand, returns one of these instead of a value.

export class EncodedMessage {
  /** The message is all of them in order. They must not change any more. */
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;

  constructor(chunks: readonly Uint8Array[]) {
    this.chunks = chunks;
    let sizeBytes = 0;
    for (const chunk of chunks) sizeBytes += chunk.length;
    this.sizeBytes = sizeBytes;
  }

  /** The message as one piece: for carriers that know nothing of this class. */
  toBytes(): Uint8Array {
    return this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
  }
}
