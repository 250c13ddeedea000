// A clock whose time passes only when its owner says so. Timers fire in the order of their times, and those of one time
// in the order they were set. Between two of them everything that waits on promises gets to run.
import type { Clock, Timer } from "../../server/lib/clock.ts";

interface PendingTimer {
  readonly dueMs: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #nowMs: number;
  readonly #wallStartMs: number;
  readonly #timers = new Set<PendingTimer>();
  #turns: (() => void)[] = [];

  constructor(startMs = 0, wallStartMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
    this.#wallStartMs = wallStartMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#wallStartMs + this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer: PendingTimer = { dueMs: this.#nowMs + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  nextTurn(callback: () => void): void {
    this.#turns.push(callback);
  }

  /** When the next timer is due; undefined when there is none. */
  get nextDueMs(): number | undefined {
    return this.#next()?.dueMs;
  }

  #next(): PendingTimer | undefined {
    let next: PendingTimer | undefined;
    for (const timer of this.#timers) if (next === undefined || timer.dueMs < next.dueMs) next = timer;
    return next;
  }

  /** Runs everything that waits for nothing but its turn. No time passes. */
  async settle(): Promise<void> {
    await microtasks();
    while (this.#turns.length > 0) {
      const turns = this.#turns;
      this.#turns = [];
      for (const turn of turns) {
        turn();
        await microtasks();
      }
    }
  }

  /** Lets time pass, and fires what comes due on the way. */
  async advance(byMs: number): Promise<void> {
    const endMs = this.#nowMs + byMs;
    await this.settle();
    for (let next = this.#next(); next !== undefined && next.dueMs <= endMs; next = this.#next()) {
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
      await this.settle();
    }
    this.#nowMs = endMs;
  }

  /** Lets time pass without anybody noticing: the process stands still, and timers are late afterwards. */
  standStill(forMs: number): void {
    this.#nowMs += forMs;
  }
}

/** Lets everything run that waits on settled promises, however many of them in a row. */
export function microtasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
