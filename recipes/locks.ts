// Locks by name, for programs that lock many things: orders, files, customers.
import type { Client } from "../sdk/index.ts";
import { type HeldLock, type LockInspection, Mutex, type MutexOptions } from "./mutex.ts";
import { ownSource } from "./session-source.ts";
import type { WaitOptions } from "./waiting.ts";

export interface LocksOptions extends MutexOptions {
  /** Put before every name. */
  readonly prefix?: string;
}

/**
 * The locks below a prefix. Each call is that of {@link Mutex}, with the name first.
 *
 * @example
 * const locks = new Locks(client, { prefix: "locks/" });
 * await using lock = await locks.acquire("orders/42", { wait: "5s" });
 * await lock.commit(client.txn().then(op.put("orders/42/state", "shipped")));
 */
export class Locks {
  readonly #client: Client;
  readonly #options: LocksOptions;

  constructor(client: Client, options: LocksOptions = {}) {
    this.#client = client;
    this.#options = { ...options, session: ownSource(client, options.session) };
  }

  /** One lock of them. */
  mutex(name: string, options: Pick<MutexOptions, "label"> = {}): Mutex {
    return new Mutex(this.#client, (this.#options.prefix ?? "") + name, { ...this.#options, ...options });
  }

  acquire(name: string, options: WaitOptions = {}): Promise<HeldLock> {
    return this.mutex(name).acquire(options);
  }

  tryAcquire(name: string, options: Pick<WaitOptions, "signal"> = {}): Promise<HeldLock | undefined> {
    return this.mutex(name).tryAcquire(options);
  }

  runExclusive<T>(name: string, body: (lock: HeldLock) => Promise<T> | T, options: WaitOptions = {}): Promise<T> {
    return this.mutex(name).runExclusive(body, options);
  }

  inspect(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<LockInspection> {
    return this.mutex(name).inspect(options);
  }
}
