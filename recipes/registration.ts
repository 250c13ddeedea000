// One registered instance of a service. It stays registered as long as the process lives and can reach the cluster, and
// comes back by itself after an outage: the opposite of a lock, which must never do that.
import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { type Duration, toMs } from "../sdk/index.ts";
import { registrationChannel } from "./diagnostics.ts";
import { encodeEndpoint, endpointKey, instanceOf, joinAddress } from "./endpoint-record.ts";
import { UnconfirmedError } from "./errors.ts";
import { type HealthCheck, HealthProbe } from "./health-probe.ts";
import { type Authorship, KeptKey } from "./kept-key.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./session-source.ts";
import { surface } from "./surface.ts";
import { Patience, settleMs, sleep, timeLimit, type WaitOptions, whileWaiting } from "./waiting.ts";

export interface RegisterOptions {
  /** Name of the service. Its instances are stored below `<service>/`. */
  readonly service: string;
  /** Where the instance listens: a host, or `host:port` as one. */
  readonly address: string;
  readonly port?: number;
  /** What others should know of it; anything that JSON can say. */
  readonly metadata?: unknown;
  /** Share of the calls, relative to the other instances'. Default 1. */
  readonly weight?: number;
  /**
   * Last part of the key. Default: the address, so that a process which is started again at the same address takes the
   * place of the one that crashed, instead of standing beside it until its lease ends.
   */
  readonly id?: string;
  /** Asked again and again whether the instance should be used; while it should not, it is not listed. */
  readonly check?: HealthCheck;
}

/**
 * - `registering`: not listed yet, or not any more after an outage, and about to be listed again;
 * - `registered`: listed;
 * - `suspended`: listed, but the cluster does not answer; if that lasts, the server will take it off the list;
 * - `unhealthy`: taken off the list because its check failed;
 * - `drained`: taken off the list by `drain()`;
 * - `replaced`: another process has registered the same id. Final;
 * - `failed`: refused for good, for want of a permission for instance. Final;
 * - `closed`: final.
 */
export type RegistrationState =
  | "registering"
  | "registered"
  | "suspended"
  | "unhealthy"
  | "drained"
  | "replaced"
  | "failed"
  | "closed";

export interface RegistrationEvents {
  state: [state: RegistrationState, previous: RegistrationState];
  /** Something failed and will be tried again. */
  trouble: [error: unknown];
}

const waitDefault: Duration = "10s";

/**
 * A registered instance, from {@link Registry.register}.
 *
 * It is bound to a session: when the process dies, the cluster takes it off the list within the session's TTL (plus what
 * the server allows for clocks that differ). When the session is lost although the process lives, it registers again
 * under a new one, with a higher `epoch`.
 */
export class Registration extends EventEmitter<RegistrationEvents> implements AsyncDisposable {
  readonly service: string;
  readonly address: string;
  readonly key: string;
  /** Drawn for this registration; stored with it. */
  readonly instanceId: string = randomUUID();
  readonly #kept: KeptKey;
  readonly #probe: HealthProbe | undefined;
  #metadata: unknown;
  #weight: number;
  #session: Session | undefined;
  #isListed = false;
  #isHealthy: boolean;
  #isDrained = false;
  #end: "replaced" | "failed" | "closed" | undefined;
  #reported: RegistrationState = "registering";
  readonly #onSession = (): void => this.#report(undefined);

  /** @internal Use {@link Registry.register}. */
  constructor(sessions: Sessions, options: RegisterOptions) {
    super();
    this.service = options.service;
    this.address = joinAddress(options.address, options.port);
    this.key = endpointKey(options.service, options.id ?? this.address);
    this.#metadata = options.metadata;
    this.#weight = checkedWeight(options.weight);
    this.#isHealthy = options.check === undefined;
    this.#kept = new KeptKey({
      sessions,
      key: this.key,
      value: (epoch, version) => this.#encode(epoch, version),
      authorOf: (value, epoch, version) => this.#authorOf(value, epoch, version),
      onWritten: (session) => this.#onWritten(session),
      onVanished: () => this.#onVanished(),
      onReplaced: () => this.#finish("replaced", undefined),
      onTrouble: (error) => surface(() => this.emit("trouble", error)),
      onFailed: (error) => this.#finish("failed", error),
    });
    this.#probe = options.check === undefined ? undefined : new HealthProbe(options.check, (ok) => this.#onHealth(ok));
  }

  get state(): RegistrationState {
    if (this.#end !== undefined) return this.#end;
    if (this.#isDrained) return "drained";
    if (!this.#isHealthy) return this.#isListed || this.#kept.hasBeenOurs ? "unhealthy" : "registering";
    if (!this.#isListed || this.#session === undefined) return "registering";
    const { state } = this.#session;
    return state === "held" ? "registered" : state === "suspended" ? "suspended" : "registering";
  }

  /** Counts how often it had to be made anew; 1 at first. */
  get epoch(): number {
    return this.#kept.epoch;
  }

  /** The session that it is registered under now. */
  get session(): Session | undefined {
    return this.#session;
  }

  get metadata(): unknown {
    return this.#metadata;
  }

  get weight(): number {
    return this.#weight;
  }

  /** Changes what is said about the instance. Resolves once that is stored. What is left out stays. */
  async update(
    change: { readonly metadata?: unknown; readonly weight?: number },
    options: WaitOptions = {},
  ): Promise<void> {
    if (change.weight !== undefined) this.#weight = checkedWeight(change.weight);
    if ("metadata" in change) this.#metadata = change.metadata;
    if (this.#isHealthy && !this.#isDrained) await this.#bounded(options, (signal) => this.#kept.want(signal));
  }

  /**
   * Takes the instance off the list while it goes on serving, so that nothing new comes while what has begun is
   * finished. Resolves once it is off the list everywhere that matters, the store, and `wait` has passed, which is for
   * clients to notice and for calls to end.
   *
   * @example
   * process.once("SIGTERM", async () => {
   *   await registration.drain({ wait: "2s" });
   *   server.close();
   * });
   */
  async drain(options: { readonly wait?: Duration; readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#isDrained = true;
    this.#isListed = false;
    this.#report(undefined);
    await this.#remove(options.signal, (signal) => this.#kept.unwant(signal));
    if (options.wait !== undefined) await sleep(toMs(options.wait, "wait"), options.signal);
  }

  /** Puts a drained instance back on the list. */
  async resume(options: WaitOptions = {}): Promise<void> {
    this.#isDrained = false;
    this.#report(undefined);
    if (this.#isHealthy) await this.#bounded(options, (signal) => this.#kept.want(signal));
  }

  /**
   * Takes the instance off the list for good, provided that what is stored is still this registration's. Closing twice
   * is fine.
   *
   * @throws {UnconfirmedError} The cluster did not answer in time; it is still being tried, and ends with the session.
   */
  async close(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#probe?.close();
    this.#finish("closed", undefined);
    await this.#remove(options.signal, (signal) => this.#kept.close(signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal Resolves once it is listed for the first time. */
  async start(options: WaitOptions): Promise<void> {
    this.#probe?.start();
    try {
      // With a check it is wanted as soon as that passes; here one only waits for it.
      await this.#bounded({ wait: waitDefault, ...options }, (signal) =>
        this.#isHealthy ? this.#kept.want(signal) : this.#kept.untilWritten(signal),
      );
    } catch (error) {
      await this.close().catch(() => undefined);
      throw error;
    }
  }

  async #bounded(options: WaitOptions, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const patience = new Patience(this.key, options);
    try {
      await whileWaiting(work(patience.signal));
    } finally {
      patience.dispose();
    }
  }

  async #remove(given: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const limit = timeLimit(settleMs);
    const patience = given === undefined ? limit.signal : AbortSignal.any([given, limit.signal]);
    try {
      await work(patience);
    } catch (cause) {
      if (!patience.aborted) throw cause;
      throw new UnconfirmedError(`${this.key}: could not make sure that it is off the list; still trying`, { cause });
    } finally {
      limit.dispose();
    }
  }

  #encode(epoch: number, version: number): string {
    const instance = { id: this.instanceId, epoch, version, weight: this.#weight };
    return encodeEndpoint({ address: this.address, metadata: this.#metadata, instance });
  }

  #authorOf(value: Uint8Array, epoch: number, version: number): Authorship {
    const instance = instanceOf(value);
    if (instance?.id !== this.instanceId) return "foreign";
    return instance.epoch === epoch && instance.version === version ? "this" : "earlier";
  }

  #onWritten(session: Session): void {
    if (this.#session !== session) {
      this.#session?.off("state", this.#onSession);
      this.#session = session;
      session.on("state", this.#onSession);
    }
    this.#isListed = true;
    this.#report(undefined);
  }

  #onVanished(): void {
    this.#isListed = false;
    this.#report(undefined);
  }

  #onHealth(isHealthy: boolean): void {
    this.#isHealthy = isHealthy;
    if (this.#end !== undefined || this.#isDrained) return;
    if (!isHealthy) this.#isListed = false;
    this.#report(undefined);
    // Whether it worked out shows in the state; the loop goes on trying in either case.
    (isHealthy ? this.#kept.want() : this.#kept.unwant()).catch(() => undefined);
  }

  #finish(end: "replaced" | "failed" | "closed", error: unknown): void {
    if (this.#end === "closed" || (this.#end !== undefined && end !== "closed")) return;
    this.#end = end;
    this.#isListed = false;
    this.#session?.off("state", this.#onSession);
    this.#report(error);
  }

  #report(error: unknown): void {
    const { state } = this;
    const previous = this.#reported;
    if (state === previous) return;
    this.#reported = state;
    if (registrationChannel.hasSubscribers) {
      const { service, key, epoch } = this;
      registrationChannel.publish({ service, key, state, epoch, error });
    }
    surface(() => this.emit("state", state, previous));
  }
}

function checkedWeight(weight = 1): number {
  if (!(weight >= 0 && Number.isFinite(weight))) {
    throw new RangeError(`weight: expected a number from 0 on, found ${weight}`);
  }
  return weight;
}
