// What is wrong with a request as such, whatever the state. Checked before anything is proposed, in etcd's order,
// since the first fault found is the one that is told.
import type { ByteString } from "../../lib/byte-string.ts";
import type {
  Compare,
  DeleteRangeOperation,
  Operation,
  PutOperation,
  RangeOperation,
  TxnOperation,
} from "../../state/command.ts";
import { type KeyRange, rangeIncludes } from "../../state/key-range.ts";

export type RequestErrorCode =
  | "empty-key"
  | "key-not-found"
  | "value-provided"
  | "lease-provided"
  | "too-many-operations"
  | "duplicate-key"
  | "invalid-sort-option";

/** A request that no state could answer. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly code: RequestErrorCode;

  constructor(code: RequestErrorCode) {
    super(code);
    this.code = code;
  }
}

function checkKey(range: KeyRange): void {
  if ((range.kind === "key" ? range.key : range.from) === "") throw new RequestError("empty-key");
}

/** @throws RequestError */
export function checkRangeRequest(operation: RangeOperation): void {
  checkKey(operation.range);
  if (operation.sortOrder === "unknown" || operation.sortTarget === "unknown") {
    throw new RequestError("invalid-sort-option");
  }
}

/** @throws RequestError */
export function checkPutRequest(operation: PutOperation): void {
  if (operation.key === "") throw new RequestError("empty-key");
  if (operation.ignoresValue && operation.value.length > 0) throw new RequestError("value-provided");
  if (operation.ignoresLease && operation.lease !== 0n) throw new RequestError("lease-provided");
}

/** @throws RequestError */
export function checkDeleteRangeRequest(operation: DeleteRangeOperation): void {
  checkKey(operation.range);
}

/**
 * @param operationsMax How many comparisons or operations a list may have. A nested txn gets what the longest list of
 *   the one around it leaves.
 * @throws RequestError
 */
export function checkTxnRequest(txn: TxnOperation, operationsMax: number): void {
  checkTxnLists(txn, operationsMax);
  if (mayConflict(txn.success)) writesOf(txn.success);
  if (mayConflict(txn.failure)) writesOf(txn.failure);
}

/** One operation has nothing to be at odds with, unless it is a txn itself. */
function mayConflict(operations: readonly Operation[]): boolean {
  return operations.length > 1 || operations[0]?.kind === "txn";
}

function checkTxnLists(txn: TxnOperation, operationsMax: number): void {
  const longest = Math.max(txn.compares.length, txn.success.length, txn.failure.length);
  if (longest > operationsMax) throw new RequestError("too-many-operations");
  for (const compare of txn.compares) checkCompare(compare);
  for (const operation of txn.success) checkOperation(operation, operationsMax - longest);
  for (const operation of txn.failure) checkOperation(operation, operationsMax - longest);
}

function checkCompare(compare: Compare): void {
  checkKey(compare.range);
}

function checkOperation(operation: Operation, operationsLeft: number): void {
  switch (operation.kind) {
    case "range":
      checkRangeRequest(operation);
      return;
    case "put":
      checkPutRequest(operation);
      return;
    case "delete-range":
      checkDeleteRangeRequest(operation);
      return;
    case "txn":
      checkTxnLists(operation, operationsLeft);
      return;
    case "empty":
      throw new RequestError("key-not-found");
  }
}

/** What a list of operations may write, nested txns included. */
interface Writes {
  readonly puts: ReadonlySet<ByteString>;
  readonly deletes: readonly KeyRange[];
}

/**
 * Refuses a list that could put one key twice, or put a key that it deletes. The two branches of one txn exclude each
 * other, so they may put the same key. Of nested txns, one may delete what an earlier one puts but not put what an
 * earlier one deletes. All of this is etcd's rule, exceptions included.
 */
function writesOf(operations: readonly Operation[]): Writes {
  const puts = new Set<ByteString>();
  // A delete without an upper end escapes the check, as it does in etcd, whose clients may rely on it.
  const deletes = operations
    .filter((operation) => operation.kind === "delete-range")
    .map(({ range }) => range)
    .filter((range) => range.kind === "key" || range.to !== undefined);
  const addPut = (key: ByteString, isExcluded: boolean): void => {
    if (!isExcluded && puts.has(key)) throw new RequestError("duplicate-key");
    if (deletes.some((range) => rangeIncludes(range, key))) throw new RequestError("duplicate-key");
    puts.add(key);
  };
  for (const operation of operations) {
    if (operation.kind !== "txn") continue;
    const success = writesOf(operation.success);
    const failure = writesOf(operation.failure);
    for (const key of success.puts) addPut(key, false);
    for (const key of failure.puts) addPut(key, success.puts.has(key));
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const operation of operations) if (operation.kind === "put") addPut(operation.key, false);
  return { puts, deletes };
}
