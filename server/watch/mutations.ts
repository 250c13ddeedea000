// The bugs that can be planted in watching, each named after the rule it breaks. See lib/mutation.ts.
import { declareMutations } from "../lib/mutation.ts";

/** The planted bugs of this room, name to what goes wrong. */
export const watchMutations = {
  "watch/full-queue-drops": "A batch that a slow watcher's queue has no room for is passed over.",
  "watch/compaction-skips": "A watcher whose history was compacted goes on behind the gap.",
  "watch/snapshot-skips": "Watchers go on behind a snapshot without what it has skipped.",
  "watch/snapshot-repeats": "A snapshot makes watchers start again where they had been.",
  "watch/future-ignored": "A watcher that asked for later revisions gets those before as well.",
  "watch/progress-ahead": "Progress is reported over watchers that are behind.",
  "watch/revision-split": "A revision is cut in two when its message is large.",
} as const;

/** Asks whether a planted bug of this room is armed. */
export const mutated = declareMutations(watchMutations);
