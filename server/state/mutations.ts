// The bugs that can be planted in the state machine, each named after the rule it breaks. See lib/mutation.ts.
import { declareMutations } from "../lib/mutation.ts";

/** The planted bugs of this room, name to what goes wrong. */
export const stateMutations = {
  "state/applied-index-ahead": "The stored position is one entry ahead of the rows that are stored with it.",
  "state/txn-read-by-sweep": "What a txn may read depends on how far this member has swept.",
  "state/leases-not-reloaded": "The leases in memory stay as they were when a snapshot replaces the state.",
  "state/members-not-reloaded": "The members in memory stay as they were when a snapshot replaces the state.",
  "state/sweep-takes-last-delete": "Compaction removes a delete that happened at the compact revision itself.",
  "state/revision-not-recorded": "The stored revision lags behind when the last flush was long.",
  "state/lease-leaves-a-key": "A lease that ends leaves one of its keys.",
} as const;

/** Asks whether a planted bug of this room is armed. */
export const mutated = declareMutations(stateMutations);
