// The leader's half of leases: the clock. It decides when a lease has run out and proposes to revoke it; every member
// then applies that like any other command. Nothing here is replicated, and a new leader starts with generous times:
// a lease may live longer than asked for, never shorter.
//
// Lease time is this process's monotonic time without the stretches in which the process stood still: keepalives that
// arrived meanwhile lie unread in the sockets, and a lease must not end because its server did not look.
import type { Clock, Timer } from "../lib/clock.ts";
import { Heap } from "../lib/heap.ts";
import type { Logger } from "../lib/logger.ts";
import type { Counter, Metrics } from "../lib/metrics.ts";
import type { RoleState } from "../raft/types.ts";
import type { LeaseCheckpoint } from "../state/command.ts";
import type { Lease, LeaseStore } from "../state/lease/lease-store.ts";
import type { CommandResult } from "../state/outcome.ts";
import { ReplicaError } from "./errors.ts";
import { mutated } from "./mutations.ts";

export interface LessorOptions {
  readonly leases: LeaseStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly electionTimeoutMs: number;
  /** Proposes to revoke a lease that ran out, as leader of `term`. Rejects when that did not work out. */
  readonly revoke: (id: bigint, term: number) => Promise<unknown>;
  /** Proposes to write down how long leases have left. */
  readonly checkpoint: (checkpoints: readonly LeaseCheckpoint[]) => Promise<unknown>;
}

/** What the leader's and a client's clocks may differ in rate, on top of the TTL. */
const driftSlack = 0.1;
const checkMs = 500;
/** A check that comes this late says that the process stood still. */
const stallMs = 200;
/** Revokes per check and under way at once: a hundred thousand leases that end together must not crowd out writes. */
const revokesPerCheckMax = 500;
const revokesPendingMax = 64;
/** After a revoke that failed, the next try. */
const revokeRetryMs = 1000;
/** The next look while no further revoke may be under way. */
const revokesFullMs = 20;
const checkpointIntervalMs = 5 * 60 * 1000;
const checkpointsPerCommandMax = 1000;

/** A revoke that is due, or a renewed lease whose place is looked up, costs about a microsecond. */
const looksPerCheckMax = 5000;

/** When a lease ends, in lease time. */
interface LeaseEnd {
  readonly id: bigint;
  /** What clients and the next leader are told. */
  promisedMs: number;
  /** The same with the slack on top: not before then is it revoked. */
  endMs: number;
  /** Where it stands among the others: at `endMs` or, since a renewal need not move it at once, before. */
  rankMs: number;
}

export interface LeaseTime {
  readonly grantedTtlSeconds: number;
  /** Whole seconds left, 0 when it is about to be revoked. */
  readonly remainingSeconds: number;
}

export class Lessor {
  readonly #options: LessorOptions;
  readonly #renewed: Counter;
  readonly #expired: Counter;
  /** When each lease ends. Empty unless this member leads. */
  readonly #ends = new Map<bigint, LeaseEnd>();
  /** The same by `rankMs`, which says when to look at one again. */
  readonly #order = new Heap<LeaseEnd>();
  /** Leases whose revoke is proposed and may still be applied: they are as good as gone. */
  readonly #revoking = new Set<bigint>();
  /**
   * Leases for which less than their full time was proposed to be written down, with a number for each time. Whether
   * that was applied yet or not, the next leader is to count from it, unless the full time is written down again.
   */
  readonly #shortened = new Map<bigint, number>();
  #shortenedLast = 0;
  /** The term that this member was elected in, and the one that it decides about leases in. */
  #electedTerm: number | undefined;
  #leaderTerm: number | undefined;
  /** For a planted bug only: when leases were granted, as this member saw it. */
  readonly #grantedMs = new Map<bigint, number>();
  #stalledMs = 0;
  #timer: Timer | undefined;
  /** When the timer should fire, by the process's time. */
  #dueMs = Number.POSITIVE_INFINITY;
  #nextCheckpointMs = 0;
  #isClosed = false;

  constructor(options: LessorOptions) {
    this.#options = options;
    this.#renewed = options.metrics.counter("etcd_debugging_lease_renewed_total");
    this.#expired = options.metrics.counter("etcd_debugging_server_lease_expired_total");
  }

  get #nowMs(): number {
    return this.#options.clock.nowMs() - this.#stalledMs;
  }

  onRoleState(state: RoleState): void {
    const term = state.role === "leader" ? state.term : undefined;
    if (term === this.#electedTerm) return;
    this.#demote();
    this.#electedTerm = term;
  }

  /**
   * Entries up to one of `term` were applied. Only with an entry of its own term behind it does a leader know what the
   * ones before it promised: until then leases stand as they were, and it must neither renew nor end any.
   */
  onApplied(term: number): void {
    if (this.#leaderTerm === undefined && term === this.#electedTerm) this.#promote(term);
  }

  /** Starts every lease anew: with what was left at its last checkpoint, and an election's time on top. */
  #promote(term: number): void {
    this.#leaderTerm = term;
    for (const { id, remainingTtlSeconds } of this.#options.leases.list()) {
      if (mutated("replica/expiry-forgotten")) break;
      const since = mutated("replica/lease-not-restarted") ? this.#grantedMs.get(id) : undefined;
      if (since !== undefined) this.#setEnd(id, 0, since + remainingTtlSeconds * 1000 * (1 + driftSlack));
      else this.#extend(id, remainingTtlSeconds, this.#options.electionTimeoutMs);
    }
    this.#nextCheckpointMs = this.#nowMs + checkpointIntervalMs;
    this.#schedule();
  }

  /** Lets a lease live for `ttlSeconds` from now by any clock that is not too far off, and `extraMs` longer. */
  #extend(id: bigint, ttlSeconds: number, extraMs = 0): void {
    const promisedMs = this.#nowMs + extraMs + ttlSeconds * 1000;
    const slack = mutated("replica/lease-without-slack") ? 0 : driftSlack;
    this.#setEnd(id, promisedMs, promisedMs + ttlSeconds * 1000 * slack);
  }

  #setEnd(id: bigint, promisedMs: number, endMs: number): void {
    const known = this.#ends.get(id);
    if (known === undefined) {
      const end = { id, promisedMs, endMs, rankMs: endMs };
      this.#ends.set(id, end);
      this.#order.set(end, endMs);
      return;
    }
    known.promisedMs = promisedMs;
    known.endMs = endMs;
    // Most renewals only put the end off. Moving it can wait until the old end has come, when most are put off again.
    if (endMs < known.rankMs) this.#rank(known);
  }

  #rank(end: LeaseEnd): void {
    end.rankMs = end.endMs;
    this.#order.set(end, end.rankMs);
  }

  #demote(): void {
    this.#electedTerm = undefined;
    this.#leaderTerm = undefined;
    this.#ends.clear();
    this.#order.clear();
    this.#revoking.clear();
    this.#shortened.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#dueMs = Number.POSITIVE_INFINITY;
  }

  /** Follows what was applied. */
  onResult(result: CommandResult): void {
    if (result.kind === "lease-grant" && mutated("replica/lease-not-restarted"))
      this.#grantedMs.set(result.id, this.#nowMs);
    if (this.#leaderTerm === undefined) return;
    if (result.kind === "lease-grant") {
      this.#extend(result.id, result.ttlSeconds);
      this.#schedule();
    } else if (result.kind === "lease-revoke") {
      const end = this.#ends.get(result.id);
      this.#ends.delete(result.id);
      if (end !== undefined) this.#order.delete(end);
      this.#revoking.delete(result.id);
      this.#shortened.delete(result.id);
    }
  }

  /** Whether this member decides about leases. */
  get isPrimary(): boolean {
    return this.#leaderTerm !== undefined;
  }

  /**
   * Gives a lease its full time again, counted from now. The caller has made sure since it got the request that this
   * member still leads. Undefined when there is no such lease, or its end was decided already.
   * @throws ReplicaError `not-leader` when leadership went meanwhile, and what proposing a checkpoint may throw.
   */
  async renew(id: bigint): Promise<{ readonly ttlSeconds: number } | undefined> {
    const term = this.#leaderTerm;
    const lease = this.#renewable(id);
    if (lease === undefined) return undefined;
    const { ttlSeconds } = lease;
    this.#extend(id, ttlSeconds);
    if (this.#isShort(lease)) {
      const shortened = this.#shortened.get(id);
      // The next leader counts from the last checkpoint. Before the full time is promised, it must say so.
      await this.#options.checkpoint([{ id, remainingTtlSeconds: ttlSeconds }]);
      if (this.#leaderTerm !== term) throw new ReplicaError("not-leader");
      if (this.#renewable(id) === undefined) return undefined;
      // What was proposed before the full time stands before it in the log; what came since does not.
      if (this.#shortened.get(id) === shortened) this.#shortened.delete(id);
      this.#extend(id, ttlSeconds);
    }
    this.#renewed.add(1);
    return { ttlSeconds };
  }

  /**
   * The same without waiting: the lease's time, or 0 when there is no such lease or its end was decided already.
   * Undefined, and nothing is done, where {@link Lessor.renew} would have to propose a checkpoint.
   */
  renewAtOnce(id: bigint): number | undefined {
    const lease = this.#renewable(id);
    if (lease === undefined) return 0;
    if (this.#isShort(lease)) return undefined;
    this.#extend(id, lease.ttlSeconds);
    this.#renewed.add(1);
    return lease.ttlSeconds;
  }

  /** Whether the next leader may find less than the full time written down. */
  #isShort({ id, ttlSeconds, remainingTtlSeconds }: Lease): boolean {
    return remainingTtlSeconds !== ttlSeconds || (this.#shortened.size > 0 && this.#shortened.has(id));
  }

  #renewable(id: bigint): Lease | undefined {
    const isRevoking = this.#revoking.size > 0 && this.#revoking.has(id) && !mutated("replica/renewed-while-revoked");
    if (this.#leaderTerm === undefined || isRevoking) return undefined;
    return this.#options.leases.get(id);
  }

  /** Ids of all leases, those that end first in front. */
  listByEnd(): bigint[] {
    const endOf = (id: bigint): number => this.#ends.get(id)?.endMs ?? 0;
    return [...this.#options.leases.list()].map(({ id }) => id).sort((a, b) => endOf(a) - endOf(b));
  }

  timeToLive(id: bigint): LeaseTime | undefined {
    const lease = this.#options.leases.get(id);
    if (lease === undefined) return undefined;
    return { grantedTtlSeconds: lease.ttlSeconds, remainingSeconds: Math.floor(this.#remainingMs(lease) / 1000) };
  }

  #remainingMs({ id, ttlSeconds }: Lease): number {
    const remainingMs = (this.#ends.get(id)?.promisedMs ?? 0) - this.#nowMs;
    return Math.max(0, Math.min(remainingMs, ttlSeconds * 1000));
  }

  /** Sets the timer to the next end, or to a moment before, since a process that stands still must be noticed. */
  #schedule(): void {
    this.#noteStall();
    const next = this.#order.peek();
    if (this.#isClosed || this.#leaderTerm === undefined || next === undefined) return;
    const isFull = this.#revoking.size >= revokesPendingMax;
    const delayMs = Math.max(isFull ? revokesFullMs : 1, Math.min(checkMs, next.rank - this.#nowMs));
    this.#timer?.cancel();
    this.#dueMs = this.#options.clock.nowMs() + delayMs;
    this.#timer = this.#options.clock.setTimer(delayMs, () => this.#check());
  }

  /** To be called before the timer is set anew, too: what is handled first after a stall need not be the timer. */
  #noteStall(): void {
    const nowMs = this.#options.clock.nowMs();
    const lateMs = nowMs - this.#dueMs;
    if (lateMs <= stallMs) return;
    this.#dueMs = nowMs;
    this.#stalledMs += lateMs;
    this.#options.logger.log("warn", "the process stood still; leases are extended by as much", { lateMs });
  }

  #check(): void {
    this.#timer = undefined;
    this.#noteStall();
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#revokeEnded();
    this.#checkpointLong();
    this.#schedule();
  }

  #revokeEnded(): void {
    const nowMs = this.#nowMs;
    let revokes = 0;
    for (let looks = 0; looks < looksPerCheckMax && this.#revoking.size < revokesPendingMax; looks++) {
      const next = this.#order.peek();
      if (next === undefined || next.rank > nowMs) return;
      const end = next.item;
      if (end.endMs > nowMs) {
        this.#rank(end);
        continue;
      }
      if (revokes++ === revokesPerCheckMax) return;
      // Should the revoke fail, the next try is due then.
      end.endMs = nowMs + revokeRetryMs;
      this.#rank(end);
      if (!this.#revoking.has(end.id)) this.#revoke(end.id, this.#leaderTerm as number);
    }
  }

  /**
   * Without an answer the revoke is still in this leader's log and will be applied sooner or later: until then the lease
   * must not be renewed, nor be revoked a second time. Only what was refused for certain is tried again.
   */
  #revoke(id: bigint, term: number): void {
    this.#revoking.add(id);
    this.#expired.add(1);
    const settle = (): void => {
      if (this.#leaderTerm === term) this.#revoking.delete(id);
    };
    const work = this.#options.revoke(id, term).then(settle, (error: unknown) => {
      // Nothing else than a refusal can be meant as long as this member leads in that term: its log only grows.
      if (!(error instanceof ReplicaError) || error.code !== "timed-out") settle();
      throw error;
    });
    this.#tryInBackground(work, "revoking an expired lease");
  }

  /** Writes down what long leases have left, so that leader changes do not renew them for ever. */
  #checkpointLong(): void {
    const nowMs = this.#nowMs;
    if (nowMs < this.#nextCheckpointMs) return;
    this.#nextCheckpointMs = nowMs + checkpointIntervalMs;
    let checkpoints: LeaseCheckpoint[] = [];
    const send = (): void => {
      if (checkpoints.length > 0)
        this.#tryInBackground(this.#options.checkpoint(checkpoints), "writing down lease times");
      checkpoints = [];
    };
    for (const lease of this.#options.leases.list()) {
      // Rounded up: no leader change may make a lease shorter.
      const remainingTtlSeconds = Math.ceil(this.#remainingMs(lease) / 1000);
      if (remainingTtlSeconds * 1000 < checkpointIntervalMs) continue;
      checkpoints.push({ id: lease.id, remainingTtlSeconds });
      if (remainingTtlSeconds < lease.ttlSeconds) this.#shortened.set(lease.id, ++this.#shortenedLast);
      if (checkpoints.length === checkpointsPerCommandMax) send();
    }
    send();
  }

  #tryInBackground(work: Promise<unknown>, what: string): void {
    work.catch((error: unknown) => {
      // It is tried again in time, by this leader or the next one.
      if (!this.#isClosed) this.#options.logger.log("warn", `${what} failed`, { error: String(error) });
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#demote();
  }
}
