// Every place where our member may answer other than etcd 3.5, with the reason. Nothing is loose about it: the other answer
// is a later etcd's, recorded like the first, or is written down here, or differs in a library's words alone, or is UNIMPLEMENTED.
import type { Json } from "./normalise.ts";

export type AllowedDifference = {
  /** "group: case"; "group: *" for all cases of a group. */
  readonly cases: readonly string[];
  readonly reason: string;
} & (
  | {
      /** The answers of a later etcd, in etcd-LINE.recorded.json. */
      readonly kind: "as a later etcd";
      readonly line: "3.6" | "3.7";
    }
  | {
      /** Answers of our own, by index; "end" for the state afterwards. What is not named must be as recorded. */
      readonly kind: "answers of our own";
      readonly answers: { readonly [index: string]: Json };
    }
  /** The same answer but for an error's text, which is the gRPC library's and not etcd's. The code must agree. */
  | { readonly kind: "other words" }
  /** UNIMPLEMENTED from some step on, in place of the recorded answers; once it is served, they hold. */
  | { readonly kind: "not served yet" }
);

export const allowedDifferences: readonly AllowedDifference[] = [
  {
    cases: [
      "kv-sort: unknown sort order",
      "kv-sort: unknown sort target",
      "kv-sort: unknown sort order with a target",
      "kv-sort: unknown sort target with an order",
      "kv-sort: negative sort order",
      "kv-txn-check: an unknown sort option inside a txn",
    ],
    kind: "as a later etcd",
    line: "3.6",
    reason: "3.5 ignores an unknown sort order and dies of an unknown sort target; 3.6 refuses both",
  },
  {
    cases: ["services: status"],
    kind: "as a later etcd",
    line: "3.6",
    reason: "storageVersion, dbSizeQuota and downgradeInfo are new in 3.6, whose API version we report",
  },
  {
    cases: ["small-quota: a put inside a nested txn of a full store"],
    kind: "as a later etcd",
    line: "3.6",
    reason: "3.5 overlooks puts of nested txns when the store is full; 3.6 refuses them",
  },
  {
    cases: ["range-stream: *"],
    kind: "as a later etcd",
    line: "3.7",
    reason:
      "RangeStream is new in 3.7; we have it although we present ourselves as 3.6, and it takes nothing from 3.6 clients",
  },
  {
    cases: [
      "kv-range: garbage in place of a request",
      "lease: garbage in place of a grant",
      "services: a deadline that has room and garbage on a stream",
    ],
    kind: "other words",
    reason: "Go's protobuf and gRPC libraries word what is wrong with the bytes, and reword it between versions",
  },
  {
    cases: ["limits: a message over 2 MiB", "small-limits: messages of more than the limit and 512 KiB"],
    kind: "other words",
    reason: "refused by the gRPC library before etcd sees it, in the library's words",
  },
  {
    cases: ["services: an unknown method and an unknown service"],
    kind: "other words",
    reason: "the gRPC library's words",
  },
  {
    cases: [
      "services: Cluster/MemberRemove",
      "services: Cluster/MemberUpdate",
      "services: Cluster/MemberPromote",
      "services: Cluster/MemberAdd",
      "services: Maintenance/Alarm",
      "services: Maintenance/HashKV",
      "services: Maintenance/MoveLeader",
      "services: Maintenance/Downgrade",
      "services: Auth/AuthStatus",
      "services: Auth/AuthEnable",
      "services: Auth/Authenticate",
      "services: Auth/UserGet",
      "services: Auth/UserList",
      "services: Auth/RoleGet",
      "services: Auth/RoleList",
      "services: Lock/Unlock",
      "services: Election/Leader",
      "services: Election/Resign",
      "alarms: no space",
      "alarms: corrupt",
    ],
    kind: "not served yet",
    reason: "these RPCs are not built yet, and say so",
  },
];

/** The difference that a case may show, if any. */
export function differenceOf(name: string): AllowedDifference | undefined {
  const group = `${name.slice(0, name.indexOf(":"))}: *`;
  return allowedDifferences.find(({ cases }) => cases.includes(name) || cases.includes(group));
}
