// A range of keys, normalised once where a request enters. Checks, permissions and reads all use this one object: a
// range that means one thing to a check and another to a read is how permissions are bypassed.
import type { ByteString } from "../lib/byte-string.ts";

export type KeyRange =
  | { readonly kind: "key"; readonly key: ByteString }
  /** Keys in [from, to); no `to` means to the end. Empty when `to` is not above `from`. */
  | { readonly kind: "interval"; readonly from: ByteString; readonly to: ByteString | undefined };

/** The wire's way: no end is a single key, an end of one zero byte is open. */
export function keyRangeOf(key: ByteString, rangeEnd: ByteString): KeyRange {
  if (rangeEnd === "") return { kind: "key", key };
  return { kind: "interval", from: key, to: rangeEnd === "\0" ? undefined : rangeEnd };
}

export function rangeIncludes(range: KeyRange, key: ByteString): boolean {
  if (range.kind === "key") return range.key === key;
  return key >= range.from && (range.to === undefined || key < range.to);
}

export function isEmptyRange(range: KeyRange): boolean {
  return range.kind === "interval" && range.to !== undefined && range.to <= range.from;
}
