// Durations as people write them. A bare number is always milliseconds, never seconds.
import { InvalidArgumentError } from "./errors.ts";

/** A length of time: milliseconds as a number, or a number with its unit such as `"250ms"`, `"1.5s"`, `"15s"`, `"5m"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const unitMs: { readonly [unit: string]: number } = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `duration`. `what` names it in the error for anything that is not a length of time, negatives included. */
export function toMs(duration: Duration, what: string): number {
  const match = typeof duration === "string" ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration) : undefined;
  const ms = typeof duration === "number" ? duration : Number(match?.[1]) * (unitMs[match?.[2] ?? ""] ?? Number.NaN);
  if (Number.isNaN(ms) || ms < 0) {
    throw new InvalidArgumentError(
      `${what}: expected milliseconds or a text like "15s", found ${JSON.stringify(duration)}`,
    );
  }
  return ms;
}

/** Whole seconds, rounded up: leases are counted in seconds, and less than asked for would surprise. */
export function toWholeSeconds(duration: Duration, what: string): bigint {
  return BigInt(Math.ceil(toMs(duration, what) / 1000));
}
