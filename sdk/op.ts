// Single operations on keys: what `kv` sends on its own and what a txn combines. Each knows its request and how to read
// its answer, with the types that follow from its arguments.
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type RequestOp,
  type ResponseOp,
} from "../proto/gen/etcdserverpb/rpc.ts";
import type { KeyValue as WireKeyValue } from "../proto/gen/mvccpb/kv.ts";
import { type Codec, encodeValue, string } from "./codec.ts";
import { ClientError, InvalidArgumentError } from "./errors.ts";
import { type Header, type KeyInfo, type KeyValue, mapMaybe, toKeyInfo, toKeyValue, toKeyValues } from "./key-value.ts";
import { copyOfKeys, type Key, type KeyOrRange, type KeyRange, keyBytes, keyText, toWireRange } from "./keys.ts";

/** How to read values. */
export interface WithCodec<T> {
  /** How stored bytes become values. Default: text. */
  readonly codec?: Codec<T, never>;
}

export interface GetOptions<T> extends WithCodec<T> {
  /** Read the key as it was at this revision. Default: now. */
  readonly revision?: bigint;
}

/** What to sort a listing by, and in which direction. */
export interface Sort {
  readonly by: "key" | "version" | "createRevision" | "modRevision" | "value";
  readonly order?: "ascending" | "descending";
}

export interface ListOptions<T> extends GetOptions<T> {
  /** At most this many keys. Default: all of them, in one answer; see `kv.scan` for many. */
  readonly limit?: number;
  readonly sort?: Sort;
  readonly modRevision?: { readonly min?: bigint; readonly max?: bigint };
  readonly createRevision?: { readonly min?: bigint; readonly max?: bigint };
}

export interface ListResult<T> {
  readonly header: Header;
  /** Revision that the listing shows. A watch from the one after it misses nothing. */
  readonly revision: bigint;
  readonly items: readonly KeyValue<T>[];
  /** Number of keys in the range, whatever the limit. */
  readonly count: number;
  /** True when the limit left keys out. */
  readonly more: boolean;
}

/** How a put behaves, apart from how its value is coded. */
export interface PutFlags {
  /** Lease that the key is attached to; without it the key is detached from any. */
  readonly leaseId?: bigint;
  /** Keep the lease that the key has; the key must exist. */
  readonly keepLease?: boolean;
  /** Return the version that was replaced. */
  readonly previous?: boolean;
}

/** A put of text takes no codec; a put of anything else needs one. */
export interface PutOptions<Out, In> extends PutFlags {
  /** How the value becomes bytes, and how the previous one is read. */
  readonly codec: Codec<Out, In>;
}

export interface PutResult<T> {
  readonly header: Header;
  /** Revision that the put made. */
  readonly revision: bigint;
  /** The version that was replaced: only when asked for, and when there was one. */
  readonly previous: KeyValue<T> | undefined;
}

export interface DeleteOptions<T> extends WithCodec<T> {
  /** Return the versions that were deleted. */
  readonly previous?: boolean;
}

export interface DeleteResult<T> {
  readonly header: Header;
  readonly revision: bigint;
  /** Number of keys deleted. */
  readonly deleted: number;
  /** What was deleted: only when asked for. */
  readonly previous: readonly KeyValue<T>[];
}

/** What an operation needs to know of the client it runs on. */
export interface OpContext {
  readonly namespace: Uint8Array;
}

/**
 * One operation, made by the functions of `op` and run by a txn. `Result` is what it yields there.
 * It holds no connection and may be used any number of times.
 */
export class Op<Result> {
  /** True when it changes nothing, so that repeating it does no harm. */
  readonly isReadOnly: boolean;
  /** @internal */
  readonly toWire: (context: OpContext) => RequestOp;
  /** @internal */
  readonly fromWire: (response: ResponseOp, header: Header, context: OpContext) => Result | Promise<Result>;

  /** @internal */
  constructor(
    isReadOnly: boolean,
    toWire: (context: OpContext) => RequestOp,
    fromWire: (response: ResponseOp, header: Header, context: OpContext) => Result | Promise<Result>,
  ) {
    this.isReadOnly = isReadOnly;
    this.toWire = toWire;
    this.fromWire = fromWire;
  }
}

const noValue = new Uint8Array(0);

type Case = NonNullable<ResponseOp["response"]>["$case"];
type ValueOf<C extends Case> = Extract<NonNullable<ResponseOp["response"]>, { $case: C }>["value"];

/** The answer of the expected kind; the server pairs answers with requests by position. */
export function answerOf<C extends Case>(response: ResponseOp, expected: C): ValueOf<C> {
  const answer = response.response;
  if (answer?.$case !== expected) {
    throw new ClientError("INTERNAL", `expected an answer of kind ${expected}, found ${answer?.$case ?? "none"}`);
  }
  return answer.value as ValueOf<C>;
}

export const readContext = <T>(codec: Codec<T, never> | undefined, context: OpContext) => ({
  codec: (codec ?? string) as Codec<T, never>,
  namespaceLength: context.namespace.length,
});

const sortTargets = {
  key: RangeRequest_SortTarget.KEY,
  version: RangeRequest_SortTarget.VERSION,
  createRevision: RangeRequest_SortTarget.CREATE,
  modRevision: RangeRequest_SortTarget.MOD,
  value: RangeRequest_SortTarget.VALUE,
} as const;

export interface RangeFlags {
  readonly serializable?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
}

/** The request for a read. */
export function rangeRequest(
  keys: KeyOrRange,
  options: ListOptions<unknown>,
  flags: RangeFlags,
  context: OpContext,
): RangeRequest {
  const { sort, limit = 0 } = options;
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw new InvalidArgumentError(`limit: expected a whole number of keys, found ${limit}`);
  }
  const order = sort?.order === "descending" ? RangeRequest_SortOrder.DESCEND : RangeRequest_SortOrder.ASCEND;
  return {
    ...toWireRange(keys, context.namespace),
    limit: BigInt(limit),
    revision: options.revision ?? 0n,
    sortOrder: sort === undefined ? RangeRequest_SortOrder.NONE : order,
    sortTarget: sortTargets[sort?.by ?? "key"],
    serializable: flags.serializable ?? false,
    keysOnly: flags.keysOnly ?? false,
    countOnly: flags.countOnly ?? false,
    minModRevision: options.modRevision?.min ?? 0n,
    maxModRevision: options.modRevision?.max ?? 0n,
    minCreateRevision: options.createRevision?.min ?? 0n,
    maxCreateRevision: options.createRevision?.max ?? 0n,
  };
}

/** The request for a put; `value: undefined` keeps the stored one. */
export function putRequest(key: Key, value: Uint8Array | undefined, options: PutFlags, context: OpContext): PutRequest {
  return {
    key: toWireRange(key, context.namespace).key,
    value: value ?? noValue,
    lease: options.leaseId ?? 0n,
    prevKv: options.previous ?? false,
    ignoreValue: value === undefined,
    ignoreLease: options.keepLease ?? false,
  };
}

export function deleteRequest(
  keys: KeyOrRange,
  options: DeleteOptions<unknown>,
  context: OpContext,
): DeleteRangeRequest {
  return { ...toWireRange(keys, context.namespace), prevKv: options.previous ?? false };
}

function putOp(key: Key, value: string, options?: PutFlags): Op<PutResult<string>>;
function putOp<Out, In>(key: Key, value: NoInfer<In>, options: PutOptions<Out, In>): Op<PutResult<Out>>;
function putOp<Out, In>(key: Key, value: In, options: Partial<PutOptions<Out, In>> = {}): Op<PutResult<Out>> {
  const codec = options.codec ?? (string as Codec<unknown> as Codec<Out, In>);
  const own = copyOfKeys(key);
  // Encoded now, so that a wrong value fails where it was given, and a later change of it does not count.
  const encoded = encodeValue(codec, value, keyText(keyBytes(key)));
  return new Op(
    false,
    (context) => ({ request: { $case: "requestPut", value: putRequest(own, encoded, options, context) } }),
    (response, header, context) => toPutResult(answerOf(response, "responsePut").prevKv, codec, header, context),
  );
}

/** Builds operations for a txn. The same names and options as on `kv`. */
export const op = {
  /** Reads one key; yields `undefined` when there is none. */
  get<T = string>(key: Key, options: GetOptions<T> = {}): Op<KeyValue<T> | undefined> {
    const own = copyOfKeys(key);
    return new Op(
      true,
      (context) => ({ request: { $case: "requestRange", value: rangeRequest(own, options, {}, context) } }),
      (response, _header, context) => {
        const first = answerOf(response, "responseRange").kvs[0];
        return first === undefined ? undefined : toKeyValue(first, readContext(options.codec, context));
      },
    );
  },

  /** Reads a range of keys. */
  list<T = string>(keys: KeyOrRange, options: ListOptions<T> = {}): Op<ListResult<T>> {
    const own = copyOfKeys(keys);
    return new Op(
      true,
      (context) => ({ request: { $case: "requestRange", value: rangeRequest(own, options, {}, context) } }),
      (response, header, context) => {
        const { kvs, count, more } = answerOf(response, "responseRange");
        const items = toKeyValues(kvs, readContext(options.codec, context));
        const revision = options.revision ?? header.revision;
        return mapMaybe(items, (list) => ({ header, revision, items: list, count: Number(count), more }));
      },
    );
  },

  /** Reads which keys a range has, without their values. */
  keys(keys: KeyOrRange, options: Omit<ListOptions<never>, "codec"> = {}): Op<readonly KeyInfo[]> {
    const own = copyOfKeys(keys);
    return new Op(
      true,
      (context) => ({
        request: { $case: "requestRange", value: rangeRequest(own, options, { keysOnly: true }, context) },
      }),
      (response, _header, context) =>
        answerOf(response, "responseRange").kvs.map((kv) => toKeyInfo(kv, context.namespace.length)),
    );
  },

  /** Counts the keys of a range. */
  count(keys: KeyRange): Op<number> {
    const own = copyOfKeys(keys);
    return new Op(
      true,
      (context) => ({
        request: { $case: "requestRange", value: rangeRequest(own, {}, { countOnly: true }, context) },
      }),
      (response) => Number(answerOf(response, "responseRange").count),
    );
  },

  /** Writes one key. */
  put: putOp,

  /** Deletes one key or a range of them. */
  delete<T = string>(keys: KeyOrRange, options: DeleteOptions<T> = {}): Op<DeleteResult<T>> {
    const own = copyOfKeys(keys);
    return new Op(
      false,
      (context) => ({ request: { $case: "requestDeleteRange", value: deleteRequest(own, options, context) } }),
      (response, header, context) => {
        const { deleted, prevKvs } = answerOf(response, "responseDeleteRange");
        const previous = toKeyValues(prevKvs, readContext(options.codec, context));
        return mapMaybe(previous, (list) => ({
          header,
          revision: header.revision,
          deleted: Number(deleted),
          previous: list,
        }));
      },
    );
  },
} as const;

/** A put's answer. The codec that wrote the value also reads the previous one. */
export function toPutResult<Out>(
  previous: WireKeyValue | undefined,
  codec: Codec<Out, never>,
  header: Header,
  context: OpContext,
): PutResult<Out> | Promise<PutResult<Out>> {
  const base = { header, revision: header.revision };
  if (previous === undefined) return { ...base, previous: undefined };
  return mapMaybe(toKeyValue(previous, readContext(codec, context)), (kv) => ({ ...base, previous: kv }));
}
