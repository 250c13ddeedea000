// The keys below one prefix, with everything that can be done to them. A client is one with an empty prefix.
import type { Codec } from "./codec.ts";
import { Collection } from "./collection.ts";
import type { ClientError } from "./errors.ts";
import { type Key, type KeyOrRange, type KeyRange, keyBytes, keyText, withPrefix } from "./keys.ts";
import { Kv } from "./kv.ts";
import { Txn } from "./txn.ts";
import { Watch, type WatchHost } from "./watch.ts";
import type { WatchOptions } from "./watch-options.ts";

export interface CollectionOptions<T> {
  readonly codec?: Codec<T, never>;
  readonly signal?: AbortSignal | undefined;
}

/** What a keyspace needs of its client. @internal */
export type KeyspaceHost = Omit<WatchHost, "context" | "onEnd"> & {
  readonly onWatch: (watch: Watch<unknown>) => void;
  readonly onWatchEnd: (watch: Watch<unknown>) => void;
};

/**
 * A part of the store: every key written or read through it lies below its prefix, and the prefix never shows.
 * Leases, members and users belong to the whole cluster and are found on the client.
 */
export class Keyspace {
  /** Reads and writes. */
  readonly kv: Kv;
  readonly #host: KeyspaceHost;
  readonly #prefix: Uint8Array;

  /** @internal */
  constructor(host: KeyspaceHost, prefix: Uint8Array) {
    this.#host = host;
    this.#prefix = Uint8Array.from(prefix);
    this.kv = new Kv(host.caller, { namespace: this.#prefix });
  }

  /** Prefix that is put before every key, as text. */
  get prefix(): string {
    return keyText(this.#prefix);
  }

  /** Starts a transaction. See {@link Txn}. */
  txn(): Txn {
    return new Txn(this.#host.caller, { namespace: this.#prefix });
  }

  /** Watches a key or a range from now on, from an older revision, or beginning with a snapshot. See {@link Watch}. */
  watch<T = string>(keys: KeyOrRange, options: WatchOptions<T> = {}): Watch<T> {
    const { caller, mux, logger, onWatch, onWatchEnd } = this.#host;
    const watch = new Watch<T>(
      { caller, mux, logger, context: { namespace: this.#prefix }, onEnd: onWatchEnd },
      keys,
      options,
    );
    onWatch(watch as Watch<unknown>);
    return watch;
  }

  /** A live, map-like view of a range. See {@link Collection}. */
  collection<T = string>(keys: KeyRange, options: CollectionOptions<T> = {}): Collection<T> {
    return new Collection(this.watch<T>(keys, { ...options, snapshot: true, ref: false }), this.#host.caller.hold);
  }

  /**
   * The part of this keyspace below `prefix`. Nothing is added between the two: end the prefix with a separator.
   *
   * @example
   * const orders = client.namespace("orders/");
   * await orders.kv.put("42", "paid"); // the key is orders/42
   */
  namespace(prefix: Key): Keyspace {
    return new Keyspace(this.#host, withPrefix(this.#prefix, keyBytes(prefix)));
  }
}

/** Ends every watch of `watches`: quietly, or with an error. */
export function endWatches(watches: Iterable<Watch<unknown>>, failure: ClientError | undefined): void {
  for (const watch of [...watches]) watch.endWith(failure);
}
