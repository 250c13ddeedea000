// The bugs that can be planted in the replica, each named after the rule it breaks. See lib/mutation.ts.
import { declareMutations } from "../lib/mutation.ts";

/** The planted bugs of this room, name to what goes wrong. */
export const replicaMutations = {
  "replica/log-released-ahead": "Log files go as soon as the state was applied, not when it is on disk.",
  "replica/read-before-applied": "A confirmed read is answered before this member has applied what it has to show.",
  "replica/reads-share-a-request": "A read joins others whose request to the leader was sent before it.",
  "replica/snapshot-keeps-queue": "Entries that waited to be applied are applied over a snapshot that has them.",
  "replica/lease-without-slack": "A lease ends by the leader's clock alone, whatever its client's clock says.",
  "replica/lease-not-restarted": "A new leader goes on with the time that it has seen pass since the grant.",
  "replica/renewed-without-quorum": "A keepalive is answered by a leader that may have been replaced.",
  "replica/renewed-while-revoked": "A keepalive revives a lease whose revoke is on its way.",
  "replica/expiry-forgotten": "Of the leases that run out, a new leader ends none it did not see granted.",
  "replica/forwarded-again-early": "What was sent to a leader is sent to the next one before it is known to be lost.",
  "replica/forwarded-outlive-snapshot": "What a snapshot may hold is taken for lost, and proposed again.",
  "replica/pending-called-refused": "A member that stops says of pending proposals that nothing was done.",
} as const;

/** Asks whether a planted bug of this room is armed. */
export const mutated = declareMutations(replicaMutations);
