// A lock: one holder at a time in the whole cluster, in the order in which they asked. Interoperates with etcdctl and
// with Go's and Java's clients, whose layout it uses.
import type { Client } from "../sdk/index.ts";
import { acquire, type Claim, tryAcquire } from "./acquire.ts";
import { checkedName, describeHolder, type HolderInfo, listContenders, parseHolder } from "./contenders.ts";
import { Ownership } from "./ownership.ts";
import { type SessionChoice, type Sessions, sessionsOf } from "./session-source.ts";
import type { WaitOptions } from "./waiting.ts";

export interface MutexOptions {
  /** The session to hold it under. Default: the one that the recipes of the client share. */
  readonly session?: SessionChoice | undefined;
  /** What {@link Mutex.inspect} says about the holder beside host and process. */
  readonly label?: string | undefined;
}

/** A lock that is held, from {@link Mutex.acquire}. Hand `token` to whatever is written and `signal` to whatever takes time. */
export class HeldLock extends Ownership {}

/** Who is in the queue for a lock. */
export interface LockContender {
  readonly key: string;
  readonly leaseId: bigint;
  /** Place in the queue; of the holder: the fencing token. */
  readonly token: bigint;
  /** What it says about itself; `undefined` for other clients, which say nothing. */
  readonly info: HolderInfo | undefined;
}

export interface LockInspection {
  readonly revision: bigint;
  readonly holder: LockContender | undefined;
  /** Those who wait, in the order in which they will get it. */
  readonly waiters: readonly LockContender[];
}

/**
 * A lock by name.
 *
 * It is a lease with a queue: it keeps programs from doing something at the same time as long as they run and can talk
 * to the cluster, and it does not stop a program that was paused, or a request that is still on its way, when the lease
 * ends meanwhile. So write with it: to this store through {@link HeldLock.commit} or {@link HeldLock.guard}, elsewhere
 * with the `token`, to something that refuses smaller tokens than it has seen.
 *
 * @example
 * const mutex = new Mutex(client, "orders/42");
 * await using lock = await mutex.acquire({ wait: "5s" });
 * await lock.commit(client.txn().then(op.put("orders/42/state", "shipped")));
 *
 * @example A resource elsewhere, which must refuse tokens that are smaller than the greatest it has seen
 * await new Mutex(client, "report").runExclusive(async ({ token, signal }) => {
 *   await fetch("https://storage.example/report", { method: "PUT", headers: { fence: `${token}` }, signal });
 * });
 */
export class Mutex {
  readonly name: string;
  readonly #client: Client;
  readonly #sessions: Sessions;
  readonly #label: string | undefined;

  /** Nothing is sent before the first call. */
  constructor(client: Client, name: string, options: MutexOptions = {}) {
    this.name = checkedName(name);
    this.#client = client;
    this.#sessions = sessionsOf(client, options.session);
    this.#label = options.label;
  }

  /**
   * Waits until the lock is free and everybody who asked before has had it. Not re-entrant: a second call waits for the
   * first holder's release, in this process as anywhere else.
   *
   * @throws {WaitTimeoutError} after `wait`; `AbortError` after `signal`. The place in the queue is gone by then.
   * @throws {UnconfirmedError} as those two, but the server could not be asked whether the place is gone.
   * @throws {SessionLostError} The session ended while waiting.
   */
  async acquire(options: WaitOptions = {}): Promise<HeldLock> {
    const { entry, revision } = await acquire(this.#claim(), options);
    return new HeldLock("lock", entry, revision);
  }

  /** Takes the lock if it is free; `undefined` if somebody holds it or waits for it. */
  async tryAcquire(options: Pick<WaitOptions, "signal"> = {}): Promise<HeldLock | undefined> {
    const acquired = await tryAcquire(this.#claim(), options);
    return acquired === undefined ? undefined : new HeldLock("lock", acquired.entry, acquired.revision);
  }

  /**
   * Runs `body` while holding the lock and returns what it returns. When the lock is lost meanwhile, the signal that
   * `body` was given aborts, `body` is waited for, and the call rejects, whatever `body` made of it: what it did may have
   * overlapped with the next holder.
   *
   * @throws {LockLostError} The lock was lost before `body` ended.
   * @throws {AggregateError} `body` failed, and so did the release, or the lock was lost for another reason.
   */
  async runExclusive<T>(body: (lock: HeldLock) => Promise<T> | T, options: WaitOptions = {}): Promise<T> {
    return runOwning(await this.acquire(options), body);
  }

  /** Who holds the lock and who waits for it, without taking part. */
  async inspect(options: { readonly signal?: AbortSignal } = {}): Promise<LockInspection> {
    const { revision, contenders } = await listContenders(this.#client, this.name, options);
    const [holder, ...waiters] = contenders.map(({ value, ...rest }) => ({ ...rest, info: parseHolder(value) }));
    return { revision, holder, waiters };
  }

  #claim(): Claim {
    return { kind: "lock", name: this.name, sessions: this.#sessions, value: () => describeHolder(this.#label) };
  }
}

/** Runs `body` with something owned, releases it, and makes one outcome of both. */
export async function runOwning<O extends Ownership, T>(owned: O, body: (owned: O) => Promise<T> | T): Promise<T> {
  const failures: unknown[] = [];
  let value: T | undefined;
  try {
    value = await body(owned);
  } catch (error) {
    failures.push(error);
  }
  try {
    const result = await owned.release();
    if (!result.released) {
      if (isEcho(failures[0], result.lost)) failures.pop();
      failures.push(result.lost);
    }
  } catch (error) {
    failures.push(error);
  }
  if (failures.length > 1) throw new AggregateError(failures, `${owned.name}: ${failures.map(String).join("; and ")}`);
  if (failures.length === 1) throw failures[0];
  return value as T;
}

/** Whether an error only repeats that something was lost: thrown from the aborted signal, or by a call that it ended. */
function isEcho(error: unknown, lost: Error): boolean {
  for (let current = error; current instanceof Error; current = current.cause) {
    if (current === lost || current.name === "AbortError") return true;
  }
  return false;
}
