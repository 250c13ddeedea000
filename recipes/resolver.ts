// The instances of a service as they are now, kept up to date by a watch. The list is read at one revision and followed
// from the next. A lost connection never empties it: what was good last stays, and its age is told.
import { EventEmitter } from "node:events";
import {
  type Client,
  type ClientError,
  ClosedError,
  type Codec,
  type Collection,
  type Duration,
  type KeyValue,
  type StandardSchema,
  toMs,
} from "../sdk/index.ts";
import { resolutionChannel } from "./diagnostics.ts";
import { type EndpointRecord, endpointCodec, servicePrefix, splitAddress } from "./endpoint-record.ts";
import { RecipeError } from "./errors.ts";
import { LatestQueue } from "./latest-queue.ts";
import { type Candidate, type FailureBackoff, FailureLedger, type PickStrategy, roundRobin } from "./pick.ts";
import { surface } from "./surface.ts";
import { monotonicMs, pauseMs, sleep, whileWaiting } from "./waiting.ts";

/** One instance of a service. */
export interface Endpoint<M = unknown> {
  readonly key: string;
  /** Last part of the key. */
  readonly id: string;
  /** As it was registered: `host:port`. */
  readonly address: string;
  readonly host: string;
  readonly port: number | undefined;
  readonly metadata: M;
  readonly weight: number;
  /** Tells one incarnation of an instance from the next: it changes when the instance is registered anew. */
  readonly incarnation: string;
  /** Revision of its last change. */
  readonly revision: bigint;
}

/**
 * What to show when the store says that there are no instances left, which may be true or the aftermath of an outage that
 * took all their leases. A lost connection is no such case: then the list always stays.
 * - `{ keepLast }` (default, with 60 s): the last list, for so long; {@link Resolver.staleForMs} says since when;
 * - `empty`: the empty list, at once;
 * - `error`: the empty list, at once, and reading it is an error.
 */
export type WhenEmpty = { readonly keepLast: Duration } | "empty" | "error";

export interface ResolveOptions<S extends StandardSchema = StandardSchema> {
  /** Schema that the metadata of each instance must fit. An instance whose metadata does not keeps its last good one. */
  readonly metadata?: S;
  readonly whenEmpty?: WhenEmpty;
  /** Age from which on `pick` refuses a list that is not kept up to date any more. Default: never. */
  readonly staleMax?: Duration;
  /** How `pick` chooses. Default: {@link roundRobin}. */
  readonly strategy?: PickStrategy;
  /** How long `pick` passes over instances that have failed. */
  readonly backoff?: FailureBackoff;
}

export interface ResolutionChange<M = unknown> {
  readonly revision: bigint;
  readonly endpoints: readonly Endpoint<M>[];
  readonly added: readonly Endpoint<M>[];
  readonly removed: readonly Endpoint<M>[];
  readonly updated: readonly Endpoint<M>[];
}

export interface ResolverEvents<M> {
  change: [change: ResolutionChange<M>];
  /** Something that is no endpoint, or whose metadata does not fit, was stored. It is passed over. */
  invalid: [key: string, error: Error];
  /** Following the list failed; it is begun anew. */
  trouble: [error: ClientError | undefined];
}

/** A pick that is under way. Say how it ended; disposing of it without a word counts as neither good nor bad. */
export interface Pick<M = unknown> extends Disposable {
  readonly endpoint: Endpoint<M>;
  /** The call worked: earlier failures are forgotten. */
  succeed(): void;
  /** The call failed because of the instance: it is passed over for a while, longer each time. */
  fail(): void;
}

/** An endpoint and the calls it has. They go on being counted when only its description changes. */
class Tracked<M> implements Candidate {
  readonly endpoint: Endpoint<M>;
  readonly #calls: { pending: number };

  constructor(endpoint: Endpoint<M>, before: Tracked<M> | undefined) {
    this.endpoint = endpoint;
    this.#calls = before?.incarnation === endpoint.incarnation ? before.#calls : { pending: 0 };
  }

  get key(): string {
    return this.endpoint.key;
  }

  get incarnation(): string {
    return this.endpoint.incarnation;
  }

  get weight(): number {
    return this.endpoint.weight;
  }

  get pending(): number {
    return this.#calls.pending;
  }

  begin(): void {
    this.#calls.pending += 1;
  }

  end(): void {
    this.#calls.pending -= 1;
  }
}

const keepLastDefault: WhenEmpty = { keepLast: "60s" };

/**
 * A live list of a service's instances, from {@link Registry.resolve}.
 *
 * @example
 * await using billing = await registry.resolve("billing");
 * billing.on("change", ({ added, removed }) => console.log(`+${added.length} -${removed.length}`));
 * const reply = await billing.run(({ address }) => fetch(`http://${address}/invoices`));
 */
export class Resolver<M = unknown> extends EventEmitter<ResolverEvents<M>> implements AsyncDisposable {
  readonly service: string;
  readonly #client: Client;
  readonly #codec: Codec<EndpointRecord<M>, never>;
  readonly #keepLastMs: number;
  readonly #isEmptyAnError: boolean;
  readonly #staleMaxMs: number;
  readonly #strategy: PickStrategy;
  readonly #ledger: FailureLedger;
  readonly #ending = new AbortController();
  readonly #followers = new Set<LatestQueue<readonly Endpoint<M>[]>>();
  readonly #first: Promise<void>;
  #onFirst!: () => void;
  #onNever!: (error: ClosedError) => void;
  #collection: Collection<EndpointRecord<M>> | undefined;
  #tracked: ReadonlyMap<string, Tracked<M>> = new Map();
  #endpoints: readonly Endpoint<M>[] = [];
  #revision = 0n;
  /** Since when the list is shown although the store has none. */
  #keptSinceMs: number | undefined;
  #keepTimer: NodeJS.Timeout | undefined;
  /** Since when no watch runs. */
  #brokenSinceMs: number | undefined;

  /** @internal Use {@link Registry.resolve}. */
  constructor(client: Client, service: string, options: ResolveOptions = {}) {
    super();
    this.service = service;
    this.#client = client;
    const codec = options.metadata === undefined ? endpointCodec() : endpointCodec(options.metadata);
    this.#codec = codec as Codec<EndpointRecord<M>, never>;
    const whenEmpty = options.whenEmpty ?? keepLastDefault;
    this.#keepLastMs = typeof whenEmpty === "object" ? toMs(whenEmpty.keepLast, "whenEmpty.keepLast") : 0;
    this.#isEmptyAnError = whenEmpty === "error";
    this.#staleMaxMs = toMs(options.staleMax ?? Number.POSITIVE_INFINITY, "staleMax");
    this.#strategy = options.strategy ?? roundRobin();
    this.#ledger = new FailureLedger(options.backoff);
    this.#first = new Promise((resolve, reject) => {
      this.#onFirst = resolve;
      this.#onNever = reject;
    });
    this.#first.catch(() => undefined);
    void this.#run();
  }

  /** Resolves with the first list. It waits for the cluster as long as it takes; rejects when it is closed before. */
  get ready(): Promise<void> {
    return whileWaiting(this.#first);
  }

  /** The instances, in the order of their keys. With `whenEmpty: "error"` reading an empty list throws. */
  get endpoints(): readonly Endpoint<M>[] {
    if (this.#isEmptyAnError && this.#endpoints.length === 0) throw this.#nobody();
    return this.#endpoints;
  }

  /** @internal As {@link endpoints}, without the opinion on an empty list. */
  get list(): readonly Endpoint<M>[] {
    return this.#endpoints;
  }

  /** @internal As {@link ready}, but it does not keep the process alive. */
  whenReady(onReady: () => void, onNever: (error: Error) => void): void {
    this.#first.then(onReady, onNever);
  }

  /** Revision of the store that the list shows. */
  get revision(): bigint {
    return this.#revision;
  }

  /**
   * Milliseconds since the list was last known to be true: since the connection was lost, or since the store began to
   * say that there is nobody while the last list is shown. 0 while all is well.
   */
  staleForMs(): number {
    const nowMs = monotonicMs();
    const keptMs = this.#keptSinceMs === undefined ? 0 : nowMs - this.#keptSinceMs;
    const brokenMs = this.#brokenSinceMs === undefined ? 0 : nowMs - this.#brokenSinceMs;
    return Math.max(keptMs, brokenMs, this.#collection?.staleForMs() ?? 0);
  }

  /**
   * Chooses an instance for one call. `affinity` is what the strategy `sticky` keeps together, such as a customer's name.
   *
   * @throws {RecipeError} `NO_ENDPOINTS` when there is none, `STALE` when the list is older than `staleMax`.
   *
   * @example
   * using pick = billing.pick();
   * const response = await fetch(`http://${pick.endpoint.address}/invoices`);
   * if (response.status < 500) pick.succeed();
   * else pick.fail();
   */
  pick(options: { readonly affinity?: string } = {}): Pick<M> {
    const staleMs = this.staleForMs();
    if (staleMs > this.#staleMaxMs) {
      throw new RecipeError(
        "STALE",
        `${this.service}: the list is ${Math.round(staleMs)} ms old, more than is allowed`,
      );
    }
    const nowMs = monotonicMs();
    const usable = this.#ledger.usable([...this.#tracked.values()], nowMs);
    if (usable.length === 0) throw this.#nobody();
    const chosen = this.#strategy.pick(usable, options.affinity);
    chosen.begin();
    let isOver = false;
    const end = (verdict: () => void) => (): void => {
      if (isOver) return;
      isOver = true;
      chosen.end();
      verdict();
    };
    return {
      endpoint: chosen.endpoint,
      succeed: end(() => this.#ledger.succeeded(chosen.incarnation)),
      fail: end(() => this.#onFailure(chosen)),
      [Symbol.dispose]: end(() => undefined),
    };
  }

  /**
   * Runs `call` with an instance and remembers how it ended. It is made once: whether a failed call may be repeated only
   * the caller knows.
   */
  async run<T>(call: (endpoint: Endpoint<M>) => Promise<T>, options: { readonly affinity?: string } = {}): Promise<T> {
    const pick = this.pick(options);
    try {
      const result = await call(pick.endpoint);
      pick.succeed();
      return result;
    } catch (error) {
      pick.fail();
      throw error;
    }
  }

  /** The list now and after every change. A slow reader gets the newest list, not every one. Ends with the resolver. */
  changes(): AsyncIterableIterator<readonly Endpoint<M>[]> {
    const queue = new LatestQueue<readonly Endpoint<M>[]>(() => this.#followers.delete(queue));
    if (this.#ending.signal.aborted) queue.end();
    else {
      this.#followers.add(queue);
      this.#first.then(
        () => queue.offer(this.#endpoints),
        () => queue.end(),
      );
    }
    return queue;
  }

  /** Stops following. The list stays as it is. Closing twice is fine. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#onNever(new ClosedError("the resolver is closed"));
    clearTimeout(this.#keepTimer);
    for (const follower of [...this.#followers]) follower.end();
    await this.#collection?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #nobody(): RecipeError {
    return new RecipeError("NO_ENDPOINTS", `${this.service} has no instances`);
  }

  #onFailure({ incarnation }: Tracked<M>): void {
    this.#ledger.failed(incarnation, monotonicMs());
    this.#publish("failure");
  }

  // --- following the list ---

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    for (let attempt = 1; !signal.aborted; attempt++) {
      const collection = this.#client.collection({ prefix: servicePrefix(this.service) }, { codec: this.#codec });
      this.#collection = collection;
      collection.on("invalid", (key, error) => surface(() => this.emit("invalid", key, error)));
      collection.on("change", ({ revision }) => {
        attempt = 1;
        this.#brokenSinceMs = undefined;
        this.#onList(collection, revision);
      });
      const failure = await new Promise<ClientError | undefined>((resolve) => collection.once("end", resolve));
      if (signal.aborted) return;
      // The watch survives what may pass; this is a permission that was withdrawn, or a member of another cluster.
      this.#brokenSinceMs ??= monotonicMs();
      surface(() => this.emit("trouble", failure));
      if (failure?.code === "CLIENT_CLOSED" || failure === undefined) return this.close();
      await sleep(pauseMs(attempt + 3), signal, false);
    }
  }

  #onList(collection: Collection<EndpointRecord<M>>, revision: bigint): void {
    const endpoints = [...collection.values()].map((kv) => this.#toEndpoint(kv));
    endpoints.sort((a, b) => (a.key < b.key ? -1 : 1));
    this.#revision = revision;
    if (endpoints.length === 0 && this.#endpoints.length > 0 && this.#keepLastMs > 0) {
      this.#keepLast();
      return;
    }
    clearTimeout(this.#keepTimer);
    this.#keptSinceMs = undefined;
    this.#show(endpoints);
  }

  /** The store says that nobody is left. For a while that is not believed. */
  #keepLast(): void {
    if (this.#keptSinceMs !== undefined) return;
    this.#keptSinceMs = monotonicMs();
    this.#keepTimer = setTimeout(
      () => {
        this.#keptSinceMs = undefined;
        this.#show([]);
      },
      Math.min(this.#keepLastMs, 2 ** 31 - 1),
    );
    this.#keepTimer.unref();
  }

  #show(endpoints: readonly Endpoint<M>[]): void {
    const before = this.#tracked;
    const tracked = new Map<string, Tracked<M>>();
    const added: Endpoint<M>[] = [];
    const updated: Endpoint<M>[] = [];
    for (const endpoint of endpoints) {
      const old = before.get(endpoint.key);
      if (old === undefined) added.push(endpoint);
      else if (old.endpoint.revision !== endpoint.revision) updated.push(endpoint);
      tracked.set(endpoint.key, old?.endpoint.revision === endpoint.revision ? old : new Tracked(endpoint, old));
    }
    const removed = [...before.values()].map(({ endpoint }) => endpoint).filter(({ key }) => !tracked.has(key));
    this.#tracked = tracked;
    this.#endpoints = endpoints;
    this.#ledger.keepOnly(new Set(endpoints.map(({ incarnation }) => incarnation)));
    this.#onFirst();
    if (added.length + updated.length + removed.length === 0) return;
    this.#publish("change");
    for (const follower of this.#followers) follower.offer(endpoints);
    surface(() => this.emit("change", { revision: this.#revision, endpoints, added, removed, updated }));
  }

  #toEndpoint(kv: KeyValue<EndpointRecord<M>>): Endpoint<M> {
    const { address, metadata, instance } = kv.value;
    return {
      key: kv.key,
      id: kv.key.slice(servicePrefix(this.service).length),
      address,
      ...splitAddress(address),
      metadata,
      weight: instance?.weight ?? 1,
      incarnation: instance === undefined ? `${kv.key}@${kv.createRevision}` : `${instance.id}/${instance.epoch}`,
      revision: kv.modRevision,
    };
  }

  #publish(event: "change" | "failure"): void {
    if (!resolutionChannel.hasSubscribers) return;
    const { service, revision } = this;
    resolutionChannel.publish({ event, service, endpoints: this.#endpoints.length, revision });
  }
}
