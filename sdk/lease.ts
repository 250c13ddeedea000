// Leases: what the server knows of them, and handles that keep them alive.
import { randomBytes } from "node:crypto";
import { monotonicMs } from "./abort.ts";
import { type Caller, deadlineMs } from "./caller.ts";
import { leaseChannel } from "./diagnostics.ts";
import { type Duration, toMs, toWholeSeconds } from "./duration.ts";
import { ClientError, InvalidArgumentError } from "./errors.ts";
import { CallFailure } from "./grpc-status.ts";
import { KeepAlive, renewOnce } from "./keep-alive.ts";
import { type Header, toHeader } from "./key-value.ts";
import { keyText } from "./keys.ts";
import { LeaseHandle, type LeaseKeeper, type LeaseTimes } from "./lease-handle.ts";
import type { Logger } from "./logger.ts";
import { leaseMethods } from "./methods.ts";
import type { CallOptions } from "./options.ts";
import { toClientError } from "./server-errors.ts";

export interface GrantOptions extends CallOptions {
  /** Time to live asked for; rounded up to whole seconds. The server may grant more. */
  readonly ttl: Duration;
  /** Id to use. Default: one drawn at random. */
  readonly id?: bigint;
}

export interface OpenLeaseOptions extends GrantOptions {
  /** How long before the server's earliest expiry the lease counts as lost. Default, and least: a quarter of the TTL. */
  readonly margin?: Duration;
}

export interface LeaseGrant {
  readonly header: Header;
  readonly id: bigint;
  /** Time to live as granted, in milliseconds. */
  readonly ttlMs: number;
}

export interface LeaseInfo {
  readonly header: Header;
  readonly id: bigint;
  /** What is left of it, in milliseconds, as the server counts. */
  readonly remainingMs: number;
  readonly grantedTtlMs: number;
  /** Keys attached to it, in full (leases know no namespaces); only when asked for. */
  readonly keys: readonly string[];
}

/**
 * The leases of a client. `open` is what services want: a lease that is kept alive and says when it is lost. `grant`,
 * `revoke` and the others are the plain calls.
 */
export class Leases {
  readonly #caller: Caller;
  readonly #keepAlive: KeepAlive;
  readonly #ttlMinMs: number;
  readonly #deadlineMs: number;
  readonly #keeper: LeaseKeeper;

  /** @internal */
  constructor(caller: Caller, logger: Logger, options: { electionTimeoutMs: number; deadlineMs: number }) {
    this.#caller = caller;
    this.#keepAlive = new KeepAlive(caller, logger);
    this.#ttlMinMs = 4 * options.electionTimeoutMs;
    this.#deadlineMs = options.deadlineMs;
    this.#keeper = {
      remove: (lease) => this.#keepAlive.remove(lease),
      renewSoon: (lease) => this.#keepAlive.renewSoon(lease),
      revoke: (id, callOptions) => this.#revokeIfThere(id, callOptions),
    };
  }

  /** Leases that are being kept alive, oldest first. */
  get handles(): readonly LeaseHandle[] {
    return this.#keepAlive.leases;
  }

  /**
   * Grants a lease and keeps it alive until it is revoked, given up or lost. Refuses a TTL below four election timeouts
   * of the cluster: such a lease could expire during an ordinary election.
   */
  async open(options: OpenLeaseOptions): Promise<LeaseHandle> {
    const ttlMs = Number(toWholeSeconds(options.ttl, "ttl")) * 1000;
    if (ttlMs < this.#ttlMinMs) {
      throw new InvalidArgumentError(
        `ttl: expected at least ${this.#ttlMinMs} ms, four election timeouts, found ${ttlMs} ms`,
      );
    }
    const marginMs = marginOf(options, ttlMs);
    const sentMs = monotonicMs();
    const { id, ttlMs: grantedMs } = await this.grant(options);
    return this.#keep(id, { ttlMs: grantedMs, sentMs }, marginMs);
  }

  /** Keeps a lease alive that exists already, granted here or by somebody else. */
  async adopt(id: bigint, options: { readonly margin?: Duration } & CallOptions = {}): Promise<LeaseHandle> {
    const { ttlMs, sentMs } = await this.#renew(id, options);
    return this.#keep(id, { ttlMs, sentMs }, marginOf(options, ttlMs));
  }

  #keep(id: bigint, times: LeaseTimes, marginMs: number): LeaseHandle {
    const lease = new LeaseHandle(id, times, this.#keeper, marginMs);
    this.#keepAlive.add(lease);
    if (leaseChannel.hasSubscribers) leaseChannel.publish({ event: "grant", leaseId: id, ms: times.ttlMs });
    return lease;
  }

  /**
   * Grants a lease. Its id is drawn here rather than by the server: when the answer is lost, the same grant is asked
   * again, and that the id is taken then proves that the first one worked. So a lease is never leaked unnoticed.
   */
  async grant(options: GrantOptions): Promise<LeaseGrant> {
    const request = { TTL: toWholeSeconds(options.ttl, "ttl"), ID: options.id ?? randomLeaseId() };
    const endMs = monotonicMs() + deadlineMs(options.deadline, this.#deadlineMs);
    const left = (): CallOptions => ({ signal: options.signal, deadline: Math.max(1, endMs - monotonicMs()) });
    let isRepeated = false;
    for (;;) {
      try {
        const response = await this.#caller.unary(leaseMethods.grant, request, left());
        return { header: toHeader(response.header), id: response.ID, ttlMs: Number(response.TTL) * 1000 };
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        if (isRepeated && error.code === "LEASE_EXISTS") return this.#granted(request.ID, left());
        // Given up or out of time: the outcome stays unknown, and the error says so.
        if (error.outcome !== "unknown" || error.code !== "INDETERMINATE") throw error;
        isRepeated = true;
      }
    }
  }

  /** The grant of a lease whose answer was lost but which exists. */
  async #granted(id: bigint, options: CallOptions): Promise<LeaseGrant> {
    const info = await this.timeToLive(id, options);
    if (info === undefined) throw new ClientError("LEASE_NOT_FOUND", `lease ${id.toString(16)} expired at once`);
    return { header: info.header, id, ttlMs: info.grantedTtlMs };
  }

  /** Revokes a lease and deletes its keys, in one revision. Fails with code `LEASE_NOT_FOUND` where there is none. */
  async revoke(id: bigint, options: CallOptions = {}): Promise<{ readonly header: Header }> {
    const response = await this.#caller.unary(leaseMethods.revoke, { ID: id }, options);
    return { header: toHeader(response.header) };
  }

  async #revokeIfThere(id: bigint, options: CallOptions): Promise<void> {
    try {
      await this.revoke(id, options);
    } catch (error) {
      if (!(error instanceof ClientError) || error.code !== "LEASE_NOT_FOUND") throw error;
    }
  }

  /** Renews a lease once: its new time to live. Fails with code `LEASE_NOT_FOUND` where there is none. */
  async keepAliveOnce(id: bigint, options: CallOptions = {}): Promise<{ readonly ttlMs: number }> {
    const { ttlMs } = await this.#renew(id, options);
    return { ttlMs };
  }

  async #renew(id: bigint, options: CallOptions): Promise<LeaseTimes> {
    const timeoutMs = deadlineMs(options.deadline, this.#deadlineMs);
    if (BigInt.asIntN(64, id) !== id) throw new InvalidArgumentError(`lease id: ${id} has more than 64 bits`);
    try {
      const renewal = renewOnce(this.#caller, id, timeoutMs, options.signal);
      const { response, sentMs } = await this.#caller.hold.during(renewal);
      if (response.TTL > 0n) return { ttlMs: Number(response.TTL) * 1000, sentMs };
    } catch (error) {
      throw error instanceof CallFailure ? toClientError(error, "read", undefined) : error;
    }
    throw new ClientError("LEASE_NOT_FOUND", `lease ${id.toString(16)} does not exist`);
  }

  /** What the server knows of a lease; `undefined` where there is none. */
  async timeToLive(
    id: bigint,
    options: { readonly keys?: boolean } & CallOptions = {},
  ): Promise<LeaseInfo | undefined> {
    const request = { ID: id, keys: options.keys ?? false };
    const { header, TTL, grantedTTL, keys } = await this.#caller.unary(leaseMethods.timeToLive, request, options);
    if (TTL < 0n) return undefined;
    return {
      header: toHeader(header),
      id,
      remainingMs: Number(TTL) * 1000,
      grantedTtlMs: Number(grantedTTL) * 1000,
      keys: keys.map(keyText),
    };
  }

  /** Ids of the leases that exist. */
  async list(options: CallOptions = {}): Promise<readonly bigint[]> {
    const { leases } = await this.#caller.unary(leaseMethods.leases, {}, options);
    return leases.map(({ ID }) => ID);
  }

  /** @internal Stops keeping leases alive. */
  close(): void {
    for (const lease of [...this.#keepAlive.leases]) lease.detach();
    this.#keepAlive.close();
  }
}

/** The margin asked for; it must leave something of the lease. */
function marginOf(options: { readonly margin?: Duration }, ttlMs: number): number {
  const marginMs = toMs(options.margin ?? 0, "margin");
  if (marginMs < ttlMs) return marginMs;
  throw new InvalidArgumentError(`margin: ${marginMs} ms leave nothing of a lease of ${ttlMs} ms`);
}

/** Positive and 63 bits long, as etcd's own. */
function randomLeaseId(): bigint {
  const id = randomBytes(8).readBigUInt64BE() >> 1n;
  return id === 0n ? 1n : id;
}
