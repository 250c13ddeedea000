// The client: builds the parts, connects, keeps the state that a user sees, closes everything again.
import { EventEmitter } from "node:events";
import { MaintenanceDefinition, StatusResponse } from "../proto/gen/etcdserverpb/rpc.ts";
import { Auth } from "./auth.ts";
import { Caller, deadlineMs } from "./caller.ts";
import { Cluster } from "./cluster.ts";
import type { Collection } from "./collection.ts";
import type { Connection } from "./connection.ts";
import { type Duration, toMs } from "./duration.ts";
import type { MemberIdentity } from "./endpoint.ts";
import { EndpointPool, type PoolState } from "./endpoint-pool.ts";
import { ClientError, InvalidArgumentError } from "./errors.ts";
import { CallFailure } from "./grpc-status.ts";
import { Guards } from "./guards.ts";
import { Hold } from "./hold.ts";
import { type Key, type KeyOrRange, type KeyRange, keyBytes } from "./keys.ts";
import { type CollectionOptions, endWatches, Keyspace } from "./keyspace.ts";
import type { Kv } from "./kv.ts";
import { Leases } from "./lease.ts";
import { formatLeaseId } from "./lease-handle.ts";
import { childLogger, type Logger, silentLogger } from "./logger.ts";
import { Maintenance } from "./maintenance.ts";
import type { CallOptions, ClientOptions } from "./options.ts";
import { Raw } from "./raw.ts";
import { RetryBudget } from "./retry.ts";
import { abortError, closedError, toClientError } from "./server-errors.ts";
import { createTokenSource } from "./token.ts";
import type { Txn } from "./txn.ts";
import type { Watch } from "./watch.ts";
import { WatchMux } from "./watch-mux.ts";
import type { WatchOptions } from "./watch-options.ts";

/**
 * - `connecting`: no member has been reached yet;
 * - `connected`: calls can be made;
 * - `suspended`: the connection is lost and another one is being looked for; calls wait;
 * - `lost`: every member was refused because it belongs to another cluster or its data is older than what was seen;
 * - `closed`: `close()` was called. Final.
 */
export type ClientStatus = "connecting" | "connected" | "suspended" | "lost" | "closed";

export interface ClientEvents {
  status: [status: ClientStatus, previous: ClientStatus];
}

export interface CloseOptions {
  /** Time that revoking the leases may take. Default 2 s. */
  readonly timeout?: Duration;
  /** `false` leaves leases to run out by themselves. Default `true`: they are revoked, the newest first. */
  readonly release?: boolean;
}

const statusPath = `/${MaintenanceDefinition.fullName}/${MaintenanceDefinition.methods.status.name}`;
const empty = new Uint8Array(0);

/**
 * A connection to a cluster, made by {@link connect}. It finds another member by itself when one is lost.
 *
 * Only a call that waits for its answer keeps the process alive, and `next()` of a watch unless that is unreferenced.
 * Leases, collections and idle connections do not; `ref()` does.
 */
export class Client extends EventEmitter<ClientEvents> implements AsyncDisposable {
  /** Reads and writes. */
  readonly kv: Kv;
  readonly lease: Leases;
  readonly auth: Auth;
  readonly cluster: Cluster;
  readonly maintenance: Maintenance;
  /** Calls in etcd's own messages. See {@link Raw}. */
  readonly raw: Raw;
  readonly #root: Keyspace;
  readonly #pool: EndpointPool;
  readonly #caller: Caller;
  readonly #guards = new Guards();
  readonly #hold = new Hold();
  readonly #budget: RetryBudget;
  readonly #mux: WatchMux;
  readonly #watches = new Set<Watch<unknown>>();
  readonly #logger: Logger;
  readonly #connectTimeoutMs: number;
  #status: ClientStatus = "connecting";
  #isRef = false;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(options: ClientOptions) {
    super();
    const settings = readSettings(options);
    this.#connectTimeoutMs = settings.connectTimeoutMs;
    this.#logger = childLogger(options.logger ?? silentLogger, { component: "quorate-sdk" });
    this.#budget = new RetryBudget(settings.retryShare);
    this.#pool = new EndpointPool({
      endpoints: settings.endpoints,
      balance: options.balance ?? "sticky",
      connection: settings.connection,
      handshake: (connection) => this.#handshake(connection),
      onState: (state) => this.#onPoolState(state),
    });
    const anonymous = new Caller({
      pool: this.#pool,
      guards: this.#guards,
      hold: this.#hold,
      budget: this.#budget,
      backoff: settings.backoff,
      attemptsMax: settings.attemptsMax,
      deadlineMs: settings.deadlineMs,
      connectTimeoutMs: settings.connectTimeoutMs,
    });
    const { credentials } = options;
    this.#caller =
      credentials === undefined ? anonymous : anonymous.withTokens(createTokenSource(anonymous, credentials));
    this.#mux = new WatchMux(this.#caller, childLogger(this.#logger, { part: "watch" }), settings);
    this.#root = new Keyspace(
      {
        caller: this.#caller,
        mux: this.#mux,
        logger: childLogger(this.#logger, { part: "watch" }),
        onWatch: (watch) => this.#onWatch(watch),
        onWatchEnd: (watch) => this.#watches.delete(watch),
      },
      options.namespace === undefined ? empty : keyBytes(options.namespace),
    );
    this.kv = this.#root.kv;
    this.lease = new Leases(this.#caller, childLogger(this.#logger, { part: "lease" }), settings);
    this.auth = new Auth(this.#caller);
    this.cluster = new Cluster(this.#caller);
    this.maintenance = new Maintenance(this.#caller, settings.connectTimeoutMs);
    this.raw = new Raw(this.#caller, settings.deadlineMs);
  }

  /** How the client stands with its cluster. Changes are emitted as `status`. */
  get status(): ClientStatus {
    return this.#status;
  }

  /** Highest revision of the store that any answer or event has shown. */
  get revision(): bigint {
    return this.#guards.revision;
  }

  /** The cluster that this client talks to; `undefined` until a member has answered. */
  get clusterId(): bigint | undefined {
    return this.#guards.clusterId;
  }

  /** Starts a transaction. See {@link Txn}. */
  txn(): Txn {
    return this.#root.txn();
  }

  /** Watches a key or a range. See {@link Watch}. */
  watch<T = string>(keys: KeyOrRange, options: WatchOptions<T> = {}): Watch<T> {
    return this.#root.watch(keys, options);
  }

  /** A live, map-like view of a range. See {@link Collection}. */
  collection<T = string>(keys: KeyRange, options: CollectionOptions<T> = {}): Collection<T> {
    return this.#root.collection(keys, options);
  }

  /** The keys below `prefix`, as if there were no others. */
  namespace(prefix: Key): Keyspace {
    return this.#root.namespace(prefix);
  }

  /** Waits until a member is reachable. */
  async waitForReady(options: CallOptions = {}): Promise<void> {
    const { signal } = options;
    const timeoutMs = deadlineMs(options.deadline, this.#connectTimeoutMs);
    try {
      await this.#hold.during(this.#pool.acquire(timeoutMs, signal));
    } catch (error) {
      if (signal?.aborted) throw abortError(signal, "notApplied");
      if (this.#status === "closed") throw closedError("the client");
      throw error instanceof CallFailure ? toClientError(error, "read", undefined) : error;
    }
  }

  /** Replaces the list of endpoints. Connections to those that stay are kept. */
  setEndpoints(endpoints: readonly string[]): void {
    this.#pool.setEndpoints(endpoints);
  }

  /** Asks the cluster where its members listen for clients and uses that list from now on. */
  async refreshEndpoints(options: CallOptions = {}): Promise<readonly string[]> {
    const { members } = await this.cluster.list(options);
    const urls = members.filter((member) => !member.isLearner).flatMap((member) => member.clientUrls);
    if (urls.length > 0) this.setEndpoints(urls);
    return urls;
  }

  /** Keeps the process alive while the client is open. */
  ref(): this {
    if (!this.#isRef && this.#closing === undefined) {
      this.#isRef = true;
      this.#hold.acquire();
    }
    return this;
  }

  /** Undoes `ref()`. */
  unref(): this {
    if (this.#isRef) this.#hold.release();
    this.#isRef = false;
    return this;
  }

  /** Everything that is worth knowing when something is wrong, as plain data that JSON can hold; ids are hexadecimal. */
  inspect() {
    return {
      status: this.#status,
      clusterId: this.#guards.clusterId?.toString(16),
      revision: this.#guards.revision.toString(),
      retryTokens: this.#budget.tokens,
      endpoints: this.#pool.endpoints.map((endpoint) => ({
        url: endpoint.address.url,
        isConnected: endpoint.connection !== undefined,
        isCurrent: this.#pool.current === endpoint,
        failures: endpoint.failures,
        lastFailure: endpoint.lastFailure?.message,
        memberId: endpoint.identity?.memberId.toString(16),
        version: endpoint.identity?.version,
        isLearner: endpoint.identity?.isLearner,
      })),
      watchEndpoint: this.#mux.endpoint,
      watches: [...this.#watches].map((watch) => watch.inspect()),
      leases: this.lease.handles.map((lease) => ({
        id: formatLeaseId(lease.id),
        state: lease.state,
        ttlMs: lease.ttlMs,
        remainingMs: lease.remainingMs(),
      })),
    } as const;
  }

  /**
   * Revokes the leases that the client keeps alive, ends its watches, fails calls that are still waiting, and closes its
   * connections. Closing twice is fine.
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(options: CloseOptions): Promise<void> {
    const timeoutMs = toMs(options.timeout ?? 2000, "timeout");
    endWatches(this.#watches, undefined);
    if (options.release ?? true) await this.#releaseLeases(timeoutMs);
    this.lease.close();
    this.#mux.close();
    this.#pool.close();
    this.unref();
    this.#setStatus("closed");
  }

  /** Newest first, as a stack of things that were built on one another. */
  async #releaseLeases(timeoutMs: number): Promise<void> {
    const signal = AbortSignal.timeout(timeoutMs);
    for (const lease of [...this.lease.handles].reverse()) {
      try {
        await lease.revoke({ signal });
      } catch (error) {
        // The lease runs out by itself; closing must not fail over it.
        const reason = error instanceof ClientError ? error.message : String(error);
        this.#logger.warn({ lease: lease.id.toString(16), reason }, "lease was not revoked");
      }
    }
  }

  /** First contact with a member over a new connection: is it ours, and who is it? */
  async #handshake(connection: Connection): Promise<MemberIdentity | undefined> {
    let bytes: Uint8Array;
    try {
      bytes = await connection.unary(statusPath, empty, { timeoutMs: this.#connectTimeoutMs });
    } catch (error) {
      // It answers, though not this call or not to everybody. Its cluster will show with the first real answer.
      if (error instanceof CallFailure && error.progress === "answered") return undefined;
      throw error;
    }
    const { header, version, isLearner } = StatusResponse.decode(bytes);
    this.#guards.check(header, connection.address.url, 0n, "notApplied");
    return { memberId: header?.memberId ?? 0n, version, isLearner };
  }

  #onWatch(watch: Watch<unknown>): void {
    // A watch whose signal had fired before it began is over already.
    if (!watch.isEnded) this.#watches.add(watch);
    if (this.#closing !== undefined) watch.endWith(closedError("the client"));
  }

  #onPoolState(state: PoolState): void {
    this.#setStatus(state === "ready" ? "connected" : state === "refused" ? "lost" : "suspended");
  }

  #setStatus(status: ClientStatus): void {
    if (this.#status === status || this.#status === "closed") return;
    const previous = this.#status;
    this.#status = status;
    this.#logger.info({ status, previous }, "status");
    this.emit("status", status, previous);
  }
}

/**
 * Connects to a cluster.
 *
 * @example
 * await using client = await connect({ endpoints: ["http://10.0.0.1:2379", "http://10.0.0.2:2379"] });
 * await client.kv.put("greeting", "hello");
 *
 * @param options Endpoints alone, or everything that {@link ClientOptions} names.
 * @returns The client, connected to one of the members; at once with `lazy`.
 * @throws {ClientError} `UNAVAILABLE` when no member is reachable within `connectTimeout`.
 */
export async function connect(options: string | readonly string[] | ClientOptions): Promise<Client> {
  const isList = typeof options === "string" || Array.isArray(options);
  const full = isList ? { endpoints: options as string | readonly string[] } : (options as ClientOptions);
  const client = new Client(full);
  if (full.lazy) return client;
  try {
    await client.waitForReady();
  } catch (error) {
    await client.close();
    throw error;
  }
  return client;
}

function readSettings(options: ClientOptions) {
  const ms = (value: Duration | undefined, defaultMs: number, what: string): number => toMs(value ?? defaultMs, what);
  const connectTimeoutMs = ms(options.connectTimeout, 5000, "connectTimeout");
  const probeAfterMs = ms(options.liveness?.probeAfter, 1250, "liveness.probeAfter");
  const deadAfterMs = ms(options.liveness?.deadAfter, 2500, "liveness.deadAfter");
  if (deadAfterMs <= probeAfterMs) {
    throw new InvalidArgumentError(
      `liveness: deadAfter (${deadAfterMs} ms) must be more than probeAfter (${probeAfterMs} ms)`,
    );
  }
  const attemptsMax = options.retry?.attempts ?? 4;
  if (!(attemptsMax >= 1)) throw new InvalidArgumentError(`retry.attempts: expected at least 1, found ${attemptsMax}`);
  return {
    endpoints: typeof options.endpoints === "string" ? options.endpoints.split(",") : options.endpoints,
    connectTimeoutMs,
    // A busy member may take its time to confirm a watch; one that answers nothing is found by its silence much sooner.
    confirmMs: 4 * deadAfterMs,
    deadlineMs: ms(options.deadline, 10_000, "deadline"),
    electionTimeoutMs: ms(options.electionTimeout, 1000, "electionTimeout"),
    attemptsMax,
    retryShare: options.retry?.budget ?? 0.1,
    backoff: { firstMs: ms(options.retry?.backoff, 50, "retry.backoff"), maxMs: 1000 },
    connection: {
      tls: options.tls,
      connectTimeoutMs,
      probeAfterMs,
      deadAfterMs,
      messageBytesMax: options.messageBytesMax ?? 256 * 1024 * 1024,
    },
  };
}
