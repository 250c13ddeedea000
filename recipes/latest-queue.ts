// A queue with room for one: whoever reads slowly gets the newest value and none of those in between. For state, of which
// only the latest matters, never for events.
import { whileWaiting } from "./waiting.ts";

/** Read with `for await`, by one reader. Waiting for the next value keeps the process alive. */
export class LatestQueue<T> implements AsyncIterableIterator<T> {
  readonly #onEnd: () => void;
  #latest: { readonly value: T } | undefined;
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  /** Puts a value in the place of the one that was not read yet, if there is one. */
  offer(value: T): void {
    if (this.#isEnded) return;
    this.#latest = { value };
    this.#wake?.();
  }

  /** Ends it: what was offered last can still be read. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#onEnd();
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    while (this.#latest === undefined) {
      if (this.#isEnded) return { done: true, value: undefined };
      const news = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await whileWaiting(news);
      this.#wake = undefined;
    }
    const { value } = this.#latest;
    this.#latest = undefined;
    return { done: false, value };
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#latest = undefined;
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
