// The bugs that can be planted in storage, each named after the rule it breaks. See lib/mutation.ts.
import { declareMutations } from "../lib/mutation.ts";

/** The planted bugs of this room, name to what goes wrong. */
export const storageMutations = {
  "storage/layer-dropped-early": "Rows on their way to disk cannot be read until they are there.",
  "storage/failed-flush-forgotten": "Rows that found no room on disk are not tried again.",
  "storage/load-keeps-buffer": "Rows written before a snapshot was loaded stay on top of it.",
} as const;

/** Asks whether a planted bug of this room is armed. */
export const mutated = declareMutations(storageMutations);
