// Bytes that wait for the store, made heavier than they are: what takes hundreds of megabytes in earnest, that so much
// waits for a slow disk that applying pauses, happens here after a few writes.
import type { Backend } from "../../server/storage/backend.ts";

/** Lets each byte that waits in memory for the store count `weight` times. */
export function weigh(backend: Backend, weight: number): void {
  for (const name of ["bufferedBytes", "memoryBytes"] as const) {
    const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(backend), name)?.get;
    Object.defineProperty(backend, name, { get: () => weight * own?.call(backend) });
  }
}
