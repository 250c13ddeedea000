// The simulator's time: one queue of events for the whole world. Time passes only from one event to the next, and
// between two events everything that waits on settled promises has run, however many of them stand in a row. So
// promises of the real code run in an order that depends on nothing but the seed.

/** Something that will happen. Cancelling it twice, or after it has happened, is fine. */
export interface Scheduled {
  cancel(): void;
}

class Event implements Scheduled {
  readonly timeMs: number;
  readonly order: number;
  run: (() => void) | undefined;

  constructor(timeMs: number, order: number, run: () => void) {
    this.timeMs = timeMs;
    this.order = order;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }

  isBefore(other: Event): boolean {
    return this.timeMs < other.timeMs || (this.timeMs === other.timeMs && this.order < other.order);
  }
}

export class Scheduler {
  /** A binary heap, the next event in front. */
  readonly #heap: Event[] = [];
  #order = 0;
  #nowMs = 0;
  #eventCount = 0;

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** How many events have happened. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** Makes something happen after `delayMs`. What is due at the same moment happens in the order it was asked for. */
  after(delayMs: number, run: () => void): Scheduled {
    const event = new Event(this.#nowMs + Math.max(0, delayMs), this.#order++, run);
    this.#push(event);
    return event;
  }

  /** Resolves when `delayMs` have passed. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /**
   * Lets things happen until `isDone` says that it is enough, or nothing is left, or the world is `endMs` old.
   * Rejects with what an event throws.
   */
  run(endMs: number, isDone: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = (): void => {
        const event = isDone() ? undefined : this.#pop(endMs);
        if (event === undefined) {
          resolve();
          return;
        }
        this.#nowMs = event.timeMs;
        this.#eventCount++;
        try {
          event.run?.();
        } catch (error) {
          reject(error);
          return;
        }
        queueMicrotask(next);
      };
      // Node runs a tick only once no microtask is left, those included that `step` has brought about.
      const next = (): void => process.nextTick(step);
      next();
    });
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const above = (at - 1) >>> 1;
      const parent = heap[above] as Event;
      if (!event.isBefore(parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  /** The next event that was not cancelled. */
  #pop(endMs: number): Event | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.timeMs > endMs) return undefined;
      this.#removeFirst();
      if (first.run !== undefined) return first;
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && (heap[below + 1] as Event).isBefore(heap[below] as Event)) below++;
      const child = heap[below] as Event;
      if (!child.isBefore(last)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}
