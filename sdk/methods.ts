// Every call of etcd's API that the SDK makes: its path, its messages, and whether it can change the store.
import {
  AuthDefinition,
  ClusterDefinition,
  KVDefinition,
  LeaseDefinition,
  MaintenanceDefinition,
  type ResponseHeader,
  WatchDefinition,
} from "../proto/gen/etcdserverpb/rpc.ts";
import type { CallKind } from "./server-errors.ts";

/** An answer as every call has it. */
export type AnswerWithHeader = { readonly header?: ResponseHeader | undefined };

interface Messages<Message> {
  encode(message: Message): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Message;
}

/** One remote procedure. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly kind: CallKind;
  readonly request: Messages<Request>;
  readonly response: Messages<Response>;
}

interface Definition<Request, Response> {
  readonly name: string;
  readonly requestType: Messages<Request>;
  readonly responseType: Messages<Response>;
}

function method<Request, Response>(
  service: { readonly fullName: string },
  definition: Definition<Request, Response>,
  kind: CallKind,
): Method<Request, Response> {
  const { name, requestType: request, responseType: response } = definition;
  return { path: `/${service.fullName}/${name}`, kind, request, response };
}

const kv = KVDefinition.methods;
export const kvMethods = {
  range: method(KVDefinition, kv.range, "read"),
  put: method(KVDefinition, kv.put, "write"),
  deleteRange: method(KVDefinition, kv.deleteRange, "write"),
  txn: method(KVDefinition, kv.txn, "write"),
  compact: method(KVDefinition, kv.compact, "write"),
} as const;

export const watchMethod = method(WatchDefinition, WatchDefinition.methods.watch, "read");

const lease = LeaseDefinition.methods;
export const leaseMethods = {
  grant: method(LeaseDefinition, lease.leaseGrant, "write"),
  revoke: method(LeaseDefinition, lease.leaseRevoke, "write"),
  keepAlive: method(LeaseDefinition, lease.leaseKeepAlive, "read"),
  timeToLive: method(LeaseDefinition, lease.leaseTimeToLive, "read"),
  leases: method(LeaseDefinition, lease.leaseLeases, "read"),
} as const;

const cluster = ClusterDefinition.methods;
export const clusterMethods = {
  memberAdd: method(ClusterDefinition, cluster.memberAdd, "write"),
  memberRemove: method(ClusterDefinition, cluster.memberRemove, "write"),
  memberUpdate: method(ClusterDefinition, cluster.memberUpdate, "write"),
  memberList: method(ClusterDefinition, cluster.memberList, "read"),
  memberPromote: method(ClusterDefinition, cluster.memberPromote, "write"),
} as const;

const maintenance = MaintenanceDefinition.methods;
export const maintenanceMethods = {
  alarm: method(MaintenanceDefinition, maintenance.alarm, "write"),
  alarmGet: method(MaintenanceDefinition, maintenance.alarm, "read"),
  status: method(MaintenanceDefinition, maintenance.status, "read"),
  defragment: method(MaintenanceDefinition, maintenance.defragment, "write"),
  hash: method(MaintenanceDefinition, maintenance.hash, "read"),
  hashKv: method(MaintenanceDefinition, maintenance.hashKV, "read"),
  snapshot: method(MaintenanceDefinition, maintenance.snapshot, "read"),
  moveLeader: method(MaintenanceDefinition, maintenance.moveLeader, "write"),
  downgrade: method(MaintenanceDefinition, maintenance.downgrade, "write"),
} as const;

const auth = AuthDefinition.methods;
export const authMethods = {
  enable: method(AuthDefinition, auth.authEnable, "write"),
  disable: method(AuthDefinition, auth.authDisable, "write"),
  status: method(AuthDefinition, auth.authStatus, "read"),
  // Makes a token and changes no data: asking twice does no harm.
  authenticate: method(AuthDefinition, auth.authenticate, "read"),
  userAdd: method(AuthDefinition, auth.userAdd, "write"),
  userGet: method(AuthDefinition, auth.userGet, "read"),
  userList: method(AuthDefinition, auth.userList, "read"),
  userDelete: method(AuthDefinition, auth.userDelete, "write"),
  userChangePassword: method(AuthDefinition, auth.userChangePassword, "write"),
  userGrantRole: method(AuthDefinition, auth.userGrantRole, "write"),
  userRevokeRole: method(AuthDefinition, auth.userRevokeRole, "write"),
  roleAdd: method(AuthDefinition, auth.roleAdd, "write"),
  roleGet: method(AuthDefinition, auth.roleGet, "read"),
  roleList: method(AuthDefinition, auth.roleList, "read"),
  roleDelete: method(AuthDefinition, auth.roleDelete, "write"),
  roleGrantPermission: method(AuthDefinition, auth.roleGrantPermission, "write"),
  roleRevokePermission: method(AuthDefinition, auth.roleRevokePermission, "write"),
} as const;
