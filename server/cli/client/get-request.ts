// A `get` as a request; `txn` reads its gets with it, too.
import type { wire } from "../../../sdk/index.ts";
import { boolean, type ClientFlag, integer, text } from "./command-description.ts";
import { badArguments, CommandError, exitStatus } from "./command-error.ts";
import type { FlagValues } from "./flag-values.ts";
import { readRange } from "./key-range.ts";

export const getFlags: readonly ClientFlag[] = [
  text("consistency", "Linearizable (l) or serializable (s)", "l"),
  text("order", "ASCEND or DESCEND"),
  text("sort-by", "CREATE, KEY, MODIFY, VALUE or VERSION"),
  integer("limit", "Most keys to return; 0 for all"),
  boolean("prefix", "Every key that begins with <key>"),
  boolean("from-key", "Every key from <key> on, in byte order"),
  integer("rev", "Read the keys as they were at this revision; 0 for now"),
  boolean("keys-only", "Keys without values"),
  boolean("count-only", "Only how many there are (with -w fields)"),
  boolean("print-value-only", "Values without keys (with -w simple)"),
  integer("min-create-rev", "Only keys created at this revision or later"),
  integer("max-create-rev", "Only keys created at this revision or earlier"),
  integer("min-mod-rev", "Only keys changed at this revision or later"),
  integer("max-mod-rev", "Only keys changed at this revision or earlier"),
];

const sortOrders = { "": 0, ASCEND: 1, DESCEND: 2 } as const;
const sortTargets = { "": 0, KEY: 0, VERSION: 1, CREATE: 2, MODIFY: 3, VALUE: 4 } as const;

/** @throws CommandError */
export function readGet(args: readonly string[], flags: FlagValues): wire.RangeRequest {
  const isPrefix = flags.boolean("prefix");
  const isFromKey = flags.boolean("from-key");
  const keysOnly = flags.boolean("keys-only");
  const countOnly = flags.boolean("count-only");
  const range = readRange(args, { isPrefix, isFromKey }, "get");
  if (keysOnly && countOnly) {
    throw badArguments("`--keys-only` and `--count-only` cannot be set at the same time, choose one");
  }
  const consistency = flags.text("consistency");
  if (consistency !== "l" && consistency !== "s") {
    throw unsupported(`unknown consistency flag ${JSON.stringify(consistency)}`);
  }
  const order = flags.text("order");
  const target = flags.text("sort-by");
  const sortOrder = pick(sortOrders, order.toUpperCase(), `bad sort order ${order}`);
  const sortTarget = pick(sortTargets, target.toUpperCase(), `bad sort target ${target}`);
  const revision = flags.integer("rev");
  return {
    ...range,
    limit: flags.integer("limit"),
    revision: revision > 0n ? revision : 0n,
    // Ascending by key is how they come anyway, without sorting.
    sortOrder: sortTarget === 0 && sortOrder === 1 ? 0 : sortOrder,
    sortTarget,
    serializable: consistency === "s",
    keysOnly,
    countOnly,
    minModRevision: flags.integer("min-mod-rev"),
    maxModRevision: flags.integer("max-mod-rev"),
    minCreateRevision: flags.integer("min-create-rev"),
    maxCreateRevision: flags.integer("max-create-rev"),
  };
}

function pick<Values extends { readonly [name: string]: number }>(
  values: Values,
  name: string,
  complaint: string,
): Values[keyof Values] {
  if (!Object.hasOwn(values, name)) throw unsupported(complaint);
  return values[name as keyof Values];
}

const unsupported = (message: string): CommandError => new CommandError(message, exitStatus.unsupported);
