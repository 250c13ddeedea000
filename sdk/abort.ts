// Waiting that can be given up, on the monotonic clock, without keeping the process alive.

import { setMaxListeners } from "node:events";

const unlimited = new WeakSet<AbortSignal>();

/** Milliseconds on a clock that never goes back and ignores the wall clock. Every deadline of the SDK is on it. */
export const monotonicMs = (): number => performance.now();

/** A promise and its ends. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** A deferred whose rejection nobody has to listen to. */
export function createDeferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** Longest delay that Node's timers take; a longer one would fire at once. */
export const timerMsMax = 2 ** 31 - 1;

/** Resolves after `ms`, or as soon as `signal` aborts; the caller looks at the signal to tell which. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, timerMsMax));
    timer.unref();
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** Calls `callback` when `signal` aborts, at once if it already has. Returns how to stop listening. */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => undefined;
  // One signal for many concurrent calls is what signals are for; Node would warn of a leak from the eleventh on.
  if (!unlimited.has(signal)) {
    unlimited.add(signal);
    setMaxListeners(0, signal);
  }
  if (signal.aborted) {
    callback();
    return () => undefined;
  }
  signal.addEventListener("abort", callback, { once: true });
  return () => signal.removeEventListener("abort", callback);
}
