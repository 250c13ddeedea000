// The keys of a lock or an election, the way etcd's clients lay them out: `<name>/<lease id in hex>`, one per contender,
// and whoever's key was created first owns the name. This file knows the layout and nothing of how to wait.
import { hostname } from "node:os";
import { type Client, type Codec, formatLeaseId, type Key, type KeyInfo, type KeyValue } from "../sdk/index.ts";
import { RecipeError } from "./errors.ts";

/** The prefix that holds the contenders for a name. */
export const queuePrefix = (name: string): string => `${name}/`;

/** The key of a contender. */
export const contenderKey = (name: string, leaseId: bigint): string => queuePrefix(name) + formatLeaseId(leaseId);

const leaseText = /^-?[0-9a-f]+$/;

/**
 * Whether a key below the prefix belongs to a contender for this very name. Keys of longer names (`orders/42/694d…`
 * below `orders`) lie below the same prefix and are none of its business. Go's client waits for them too, which costs it
 * time but breaks nothing: each side waits for every contender that came before.
 */
export const isContender = (name: string, key: string): boolean => leaseText.test(key.slice(name.length + 1));

/** A name must lead to keys of its own. */
export function checkedName(name: string): string {
  if (name === "") throw new RecipeError("CONFLICT", "name: expected at least one character, found none");
  return name;
}

/** Who holds a lock or waits for it, as far as it said so. */
export interface HolderInfo {
  readonly host: string;
  readonly pid: number;
  /** When it began to wait, by its own clock. For people to read; nothing is decided by it. */
  readonly since: string;
  readonly label?: string;
}

/** The value of a lock's key. Other clients store nothing there and ignore what others store. */
export const describeHolder = (label: string | undefined): string =>
  JSON.stringify({
    host: hostname(),
    pid: process.pid,
    since: new Date().toISOString(),
    ...(label === undefined ? {} : { label }),
  } satisfies HolderInfo);

/** What a lock's key says about its holder; `undefined` where it says nothing that we understand. */
export function parseHolder(value: string): HolderInfo | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    // Another client's lock: etcdctl and Go store an empty value.
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const { host, pid, since, label } = parsed as { readonly [field: string]: unknown };
  if (typeof host !== "string" || typeof pid !== "number" || typeof since !== "string") return undefined;
  return { host, pid, since, ...(typeof label === "string" ? { label } : {}) };
}

/** One key of a queue. */
export interface Contender {
  readonly key: string;
  readonly leaseId: bigint;
  /** The key's create revision: the place in the queue, and the fencing token once it is first. */
  readonly token: bigint;
  readonly value: string;
}

export const toContender = (kv: KeyValue): Contender => ({
  key: kv.key,
  leaseId: kv.leaseId,
  token: kv.createRevision,
  value: kv.value,
});

const decoder = new TextDecoder();

/** Text, with U+FFFD where it is none: other clients may store anything, and one odd value must not hide the queue. */
export const lenientText: Codec<string> = {
  name: "text",
  encode: (value) => new TextEncoder().encode(value),
  decode: (stored) => decoder.decode(stored),
};

/** The contenders for a name, the owner first, as of one revision. */
export async function listContenders(
  client: Client,
  name: string,
  options: { readonly signal?: AbortSignal | undefined },
): Promise<{ readonly revision: bigint; readonly contenders: readonly Contender[] }> {
  const { items, revision } = await client.kv.list(
    { prefix: queuePrefix(name) },
    { codec: lenientText, sort: { by: "createRevision" }, signal: options.signal },
  );
  return { revision, contenders: items.filter(({ key }) => isContender(name, key)).map(toContender) };
}

/** The contender that comes right before whoever holds a key created at `token`. */
export interface Predecessor {
  readonly key: Key;
  readonly token: bigint;
}

/**
 * Looks for the immediate predecessor among keys sorted by descending create revision. `undefined` when there is none
 * among them.
 */
export function predecessorAmong(name: string, keys: readonly KeyInfo[], token: bigint): Predecessor | undefined {
  const found = keys.find((info) => info.createRevision < token && isContender(name, info.key));
  return found === undefined ? undefined : { key: found.keyBytes, token: found.createRevision };
}
