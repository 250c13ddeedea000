// SIGINT and SIGTERM for commands that hold something: the first aborts, so that they can let go of it; a second one
// ends the process as it would without us.

export interface StopSignals extends Disposable {
  readonly signal: AbortSignal;
}

export function onStop(): StopSignals {
  const controller = new AbortController();
  const stop = (): void => {
    undo();
    controller.abort(new Error("interrupted"));
  };
  const undo = (): void => {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  return { signal: controller.signal, [Symbol.dispose]: undo };
}

/** Resolves when one of the signals aborts. */
export function aborted(...signals: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...signals]);
  if (any.aborted) return Promise.resolve();
  return new Promise((resolve) => any.addEventListener("abort", () => resolve(), { once: true }));
}
