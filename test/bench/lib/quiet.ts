// Waits until nobody else is at work on the machine, for whoever shares one.
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { machineCpuSeconds } from "./process-usage.ts";

const sampleMs = 500;
/** Share of the machine that may be busy. */
const busyShareMax = 0.08;

/** Resolves at the first half second in which the machine was nearly idle, or after `secondsMax`. */
export async function untilQuiet(secondsMax: number): Promise<void> {
  const deadlineMs = performance.now() + secondsMax * 1000;
  while (performance.now() < deadlineMs) {
    const before = machineCpuSeconds();
    await sleep(sampleMs);
    const busy = (machineCpuSeconds() - before) / (sampleMs / 1000) / availableParallelism();
    if (!(busy > busyShareMax)) return;
  }
}
