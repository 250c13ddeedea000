// What is held against a run once it is over: could one store have given these answers, did watches and leases keep
// their promises, is the state that all members came to the one that the history leads to.
import { checkHistory } from "../linearizability/check-history.ts";
import { drawCounterexample } from "../linearizability/counterexample.ts";
import { checkLease, type LeaseBounds } from "../linearizability/lease-check.ts";
import type { Operation } from "../linearizability/operation.ts";
import { checkSerializableReads, replay } from "../linearizability/serializable-check.ts";
import { checkWatchAcross } from "../linearizability/watch-check.ts";
import type { ClientDoor } from "./client-door.ts";
import type { LeaseHolder } from "./clients.ts";
import type { Truth } from "./truth.ts";
import type { WatchingClient } from "./watchers.ts";

export interface Evidence {
  readonly truth: Truth;
  readonly history: readonly Operation[];
  readonly door: ClientDoor;
  readonly holders: readonly LeaseHolder[];
  readonly watchers: readonly WatchingClient[];
  readonly bounds: LeaseBounds;
}

/** What is wrong, most telling first. */
export function judge(evidence: Evidence): readonly string[] {
  const { truth, door } = evidence;
  const violations: string[] = [];
  for (const holder of evidence.holders)
    for (const record of holder.records)
      violations.push(...checkLease({ ...record, end: truth.leaseEnds.get(record.id) }, evidence.bounds));
  for (const watcher of evidence.watchers)
    for (const [at, chain] of watcher.chains.entries())
      violations.push(...checkWatchAcross(chain, truth, at === watcher.chains.length - 1));
  if (violations.length > 0) return violations.slice(0, 10);
  const operations = [...evidence.history, ...expiriesOf(evidence)];
  const verdict = checkHistory(operations, { changes: truth.changes });
  if (verdict.kind === "illegal") return [drawCounterexample(verdict.counterexample)];
  if (verdict.kind === "undecided") return ["the checker could not decide about the history"];
  return checkSerializableReads(door.serializableReads, replay(verdict.order)).slice(0, 10);
}

/** What the cluster did by itself belongs to the history as well. */
function expiriesOf({ truth, history }: Evidence): Operation[] {
  const asked = new Map<bigint, number>();
  for (const { request, invokedAt } of history) if (request.kind === "lease-grant") asked.set(request.id, invokedAt);
  return [...truth.expiries].map(([id, revision], at) => ({
    id: -1 - at,
    client: "cluster",
    request: { kind: "lease-expiry", id },
    invokedAt: asked.get(id) ?? 0,
    outcome: { kind: "unknown", told: { kind: "lease-revoke", revision } },
  }));
}
