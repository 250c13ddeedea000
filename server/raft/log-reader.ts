// How raft reads the part of the log that is durable. The host's log store implements it; memory-log.ts does for tests.
// Raft never writes through it: writes leave as `Save` values (ready.ts) and come back through `onSaved`.
import type { Entry, SnapshotMeta } from "./types.ts";

/**
 * Why a part of the log cannot be read.
 * - `compacted`: it is gone for good, the state it led to is in a snapshot.
 * - `unavailable`: not now, for instance while a damaged entry is fetched from a peer. Raft asks again later.
 */
export type LogGap = "compacted" | "unavailable";

/**
 * The durable log, read synchronously; recent entries should come from memory. Raft asks for an index only after
 * `onSaved` for the save that held it, and asks again after the host compacted, so answers may change in that way only.
 */
export interface LogReader {
  /** The oldest entry that can be read. One after the last compacted entry or installed snapshot; 1 for a new log. */
  firstIndex(): number;
  /** The newest durable entry, or `firstIndex() - 1` when there is none. Asked once, when a node is made. */
  lastIndex(): number;
  /** The term of an entry, known from `firstIndex() - 1` (where the snapshot or compaction ended; 0 at index 0) on. */
  term(index: number): number | LogGap;
  /**
   * The entries from `low` up to and without `high`: the first one always, then as many as keep the sum of
   * `entrySizeBytes` within `bytesMax`. Never empty, never with a hole. When a node is made, everything that is not
   * applied yet must be readable.
   */
  entries(low: number, high: number, bytesMax: number): readonly Entry[] | LogGap;
  /**
   * A snapshot that could be sent to a member now, or `undefined` when there is none at the moment. Its index must be at
   * least `firstIndex() - 1`. It should be of the newest applied state: one from before a member was added is not sent
   * to that member.
   */
  snapshot(): SnapshotMeta | undefined;
}
