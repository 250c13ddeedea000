// Short words for writing histories down by hand.
import type {
  Compare,
  Keys,
  KeyValue,
  Operation,
  Outcome,
  RangeRequest,
  Refusal,
  Request,
  Result,
  RevisionChanges,
  TxnStep,
  TxnStepResult,
} from "./operation.ts";
import type { WatchedChange, WatchRecord, WatchRequest, WatchResponse } from "./watch-check.ts";

/** When an operation was asked for, and when answered; no second time for one that never was. */
type Span = readonly [asked: number, answered?: number];

let nextId = 1;

function operation([asked, answered]: Span, request: Request, result: Result): Operation {
  const outcome: Outcome = answered === undefined ? { kind: "unknown" } : { kind: "returned", time: answered, result };
  return { id: nextId++, client: "c", request, invokedAt: asked, outcome };
}

export const key = (name: string): Keys => ({ kind: "key", key: name });
export const all: Keys = { kind: "interval", from: "a", to: undefined };

/** `kv("a", "1", 2)` was created at 2; `kv("a", "2", 5, 2, 2)` is its second version. */
export function kv(name: string, value: string, mod: number, create = mod, version = 1, lease = 0n): KeyValue {
  return { key: name, value, createRevision: create, modRevision: mod, version, lease };
}

export function put(span: Span, name: string, value: string, revision = 0, lease = 0n, previous?: KeyValue): Operation {
  const request = { kind: "put", key: name, value, lease, wantsPrevious: previous !== undefined } as const;
  return operation(span, request, { kind: "put", revision, previous });
}

export function get(
  span: Span,
  keys: Keys,
  keyValues: readonly KeyValue[],
  revision: number,
  more?: Partial<RangeRequest>,
): Operation {
  const result = { kind: "range", revision, keyValues, count: keyValues.length, hasMore: false } as const;
  return operation(span, { kind: "range", keys, ...more }, result);
}

export function remove(span: Span, keys: Keys, deleted = 0, revision = 0): Operation {
  return operation(span, { kind: "delete", keys }, { kind: "delete", revision, deleted });
}

export function txn(
  span: Span,
  compares: readonly Compare[],
  success: readonly TxnStep[],
  failure: readonly TxnStep[],
  succeeded = true,
  results: readonly TxnStepResult[] = [],
  revision = 0,
): Operation {
  return operation(span, { kind: "txn", compares, success, failure }, { kind: "txn", revision, succeeded, results });
}

export function grant(span: Span, id: bigint, revision = 1): Operation {
  return operation(span, { kind: "lease-grant", id, ttlSeconds: 5 }, { kind: "lease-grant", revision });
}

export function revoke(span: Span, id: bigint, revision = 1): Operation {
  return operation(span, { kind: "lease-revoke", id }, { kind: "lease-revoke", revision });
}

/** Ran out at some time from `asked` on. */
export function expire(asked: number, id: bigint): Operation {
  return operation([asked], { kind: "lease-expiry", id }, { kind: "lease-revoke", revision: 0 });
}

export function compact(span: Span, revision: number, header: number): Operation {
  return operation(span, { kind: "compact", revision }, { kind: "compact", revision: header });
}

/** The same operation, refused. */
export function refused(source: Operation, reason: Refusal): Operation {
  return source.outcome.kind === "returned"
    ? { ...source, outcome: { ...source.outcome, result: { kind: "refused", reason } } }
    : source;
}

/** The same operation, of which its client knows that it was not carried out. */
export function failed(source: Operation): Operation {
  return { ...source, outcome: { kind: "failed" } };
}

export const putStep = (name: string, value: string, lease = 0n): TxnStep => ({ kind: "put", key: name, value, lease });

export const isAt = (name: string, version: number): Compare => ({
  keys: key(name),
  result: "equal",
  operand: { target: "version", number: version },
});

/** What watchers see of revisions 2, 3, ...: a list of changes each. */
export function changesOf(...revisions: readonly (readonly (KeyValue | string)[])[]): Map<number, RevisionChanges> {
  return new Map(
    revisions.map((changes, at) => [
      at + 2,
      { revision: at + 2, changes: changes.map((change) => withoutPrevious(changeOf(change, at + 2))) },
    ]),
  );
}

/** A key's name stands for its deletion. */
function changeOf(change: KeyValue | string, revision: number, previous?: KeyValue): WatchedChange {
  if (typeof change !== "string") return { kind: "put", keyValue: change, previous };
  return { kind: "delete", keyValue: { ...kv(change, "", revision), createRevision: 0, version: 0 }, previous };
}

function withoutPrevious({ kind, keyValue }: WatchedChange): RevisionChanges["changes"][number] {
  return { kind, keyValue };
}

export const created = (revision: number): WatchResponse => ({ kind: "created", revision });
export const progress = (revision: number): WatchResponse => ({ kind: "progress", revision });
export const canceled = (compactRevision: number): WatchResponse => ({ kind: "canceled", compactRevision });

/** Changes under a header of their last revision. A deletion is `["a", 7]`. */
export function seen(...changes: readonly (KeyValue | readonly [string, number])[]): WatchResponse {
  const list = changes.map((change) =>
    "key" in change ? changeOf(change, change.modRevision) : changeOf(change[0], change[1]),
  );
  const revision = Math.max(...list.map(({ keyValue }) => keyValue.modRevision));
  return { kind: "changes", revision, changes: list, isPart: false };
}

export function seenWith(change: KeyValue, previous: KeyValue | undefined): WatchResponse {
  const { modRevision } = change;
  return { kind: "changes", revision: modRevision, changes: [changeOf(change, modRevision, previous)], isPart: false };
}

export function watch(from: number, responses: readonly WatchResponse[], more?: Partial<WatchRequest>): WatchRecord {
  const request = {
    keys: all,
    startRevision: from,
    wantsPuts: true,
    wantsDeletes: true,
    wantsPrevious: false,
    ...more,
  };
  return { name: "watch", request, responses: responses.map((response, time) => ({ time, response })) };
}
