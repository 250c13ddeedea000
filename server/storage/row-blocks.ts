// Memory for rows on their way to the store. They are many and small, live for seconds and go together: as bytes in a
// few blocks they cost the garbage collector nothing, where an object each would be moved twice before it dies.

/** Rows lie together in blocks of this size; a place is a block's number and an offset within it. */
const blockBytes = 64 * 1024;
const offsetBits = 16;
const firstBlockBytes = 4 * 1024;

export class RowBlocks {
  readonly #blocks: Buffer[] = [];
  /** Bytes taken of each block. */
  readonly #taken: number[] = [];
  /**
   * Takes `length` bytes, right behind the ones before where there is room, and returns their place. They are not
   * cleared, never move, and are never given to anybody else: views of them may be kept, but keep the whole block.
   */
  take(length: number): number {
    const last = this.#blocks.length - 1;
    const offset = last < 0 ? 0 : (this.#taken[last] as number);
    if (last >= 0 && offset + length <= Math.min((this.#blocks[last] as Buffer).length, blockBytes)) {
      this.#taken[last] = offset + length;
      return (last << offsetBits) | offset;
    }
    const size = Math.max(length, last < 0 ? firstBlockBytes : blockBytes);
    this.#blocks.push(Buffer.allocUnsafeSlow(size));
    this.#taken.push(length);
    return (last + 1) << offsetBits;
  }

  /** The block that a place is in. */
  blockAt(place: number): Buffer {
    return this.#blocks[place >>> offsetBits] as Buffer;
  }

  /** Where in its block a place is. */
  offsetAt(place: number): number {
    return place & (blockBytes - 1);
  }

  /** What was taken, in order, block by block. */
  *contents(): Iterable<Uint8Array> {
    for (let i = 0; i < this.#blocks.length; i++) yield (this.#blocks[i] as Buffer).subarray(0, this.#taken[i]);
  }
}
