// Keys and ranges of keys, and their form on the wire. Order is byte order; text keys are UTF-8.
import { InvalidArgumentError } from "./errors.ts";
import { isWellFormed } from "./text.ts";

/** A key: text (stored as UTF-8) or the bytes themselves. Never empty. */
export type Key = string | Uint8Array;

/**
 * Which keys a call means:
 * - `{ prefix }`: every key that starts with it; an empty prefix means all keys;
 * - `{ from, to }`: every key from `from` on, up to and without `to`; without `to`, to the end;
 * - `{ all: true }`: every key.
 */
export type KeyRange = { readonly prefix: Key } | { readonly from: Key; readonly to?: Key } | { readonly all: true };

/** One key, or a range of them. */
export type KeyOrRange = Key | KeyRange;

/** A key or range as etcd's requests carry it. An empty `rangeEnd` means the single key; one zero byte, no upper end. */
export interface WireRange {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

const none = new Uint8Array(0);
const zero = new Uint8Array(1);
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bytes of a key. Text must be well-formed: otherwise two different texts would become one key. */
export function keyBytes(key: Key): Uint8Array {
  if (typeof key !== "string") return key;
  if (!isWellFormed(key)) throw new InvalidArgumentError("a key with a lone surrogate has no UTF-8 form");
  return encoder.encode(key);
}

/** A key for people: as text, with U+FFFD where it is not UTF-8. */
export const keyText = (key: Uint8Array): string => decoder.decode(key);

/** A key for maps: one character per byte, exact for every key. */
export const keyIdentity = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");

/** The first key after every key that starts with `prefix`; one zero byte (no upper end) when there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let index = prefix.length - 1; index >= 0; index--) {
    const byte = prefix[index]!;
    if (byte < 0xff) {
      const end = Uint8Array.from(prefix.subarray(0, index + 1)); // A Buffer's slice would be the prefix itself.
      end[index] = byte + 1;
      return end;
    }
  }
  return zero;
}

/** The same keys in memory of their own: what a caller does to its buffers later must not reach what is kept here. */
export function copyOfKeys<Keys extends KeyOrRange>(keys: Keys): Keys;
export function copyOfKeys(keys: KeyOrRange): KeyOrRange {
  const copy = (key: Key): Key => (typeof key === "string" ? key : Uint8Array.from(key));
  if (!isRange(keys)) return copy(keys);
  if ("prefix" in keys) return { prefix: copy(keys.prefix) };
  if ("all" in keys) return { all: true };
  return { from: copy(keys.from), ...(keys.to === undefined ? {} : { to: copy(keys.to) }) };
}

export function isRange(keys: KeyOrRange): keys is KeyRange {
  return typeof keys === "object" && !(keys instanceof Uint8Array);
}

/** Puts a namespace in front of a key; an empty one changes nothing. */
export function withPrefix(namespace: Uint8Array, key: Uint8Array): Uint8Array {
  if (namespace.length === 0) return key;
  const joined = new Uint8Array(namespace.length + key.length);
  joined.set(namespace);
  joined.set(key, namespace.length);
  return joined;
}

/** The wire form of `keys` inside `namespace`. A range that is open above ends where the namespace ends. */
export function toWireRange(keys: KeyOrRange, namespace: Uint8Array): WireRange {
  if (!isRange(keys)) {
    const key = keyBytes(keys);
    if (key.length === 0) throw new InvalidArgumentError("key: expected at least one byte, found none");
    return { key: withPrefix(namespace, key), rangeEnd: none };
  }
  if ("prefix" in keys) {
    const prefix = withPrefix(namespace, keyBytes(keys.prefix));
    return prefix.length === 0 ? { key: zero, rangeEnd: zero } : { key: prefix, rangeEnd: prefixEnd(prefix) };
  }
  if ("all" in keys) return toWireRange({ prefix: "" }, namespace);
  const from = withPrefix(namespace, keyBytes(keys.from));
  const rangeEnd = keys.to === undefined ? openEnd(namespace) : withPrefix(namespace, keyBytes(keys.to));
  // On the wire an empty end means "this key only", the opposite of what an empty upper bound says.
  if (rangeEnd.length === 0) throw new InvalidArgumentError("range: `to` is empty, so nothing can be in it");
  return { key: from.length === 0 ? zero : from, rangeEnd };
}

const openEnd = (namespace: Uint8Array): Uint8Array => (namespace.length === 0 ? zero : prefixEnd(namespace));

/** The smallest key after `key`: where the next page of a listing starts. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
