// Joins what a turn of the event loop writes: connections with output waiting are remembered, and flushed together after
// the input that was ready has been handled. One write per socket, however many calls were answered. Large answers to
// many connections take several turns: the kernel copies every byte while it is written.
import type { Clock } from "../lib/clock.ts";

export interface Flushable {
  /** Hands all waiting output to the socket. */
  flush(): void;
}

/** Time for flushing in one turn. */
const turnMs = 4;
/** Flushes between two looks at the clock: some tenths of a millisecond, if they are small. */
const flushesPerLook = 8;

export class FlushQueue {
  readonly #clock: Clock;
  #waiting: Flushable[] = [];
  #isScheduled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Has `target` flushed at the end of the turn, or soon after. The caller takes care not to add it twice. */
  add(target: Flushable): void {
    this.#waiting.push(target);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.nextTurn(this.#flushAll);
  }

  readonly #flushAll = (): void => {
    this.#isScheduled = false;
    const targets = this.#waiting;
    this.#waiting = [];
    const endMs = targets.length > flushesPerLook ? this.#clock.nowMs() + turnMs : Number.POSITIVE_INFINITY;
    for (let i = 0; i < targets.length; i++) {
      if (i % flushesPerLook === 0 && i > 0 && this.#clock.nowMs() >= endMs) {
        // In front of what has come meanwhile.
        this.#waiting = [...targets.slice(i), ...this.#waiting];
        this.#schedule();
        return;
      }
      targets[i]!.flush();
    }
  };
}
