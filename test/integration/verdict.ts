// Holds a recorded run against everything that must be true of it.
import { checkHistory } from "../linearizability/check-history.ts";
import { drawOperation } from "../linearizability/draw.ts";
import { checkLease } from "../linearizability/lease-check.ts";
import type { Operation, RevisionChanges } from "../linearizability/operation.ts";
import { checkSerializableReads, replay } from "../linearizability/serializable-check.ts";
import { checkWatchAcross } from "../linearizability/watch-check.ts";
import type { Follower } from "./workload/follower.ts";
import type { LeaseHolders } from "./workload/lease-holders.ts";
import type { Recorder } from "./workload/recorder.ts";
import type { Truth } from "./workload/truth.ts";

export interface Evidence {
  readonly recorder: Recorder;
  readonly truth: Truth;
  readonly followers: readonly Follower[];
  readonly holders: LeaseHolders;
  /** Since when there were no faults. */
  readonly healedAt: number;
  readonly endedAt: number;
}

export interface Verdict {
  readonly operations: number;
  readonly acknowledgedWrites: number;
  /** Requests that change something, and what became of them nobody was told. */
  readonly unknownWrites: number;
  readonly lostWrites: number;
  readonly history: "legal" | "illegal" | "undecided";
  readonly watchedRevisions: number;
  readonly serializableReads: number;
  readonly leases: number;
  /** Everything that is wrong, in words. */
  readonly problems: readonly string[];
}

/**
 * That leases end is held against the cluster, not how soon: a busy machine may elect again after the last fault, and a
 * new leader starts every lease anew.
 */
const electionTimeoutMs = 15_000;
const triesMax = 5_000_000;

export function judge({ recorder, truth, followers, holders, healedAt, endedAt }: Evidence): Verdict {
  const history = recorder.finish();
  const problems: string[] = [];
  const lost = history.filter((operation) => isLost(operation, truth.changes));
  for (const operation of lost) problems.push(`acknowledged and lost: ${drawOperation(operation)}`);

  const verdict = checkHistory(history, { changes: truth.changes, triesMax });
  if (verdict.kind === "illegal") {
    const { operations, deadEnd } = verdict.counterexample;
    problems.push(`the history is not linearizable; at revision ${deadEnd.revision} nothing more fits:`);
    for (const operation of operations.slice(-20)) problems.push(`  ${drawOperation(operation)}`);
  } else if (verdict.kind === "undecided") problems.push("the history could not be decided");
  else problems.push(...checkSerializableReads(recorder.serializableReads, replay(verdict.order)));

  const watchTruth = truth.forChecker();
  for (const { watches } of followers) {
    for (const [at, records] of watches.entries()) {
      problems.push(...checkWatchAcross(records, watchTruth, at === watches.length - 1));
    }
  }
  const leases = holders.records();
  const bounds = { now: endedAt, stableSince: healedAt, electionTimeoutMs };
  for (const lease of leases) problems.push(...checkLease(lease, bounds));
  return {
    operations: history.length,
    acknowledgedWrites: history.filter(isAcknowledgedWrite).length,
    unknownWrites: history.filter(({ request, outcome }) => outcome.kind === "unknown" && request.kind !== "range")
      .length,
    lostWrites: lost.length,
    history: verdict.kind,
    watchedRevisions: truth.changes.size,
    serializableReads: recorder.serializableReads.length,
    leases: leases.length,
    problems,
  };
}

/** Whether a client was told that it made a revision. */
function isAcknowledgedWrite({ outcome }: Operation): boolean {
  if (outcome.kind !== "returned") return false;
  const { result } = outcome;
  if (result.kind === "put") return true;
  if (result.kind === "delete") return result.deleted > 0;
  return result.kind === "txn" && result.results.some((inner) => inner.kind === "put");
}

/** A put that was acknowledged, while nobody ever saw its revision, or saw something else there. */
function isLost(operation: Operation, changes: ReadonlyMap<number, RevisionChanges>): boolean {
  const { request, outcome } = operation;
  if (!isAcknowledgedWrite(operation) || outcome.kind !== "returned" || outcome.result.kind === "refused") return false;
  const made = outcome.result.revision === undefined ? undefined : changes.get(outcome.result.revision);
  if (made === undefined) return true;
  const wanted = request.kind === "put" ? [request] : [];
  return !wanted.every(({ key, value }) =>
    made.changes.some(({ kind, keyValue }) => kind === "put" && keyValue.key === key && keyValue.value === value),
  );
}
