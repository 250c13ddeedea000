// The real clock. Its timers do not keep the process alive: open sockets and files do that.
import { performance } from "node:perf_hooks";
import type { Clock } from "./clock.ts";

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  nextTurn(callback) {
    setImmediate(callback);
  },
};
