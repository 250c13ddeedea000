// Put and DeleteRange against the state. Both come in two halves: what can fail is checked first, against the state
// before any write; what then runs cannot fail. A txn checks all its operations before it runs the first.
import type { DeleteRangeOperation, PutOperation } from "./command.ts";
import { StateError } from "./errors.ts";
import type { LeaseStore } from "./lease/lease-store.ts";
import type { MvccStore } from "./mvcc/mvcc-store.ts";
import type { KeyVersion } from "./mvcc/record.ts";
import type { WriteTxn } from "./mvcc/write-txn.ts";
import type { DeleteRangeResult, PutResult } from "./outcome.ts";

/** What commands work on. */
export interface KeyValueState {
  readonly mvcc: MvccStore;
  readonly leases: LeaseStore;
}

/** @throws StateError `lease-not-found`, `key-not-found` */
export function checkPut(state: KeyValueState, operation: PutOperation): void {
  if (operation.lease !== 0n && !state.leases.has(operation.lease)) throw new StateError("lease-not-found");
  if ((operation.ignoresValue || operation.ignoresLease) && state.mvcc.current(operation.key) === undefined) {
    throw new StateError("key-not-found");
  }
}

export function applyPut(state: KeyValueState, txn: WriteTxn, operation: PutOperation): PutResult {
  const { mvcc, leases } = state;
  const { key } = operation;
  const previous = mvcc.current(key);
  const previousKeyValue = operation.wantsPrevious && previous !== undefined ? mvcc.keyValueOf(previous) : undefined;
  const value = operation.ignoresValue && previous !== undefined ? mvcc.valueOf(previous) : operation.value;
  const oldLease = previous?.lease ?? 0n;
  const lease = operation.ignoresLease ? oldLease : operation.lease;
  txn.put(key, value, lease, previous);
  if (lease !== oldLease) {
    if (oldLease !== 0n) leases.detach(oldLease, key);
    if (lease !== 0n) leases.attach(lease, key);
  }
  return { kind: "put", revision: txn.revision, previous: previousKeyValue };
}

export function applyDeleteRange(
  state: KeyValueState,
  txn: WriteTxn,
  operation: DeleteRangeOperation,
): DeleteRangeResult {
  const { mvcc } = state;
  const versions = mvcc.versionsIn(operation.range);
  const previous = operation.wantsPrevious ? versions.map((version) => mvcc.keyValueOf(version)) : [];
  for (const version of versions) deleteVersion(state, txn, version);
  return { kind: "delete-range", revision: mvcc.readRevision, deleted: versions.length, previous };
}

/** Deletes a key by its current version, and detaches it. */
export function deleteVersion(state: KeyValueState, txn: WriteTxn, version: KeyVersion): void {
  txn.delete(version);
  if (version.lease !== 0n) state.leases.detach(version.lease, version.key);
}
