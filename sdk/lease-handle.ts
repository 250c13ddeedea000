// One lease that is kept alive, as its holder sees it. Its clock is honest: it counts from when the last answered
// keepalive was SENT, on the monotonic clock, and ends a margin before the server's can. The server's own count starts
// when it receives the keepalive, which is later, so whoever stops at this deadline stops before the server lets go.
import { monotonicMs, timerMsMax } from "./abort.ts";
import { leaseChannel } from "./diagnostics.ts";
import { LeaseLostError, type LeaseLostReason } from "./errors.ts";
import { createHonestSignal, type HonestSignal } from "./honest-signal.ts";
import type { CallOptions } from "./options.ts";

/**
 * - `held`: the last keepalive was answered in time;
 * - `suspended`: keepalives go unanswered, but the lease cannot have expired yet;
 * - `lost`: it is gone, or may be from now on. Final.
 */
export type LeaseState = "held" | "suspended" | "lost";

export interface LeaseTimes {
  readonly ttlMs: number;
  /** When the request whose answer granted `ttlMs` was sent, on the monotonic clock. */
  readonly sentMs: number;
}

/** What a handle needs of the one who keeps it alive. */
export interface LeaseKeeper {
  remove(lease: LeaseHandle): void;
  /** Asks for a keepalive now. */
  renewSoon(lease: LeaseHandle): void;
  revoke(id: bigint, options: CallOptions): Promise<void>;
}

/** The margin is this share of the TTL, or more where asked for. */
const marginShare = 0.25;

/**
 * A lease that this client keeps alive. Everything that must end with the lease listens to `signal`.
 *
 * @example
 * await using lease = await client.lease.open({ ttl: "10s" });
 * await client.kv.put("workers/7", "here", { leaseId: lease.id });
 * await work({ signal: lease.signal }); // stops before anybody else can believe that we are gone
 */
export class LeaseHandle implements AsyncDisposable {
  readonly id: bigint;
  readonly #keeper: LeaseKeeper;
  readonly #held: HonestSignal;
  readonly #marginMinMs: number;
  readonly #listeners = new Set<(state: LeaseState) => void>();
  #times: LeaseTimes;
  #isLate = false;
  #lost: LeaseLostError | undefined;
  #reported: LeaseState = "held";
  #deadlineTimer: NodeJS.Timeout | undefined;
  #revoking: Promise<void> | undefined;
  /** Wall clock minus monotonic clock at the last renewal: it jumps when the machine was suspended. */
  #wallOffsetMs: number;

  /** @internal */
  constructor(id: bigint, times: LeaseTimes, keeper: LeaseKeeper, marginMinMs: number) {
    this.id = id;
    this.#times = times;
    this.#keeper = keeper;
    this.#marginMinMs = marginMinMs;
    this.#held = createHonestSignal(() => this.check());
    this.#wallOffsetMs = Date.now() - monotonicMs();
    this.#armDeadline();
  }

  /** Time to live as the server granted it, in milliseconds; it may differ from what was asked for. */
  get ttlMs(): number {
    return this.#times.ttlMs;
  }

  /** How long before the server's earliest expiry the lease counts as lost here: a quarter of the TTL at least. */
  get marginMs(): number {
    return Math.max(this.#times.ttlMs * marginShare, this.#marginMinMs);
  }

  /** When the lease must be taken for lost unless it is renewed before, on the monotonic clock (`performance.now()`). */
  get deadlineMs(): number {
    return this.#times.sentMs + this.#times.ttlMs - this.marginMs;
  }

  get state(): LeaseState {
    this.check();
    if (this.#lost !== undefined) return "lost";
    return this.#isLate ? "suspended" : "held";
  }

  /**
   * Aborts when the lease is lost, with a {@link LeaseLostError}: at the validity deadline at the latest, which is before
   * the server can expire it. Reading `aborted` looks at the clock first.
   */
  get signal(): AbortSignal {
    return this.#held.signal;
  }

  /** Why the lease is lost, once it is. */
  get lost(): LeaseLostError | undefined {
    this.check();
    return this.#lost;
  }

  /** Milliseconds that the lease can still be relied on; 0 once it is lost. */
  remainingMs(): number {
    this.check();
    return this.#lost === undefined ? Math.max(0, this.deadlineMs - monotonicMs()) : 0;
  }

  /** Throws the {@link LeaseLostError} if the lease is lost. Call it before anything that relies on the lease. */
  throwIfLost(): void {
    this.check();
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Calls `listener` at each change of state. Returns how to stop that. */
  onStateChange(listener: (state: LeaseState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Revokes the lease: the server deletes its keys at once. Lost or already revoked leases are fine. From the call on the
   * handle counts as lost.
   */
  revoke(options: CallOptions = {}): Promise<void> {
    const mayExist = this.#lost === undefined || this.#lost.reason === "deadline";
    this.markLost("released", "the lease was revoked by its holder");
    if (mayExist) this.#revoking ??= this.#keeper.revoke(this.id, options);
    return this.#revoking ?? Promise.resolve();
  }

  /** Stops keeping the lease alive without revoking it: it runs out on the server. The handle counts as lost. */
  detach(): void {
    this.markLost("released", "the lease was given up by its holder");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.revoke();
  }

  /** @internal Looks at the clocks; the first to notice that the deadline has passed declares the loss. */
  check(now: number = monotonicMs()): void {
    if (this.#lost !== undefined) return;
    if (now >= this.deadlineMs) {
      const overdueMs = Math.round(now - this.#times.sentMs);
      this.markLost("deadline", `no keepalive that was sent in the last ${overdueMs} ms has been answered`);
      return;
    }
    // The monotonic clock stands still while a machine sleeps; the wall clock does not. A jump proves nothing, since
    // somebody may have set the clock, but it is reason to ask the server before believing in the lease again.
    if (Date.now() - now - this.#wallOffsetMs > this.marginMs) {
      this.#wallOffsetMs = Date.now() - now;
      this.markLate();
      this.#keeper.renewSoon(this);
    }
  }

  /** @internal An answer arrived to the keepalive sent at `times.sentMs`. */
  renewed(times: LeaseTimes): void {
    if (this.#lost !== undefined) return;
    // Answers may overtake each other across streams: the deadline never moves back.
    if (times.sentMs > this.#times.sentMs) this.#times = times;
    this.#isLate = false;
    this.#wallOffsetMs = Date.now() - monotonicMs();
    this.#armDeadline();
    if (leaseChannel.hasSubscribers) {
      leaseChannel.publish({ event: "renew", leaseId: this.id, ms: this.deadlineMs - monotonicMs() });
    }
    this.#report();
  }

  /** @internal A keepalive failed or is overdue. */
  markLate(): void {
    if (this.#lost !== undefined || this.#isLate) return;
    this.#isLate = true;
    if (leaseChannel.hasSubscribers) leaseChannel.publish({ event: "late", leaseId: this.id, ms: 0 });
    this.#report();
  }

  /** @internal Final. The signal aborts before anything else is told. */
  markLost(reason: LeaseLostReason, message: string, cause?: unknown): void {
    if (this.#lost !== undefined) return;
    const text = `lease ${formatLeaseId(this.id)} is lost: ${message}`;
    this.#lost = new LeaseLostError(this.id, reason, text, { cause });
    clearTimeout(this.#deadlineTimer);
    this.#held.abort(this.#lost);
    this.#keeper.remove(this);
    if (leaseChannel.hasSubscribers) leaseChannel.publish({ event: "lost", leaseId: this.id, ms: 0 });
    this.#report();
  }

  #armDeadline(): void {
    clearTimeout(this.#deadlineTimer);
    const leftMs = Math.max(0, this.deadlineMs - monotonicMs());
    // Timers cannot be longer than this; the check then arms the next one.
    const timer = setTimeout(() => this.#onDeadline(), Math.min(timerMsMax, Math.ceil(leftMs)));
    timer.unref();
    this.#deadlineTimer = timer;
  }

  #onDeadline(): void {
    this.check();
    if (this.#lost === undefined) this.#armDeadline();
  }

  #report(): void {
    const state = this.#lost !== undefined ? "lost" : this.#isLate ? "suspended" : "held";
    if (state === this.#reported) return;
    this.#reported = state;
    for (const listener of this.#listeners) listener(state);
  }
}

/** A lease id as etcdctl shows it and as keys made from it contain it: hexadecimal. */
export const formatLeaseId = (id: bigint): string => id.toString(16);
