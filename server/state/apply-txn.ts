// Txn: decide every branch, check every operation of the branches taken, then run them.
//
// All comparisons, those of nested txns too, look at the state before any write; so does every check. That makes a
// txn all or nothing without a way to undo, and it is how etcd does it: an inner txn does not see what the outer one
// wrote when it chooses its branch, but its operations do.
import { applyDeleteRange, applyPut, checkPut, type KeyValueState } from "./apply-kv.ts";
import type { Compare, CompareOperand, CompareResult, Operation, RangeOperation, TxnOperation } from "./command.ts";
import { StateError } from "./errors.ts";
import { mutated } from "./mutations.ts";
import type { KeyVersion } from "./mvcc/record.ts";
import type { WriteTxn } from "./mvcc/write-txn.ts";
import type { OperationResult, TxnResult } from "./outcome.ts";
import { RangeRead } from "./range-read.ts";

/** A txn with its branch chosen, and those of the txns inside it. */
export interface TxnPath {
  readonly succeeded: boolean;
  readonly operations: readonly Operation[];
  /** One for each nested txn among the operations, in order. */
  readonly nested: readonly TxnPath[];
}

export function chooseTxnPath(state: KeyValueState, txn: TxnOperation): TxnPath {
  const succeeded = txn.compares.every((compare) => holds(state, compare));
  const operations = succeeded ? txn.success : txn.failure;
  let nested: TxnPath[] | undefined;
  for (const operation of operations) {
    if (operation.kind !== "txn") continue;
    nested ??= [];
    nested.push(chooseTxnPath(state, operation));
  }
  return { succeeded, operations, nested: nested ?? noPaths };
}

const noPaths: readonly TxnPath[] = [];

/** @throws StateError of the first operation that cannot run. */
export function checkTxnPath(state: KeyValueState, path: TxnPath): void {
  let nestedIndex = 0;
  for (const operation of path.operations) {
    if (operation.kind === "put") checkPut(state, operation);
    else if (operation.kind === "range") checkRange(state, operation);
    else if (operation.kind === "txn") checkTxnPath(state, path.nested[nestedIndex++] as TxnPath);
  }
}

/** Stricter than for a plain range: any revision but 0 must be one that can be read, negative ones too. */
function checkRange(state: KeyValueState, operation: RangeOperation): void {
  if (operation.revision === 0) return;
  if (operation.revision > state.mvcc.currentRevision) throw new StateError("future-revision");
  const { compactRevision, position } = state.mvcc;
  const bound = mutated("state/txn-read-by-sweep") ? position.sweptRevision : compactRevision;
  if (operation.revision < bound) throw new StateError("compacted");
}

/** Runs a path that was checked. `txn` may be undefined when no operation of the path writes. */
export function runTxnPath(state: KeyValueState, txn: WriteTxn | undefined, path: TxnPath): TxnResult {
  let nestedIndex = 0;
  const results = path.operations.map((operation) =>
    operation.kind === "txn"
      ? runTxnPath(state, txn, path.nested[nestedIndex++] as TxnPath)
      : runOperation(state, txn, operation),
  );
  return { kind: "txn", revision: state.mvcc.readRevision, succeeded: path.succeeded, results };
}

function runOperation(
  state: KeyValueState,
  txn: WriteTxn | undefined,
  operation: Exclude<Operation, TxnOperation>,
): OperationResult {
  if (operation.kind === "range") return { kind: "range", ...new RangeRead(state.mvcc, operation).run() };
  if (txn === undefined || operation.kind === "empty") throw new StateError("key-not-found");
  return operation.kind === "put" ? applyPut(state, txn, operation) : applyDeleteRange(state, txn, operation);
}

/** Whether a comparison holds for every key of its range; without any key, for a key that does not exist. */
function holds(state: KeyValueState, compare: Compare): boolean {
  const { range } = compare;
  if (range.kind === "key") {
    const version = state.mvcc.current(range.key);
    return (version !== undefined || compare.operand.target !== "value") && holdsFor(state, compare, version);
  }
  const versions = state.mvcc.versionsIn(range);
  if (versions.length > 0) return versions.every((version) => holdsFor(state, compare, version));
  // A missing key counts as zeros, but it has no value that anything could be compared with.
  if (compare.operand.target === "value") return false;
  return holdsFor(state, compare, undefined);
}

function holdsFor(state: KeyValueState, compare: Compare, version: KeyVersion | undefined): boolean {
  return satisfies(compare.result, compareWith(state, compare.operand, version));
}

/** Sign of the key's property minus the operand. */
function compareWith(state: KeyValueState, operand: CompareOperand, version: KeyVersion | undefined): number {
  switch (operand.target) {
    case "version":
      return (version?.version ?? 0) - operand.number;
    case "create":
      return (version?.createRevision ?? 0) - operand.number;
    case "mod":
      return (version?.modRevision ?? 0) - operand.number;
    case "lease": {
      const lease = version?.lease ?? 0n;
      return lease < operand.lease ? -1 : lease > operand.lease ? 1 : 0;
    }
    case "value":
      return version === undefined ? 0 : Buffer.compare(state.mvcc.valueOf(version), operand.value);
    case "unknown":
      return 0;
  }
}

function satisfies(result: CompareResult | "unknown", sign: number): boolean {
  switch (result) {
    case "equal":
      return sign === 0;
    case "not-equal":
      return sign !== 0;
    case "greater":
      return sign > 0;
    case "less":
      return sign < 0;
    case "unknown":
      return true;
  }
}
