// An election: one leader at a time in the whole cluster, with a value of its own that others can read and follow.
// Interoperates with etcdctl elect and with Go's and Java's clients, whose layout it uses.
import { type CallOptions, type Client, compare, op } from "../sdk/index.ts";
import { type Acquired, acquire, type Claim } from "./acquire.ts";
import { type Contender, checkedName, listContenders } from "./contenders.ts";
import { LeaderWatch } from "./leader-watch.ts";
import { runOwning } from "./mutex.ts";
import { Ownership, type ReleaseResult } from "./ownership.ts";
import { throwIfNoLease } from "./queue-entry.ts";
import { ownSource, type SessionChoice, type Sessions, sessionsOf } from "./session-source.ts";
import { mayPass, pauseMs, sleep, type WaitOptions } from "./waiting.ts";

export interface ElectionOptions {
  /** The session to campaign under. Default: the one that the recipes of the client share. */
  readonly session?: SessionChoice | undefined;
}

/** Who leads. */
export interface Leader {
  readonly key: string;
  readonly leaseId: bigint;
  /** Grows with every change of leader. With the key it is the leader's identity. */
  readonly epoch: bigint;
  /** What it proclaimed last. */
  readonly value: string;
}

/**
 * A leadership, from {@link Election.campaign}. What only the leader may write goes through `commit` or `guard`; what
 * takes time listens to `signal`.
 */
export class Leadership extends Ownership {
  #value: string;
  /** Revision of the last put of the key that is known. Each proclamation demands it, so that none can land late. */
  #modRevision: bigint;
  #proclaiming: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor({ entry, revision }: Acquired, value: string) {
    super("election", entry, revision);
    this.#value = value;
    this.#modRevision = this.token;
  }

  /** The number of this leadership: greater than those of all leaders before. The same as {@link token}. */
  get epoch(): bigint {
    return this.token;
  }

  /** What was proclaimed last. */
  get value(): string {
    return this.#value;
  }

  /**
   * True until the validity deadline has passed or the loss is known. A hint for deciding whether to begin with
   * something; by the time it is read it may have changed. What must not happen without it goes through {@link commit}.
   */
  isLeader(): boolean {
    return this.lost === undefined;
  }

  /**
   * Announces a new value. Proclamations of one leader take effect in the order of the calls; when an answer is lost it
   * finds out what became of its request before it returns.
   *
   * @throws {LeadershipLostError} Somebody else leads, or may.
   */
  proclaim(value: string, options: Pick<CallOptions, "signal"> = {}): Promise<void> {
    const proclaiming = this.#proclaiming.then(() => this.#proclaim(value, options.signal));
    this.#proclaiming = proclaiming.catch(() => undefined);
    return proclaiming;
  }

  /** Steps down. The next in the queue leads at once. The same as {@link release}. */
  resign(options: Pick<CallOptions, "signal"> = {}): Promise<ReleaseResult> {
    return this.release(options);
  }

  async #proclaim(value: string, signal: AbortSignal | undefined): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.throwIfLost();
      try {
        const result = await this.client
          .txn()
          .if(this.ifOwner(), compare(this.key).modRevision("==", this.#modRevision))
          .then(op.put(this.key, value, { leaseId: this.session.id }))
          .else(op.get(this.key, { codec: anyValue }))
          .commit({ signal });
        if (result.succeeded) {
          this.#modRevision = result.revision;
          this.#value = value;
          return;
        }
        const now = result.responses[0];
        if (now?.createRevision !== this.token) throw this.markLost("deleted");
        // Written since: by an earlier try whose answer was lost, or by a hand from outside. Ours goes on top.
        this.#modRevision = now.modRevision;
      } catch (error) {
        throwIfNoLease(this.session, error);
        if (signal?.aborted || !mayPass(error)) throw error;
        await sleep(pauseMs(attempt), this.signal);
      }
    }
  }
}

const anyValue = {
  name: "any",
  encode: (value: Uint8Array) => value,
  decode: (stored: Uint8Array): Uint8Array => stored,
};

export interface ElectionInspection {
  readonly revision: bigint;
  readonly leader: Leader | undefined;
  /** Those who would lead next, in order. */
  readonly candidates: readonly Leader[];
}

/**
 * An election by name.
 *
 * A leader that is cut off or paused stops believing in itself one margin before another can be elected, as far as its
 * clock runs; a request that it had sent by then may still arrive. Only what goes through {@link Leadership.commit} or
 * {@link Leadership.guard} is certain to come from the leader.
 *
 * @example
 * const election = new Election(client, "scheduler");
 * await election.lead("node-1", async (leadership) => {
 *   while (!leadership.signal.aborted) {
 *     await leadership.commit(client.txn().then(op.put("scheduler/last-run", new Date().toISOString())));
 *     await setTimeout(1000, undefined, { signal: leadership.signal });
 *   }
 * });
 *
 * @example Following the leader from anywhere
 * for await (const { leader } of new Election(client, "scheduler").observe()) console.log(leader?.value ?? "nobody");
 */
export class Election {
  readonly name: string;
  readonly #client: Client;
  readonly #sessions: Sessions;

  /** Nothing is sent before the first call. */
  constructor(client: Client, name: string, options: ElectionOptions = {}) {
    this.name = checkedName(name);
    this.#client = client;
    this.#sessions = sessionsOf(client, options.session);
  }

  /**
   * Stands for election with `value`, for others to read, and waits until it is won. Rejects as {@link Mutex.acquire}
   * does.
   */
  async campaign(value: string, options: WaitOptions = {}): Promise<Leadership> {
    const claim: Claim = { kind: "election", name: this.name, sessions: this.#sessions, value: () => value };
    return new Leadership(await acquire(claim, options), value);
  }

  /**
   * Campaigns, runs `body` while leading, steps down, and returns what `body` returned. When the leadership is lost, the
   * signal that `body` was given aborts, `body` is waited for, and the call rejects. It does not campaign again by
   * itself: whoever lost has to decide what its work was worth.
   */
  async lead<T>(
    value: string,
    body: (leadership: Leadership) => Promise<T> | T,
    options: WaitOptions = {},
  ): Promise<T> {
    return runOwning(await this.campaign(value, options), body);
  }

  /** Who leads now; `undefined` when nobody does. */
  async leader(options: Pick<CallOptions, "signal"> = {}): Promise<Leader | undefined> {
    return (await this.inspect(options)).leader;
  }

  /** Who leads and who would be next, without taking part. */
  async inspect(options: Pick<CallOptions, "signal"> = {}): Promise<ElectionInspection> {
    const { revision, contenders } = await listContenders(this.#client, this.name, options);
    const [leader, ...candidates] = contenders.map(toLeader);
    return { revision, leader, candidates };
  }

  /**
   * Follows the leader: first who leads now, then every change of leader or of what it proclaims, in the order of the
   * store and without gaps. It survives broken connections; when it was cut off for so long that the server has forgotten
   * what happened, leaders in between are skipped, but it never goes back.
   */
  observe(options: { readonly signal?: AbortSignal | undefined } = {}): LeaderWatch {
    return new LeaderWatch(this.#client, this.name, options.signal);
  }
}

export const toLeader = ({ key, leaseId, token, value }: Contender): Leader => ({ key, leaseId, epoch: token, value });

/** Elections by name, for programs that stand in many. Each call is that of {@link Election}, with the name first. */
export class Elections {
  readonly #client: Client;
  readonly #options: ElectionOptions & { readonly prefix?: string };

  constructor(client: Client, options: ElectionOptions & { readonly prefix?: string } = {}) {
    this.#client = client;
    this.#options = { ...options, session: ownSource(client, options.session) };
  }

  election(name: string): Election {
    return new Election(this.#client, (this.#options.prefix ?? "") + name, this.#options);
  }

  campaign(name: string, value: string, options: WaitOptions = {}): Promise<Leadership> {
    return this.election(name).campaign(value, options);
  }

  lead<T>(
    name: string,
    value: string,
    body: (leadership: Leadership) => Promise<T> | T,
    options: WaitOptions = {},
  ): Promise<T> {
    return this.election(name).lead(value, body, options);
  }

  observe(name: string, options: { readonly signal?: AbortSignal } = {}): LeaderWatch {
    return this.election(name).observe(options);
  }
}
