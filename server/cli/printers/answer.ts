// What commands print: a member's answers in etcd's own messages, and what commands make of several of them.
import type { Method, wire } from "../../../sdk/index.ts";

/** An answer that says no more than that it was done. */
export interface Done {
  readonly header?: wire.ResponseHeader | undefined;
}

export interface EndpointStatus {
  readonly endpoint: string;
  readonly status: wire.StatusResponse;
}

export interface EndpointHash {
  readonly endpoint: string;
  readonly hash: wire.HashKVResponse;
}

export interface EndpointHealth {
  readonly endpoint: string;
  readonly isHealthy: boolean;
  readonly tookNanoseconds: number;
  readonly error: string;
}

/** What `-w table` and the others know how to show, by kind. */
export type Answer =
  | { readonly kind: "get"; readonly response: wire.RangeResponse; readonly isValueOnly: boolean }
  | { readonly kind: "put"; readonly response: wire.PutResponse }
  | { readonly kind: "del"; readonly response: wire.DeleteRangeResponse }
  | { readonly kind: "txn"; readonly response: wire.TxnResponse }
  | { readonly kind: "watch"; readonly response: wire.WatchResponse }
  | { readonly kind: "lease-grant"; readonly response: wire.LeaseGrantResponse }
  | { readonly kind: "lease-revoke"; readonly response: wire.LeaseRevokeResponse; readonly id: bigint }
  | { readonly kind: "lease-keep-alive"; readonly response: wire.LeaseKeepAliveResponse }
  | { readonly kind: "lease-time-to-live"; readonly response: wire.LeaseTimeToLiveResponse; readonly withKeys: boolean }
  | { readonly kind: "lease-list"; readonly response: wire.LeaseLeasesResponse }
  | { readonly kind: "member-list"; readonly response: wire.MemberListResponse }
  /** `text`: what etcdctl says in the simple form. */
  | { readonly kind: "member-add"; readonly response: wire.MemberAddResponse; readonly text: string }
  | { readonly kind: "member-change"; readonly response: wire.MemberListResponse; readonly text: string }
  | { readonly kind: "endpoint-status"; readonly list: readonly EndpointStatus[] }
  | { readonly kind: "endpoint-health"; readonly list: readonly EndpointHealth[] }
  | { readonly kind: "endpoint-hash"; readonly list: readonly EndpointHash[] }
  | { readonly kind: "alarm"; readonly response: wire.AlarmResponse }
  | { readonly kind: "auth-status"; readonly response: wire.AuthStatusResponse }
  | { readonly kind: "user-get"; readonly response: wire.AuthUserGetResponse; readonly user: string }
  | { readonly kind: "user-list"; readonly response: wire.AuthUserListResponse }
  | { readonly kind: "role-get"; readonly response: wire.AuthRoleGetResponse; readonly role: string }
  | { readonly kind: "role-list"; readonly response: wire.AuthRoleListResponse }
  | {
      readonly kind: "done";
      readonly response: Done;
      readonly text: string;
      readonly method: Pick<Method<never, Done>, "response">;
    };

export type AnswerKind = Answer["kind"];
export type AnswerOf<Kind extends AnswerKind> = Extract<Answer, { readonly kind: Kind }>;

/** How one form of output shows each kind; a kind that is missing cannot be shown in it. */
export type Views = {
  readonly [Kind in AnswerKind]?: (answer: AnswerOf<Kind>, isHex: boolean) => string | Uint8Array;
};
