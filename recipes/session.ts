// A session: one lease that is kept alive, and the word on whether what was built on it still stands. Locks,
// leaderships and registrations live and die with one. It is never revived: whoever lost it opens another.
import { EventEmitter } from "node:events";
import {
  type CallOptions,
  type Client,
  createHonestSignal,
  type Duration,
  formatLeaseId,
  type LeaseHandle,
  type LeaseLostReason,
  type LeaseState,
} from "../sdk/index.ts";
import { SessionLostError } from "./errors.ts";
import { surface } from "./surface.ts";

/**
 * - `held`: the last keepalive was answered in time;
 * - `suspended`: keepalives go unanswered, but the server cannot have ended the session yet;
 * - `lost`: it is gone, or may be from now on. Final.
 */
export type SessionState = LeaseState;

export interface SessionEvents {
  state: [state: SessionState, previous: SessionState];
  /** Once, with the cause. By then `signal` has aborted. */
  lost: [cause: SessionLostError];
}

export interface SessionOptions {
  /** Time after which the server lets go of a session that it does not hear of. Default 15 s; whole seconds, rounded up. */
  readonly ttl?: Duration | undefined;
  /** How long before the server's earliest expiry the session counts as lost here. Default, and least: a quarter of the TTL. */
  readonly margin?: Duration | undefined;
}

const ttlDefault: Duration = "15s";

/**
 * A session, made by {@link openSession}, or by the recipes themselves when they are not given one.
 *
 * Its clock is honest: it ends at the *send* time of the last answered keepalive plus the TTL minus a margin, on the
 * monotonic clock, which is before the server can end it. It is a failure detector, not a proof: what must not happen
 * after a loss has to be guarded by the server, see {@link HeldLock.guard}.
 *
 * @example
 * await using session = await openSession(client, { ttl: "10s" });
 * session.on("state", (state) => console.log("session is", state));
 * await work({ signal: session.signal });
 */
export class Session extends EventEmitter<SessionEvents> implements AsyncDisposable {
  readonly client: Client;
  readonly #lease: LeaseHandle;
  readonly #honest = createHonestSignal(() => this.#check());
  #lost: SessionLostError | undefined;
  #reported: SessionState = "held";
  #isAsking = false;

  /** @internal */
  constructor(client: Client, lease: LeaseHandle) {
    super();
    // Everything that is built on a session listens to it.
    this.setMaxListeners(0);
    this.client = client;
    this.#lease = lease;
    lease.signal.addEventListener("abort", () => this.#check(), { once: true });
    lease.onStateChange((state) => this.#report(state));
    this.#check();
  }

  /** The lease under which everything of this session is stored. */
  get id(): bigint {
    return this.#lease.id;
  }

  /** Time to live as the server granted it; it may differ from what was asked for. */
  get ttlMs(): number {
    return this.#lease.ttlMs;
  }

  get state(): SessionState {
    this.#check();
    return this.#lost === undefined ? this.#lease.state : "lost";
  }

  /** Aborts, with the {@link SessionLostError}, when the session is lost. Reading `aborted` looks at the clock first. */
  get signal(): AbortSignal {
    return this.#honest.signal;
  }

  /** Why the session is lost, once it is. */
  get lost(): SessionLostError | undefined {
    this.#check();
    return this.#lost;
  }

  /** Milliseconds that the session can still be relied on without a further keepalive; 0 once it is lost. */
  remainingMs(): number {
    this.#check();
    return this.#lost === undefined ? this.#lease.remainingMs() : 0;
  }

  /** Throws the {@link SessionLostError} if the session is lost. */
  throwIfLost(): void {
    this.#check();
    if (this.#lost !== undefined) throw this.#lost;
  }

  /**
   * Ends the session: the server deletes at once what was stored under it. From the call on it counts as lost, with the
   * reason `released`. Closing twice is fine.
   */
  async close(options: CallOptions = {}): Promise<void> {
    await this.#lease.revoke(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * @internal Something that was stored under the session has vanished. Asks the server at once, so that everything else
   * that is built on the session need not wait for the next keepalive to hear of its end.
   */
  async doubt(): Promise<void> {
    if (this.lost !== undefined || this.#isAsking) return;
    this.#isAsking = true;
    try {
      const info = await this.client.lease.timeToLive(this.id, { signal: this.signal });
      if (info === undefined) this.disown(`lease ${formatLeaseId(this.id)} does not exist any more`, undefined);
    } catch {
      // Not known, then; the keepalive goes on asking.
    } finally {
      this.#isAsking = false;
    }
  }

  /** @internal The server said that it does not know the lease: no need to wait for the keepalive to find out. */
  disown(message: string, cause: unknown): void {
    this.#check();
    if (this.#lost === undefined) this.#markLost("notFound", message, cause);
    this.#lease.detach();
  }

  #check(): void {
    if (this.#lost !== undefined) return;
    const loss = this.#lease.lost;
    if (loss !== undefined) this.#markLost(loss.reason, loss.message, loss);
  }

  #markLost(reason: LeaseLostReason, message: string, cause: unknown): void {
    if (this.#lost !== undefined) return;
    const lost = new SessionLostError(this.id, reason, `session lost: ${message}`, { cause });
    this.#lost = lost;
    // First of all: whoever works under this session stops before anybody else is told.
    this.#honest.abort(lost);
    this.#report("lost");
    surface(() => this.emit("lost", lost));
  }

  #report(state: SessionState): void {
    const previous = this.#reported;
    if (state === previous || previous === "lost") return;
    this.#reported = state;
    surface(() => this.emit("state", state, previous));
  }
}

/**
 * Opens a session of its own. Most programs need none: recipes that are not given a session share one per client.
 *
 * @throws {ClientError} `INVALID_ARGUMENT` for a TTL below four election timeouts of the cluster.
 */
export async function openSession(client: Client, options: SessionOptions & CallOptions = {}): Promise<Session> {
  const { ttl = ttlDefault, margin, ...callOptions } = options;
  const lease = await client.lease.open({ ttl, ...(margin === undefined ? {} : { margin }), ...callOptions });
  return new Session(client, lease);
}
