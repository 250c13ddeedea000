// Reads a range of any size in pages, all at one revision. Uses plain Range requests, so it works on every server.
import type { RangeResponse } from "../proto/gen/etcdserverpb/rpc.ts";
import type { KeyValue as WireKeyValue } from "../proto/gen/mvccpb/kv.ts";
import type { Caller } from "./caller.ts";
import { type KeyOrRange, keyAfter, toWireRange, type WireRange } from "./keys.ts";
import { kvMethods } from "./methods.ts";
import { type OpContext, rangeRequest } from "./op.ts";
import type { CallOptions } from "./options.ts";

export interface PageOptions extends CallOptions {
  /** Revision to read at. Default: the one that the first page finds, kept for all pages. */
  readonly revision?: bigint | undefined;
  readonly keysOnly?: boolean;
}

export interface Page {
  /** Revision that every page shows. */
  readonly revision: bigint;
  readonly kvs: readonly WireKeyValue[];
}

// Pages aim at these sizes: big enough that round trips do not count, small enough that no answer holds up others.
const pageKeysFirst = 128;
const pageKeysMax = 4096;
const pageBytesLow = 512 * 1024;
const pageBytesHigh = 2 * 1024 * 1024;

/**
 * The pages of a range in key order. Yields at least one page, even an empty one, since it carries the revision.
 * Fails with `CompactedError` when the revision is compacted while pages are still to be read.
 */
export async function* pagesOf(
  caller: Caller,
  keys: KeyOrRange,
  context: OpContext,
  options: PageOptions,
): AsyncGenerator<Page, void, undefined> {
  const whole = toWireRange(keys, context.namespace);
  let rest: WireRange = whole;
  let limit = pageKeysFirst;
  let revision = options.revision ?? 0n;
  for (;;) {
    const flags = { keysOnly: options.keysOnly ?? false };
    const request = { ...rangeRequest(keys, { limit }, flags, context), ...rest, revision };
    const response: RangeResponse = await caller.unary(kvMethods.range, request, options, { isLinearizable: true });
    if (revision === 0n) revision = response.header?.revision ?? 0n;
    yield { revision, kvs: response.kvs };
    const last = response.kvs.at(-1);
    if (!response.more || last === undefined) return;
    rest = { key: keyAfter(last.key), rangeEnd: whole.rangeEnd };
    limit = nextLimit(limit, response.kvs);
  }
}

function nextLimit(limit: number, kvs: readonly WireKeyValue[]): number {
  const bytes = kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length, 0);
  if (bytes > pageBytesHigh) return Math.max(1, Math.floor(limit / 2));
  return bytes < pageBytesLow ? Math.min(pageKeysMax, limit * 2) : limit;
}
