// What a history is made of: requests of clients, what came back, and when. Keys and values are byte strings. Whoever
// records a history (the simulator, the chaos program, a test) writes it down in these words; nothing here knows how.

/** A single key, or the keys in [from, to); no `to` means to the end. */
export type Keys =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "interval"; readonly from: string; readonly to: string | undefined };

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

export interface PutRequest {
  readonly kind: "put";
  readonly key: string;
  readonly value: string;
  /** 0n attaches to none. */
  readonly lease: bigint;
  readonly wantsPrevious?: boolean;
  readonly ignoresValue?: boolean;
  readonly ignoresLease?: boolean;
}

export interface DeleteRequest {
  readonly kind: "delete";
  readonly keys: Keys;
  readonly wantsPrevious?: boolean;
}

export interface RangeRequest {
  readonly kind: "range";
  readonly keys: Keys;
  /** 0 or absent for the current one. */
  readonly revision?: number;
  /** 0 or absent for all. */
  readonly limit?: number;
  readonly isCountOnly?: boolean;
  readonly isKeysOnly?: boolean;
  readonly sort?: { readonly target: "key" | "version" | "create" | "mod" | "value"; readonly isDescending: boolean };
  /** May answer from what its member has applied. Checked apart, see serializable-check.ts. */
  readonly isSerializable?: boolean;
}

export interface Compare {
  readonly keys: Keys;
  readonly result: "equal" | "greater" | "less" | "not-equal";
  readonly operand:
    | { readonly target: "version" | "create" | "mod"; readonly number: number }
    | { readonly target: "value"; readonly value: string }
    | { readonly target: "lease"; readonly lease: bigint };
}

export interface TxnRequest {
  readonly kind: "txn";
  readonly compares: readonly Compare[];
  readonly success: readonly TxnStep[];
  readonly failure: readonly TxnStep[];
}

export type TxnStep = PutRequest | DeleteRequest | RangeRequest | TxnRequest;

export type Request =
  | TxnStep
  | { readonly kind: "lease-grant"; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: "lease-revoke"; readonly id: bigint }
  /** What the cluster does by itself when a lease has run out. Nobody waits for it, so its outcome is never known. */
  | { readonly kind: "lease-expiry"; readonly id: bigint }
  | { readonly kind: "compact"; readonly revision: number };

/** `revision` is the header's: the store's revision after the request. Undefined when the client was not told. */
export interface PutResult {
  readonly kind: "put";
  readonly revision: number | undefined;
  readonly previous?: KeyValue | undefined;
}

export interface DeleteResult {
  readonly kind: "delete";
  readonly revision: number | undefined;
  readonly deleted: number;
  readonly previous?: readonly KeyValue[] | undefined;
}

export interface RangeResult {
  readonly kind: "range";
  readonly revision: number | undefined;
  readonly keyValues: readonly KeyValue[];
  readonly count: number;
  readonly hasMore: boolean;
}

export interface TxnResult {
  readonly kind: "txn";
  readonly revision: number | undefined;
  readonly succeeded: boolean;
  readonly results: readonly TxnStepResult[];
}

export type TxnStepResult = PutResult | DeleteResult | RangeResult | TxnResult;

/** The request was carried out as far as saying no: a fact about the state at one moment, like a read. */
export type Refusal = "key-not-found" | "lease-not-found" | "lease-exists" | "compacted" | "future-revision";

export type Result =
  | TxnStepResult
  | { readonly kind: "lease-grant"; readonly revision: number | undefined }
  | { readonly kind: "lease-revoke"; readonly revision: number | undefined }
  | { readonly kind: "compact"; readonly revision: number | undefined }
  | { readonly kind: "refused"; readonly reason: Refusal };

/**
 * - `returned`: the answer came at `time`.
 * - `unknown`: no answer, or one that says nothing: it may have been carried out, may be still, or never.
 * - `failed`: it was told for sure that nothing was done, nor will be.
 */
export type Outcome =
  | { readonly kind: "returned"; readonly time: number; readonly result: Result }
  /** `told`: if it was carried out, this is what it came to. For counterexamples, which leave out that it was. */
  | { readonly kind: "unknown"; readonly told?: Result }
  | { readonly kind: "failed" };

export interface Operation {
  /** Unique in its history. */
  readonly id: number;
  /** Who asked, and whom; for reports only. */
  readonly client: string;
  readonly request: Request;
  /** When it was asked, on the one clock of the history. What returned at the same moment is taken for concurrent. */
  readonly invokedAt: number;
  readonly outcome: Outcome;
}

/** One change, as watchers see it. Deletes have no value, version, lease or create revision. */
export interface Change {
  readonly kind: "put" | "delete";
  readonly keyValue: KeyValue;
}

/** All changes of one revision, in order. */
export interface RevisionChanges {
  readonly revision: number;
  readonly changes: readonly Change[];
}

export function includesKey(keys: Keys, key: string): boolean {
  if (keys.kind === "key") return keys.key === key;
  return key >= keys.from && (keys.to === undefined || key < keys.to);
}
