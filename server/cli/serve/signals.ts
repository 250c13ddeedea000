// SIGTERM and SIGINT: the first asks for an orderly end, a second one ends the process at once. Either way the process
// ends by the signal itself, so that whoever sent it sees exit status 143 or 130; process 1, which the kernel shields
// from its own signals, exits with 0.

const signals = ["SIGTERM", "SIGINT"] as const;
export type StopSignal = (typeof signals)[number];

/** Calls `onStop` at the first signal. Returns how to stop listening. */
export function onStopSignal(onStop: (signal: StopSignal) => void): () => void {
  let isStopping = false;
  const listeners = signals.map((signal) => {
    const listener = (): void => {
      if (isStopping) endBySignal(signal);
      isStopping = true;
      onStop(signal);
    };
    process.on(signal, listener);
    return { signal, listener };
  });
  return () => {
    for (const { signal, listener } of listeners) process.off(signal, listener);
  };
}

/** Ends the process as the signal by itself would have. */
export function endBySignal(signal: StopSignal): never {
  if (process.pid === 1) process.exit(0);
  for (const name of signals) process.removeAllListeners(name);
  process.kill(process.pid, signal);
  // Not reached where signals work as they should; the status says the same.
  process.exit(signal === "SIGTERM" ? 143 : 130);
}

/**
 * Ends the process now and for certain, with a status that is not 0: the one of a process that was killed. An orderly
 * exit would wait for threads, and one that writes to a disk that fails may never end.
 */
export function endAtOnce(): never {
  process.kill(process.pid, "SIGKILL");
  // Process 1 is shielded even from this signal of its own.
  process.abort();
}
