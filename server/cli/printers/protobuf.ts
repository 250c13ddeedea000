// `-w protobuf`: a member's answer as the bytes of its message. (etcdctl prints no more than the header of a lease's.)
import { methods } from "../../../sdk/index.ts";
import type { Views } from "./answer.ts";

export const protobufViews: Views = {
  get: ({ response }) => methods.kv.range.response.encode(response).finish(),
  put: ({ response }) => methods.kv.put.response.encode(response).finish(),
  del: ({ response }) => methods.kv.deleteRange.response.encode(response).finish(),
  txn: ({ response }) => methods.kv.txn.response.encode(response).finish(),
  watch: ({ response }) => methods.watch.response.encode(response).finish(),
  "lease-grant": ({ response }) => methods.lease.grant.response.encode(response).finish(),
  "lease-revoke": ({ response }) => methods.lease.revoke.response.encode(response).finish(),
  "lease-keep-alive": ({ response }) => methods.lease.keepAlive.response.encode(response).finish(),
  "lease-time-to-live": ({ response }) => methods.lease.timeToLive.response.encode(response).finish(),
  "lease-list": ({ response }) => methods.lease.leases.response.encode(response).finish(),
  "member-list": ({ response }) => methods.cluster.memberList.response.encode(response).finish(),
  "member-add": ({ response }) => methods.cluster.memberAdd.response.encode(response).finish(),
  "member-change": ({ response }) => methods.cluster.memberList.response.encode(response).finish(),
  alarm: ({ response }) => methods.maintenance.alarm.response.encode(response).finish(),
  "auth-status": ({ response }) => methods.auth.status.response.encode(response).finish(),
  "user-get": ({ response }) => methods.auth.userGet.response.encode(response).finish(),
  "user-list": ({ response }) => methods.auth.userList.response.encode(response).finish(),
  "role-get": ({ response }) => methods.auth.roleGet.response.encode(response).finish(),
  "role-list": ({ response }) => methods.auth.roleList.response.encode(response).finish(),
  done: ({ response, method }) => method.response.encode(response).finish(),
};
