// Counts what a client does that costs us and brings an honest client little, and says when it is too much. A token
// bucket: a burst is allowed, a steady trickle is forgiven. What is counted, and how much each thing weighs, is decided
// by whoever calls; limits.ts says what happens at the limit.
import type { Clock } from "../lib/clock.ts";

export class AbuseGuard {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #perMs: number;
  #level = 0;
  #levelAtMs = 0;

  constructor(clock: Clock, burst: number, perSecond: number) {
    this.#clock = clock;
    this.#burst = burst;
    this.#perMs = perSecond / 1000;
  }

  /** Adds `weight`; false where that is too much. */
  charge(weight: number): boolean {
    const nowMs = this.#clock.nowMs();
    this.#level = Math.max(0, this.#level - (nowMs - this.#levelAtMs) * this.#perMs) + weight;
    this.#levelAtMs = nowMs;
    return this.#level <= this.#burst;
  }
}
