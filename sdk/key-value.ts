// Stored keys as the SDK shows them, and how they are made from what the wire carries.
import type { ResponseHeader } from "../proto/gen/etcdserverpb/rpc.ts";
import type { KeyValue as WireKeyValue } from "../proto/gen/mvccpb/kv.ts";
import { type Codec, decodeValue, isPromiseLike } from "./codec.ts";
import { keyText } from "./keys.ts";

/** Who answered, and at which revision of the store. */
export interface Header {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** Revision of the store when the request was handled; for a write, the write's own. */
  readonly revision: bigint;
  readonly raftTerm: bigint;
}

/** What is known of one version of a key, apart from its value. */
export interface KeyInfo {
  /** The key as text, without the client's namespace. Bytes that are not UTF-8 show as U+FFFD: see `keyBytes`. */
  readonly key: string;
  /** The key exactly. */
  readonly keyBytes: Uint8Array;
  /** Revision of the put that created the key; it changes when the key is deleted and made anew. */
  readonly createRevision: bigint;
  /** Revision of the put that made this version. */
  readonly modRevision: bigint;
  /** Number of puts since the key was created, 1 for a new one. */
  readonly version: bigint;
  /** Lease that the key lives and dies with, `0n` for none. */
  readonly leaseId: bigint;
}

/** One version of one key. */
export interface KeyValue<T = string> extends KeyInfo {
  readonly value: T;
}

/** How answers are read: which codec, and how much of each key is the namespace. */
export interface ReadContext<T> {
  readonly codec: Codec<T, never>;
  readonly namespaceLength: number;
}

const emptyHeader: Header = { clusterId: 0n, memberId: 0n, revision: 0n, raftTerm: 0n };

export const toHeader = (header: ResponseHeader | undefined): Header => header ?? emptyHeader;

export function toKeyInfo(wire: WireKeyValue, namespaceLength: number): KeyInfo {
  const keyBytes = Uint8Array.from(wire.key.subarray(namespaceLength));
  return {
    key: keyText(keyBytes),
    keyBytes,
    createRevision: wire.createRevision,
    modRevision: wire.modRevision,
    version: wire.version,
    leaseId: wire.lease,
  };
}

/** Decodes one key. A promise only where the codec makes one. */
export function toKeyValue<T>(wire: WireKeyValue, context: ReadContext<T>): KeyValue<T> | Promise<KeyValue<T>> {
  const info = toKeyInfo(wire, context.namespaceLength);
  const value = decodeValue(context.codec, wire.value, info.key);
  return isPromiseLike(value) ? value.then((decoded) => ({ ...info, value: decoded })) : { ...info, value };
}

export function toKeyValues<T>(
  wires: readonly WireKeyValue[],
  context: ReadContext<T>,
): readonly KeyValue<T>[] | Promise<readonly KeyValue<T>[]> {
  const items = wires.map((wire) => toKeyValue(wire, context));
  return items.some(isPromiseLike) ? Promise.all(items) : (items as readonly KeyValue<T>[]);
}

/** `then` for a value that may be a promise; stays synchronous where it can. */
export function mapMaybe<A, B>(value: A | Promise<A>, map: (value: A) => B): B | Promise<B> {
  return isPromiseLike(value) ? (value as Promise<A>).then(map) : map(value);
}
