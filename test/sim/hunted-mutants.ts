// The planted bugs that the simulation must find, each with the row of failure modes it stands for. Bugs of consensus
// that need a rarer coincidence than a storm brings about are left to test/raft, where every one of them is found. The
// few of other rooms that have no row need more seeds than a table has time for.
import { logMutations } from "../../server/log/mutations.ts";
import { raftMutations } from "../../server/raft/mutations.ts";
import { replicaMutations } from "../../server/replica/mutations.ts";
import { stateMutations } from "../../server/state/mutations.ts";
import { storageMutations } from "../../server/storage/mutations.ts";
import { watchMutations } from "../../server/watch/mutations.ts";
import type { FaultKind } from "./weather.ts";

export interface Mutant {
  readonly name: string;
  /** The failure mode: C for consensus, D for disks, P for snapshots, M for membership, K, W, L and X for data and its clients. */
  readonly row: string;
  /** The kind of fault that is made frequent where it is hunted: it needs a coincidence that is rare elsewhere. */
  readonly favourite: FaultKind | undefined;
}

/** Rows, by the name of the planted bug. One without a row is not hunted here. */
const rows: { readonly [name: string]: string | readonly [row: string, favourite: FaultKind] } = {
  "log/acknowledged-before-sync": "D2",
  "log/failed-sync-forgotten": ["D1", "disk-error"],
  "log/vote-not-saved": ["C1", "vote-storm"],
  "log/damage-taken-for-torn": "D4",
  "log/torn-tail-refused": "D3",
  "log/snapshot-digest-ignored": "P4",
  "raft/accept-before-save": "C2",
  "raft/leader-counts-itself-early": "C2",
  "raft/apply-before-save": "C2",
  "raft/vote-before-save": ["C1", "vote-storm"],
  "raft/votes-twice-in-term": "C1",
  "raft/vote-ignores-log": "C3",
  "raft/votes-under-live-leader": "C6",
  "raft/pre-vote-raises-term": "C6",
  "raft/late-append-truncates": "C14",
  "raft/heartbeat-commit-unbounded": "C14",
  "raft/leader-without-quorum-stays": "C7",
  "raft/read-without-quorum": ["C8", "wake-apart"],
  "raft/read-before-term-commit": "C9",
  "raft/read-id-reused": "C10",
  "raft/read-joins-running-round": "C10",
  "raft/forwarded-twice": "C16",
  "raft/transfer-never-aborted": "C11",
  "replica/log-released-ahead": "D17",
  "replica/read-before-applied": "C8",
  "replica/reads-share-a-request": "C10",
  "replica/forwarded-again-early": "X1",
  "replica/forwarded-outlive-snapshot": "X1",
  "replica/snapshot-keeps-queue": ["P1", "stall-in-flush"],
  "replica/lease-without-slack": "L1",
  "replica/lease-not-restarted": "L1",
  "replica/renewed-without-quorum": ["L3", "wake-apart"],
  "replica/renewed-while-revoked": "L3",
  "replica/expiry-forgotten": "L4",
  "state/applied-index-ahead": "D8",
  "state/txn-read-by-sweep": "K1",
  "state/leases-not-reloaded": "P2",
  "state/members-not-reloaded": "P2",
  "state/sweep-takes-last-delete": "P6",
  "state/revision-not-recorded": "P5",
  "state/lease-leaves-a-key": "L7",
  "storage/layer-dropped-early": "K7",
  "storage/failed-flush-forgotten": "D10",
  "storage/load-keeps-buffer": "P2",
  "watch/full-queue-drops": "W1",
  "watch/compaction-skips": "W1",
  "watch/snapshot-skips": "W2",
  "watch/snapshot-repeats": "W2",
  "watch/future-ignored": "W2",
  "watch/progress-ahead": "W3",
  "watch/revision-split": "W4",
};

const known = {
  ...logMutations,
  ...raftMutations,
  ...replicaMutations,
  ...stateMutations,
  ...storageMutations,
  ...watchMutations,
};

export const huntedMutants: readonly Mutant[] = Object.keys(known).flatMap((name) => {
  const entry = rows[name];
  if (entry === undefined) return [];
  const [row, favourite] = typeof entry === "string" ? [entry, undefined] : entry;
  return [{ name, row, favourite }];
});
