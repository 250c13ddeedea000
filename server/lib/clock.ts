// The door through which time comes in. Tests and the simulator hand in a clock of their own; system-clock.ts is the
// real one. Nothing else in server/ reads the time or sets a timer.

/** A pending timer. Cancelling twice, or after it fired, is fine. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds on a clock that never goes back and does not follow the wall clock. Fractions are allowed. */
  nowMs(): number;
  /** Milliseconds since 1970, for log lines and ids. It may jump; nothing that must be correct may depend on it. */
  wallMs(): number;
  /** Calls `callback` once, not before `delayMs` has passed. */
  setTimer(delayMs: number, callback: () => void): Timer;
  /** Calls `callback` on a later turn of the event loop, after the input that is ready now was handled. */
  nextTurn(callback: () => void): void;
}
