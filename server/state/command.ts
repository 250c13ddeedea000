// Everything that can change the store, and the read that a txn may contain. These are plain values: decoded from the
// wire in request-codec.ts, logged as they came, applied by state-machine.ts.
import type { ByteString } from "../lib/byte-string.ts";
import type { KeyRange } from "./key-range.ts";

export interface PutOperation {
  readonly kind: "put";
  readonly key: ByteString;
  readonly value: Uint8Array;
  /** Lease to attach the key to; 0n for none. */
  readonly lease: bigint;
  readonly wantsPrevious: boolean;
  /** Keep the current value; the key must exist. */
  readonly ignoresValue: boolean;
  /** Keep the current lease; the key must exist. */
  readonly ignoresLease: boolean;
}

export interface DeleteRangeOperation {
  readonly kind: "delete-range";
  readonly range: KeyRange;
  readonly wantsPrevious: boolean;
}

export const sortOrders = ["none", "ascend", "descend"] as const;
export type SortOrder = (typeof sortOrders)[number];

export const sortTargets = ["key", "version", "create", "mod", "value"] as const;
export type SortTarget = (typeof sortTargets)[number];

export interface RangeOperation {
  readonly kind: "range";
  readonly range: KeyRange;
  /** Most keys to return; 0 and less for all. */
  readonly limit: number;
  /** 0 and less for the current revision. */
  readonly revision: number;
  /** `unknown` when the wire carried a number without a meaning. */
  readonly sortOrder: SortOrder | "unknown";
  readonly sortTarget: SortTarget | "unknown";
  readonly isSerializable: boolean;
  readonly isKeysOnly: boolean;
  readonly isCountOnly: boolean;
  /** Filters on the versions read; 0 for none. */
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export const compareResults = ["equal", "greater", "less", "not-equal"] as const;
export type CompareResult = (typeof compareResults)[number];

/** What a comparison looks at, and what with. An operand that the wire left out is zero or empty. */
export type CompareOperand =
  | { readonly target: "version" | "create" | "mod"; readonly number: number }
  | { readonly target: "value"; readonly value: Uint8Array }
  | { readonly target: "lease"; readonly lease: bigint }
  | { readonly target: "unknown" };

export interface Compare {
  readonly range: KeyRange;
  readonly result: CompareResult | "unknown";
  readonly operand: CompareOperand;
}

export interface TxnOperation {
  readonly kind: "txn";
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

/** An operation of a txn. `empty` is one whose union was not set on the wire. */
export type Operation =
  | RangeOperation
  | PutOperation
  | DeleteRangeOperation
  | TxnOperation
  | { readonly kind: "empty" };

export interface LeaseCheckpoint {
  readonly id: bigint;
  readonly remainingTtlSeconds: number;
}

export interface MemberAttributes {
  readonly id: bigint;
  readonly name: string;
  readonly clientUrls: readonly string[];
}

/**
 * - `no-space`: the quota is used up; what would add to the store is refused.
 * - `corrupt`: members were found to differ; every write is refused.
 */
export type AlarmType = "no-space" | "corrupt";

export interface Alarm {
  readonly memberId: bigint;
  readonly type: AlarmType;
}

/** A member as it is added: it has no name until it has started. */
export interface NewMember {
  readonly id: bigint;
  readonly peerUrls: readonly string[];
  readonly isLearner: boolean;
}

/** A change of who belongs to the cluster. */
export type MembershipCommand =
  | { readonly kind: "member-add"; readonly member: NewMember; readonly learnersMax: number }
  | { readonly kind: "member-remove"; readonly id: bigint }
  | { readonly kind: "member-update"; readonly id: bigint; readonly peerUrls: readonly string[] }
  | { readonly kind: "member-promote"; readonly id: bigint };

/** A change of the replicated state. Each is applied whole or not at all. */
export type Command =
  | PutOperation
  | DeleteRangeOperation
  | TxnOperation
  | { readonly kind: "compact"; readonly revision: number; readonly isPhysical: boolean }
  | { readonly kind: "lease-grant"; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: "lease-revoke"; readonly id: bigint; readonly expiry: LeaseExpiry | undefined }
  | { readonly kind: "lease-checkpoint"; readonly checkpoints: readonly LeaseCheckpoint[] }
  | { readonly kind: "member-publish"; readonly member: MemberAttributes }
  | MembershipCommand
  | { readonly kind: "alarm"; readonly alarm: Alarm; readonly isRaised: boolean };

/** Why a lease is revoked when nobody asked: the leader of this term saw it expire. */
export interface LeaseExpiry {
  readonly term: number;
}
