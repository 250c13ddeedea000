// Searching sorted lists.
import type { ByteString } from "./byte-string.ts";

/** Index of the first key that is not below `key` in a sorted list; its length when there is none. */
export function lowerBound(sorted: readonly ByteString[], key: ByteString): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as ByteString) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
