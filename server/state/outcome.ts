// What applying a command came to. Every member computes the same outcome; the one whose client waits answers with it.
import type { StateError } from "./errors.ts";
import type { EventBatch } from "./mvcc/events.ts";
import type { RangeResult } from "./range-read.ts";

export interface PutResult {
  readonly kind: "put";
  /** Revision of the store after the put. */
  readonly revision: number;
  /** mvccpb.KeyValue before the put, in wire form; only if asked for and there was one. */
  readonly previous: Uint8Array | undefined;
}

export interface DeleteRangeResult {
  readonly kind: "delete-range";
  readonly revision: number;
  readonly deleted: number;
  /** The deleted versions in key order, if asked for. */
  readonly previous: readonly Uint8Array[];
}

export interface TxnResult {
  readonly kind: "txn";
  readonly revision: number;
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
}

export type OperationResult = ({ readonly kind: "range" } & RangeResult) | PutResult | DeleteRangeResult | TxnResult;

export type CommandResult =
  | PutResult
  | DeleteRangeResult
  | TxnResult
  | { readonly kind: "compact"; readonly revision: number }
  | { readonly kind: "lease-grant"; readonly id: bigint; readonly ttlSeconds: number; readonly revision: number }
  | { readonly kind: "lease-revoke"; readonly id: bigint; readonly revision: number }
  | { readonly kind: "lease-checkpoint" }
  | { readonly kind: "member-publish" }
  /** Who belongs to the cluster was changed as asked. */
  | { readonly kind: "membership" }
  /** The alarm is raised now, or was cleared; `isKnown` is false when there was none to clear. */
  | { readonly kind: "alarm"; readonly isKnown: boolean }
  /** The command was out of date when it came to be applied, and did nothing. */
  | { readonly kind: "ignored"; readonly reason: string }
  /** The command was refused, and did nothing. */
  | { readonly kind: "refused"; readonly error: StateError };

export interface ApplyOutcome {
  readonly result: CommandResult;
  /** What watchers must hear before the caller gets the answer. */
  readonly events: EventBatch | undefined;
}
