// The appends a leader has sent to one member and not seen acknowledged: a queue bounded in messages and in bytes.

/** A window of unacknowledged appends, in order of their last index. It only counts; what it refuses is not sent. */
export class Inflights {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  // Ring buffers of equal length that grow up to `#messagesMax`: most members never need the full window.
  #lastIndexes: number[] = [];
  #sizes: number[] = [];
  #head = 0;
  #count = 0;
  #bytes = 0;

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** No append with entries may be sent now. The byte limit may be passed by the last message let in, not further. */
  get full(): boolean {
    return this.#count >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  /** Notes an append whose last entry is `lastIndex`. The caller has asked `full` before. */
  add(lastIndex: number, sizeBytes: number): void {
    if (this.#count === this.#lastIndexes.length) this.#grow();
    const at = (this.#head + this.#count) % this.#lastIndexes.length;
    this.#lastIndexes[at] = lastIndex;
    this.#sizes[at] = sizeBytes;
    this.#count++;
    this.#bytes += sizeBytes;
  }

  /** Forgets all appends whose last entry is at most `index`. */
  freeTo(index: number): void {
    while (this.#count > 0 && (this.#lastIndexes[this.#head] as number) <= index) {
      this.#bytes -= this.#sizes[this.#head] as number;
      this.#head = (this.#head + 1) % this.#lastIndexes.length;
      this.#count--;
    }
  }

  /** Forgets all. */
  clear(): void {
    this.#head = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const length = this.#lastIndexes.length;
    const ordered = Array.from({ length: this.#count }, (_, i) => (this.#head + i) % length);
    const room = Math.max(8, length);
    this.#lastIndexes = [...ordered.map((at) => this.#lastIndexes[at] as number), ...new Array<number>(room).fill(0)];
    this.#sizes = [...ordered.map((at) => this.#sizes[at] as number), ...new Array<number>(room).fill(0)];
    this.#head = 0;
  }
}
