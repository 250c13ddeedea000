// Reading and writing keys.

import { monotonicMs, sleep } from "./abort.ts";
import type { Caller } from "./caller.ts";
import { deadlineMs } from "./caller.ts";
import { type Codec, encodeValue, string } from "./codec.ts";
import { compare } from "./compare.ts";
import { CompactedError, ContentionError, DeadlineError, InvalidArgumentError } from "./errors.ts";
import { type Header, type KeyInfo, type KeyValue, toHeader, toKeyInfo, toKeyValue, toKeyValues } from "./key-value.ts";
import { copyOfKeys, type Key, type KeyOrRange, type KeyRange, keyBytes, keyText } from "./keys.ts";
import { kvMethods } from "./methods.ts";
import {
  type DeleteOptions,
  type DeleteResult,
  deleteRequest,
  type GetOptions,
  type ListOptions,
  type ListResult,
  type OpContext,
  op,
  type PutFlags,
  type PutOptions,
  type PutResult,
  putRequest,
  type RangeFlags,
  rangeRequest,
  readContext,
  toPutResult,
  type WithCodec,
} from "./op.ts";
import type { CallOptions } from "./options.ts";
import { backoffMs } from "./retry.ts";
import { pagesOf } from "./scan.ts";
import { abortError } from "./server-errors.ts";
import { Txn } from "./txn.ts";

/** How fresh a read must be. */
export interface Freshness {
  /**
   * `true`: any member may answer from what it has, without asking the others. Faster, and the answer may be old, but
   * never older than what this client has already seen: such an answer is refused and the read asked again properly.
   * Default `false`: the newest state.
   */
  readonly serializable?: boolean;
}

export type ReadOptions<T> = GetOptions<T> & Freshness & CallOptions;
export type RangeOptions<T> = ListOptions<T> & Freshness & CallOptions;

export type CreateResult<T> =
  | { readonly created: true; readonly header: Header; readonly revision: bigint }
  | { readonly created: false; readonly header: Header; readonly revision: bigint; readonly existing: KeyValue<T> };

export interface UpdateOptions extends CallOptions {
  /** Times it tries before it fails with `ContentionError`. Default 16. */
  readonly attempts?: number;
  /** Lease for the key. Default: the one it has. */
  readonly leaseId?: bigint;
}

export interface UpdateResult<In> {
  /** False when the function chose to leave the key as it is. */
  readonly updated: boolean;
  /** Revision that the update made; without one, the revision that was read. */
  readonly revision: bigint;
  /** What was written. */
  readonly value: In | undefined;
  /** Times the function was called. */
  readonly attempts: number;
}

export interface ScanOptions<T> extends WithCodec<T>, CallOptions {
  /** Read the keys as they were at this revision. Default: now, pinned by the first page. */
  readonly revision?: bigint;
}

const updateBackoff = { firstMs: 5, maxMs: 500 };
const updateAttempts = 16;

/**
 * The keys of a client, or of one of its namespaces. Reads are linearizable unless they say otherwise.
 *
 * @example
 * await client.kv.put("greeting", "hello");
 * const greeting = await client.kv.get("greeting");
 * console.log(greeting?.value, greeting?.modRevision);
 *
 * const port = json(z.number());
 * await client.kv.put("port", 8080, { codec: port });
 */
export class Kv {
  readonly #caller: Caller;
  readonly #context: OpContext;

  /** @internal */
  constructor(caller: Caller, context: OpContext) {
    this.#caller = caller;
    this.#context = context;
  }

  /** Reads one key; `undefined` when there is none. */
  async get<T = string>(key: Key, options: ReadOptions<T> = {}): Promise<KeyValue<T> | undefined> {
    const response = await this.#range(key, options, {});
    const first = response.kvs[0];
    return first === undefined ? undefined : toKeyValue(first, readContext(options.codec, this.#context));
  }

  /** Reads a range of keys in one answer. For ranges that may be large use {@link scan}. */
  async list<T = string>(keys: KeyOrRange, options: RangeOptions<T> = {}): Promise<ListResult<T>> {
    const { header, kvs, count, more } = await this.#range(keys, options, {});
    const answer = toHeader(header);
    const items = await toKeyValues(kvs, readContext(options.codec, this.#context));
    const revision = options.revision ?? answer.revision;
    return { header: answer, revision, items, count: Number(count), more };
  }

  /** Reads which keys a range has, without their values. */
  async keys(keys: KeyOrRange, options: Omit<RangeOptions<never>, "codec"> = {}): Promise<readonly KeyInfo[]> {
    const { kvs } = await this.#range(keys, options, { keysOnly: true });
    return kvs.map((kv) => toKeyInfo(kv, this.#context.namespace.length));
  }

  /** Counts the keys of a range. */
  async count(keys: KeyOrRange, options: Omit<ReadOptions<never>, "codec"> = {}): Promise<number> {
    const { count } = await this.#range(keys, options, { countOnly: true });
    return Number(count);
  }

  /**
   * Reads a range of any size, key by key, in key order. It is read in pages, all at one revision, so what comes out is
   * the state of one moment however long it takes. Fails with `CompactedError` if that revision is compacted meanwhile.
   *
   * @example
   * for await (const { key, value } of client.kv.scan({ prefix: "users/" })) console.log(key, value);
   */
  async *scan<T = string>(keys: KeyRange, options: ScanOptions<T> = {}): AsyncGenerator<KeyValue<T>, void, undefined> {
    const context = readContext(options.codec, this.#context);
    for await (const page of pagesOf(this.#caller, keys, this.#context, options)) {
      yield* await toKeyValues(page.kvs, context);
    }
  }

  /** Writes one key. Without `leaseId` the key is detached from any lease that it had. */
  put(key: Key, value: string, options?: PutFlags & CallOptions): Promise<PutResult<string>>;
  put<Out, In>(key: Key, value: NoInfer<In>, options: PutOptions<Out, In> & CallOptions): Promise<PutResult<Out>>;
  async put<Out, In>(
    key: Key,
    value: In,
    options: Partial<PutOptions<Out, In>> & CallOptions = {},
  ): Promise<PutResult<Out>> {
    const codec = options.codec ?? (string as Codec<unknown> as Codec<Out, In>);
    const encoded = encodeValue(codec, value, keyText(keyBytes(key)));
    return this.#put(putRequest(key, encoded, options, this.#context), codec, options);
  }

  /** Writes a key's lease and nothing else: attaches the key to `leaseId`, or detaches it (`0n`). The key must exist. */
  async setLease(key: Key, leaseId: bigint, options: CallOptions = {}): Promise<PutResult<string>> {
    return this.#put(putRequest(key, undefined, { leaseId }, this.#context), string, options);
  }

  async #put<Out>(
    request: ReturnType<typeof putRequest>,
    codec: Codec<Out, never>,
    options: CallOptions,
  ): Promise<PutResult<Out>> {
    const response = await this.#caller.unary(kvMethods.put, request, options, { isLinearizable: true });
    return toPutResult(response.prevKv, codec, toHeader(response.header), this.#context);
  }

  /** Deletes one key or a range of them, in one revision. */
  async delete<T = string>(keys: KeyOrRange, options: DeleteOptions<T> & CallOptions = {}): Promise<DeleteResult<T>> {
    const request = deleteRequest(keys, options, this.#context);
    const response = await this.#caller.unary(kvMethods.deleteRange, request, options, { isLinearizable: true });
    const header = toHeader(response.header);
    const previous = await toKeyValues(response.prevKvs, readContext(options.codec, this.#context));
    return { header, revision: header.revision, deleted: Number(response.deleted), previous };
  }

  /**
   * Writes a key only if it does not exist. That it does exist is an answer, not an error.
   *
   * @example
   * const result = await client.kv.create("owner", "me");
   * if (!result.created) console.log("taken by", result.existing.value);
   */
  create(key: Key, value: string, options?: { readonly leaseId?: bigint } & CallOptions): Promise<CreateResult<string>>;
  create<Out, In>(
    key: Key,
    value: NoInfer<In>,
    options: { readonly leaseId?: bigint; readonly codec: Codec<Out, In> } & CallOptions,
  ): Promise<CreateResult<Out>>;
  async create<Out, In>(
    key: Key,
    value: In,
    options: { readonly leaseId?: bigint; readonly codec?: Codec<Out, In> } & CallOptions = {},
  ): Promise<CreateResult<Out>> {
    const codec = options.codec ?? (string as Codec<unknown> as Codec<Out, In>);
    const result = await new Txn(this.#caller, this.#context)
      .if(compare(key).missing())
      .then(op.put(key, value, { ...options, codec }))
      .else(op.get(key, { codec }))
      .commit(options);
    const { header, revision } = result;
    if (result.succeeded) return { created: true, header, revision };
    // The condition failed, so in the same revision the key was there.
    return { created: false, header, revision, existing: result.responses[0]! };
  }

  /**
   * Changes a key by compare-and-set: reads it, calls `change` with what is there (`undefined` for nothing), writes what
   * it returns only if the key has not changed since, and starts over if it has, with growing pauses. `change` may be
   * called several times; it returns `undefined` to leave the key alone.
   *
   * Fails with `ContentionError` after `attempts` tries. When the answer to a write is lost it fails with
   * `IndeterminateError` and does not try again: the change may have happened.
   *
   * @example
   * await client.kv.update("visits", (current) => String(Number(current?.value ?? 0) + 1));
   */
  update(
    key: Key,
    change: (current: KeyValue<string> | undefined) => string | undefined | Promise<string | undefined>,
    options?: UpdateOptions,
  ): Promise<UpdateResult<string>>;
  update<Out, In>(
    key: Key,
    change: (current: KeyValue<Out> | undefined) => NoInfer<In> | undefined | Promise<NoInfer<In> | undefined>,
    options: UpdateOptions & { readonly codec: Codec<Out, In> },
  ): Promise<UpdateResult<In>>;
  async update<Out, In>(
    key: Key,
    change: (current: KeyValue<Out> | undefined) => In | undefined | Promise<In | undefined>,
    options: UpdateOptions & { readonly codec?: Codec<Out, In> } = {},
  ): Promise<UpdateResult<In>> {
    const own = copyOfKeys(key);
    const codec = options.codec ?? (string as Codec<unknown> as Codec<Out, In>);
    const { signal, attempts: attemptsMax = updateAttempts, leaseId } = options;
    if (!(attemptsMax >= 1)) throw new InvalidArgumentError(`attempts: expected at least 1, found ${attemptsMax}`);
    const endMs = monotonicMs() + deadlineMs(options.deadline, Number.POSITIVE_INFINITY);
    const callOptions = (): CallOptions => {
      const leftMs = endMs - monotonicMs();
      if (leftMs <= 0) throw new DeadlineError("the deadline passed between two tries of an update");
      return { signal, deadline: Number.isFinite(leftMs) ? leftMs : undefined };
    };
    for (let attempts = 1; ; attempts++) {
      const current = await this.get(own, { codec, ...callOptions() });
      const value = await change(current);
      if (value === undefined) return { updated: false, revision: this.#caller.guards.revision, value, attempts };
      const keepLease = leaseId === undefined && current !== undefined;
      const flags: PutFlags = leaseId === undefined ? { keepLease } : { leaseId };
      const result = await new Txn(this.#caller, this.#context)
        .if(compare(own).modRevision("==", current?.modRevision ?? 0n))
        .then(op.put(own, value, { ...flags, codec }))
        .commit(callOptions());
      if (result.succeeded) return { updated: true, revision: result.revision, value, attempts };
      if (attempts >= attemptsMax) {
        throw new ContentionError(`${attempts} tries to update a key were all beaten by other writers`, attempts);
      }
      await sleep(Math.min(backoffMs(updateBackoff, attempts), endMs - monotonicMs()), signal);
      if (signal?.aborted) throw abortError(signal, "notApplied");
    }
  }

  /**
   * The versions of a key, newest first, as far back as they are retained: until the put that created it, or until
   * versions older than the compaction.
   */
  async *history<T = string>(
    key: Key,
    options: WithCodec<T> & CallOptions = {},
  ): AsyncGenerator<KeyValue<T>, void, undefined> {
    let current = await this.get(key, options);
    while (current !== undefined) {
      yield current;
      if (current.version === 1n) return;
      current = await this.#versionBefore(key, current.modRevision, options);
    }
  }

  async #versionBefore<T>(
    key: Key,
    revision: bigint,
    options: WithCodec<T> & CallOptions,
  ): Promise<KeyValue<T> | undefined> {
    try {
      return await this.get(key, { ...options, revision: revision - 1n });
    } catch (error) {
      if (error instanceof CompactedError) return undefined;
      throw error;
    }
  }

  /**
   * Forgets the versions that were superseded at or before `revision`. `physical` waits until they are gone from disk.
   */
  async compact(
    revision: bigint,
    options: { readonly physical?: boolean } & CallOptions = {},
  ): Promise<{ readonly header: Header }> {
    const request = { revision, physical: options.physical ?? false };
    const response = await this.#caller.unary(kvMethods.compact, request, options);
    return { header: toHeader(response.header) };
  }

  async #range(keys: KeyOrRange, options: RangeOptions<unknown>, flags: RangeFlags) {
    const { serializable = false } = options;
    const request = rangeRequest(keys, options, { ...flags, serializable }, this.#context);
    const revisionMin = this.#caller.guards.revision;
    if (!serializable) return this.#caller.unary(kvMethods.range, request, options, { isLinearizable: true });
    const response = await this.#caller.unary(kvMethods.range, request, options);
    if ((response.header?.revision ?? 0n) >= revisionMin) return response;
    // That member lags behind what this client has seen: going back in time would surprise, asking properly does not.
    const fresh = { ...request, serializable: false };
    return this.#caller.unary(kvMethods.range, fresh, options, { isLinearizable: true });
  }
}
