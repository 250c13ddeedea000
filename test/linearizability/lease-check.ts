// The rules of leases, as a client with a clock of its own can hold the cluster to them: a lease does not end before its
// time, not even when its client's clock and the server's differ in rate; it does end, soon after its time, once there
// is a leader to see to it; and who is told that it lives is not told so after its end.

/** One lease, with times in milliseconds on its client's clock. */
export interface LeaseRecord {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** When it was asked for, and when the answer came. */
  readonly grantedAt: { readonly asked: number; readonly answered: number };
  /** `ttlSeconds` is the answer's: 0 for a lease that is gone. Renewals that were not answered have none. */
  readonly renewals: readonly {
    readonly asked: number;
    readonly answered: number | undefined;
    readonly ttlSeconds: number | undefined;
  }[];
  /** When its end was carried out, wherever that was first; undefined while it lives. */
  readonly end: { readonly at: number; readonly kind: "expired" | "revoked" } | undefined;
}

export interface LeaseBounds {
  /** When the record ends. */
  readonly now: number;
  /** Since when there has been one leader without faults; undefined if there is none. */
  readonly stableSince: number | undefined;
  readonly electionTimeoutMs: number;
}

/** What rates of clocks may differ by, and what a server adds for it. */
const driftMax = 0.1;
const slackMs = 1000;

export function checkLease(lease: LeaseRecord, bounds: LeaseBounds): readonly string[] {
  const violations: string[] = [];
  const fail = (what: string): number => violations.push(`lease ${lease.id} of ${lease.ttlSeconds} s ${what}`);
  const ttlMs = lease.ttlSeconds * 1000;
  const answered = lease.renewals.filter(({ ttlSeconds }) => (ttlSeconds ?? 0) > 0);
  const { end } = lease;
  // A client counts from when it asked; it may not have got the answer yet when the lease ends.
  for (const { asked } of [lease.grantedAt, ...answered]) {
    if (end?.kind === "expired" && asked <= end.at && end.at < asked + ttlMs)
      fail(`ended ${end.at - asked} ms after it was asked for what was granted`);
  }
  for (const { asked, ttlSeconds } of answered) {
    if (end !== undefined && asked > end.at) fail(`was said to live ${asked - end.at} ms after its end`);
    if (ttlSeconds !== lease.ttlSeconds) fail(`was renewed for ${ttlSeconds} s`);
  }
  if (bounds.stableSince === undefined) return violations;
  const touched = lease.renewals.map(({ asked, answered: told }) => told ?? asked + bounds.electionTimeoutMs);
  const latest = Math.max(lease.grantedAt.answered, ...touched, bounds.stableSince);
  const lifeMs = ttlMs * (1 + driftMax) * (1 + driftMax) + 2 * bounds.electionTimeoutMs + slackMs;
  const due = latest + lifeMs;
  if ((end?.at ?? bounds.now) > due) fail(`lives ${(end?.at ?? bounds.now) - due} ms too long`);
  return violations;
}
