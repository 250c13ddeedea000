// Which member the next call goes to. Remembers who failed, connects to another one when the current one is lost, and
// races connection attempts so that a silent member delays nobody for long. Retries of calls are not its business.
import { createDeferred, type Deferred, monotonicMs, onAbort, sleep } from "./abort.ts";
import { parseAddress } from "./address.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import { Endpoint, type Handshake } from "./endpoint.ts";
import { InvalidArgumentError } from "./errors.ts";
import { CallFailure, grpcStatus } from "./grpc-status.ts";
import type { Balance } from "./options.ts";

/** A member with a connection that can be used now. */
export interface Ready {
  readonly endpoint: Endpoint;
  readonly connection: Connection;
}

/** `ready`: calls can be made; `searching`: a member is being looked for; `refused`: only members are left that a guard refuses. */
export type PoolState = "ready" | "searching" | "refused";

export interface PoolOptions {
  readonly endpoints: readonly string[];
  readonly balance: Balance;
  readonly connection: ConnectionOptions;
  readonly handshake: Handshake;
  /** Called at each change of state. */
  readonly onState: (state: PoolState) => void;
}

/** How long one connection attempt may be silent before the next member is tried beside it. */
const staggerMs = 250;

export class EndpointPool {
  readonly #options: PoolOptions;
  readonly #closing = new AbortController();
  #endpoints: readonly Endpoint[] = [];
  #current: Endpoint | undefined;
  #next = 0;
  /** Resolved when a member is ready. Present while one is being looked for. */
  #search: Deferred<void> | undefined;
  #state: PoolState = "searching";

  constructor(options: PoolOptions) {
    this.#options = options;
    this.setEndpoints(options.endpoints);
  }

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** The member that calls go to, unless each goes to the next one. */
  get current(): Endpoint | undefined {
    return this.#current;
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Replaces the list. Connections to members that stay on it are kept. */
  setEndpoints(urls: readonly string[]): void {
    const addresses = new Map(urls.map(parseAddress).map((address) => [address.url, address]));
    if (addresses.size === 0) throw new InvalidArgumentError("endpoints: expected at least one, found none");
    const known = new Map(this.#endpoints.map((endpoint) => [endpoint.address.url, endpoint]));
    const { connection, handshake } = this.#options;
    const previous = this.#endpoints;
    this.#endpoints = [...addresses.values()].map(
      (address) =>
        known.get(address.url) ?? new Endpoint(address, connection, handshake, (closed) => this.#onClosed(closed)),
    );
    // Drawn anew, so that clients that learn a list at the same time do not all turn to its first member.
    this.#next = this.#options.balance === "ordered" ? 0 : Math.floor(Math.random() * this.#endpoints.length);
    for (const endpoint of previous) if (!addresses.has(endpoint.address.url)) this.#retire(endpoint);
  }

  #retire(endpoint: Endpoint): void {
    endpoint.retire();
    if (this.#current === endpoint) this.#leave();
  }

  /** A member that can be called at once, if there is one. */
  get ready(): Ready | undefined {
    if (this.#options.balance === "rotate") return this.#rotate();
    const connection = this.#current?.connection;
    if (connection !== undefined) return { endpoint: this.#current!, connection };
    return undefined;
  }

  #rotate(): Ready | undefined {
    const count = this.#endpoints.length;
    const now = monotonicMs();
    let found: Ready | undefined;
    for (let step = 0; step < count; step++) {
      const endpoint = this.#endpoints[(this.#next + step) % count]!;
      const connection = endpoint.connection;
      if (connection === undefined) {
        // Brought in beside the calls, so that its turn comes once it is connected.
        if (endpoint.retryAtMs <= now) endpoint.open().catch(() => undefined); // Remembered by the endpoint.
      } else if (found === undefined && endpoint.retryAtMs <= now) {
        found = { endpoint, connection };
        this.#next = (this.#next + step + 1) % count;
      }
    }
    // Members that failed lately are left out only while there are others.
    const leastBad = found === undefined ? this.#leastBad() : undefined;
    return leastBad?.connection === undefined ? found : { endpoint: leastBad, connection: leastBad.connection };
  }

  /**
   * Waits for a member that can be called. Rejects with a {@link CallFailure} when the wait is over, or with the
   * {@link GuardError} when every member there is was refused by a guard.
   */
  async acquire(timeoutMs: number, signal: AbortSignal | undefined): Promise<Ready> {
    const endMs = monotonicMs() + timeoutMs;
    for (;;) {
      if (this.#closing.signal.aborted) {
        throw new CallFailure(grpcStatus.canceled, "the client is closed", "unsent");
      }
      const ready = this.ready;
      if (ready !== undefined) return ready;
      if (signal?.aborted) throw new CallFailure(grpcStatus.canceled, "given up by the caller", "unsent");
      const refusal = this.#refusal();
      if (refusal !== undefined) throw refusal;
      const leftMs = endMs - monotonicMs();
      if (leftMs <= 0) throw this.#unreachable(timeoutMs);
      await this.#found(leftMs, signal);
    }
  }

  /** A call to `endpoint` was answered. */
  succeed(endpoint: Endpoint): void {
    if (endpoint.failures > 0) endpoint.succeed();
  }

  /** A call to `endpoint` failed through no fault of the request: others are preferred for a while. */
  fail(endpoint: Endpoint, error: Error): void {
    endpoint.fail(error);
    if (this.#current === endpoint) this.#leave();
  }

  close(): void {
    this.#closing.abort();
    for (const endpoint of this.#endpoints) endpoint.close();
    this.#search?.resolve();
    this.#current = undefined;
  }

  #onClosed(endpoint: Endpoint): void {
    if (this.#current === endpoint) this.#leave();
    else if (this.#options.balance === "rotate") this.#leave();
  }

  /** The current member is no longer the choice. Another one is looked for at once: watches and leases depend on it. */
  #leave(): void {
    this.#current = undefined;
    if (this.#closing.signal.aborted || this.ready !== undefined) return;
    // With nobody better to turn to, a member that answers "not now" is still the one to ask: the caller paces itself.
    if (this.#due().length === 0) this.#current = this.#leastBad();
    if (this.#current !== undefined) return;
    this.#setState("searching");
    this.#startSearch();
  }

  #setState(state: PoolState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState(state);
  }

  /** Set when nothing but refused members is left. */
  #refusal(): Error | undefined {
    const refusals = this.#endpoints.map((endpoint) => endpoint.refusal);
    return refusals.every((refusal) => refusal !== undefined) ? refusals[0] : undefined;
  }

  #unreachable(timeoutMs: number): CallFailure {
    const causes = this.#endpoints.map(
      (endpoint) => endpoint.lastFailure ?? new Error(`no answer from ${endpoint.address.url} yet`),
    );
    const text = `no member reachable within ${Math.round(timeoutMs)} ms: ${causes.map((cause) => cause.message).join("; ")}`;
    const cause = causes.length === 1 ? causes[0] : new AggregateError(causes, text);
    return new CallFailure(grpcStatus.unavailable, text, "unsent", cause);
  }

  /** Resolves when a member was found, the wait is over or it was given up. */
  async #found(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    this.#startSearch();
    const givenUp = new AbortController();
    const stopListening = onAbort(signal, () => givenUp.abort());
    try {
      await Promise.race([this.#search!.promise, sleep(timeoutMs, givenUp.signal)]);
    } finally {
      stopListening();
      givenUp.abort();
    }
  }

  #startSearch(): void {
    if (this.#search !== undefined || this.#closing.signal.aborted) return;
    this.#search = createDeferred<void>();
    void this.#searchUntilFound().finally(() => {
      this.#search?.resolve();
      this.#search = undefined;
    });
  }

  async #searchUntilFound(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const found = (await this.#race(this.#due())) ?? this.#leastBad();
      if (found !== undefined) {
        this.#current = found;
        // Where it stays, and where a later search starts.
        if (this.#options.balance === "sticky") this.#next = this.#endpoints.indexOf(found);
        this.#setState("ready");
        return;
      }
      if (this.#refusal() !== undefined) this.#setState("refused");
      // Whoever waits looks again after each round: the members may all have been refused.
      this.#search?.resolve();
      this.#search = createDeferred<void>();
      const nextMs = Math.min(...this.#endpoints.map((endpoint) => endpoint.retryAtMs));
      await sleep(Math.max(10, nextMs - monotonicMs()), this.#closing.signal);
    }
  }

  /** Members that are in good health or have waited long enough. */
  #due(): readonly Endpoint[] {
    const now = monotonicMs();
    return this.#ranked().filter((endpoint) => endpoint.retryAtMs <= now);
  }

  /** A member that failed lately but is connected. */
  #leastBad(): Endpoint | undefined {
    return this.#ranked().find((endpoint) => endpoint.connection !== undefined);
  }

  /** In order of preference: as configured, learners last, since they serve next to nothing. */
  #ranked(): readonly Endpoint[] {
    const start = this.#options.balance === "ordered" ? 0 : this.#next;
    const ordered = this.#endpoints.map((_, index) => this.#endpoints[(start + index) % this.#endpoints.length]!);
    return ordered.sort((a, b) => Number(a.identity?.isLearner ?? false) - Number(b.identity?.isLearner ?? false));
  }

  /** Nothing watches over a connection that nobody uses: one that lost the race is closed rather than kept. */
  #dropSpare(endpoint: Endpoint): void {
    if (this.#options.balance === "rotate") return;
    // After the race's own promise has settled, so that a winner has become current.
    setImmediate(() => {
      if (this.#current !== endpoint && this.#search === undefined) endpoint.drop(new Error("not needed"));
    });
  }

  /** The first of `candidates` that connects; the next one starts when one fails or is silent for a moment. */
  #race(candidates: readonly Endpoint[]): Promise<Endpoint | undefined> {
    return new Promise((resolve) => {
      let started = 0;
      let failed = 0;
      let timer: NodeJS.Timeout | undefined;
      const startNext = (): void => {
        clearTimeout(timer);
        const endpoint = candidates[started];
        if (endpoint === undefined) {
          if (failed === candidates.length) resolve(undefined);
          return;
        }
        started += 1;
        endpoint.open().then(
          () => {
            clearTimeout(timer);
            resolve(endpoint);
            this.#dropSpare(endpoint);
          },
          () => {
            failed += 1;
            startNext();
          },
        );
        timer = setTimeout(startNext, staggerMs);
        timer.unref();
      };
      startNext();
    });
  }
}
