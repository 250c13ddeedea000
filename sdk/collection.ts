// A live view of a range: what is there now, kept up to date by a watch, readable like a map without waiting.
import { EventEmitter } from "node:events";
import type { ClientError, CodecError } from "./errors.ts";
import type { Hold } from "./hold.ts";
import type { KeyValue } from "./key-value.ts";
import { closedError } from "./server-errors.ts";
import type { Watch } from "./watch.ts";
import type { WatchBatch } from "./watch-event.ts";

/** One key that a change touched, with its versions before and after; `undefined` for none. */
export interface CollectionDifference<T> {
  readonly key: string;
  readonly before: KeyValue<T> | undefined;
  readonly after: KeyValue<T> | undefined;
}

/** What one batch changed, applied as a whole before anybody is told. */
export interface CollectionChange<T> {
  readonly kind: "snapshot" | "delta" | "resync";
  readonly revision: bigint;
  readonly differences: readonly CollectionDifference<T>[];
}

export interface CollectionEvents<T> {
  /** The view has changed. */
  change: [change: CollectionChange<T>];
  /** A value came that the codec does not accept; the last good one stays. */
  invalid: [key: string, error: CodecError];
  /** The view is not kept up to date any more: closed (`undefined`) or failed. */
  end: [error: ClientError | undefined];
}

/**
 * A read-only map of a range that follows the store. Reads never wait; `ready` says when the first state is there.
 * When the connection is lost the view keeps what it has, and {@link staleForMs} says since when.
 *
 * @example
 * await using users = client.collection({ prefix: "users/" }, { codec: json(userSchema) });
 * await users.ready;
 * users.on("change", ({ differences }) => console.log(differences.length, "users changed"));
 * console.log(users.get("users/7")?.value.name);
 */
export class Collection<T = string> extends EventEmitter<CollectionEvents<T>> implements AsyncDisposable {
  readonly #ready: Promise<void>;
  readonly #hold: Hold;
  readonly #watch: Watch<T>;
  readonly #items = new Map<string, KeyValue<T>>();
  readonly #invalid = new Map<string, CodecError>();
  #revision = 0n;
  #failure: ClientError | undefined;

  /** @internal Takes a watch that starts with a snapshot. */
  constructor(watch: Watch<T>, hold: Hold) {
    super();
    this.#watch = watch;
    this.#hold = hold;
    this.#ready = new Promise((resolve, reject) => {
      void this.#follow(resolve).then(() => reject(this.#failure ?? closedError("the collection")));
    });
    this.#ready.catch(() => undefined);
  }

  /**
   * Resolves when the view shows a first whole state. Rejects when it ends before. Whoever asks for it is taken to wait
   * for it, which keeps the process alive; following the range does not.
   */
  get ready(): Promise<void> {
    return this.#hold.during(this.#ready);
  }

  /** Revision that the view shows. */
  get revision(): bigint {
    return this.#revision;
  }

  get size(): number {
    return this.#items.size;
  }

  /** Why the view ended, if it failed. */
  get failure(): ClientError | undefined {
    return this.#failure;
  }

  /** Keys whose newest value the codec refused, with the reason; their last good value, if any, is still shown. */
  get invalid(): ReadonlyMap<string, CodecError> {
    return this.#invalid;
  }

  get(key: string): KeyValue<T> | undefined {
    return this.#items.get(key);
  }

  has(key: string): boolean {
    return this.#items.has(key);
  }

  keys(): IterableIterator<string> {
    return this.#items.keys();
  }

  values(): IterableIterator<KeyValue<T>> {
    return this.#items.values();
  }

  entries(): IterableIterator<[string, KeyValue<T>]> {
    return this.#items.entries();
  }

  [Symbol.iterator](): IterableIterator<[string, KeyValue<T>]> {
    return this.#items.entries();
  }

  /** Milliseconds since the view was last known to be up to date; 0 while it is. */
  staleForMs(): number {
    return this.#watch.staleForMs();
  }

  /** Stops following. The view keeps what it has. */
  async close(): Promise<void> {
    await this.#watch.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #follow(onReady: () => void): Promise<void> {
    try {
      for await (const batch of this.#watch) {
        this.#apply(batch);
        onReady();
      }
    } catch (error) {
      this.#failure = error as ClientError;
    }
    this.emit("end", this.#failure);
  }

  #apply(batch: WatchBatch<T>): void {
    const before = new Map<string, KeyValue<T> | undefined>();
    const change = (key: string, item: KeyValue<T> | undefined): void => {
      if (!before.has(key)) before.set(key, this.#items.get(key));
      if (item === undefined) this.#items.delete(key);
      else this.#items.set(key, item);
    };
    if (batch.isWhole) {
      const kept = new Set(batch.events.map((event) => event.key));
      for (const key of [...this.#items.keys()]) if (!kept.has(key)) change(key, undefined);
    }
    const refused: [string, CodecError][] = [];
    for (const event of batch.events) {
      this.#invalid.delete(event.key);
      if (event.type === "put") change(event.key, event.kv);
      else if (event.type === "delete") change(event.key, undefined);
      else {
        this.#invalid.set(event.key, event.error);
        refused.push([event.key, event.error]);
      }
    }
    this.#revision = batch.revision;
    for (const [key, error] of refused) this.emit("invalid", key, error);
    if (batch.kind === "progress" || (before.size === 0 && batch.kind === "delta")) return;
    const differences = [...before].map(([key, item]) => ({ key, before: item, after: this.#items.get(key) }));
    this.emit("change", { kind: batch.kind, revision: batch.revision, differences });
  }
}
