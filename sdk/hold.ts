// Keeps the process alive while somebody waits for an answer, and at no other time. Sockets and timers of the SDK are
// all unreferenced; this one timer is referenced while the count is above zero.

import { timerMsMax } from "./abort.ts";

export class Hold {
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  acquire(): void {
    this.#count += 1;
    if (this.#count === 1) this.#timer = setInterval(() => undefined, timerMsMax);
  }

  release(): void {
    this.#count -= 1;
    if (this.#count > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Holds the process until `promise` settles. */
  async during<T>(promise: Promise<T>): Promise<T> {
    this.acquire();
    try {
      return await promise;
    } finally {
      this.release();
    }
  }
}
