// A limit on bytes held, with a larger limit around it: one budget per connection inside one per server. Taking is all
// or nothing, so a refusal leaves no trace.
import { assert } from "../lib/assert.ts";

export class MemoryBudget {
  readonly #bytesMax: number;
  readonly #around: MemoryBudget | undefined;
  #usedBytes = 0;

  constructor(bytesMax: number, around?: MemoryBudget) {
    this.#bytesMax = bytesMax;
    this.#around = around;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether `bytes` more fit. */
  take(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.#bytesMax) return false;
    if (this.#around !== undefined && !this.#around.take(bytes)) return false;
    this.#usedBytes += bytes;
    return true;
  }

  /** Takes even beyond the limit: for a single item that is let through because nothing else waits. */
  force(bytes: number): void {
    this.#around?.force(bytes);
    this.#usedBytes += bytes;
  }

  giveBack(bytes: number): void {
    assert(bytes <= this.#usedBytes, "budget: more was given back than had been taken");
    this.#usedBytes -= bytes;
    this.#around?.giveBack(bytes);
  }
}
