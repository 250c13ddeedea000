// The public face of the SDK: everything that programs and the recipes may use. What is not exported here may change at
// any time.
//
// await using client = await connect("http://127.0.0.1:2379");
// await client.kv.put("greeting", "hello");

/** etcd's own messages, as {@link Raw} takes and gives them. */
export type * as wire from "../proto/gen/etcdserverpb/rpc.ts";
export type * as wireKv from "../proto/gen/mvccpb/kv.ts";
export type { Auth, PermissionType, RolePermission, Roles, Users } from "./auth.ts";
export { type Client, type ClientEvents, type ClientStatus, type CloseOptions, connect } from "./client.ts";
export type { Cluster, Member, MemberList } from "./cluster.ts";
export {
  bytes,
  type Codec,
  type Decoded,
  json,
  protobuf,
  SchemaError,
  type SchemaInput,
  type SchemaOutput,
  type StandardIssue,
  type StandardResult,
  type StandardSchema,
  string,
  validate,
} from "./codec.ts";
export type { Collection, CollectionChange, CollectionDifference, CollectionEvents } from "./collection.ts";
export { type Compare, type CompareBuilder, type CompareOperator, compare } from "./compare.ts";
export type {
  CallDiagnostics,
  ConnectionDiagnostics,
  LeaseDiagnostics,
  WatchDiagnostics,
} from "./diagnostics.ts";
export { type Duration, toMs } from "./duration.ts";
export {
  AbortError,
  AuthError,
  ClientError,
  type ClientErrorCode,
  type ClientErrorDetails,
  ClosedError,
  CodecError,
  CompactedError,
  ContentionError,
  DeadlineError,
  GuardError,
  IndeterminateError,
  InvalidArgumentError,
  LeaseLostError,
  type LeaseLostReason,
  type Outcome,
  UnavailableError,
  WatchOverflowError,
} from "./errors.ts";
export { createHonestSignal, type HonestSignal } from "./honest-signal.ts";
export type { Header, KeyInfo, KeyValue } from "./key-value.ts";
export { type Key, type KeyOrRange, type KeyRange, prefixEnd } from "./keys.ts";
export type { CollectionOptions, Keyspace } from "./keyspace.ts";
export type {
  CreateResult,
  Freshness,
  Kv,
  RangeOptions,
  ReadOptions,
  ScanOptions,
  UpdateOptions,
  UpdateResult,
} from "./kv.ts";
export type { GrantOptions, LeaseGrant, LeaseInfo, Leases, OpenLeaseOptions } from "./lease.ts";
export { formatLeaseId, type LeaseHandle, type LeaseState } from "./lease-handle.ts";
export type { Logger, LogMethod } from "./logger.ts";
export type {
  Alarm,
  AlarmList,
  AlarmName,
  HashKvResult,
  HashResult,
  Maintenance,
  MemberStatus,
  SnapshotChunk,
} from "./maintenance.ts";
export type { Method } from "./methods.ts";
export {
  type DeleteOptions,
  type DeleteResult,
  type GetOptions,
  type ListOptions,
  type ListResult,
  type Op,
  op,
  type PutFlags,
  type PutOptions,
  type PutResult,
  type Sort,
  type WithCodec,
} from "./op.ts";
export type { Balance, CallOptions, ClientOptions, Credentials, TlsOptions } from "./options.ts";
export { methods, type Raw } from "./raw.ts";
export type { OpResults, Txn, TxnResult } from "./txn.ts";
export type { Watch } from "./watch.ts";
export type { BatchKind } from "./watch-buffer.ts";
export type { DeleteEvent, InvalidEvent, PutEvent, WatchBatch, WatchEvent } from "./watch-event.ts";
export type { WatchOptions } from "./watch-options.ts";
