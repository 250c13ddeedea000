// The few flags of the simulator's programs.
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { type FaultKind, faultKinds } from "./weather.ts";

export interface SimArguments {
  /** How many seeds, and the first of them. */
  readonly seeds: number;
  readonly seed: number;
  readonly workers: number;
  readonly isVerbose: boolean;
  readonly mutation: string | undefined;
  /** The kind of fault to make frequent. */
  readonly favourite: FaultKind | undefined;
  /** Part of the names that are meant. */
  readonly only: string;
}

/** @throws Error for a flag that makes no sense; the message says which. */
export function parseSimArguments(args: readonly string[], seedsDefault: number): SimArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string", default: String(seedsDefault) },
      seed: { type: "string", default: "1" },
      workers: { type: "string", default: String(availableParallelism()) },
      verbose: { type: "boolean", default: false },
      mutation: { type: "string" },
      favourite: { type: "string" },
      only: { type: "string", default: "" },
    },
  });
  const { mutation, only, verbose: isVerbose } = values;
  const favourite = faultKinds.find((kind) => kind === values.favourite);
  if (values.favourite !== undefined && favourite === undefined)
    throw new Error(`--favourite must be one of ${faultKinds.join(", ")}, not ${values.favourite}`);
  return {
    favourite,
    seeds: wholeNumber("--seeds", values.seeds, 1),
    seed: wholeNumber("--seed", values.seed, 0),
    workers: wholeNumber("--workers", values.workers, 1),
    isVerbose,
    mutation,
    only,
  };
}

function wholeNumber(flag: string, text: string, min: number): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < min)
    throw new Error(`${flag} must be a whole number from ${min} on, not ${text}`);
  return number;
}
