// Where a change stands in the store's history: `main` counts transactions that changed something, `sub` the changes
// inside one, from 0. Clients see `main` only. A fresh store is at main 1, so the first change is made at 2.
import {
  type ByteString,
  uint32FromByteString,
  uint32ToByteString,
  uint48FromByteString,
  uint48ToByteString,
} from "../../lib/byte-string.ts";

export interface Revision {
  readonly main: number;
  readonly sub: number;
}

/** Main revision of a store that was never written to. */
export const initialRevision = 1;

/** Key of a change in the `events` table. Byte order is the order of the changes. */
export function eventKeyOf(main: number, sub: number): ByteString {
  return uint48ToByteString(main) + uint32ToByteString(sub);
}

export function revisionOfEventKey(key: ByteString): Revision {
  return { main: uint48FromByteString(key, 0), sub: uint32FromByteString(key, 6) };
}
