// Shorthands that cases are written with. Each makes one step or one part of a request and decides nothing.
import type {
  Compare,
  DeleteRangeRequest,
  LeaseGrantRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  WatchCreateRequest,
} from "../../proto/gen/etcdserverpb/rpc.ts";
import type { ChosenId, Loose, RelativeRevision, Step } from "./case.ts";

export const rev = (offset: number): RelativeRevision => ({ $rev: offset });
export const id = (name: string): ChosenId => ({ $id: name });

type Id = bigint | ChosenId;
type Revision = bigint | RelativeRevision;

export const call = (
  method: string,
  request: object = {},
  more: Partial<Extract<Step, { kind: "call" }>> = {},
): Step => ({
  kind: "call",
  method,
  request,
  ...more,
});
export const raw = (method: string, payload: Uint8Array): Step => call(method, { $raw: payload });

export const put = (key: string, value: string, more: Loose<PutRequest> = {}): Step =>
  call("KV/Put", { key, value, ...more });
export const range = (key: string, more: Loose<RangeRequest> = {}): Step => call("KV/Range", { key, ...more });
export const all = (more: Loose<RangeRequest> = {}): Step => range("\x00", { rangeEnd: "\x00", ...more });
export const del = (key: string, more: Loose<DeleteRangeRequest> = {}): Step =>
  call("KV/DeleteRange", { key, ...more });
export const compact = (revision: Revision, physical = true): Step => call("KV/Compact", { revision, physical });

export interface TxnParts {
  readonly when?: readonly Loose<Compare>[];
  readonly success?: readonly Loose<RequestOp>[];
  readonly failure?: readonly Loose<RequestOp>[];
}
const txnRequest = (parts: TxnParts): object => ({
  compare: parts.when ?? [],
  success: parts.success ?? [],
  failure: parts.failure ?? [],
});
export const txn = (parts: TxnParts): Step => call("KV/Txn", txnRequest(parts));

/** Operations of a txn. */
export const op = {
  put: (key: string, value: string, more: Loose<PutRequest> = {}) =>
    ({ request: { $case: "requestPut", value: { key, value, ...more } } }) as Loose<RequestOp>,
  range: (key: string, more: Loose<RangeRequest> = {}) =>
    ({ request: { $case: "requestRange", value: { key, ...more } } }) as Loose<RequestOp>,
  del: (key: string, more: Loose<DeleteRangeRequest> = {}) =>
    ({ request: { $case: "requestDeleteRange", value: { key, ...more } } }) as Loose<RequestOp>,
  txn: (parts: TxnParts) => ({ request: { $case: "requestTxn", value: txnRequest(parts) } }) as Loose<RequestOp>,
  /** An operation whose union is not set. */
  empty: {} as Loose<RequestOp>,
};

const results = { "=": 0, ">": 1, "<": 2, "!=": 3 } as const;
export type Relation = keyof typeof results;

const comparer =
  <V>(target: number, $case: string) =>
  (key: string, relation: Relation, value: V, more: Loose<Compare> = {}) =>
    ({ key, result: results[relation], target, targetUnion: { $case, value }, ...more }) as Loose<Compare>;

/** Conditions of a txn. */
export const cmp = {
  version: comparer<bigint>(0, "version"),
  create: comparer<Revision>(1, "createRevision"),
  mod: comparer<Revision>(2, "modRevision"),
  value: comparer<string>(3, "value"),
  lease: comparer<Id>(4, "lease"),
};

export const grant = (ttlSeconds: bigint, leaseId: bigint, more: Loose<LeaseGrantRequest> = {}): Step =>
  call("Lease/LeaseGrant", { TTL: ttlSeconds, ID: leaseId, ...more });
/** The server chooses the id; it goes by this name for the rest of the case. */
export const grantAs = (name: string, ttlSeconds: bigint): Step =>
  call("Lease/LeaseGrant", { TTL: ttlSeconds }, { as: name });
export const revoke = (leaseId: Id): Step => call("Lease/LeaseRevoke", { ID: leaseId });
export const timeToLive = (leaseId: Id, keys = false): Step => call("Lease/LeaseTimeToLive", { ID: leaseId, keys });
export const leases = (): Step => call("Lease/LeaseLeases");

export const openWatch = (stream = "w", metadata: { readonly [key: string]: string } = {}): Step => ({
  kind: "open",
  stream,
  method: "Watch/Watch",
  metadata,
});
export const openKeepAlive = (stream = "ka"): Step => ({ kind: "open", stream, method: "Lease/LeaseKeepAlive" });
export const send = (stream: string, request: object): Step => ({ kind: "send", stream, request });
export const create = (key: string, more: Loose<WatchCreateRequest> = {}, stream = "w"): Step =>
  send(stream, { requestUnion: { $case: "createRequest", value: { key, ...more } } });
export const cancel = (watchId: bigint, stream = "w"): Step =>
  send(stream, { requestUnion: { $case: "cancelRequest", value: { watchId } } });
export const progress = (stream = "w"): Step => send(stream, { requestUnion: { $case: "progressRequest", value: {} } });
export const keepAlive = (leaseId: Id, stream = "ka"): Step => send(stream, { ID: leaseId });
export const receive = (count: number, stream = "w"): Step => ({ kind: "receive", stream, count });
/** For several watchers of one stream that hear of the same revision. */
export const receiveAnyOrder = (count: number, stream = "w"): Step => ({
  kind: "receive",
  stream,
  count,
  anyOrder: true,
});
/** For a history that a server may cut where it likes. */
export const receiveEvents = (events: number, stream = "w"): Step => ({ kind: "receive-events", stream, events });
export const silent = (stream = "w", forMs = 250): Step => ({ kind: "silent", stream, forMs });
export const finish = (stream = "w"): Step => ({ kind: "finish", stream });
export const halfClose = (stream = "w"): Step => ({ kind: "half-close", stream });
export const sleep = (forMs: number): Step => ({ kind: "sleep", forMs });
