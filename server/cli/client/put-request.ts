// A `put` as a request, and a `del`; `txn` reads its own with them, too.
import type { wire } from "../../../sdk/index.ts";
import { boolean, type ClientFlag, text } from "./command-description.ts";
import { badArguments } from "./command-error.ts";
import type { FlagValues } from "./flag-values.ts";
import { parseLeaseId } from "./ids.ts";
import { readRange } from "./key-range.ts";
import { toBytes } from "./raw-text.ts";

export const putFlags: readonly ClientFlag[] = [
  text("lease", "Lease to attach the key to, in hexadecimal", "0"),
  boolean("prev-kv", "Show what was there before"),
  boolean("ignore-value", "Keep the value, change only the lease"),
  boolean("ignore-lease", "Keep the lease, change only the value"),
];

export const delFlags: readonly ClientFlag[] = [
  boolean("prefix", "Every key that begins with <key>"),
  boolean("from-key", "Every key from <key> on, in byte order"),
  boolean("range", "Say that a range is meant: [key, range_end)"),
  boolean("prev-kv", "Show what was there before"),
];

const wanted = "put command needs 1 argument and input from stdin or 2 arguments";

/**
 * @param readValue Where the value comes from when it is not among the arguments; undefined if there is nowhere.
 * @throws CommandError
 */
export async function readPut(
  args: readonly string[],
  flags: FlagValues,
  readValue: (() => Promise<Uint8Array>) | undefined,
): Promise<wire.PutRequest> {
  const [key, given] = args;
  if (key === undefined) throw badArguments(wanted);
  if (args.length > 2) throw badArguments(`put takes a key and a value, found ${args.length} arguments; quote spaces`);
  const ignoreValue = flags.boolean("ignore-value");
  if (ignoreValue && given !== undefined) {
    throw badArguments("put command needs only 1 argument when 'ignore-value' is set");
  }
  const lease = parseLeaseId(flags.text("lease"), "bad lease ID");
  return {
    key: toBytes(key),
    value: ignoreValue ? new Uint8Array(0) : given === undefined ? await requireValue(readValue) : toBytes(given),
    lease,
    prevKv: flags.boolean("prev-kv"),
    ignoreValue,
    ignoreLease: flags.boolean("ignore-lease"),
  };
}

/** Nothing at all on standard input is a forgotten value, not an empty one. For that, type ''. */
async function requireValue(readValue: (() => Promise<Uint8Array>) | undefined): Promise<Uint8Array> {
  const value = await readValue?.();
  if (value === undefined || value.length === 0) throw badArguments(wanted);
  return value;
}

/** @throws CommandError */
export function readDelete(args: readonly string[], flags: FlagValues): wire.DeleteRangeRequest {
  const isPrefix = flags.boolean("prefix");
  const isFromKey = flags.boolean("from-key");
  return { ...readRange(args, { isPrefix, isFromKey }, "del"), prevKv: flags.boolean("prev-kv") };
}
