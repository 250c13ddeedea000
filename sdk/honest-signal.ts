// An AbortSignal that is honest about the clock: reading `aborted` first looks whether it is time. After a stall of the
// event loop the timer that would abort it still waits for its turn, and code that runs before must not see "fine".
import { setMaxListeners } from "node:events";

const prototype = AbortSignal.prototype;
const readAborted = Object.getOwnPropertyDescriptor(prototype, "aborted")?.get as (this: AbortSignal) => boolean;

export interface HonestSignal {
  readonly signal: AbortSignal;
  abort(reason: Error): void;
}

/** For what is held for a time: `check` runs before each reading of the signal and calls `abort` if it is time. */
export function createHonestSignal(check: () => void): HonestSignal {
  const controller = new AbortController();
  const { signal } = controller;
  // Whatever depends on a lease, a session or a lock listens to it; many listeners are no leak here.
  setMaxListeners(0, signal);
  Object.defineProperties(signal, {
    aborted: {
      get() {
        check();
        return readAborted.call(signal);
      },
    },
    throwIfAborted: {
      value() {
        check();
        prototype.throwIfAborted.call(signal);
      },
    },
  });
  return { signal, abort: (reason) => controller.abort(reason) };
}
