// The keys that a command means: one, a range, a prefix, or everything from a key on.
import { prefixEnd } from "../../../sdk/index.ts";
import { badArguments } from "./command-error.ts";
import { toBytes } from "./raw-text.ts";

export interface WireRange {
  readonly key: Uint8Array;
  /** Empty for a single key, one zero byte for no upper end. */
  readonly rangeEnd: Uint8Array;
}

const zero = new Uint8Array(1);
const none = new Uint8Array(0);

interface RangeFlags {
  readonly isPrefix: boolean;
  readonly isFromKey: boolean;
}

/** What `get` and `del` make of their arguments. @throws CommandError */
export function readRange(args: readonly string[], { isPrefix, isFromKey }: RangeFlags, command: string): WireRange {
  if (isPrefix && isFromKey) {
    throw badArguments("`--prefix` and `--from-key` cannot be set at the same time, choose one");
  }
  const [first, end] = args;
  if (first === undefined || args.length > 2) {
    throw badArguments(`${command} command needs one argument as key and an optional argument as range_end`);
  }
  if (end !== undefined && (isPrefix || isFromKey)) {
    throw badArguments("too many arguments, only accept one argument when `--prefix` or `--from-key` is set");
  }
  return toRange(first, end, { isPrefix, isFromKey });
}

/** A range without further questions. An empty key with a flag means all keys. */
export function toRange(first: string, end: string | undefined, { isPrefix, isFromKey }: RangeFlags): WireRange {
  const key = toBytes(first);
  if (end !== undefined) return { key, rangeEnd: toBytes(end) };
  if (isPrefix && key.length > 0) return { key, rangeEnd: prefixEnd(key) };
  if (isPrefix || isFromKey) return { key: key.length === 0 ? zero : key, rangeEnd: zero };
  return { key, rangeEnd: none };
}
