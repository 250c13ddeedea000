/**
 * Calls listeners. What one of them throws is a fault of the program that listens: it surfaces as an uncaught exception,
 * as it does from a timer, and neither stops nor confuses what was being told.
 */
export function surface(tell: () => unknown): void {
  try {
    tell();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
