// The bugs that can be planted in the durable log, each named after the rule it breaks. See lib/mutation.ts.
import { declareMutations } from "../lib/mutation.ts";

/** The planted bugs of this room, name to what goes wrong. */
export const logMutations = {
  "log/acknowledged-before-sync": "A save is reported as durable when it is only written.",
  "log/failed-sync-forgotten": "A save that the disk failed to make durable is reported as durable.",
  "log/vote-not-saved": "A hard state without entries keeps its term and forgets whom it voted for.",
  "log/damage-taken-for-torn": "Entries that were durable and are damaged are cut off as if they had never been.",
  "log/torn-tail-refused": "A write that a crash cut short is taken for damage.",
  "log/releases-overtake": "A release of files goes on while an earlier one has not ended.",
  "log/snapshot-digest-ignored": "A snapshot that was damaged on its way is installed.",
} as const;

/** Asks whether a planted bug of this room is armed. */
export const mutated = declareMutations(logMutations);
