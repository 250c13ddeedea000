// A read of one key, for commands that show what they stored.
import type { wire } from "../../../sdk/index.ts";

export const singleKey = (key: string): wire.RangeRequest => ({
  key: Buffer.from(key),
  rangeEnd: new Uint8Array(0),
  limit: 0n,
  revision: 0n,
  sortOrder: 0,
  sortTarget: 0,
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0n,
  maxModRevision: 0n,
  minCreateRevision: 0n,
  maxCreateRevision: 0n,
});
