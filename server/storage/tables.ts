// Every table of the store, and what its keys look like. Layouts of values live with the code that owns the table.

/**
 * - `meta`: one row a name; see state/meta.ts.
 * - `current`: user key (up to 900 bytes) -> where its newest version is. One row a live key.
 * - `events`: main revision (6 bytes), sub revision (4 bytes) -> the change made there, with the version's value.
 * - `history`: escaped user key, superseding revision (6 bytes) -> the version that was valid until then.
 * - `longCurrent`, `longHistory`: the same two for keys over 900 bytes; keys start with a prefix number (6 bytes).
 * - `prefixes`: parent prefix number (6 bytes), 900 bytes of key -> the number that stands for parent + these bytes.
 * - `prefixParents`: prefix number (6 bytes) -> its key in `prefixes`.
 * - `leases`: lease id (8 bytes) -> granted and remaining time.
 * - `leaseKeys`: lease id (8 bytes), prefix number (6 bytes), rest of the user key -> a checksum.
 * - `members`: member id (8 bytes) -> what the cluster knows of it.
 * - `removedMembers`: member id (8 bytes) -> a checksum; these ids never come back.
 * - `alarms`: member id (8 bytes), type (1 byte) -> a checksum.
 */
export const tableNames = [
  "meta",
  "current",
  "events",
  "history",
  "longCurrent",
  "longHistory",
  "prefixes",
  "prefixParents",
  "leases",
  "leaseKeys",
  "members",
  "removedMembers",
  "alarms",
] as const;

export type TableName = (typeof tableNames)[number];

/** Longest key of any table, in bytes: LMDB's limit at its default page size, as lmdb-js sets it. */
export const tableKeyBytesMax = 1978;
