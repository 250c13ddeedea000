// Between the words of the checker and those of the server: a request of a history as the bytes and the command that
// the KV service makes of it, and what came of it back as a result that the checker can judge.
import {
  CompactionRequest,
  DeleteRangeRequest,
  type RequestOp,
  PutRequest as WirePut,
  RangeRequest as WireRange,
  TxnRequest as WireTxn,
} from "../../proto/gen/etcdserverpb/rpc.ts";
import { WireReader } from "../../server/lib/wire-reader.ts";
import type { WireCommand } from "../../server/replica/replica-options.ts";
import { type RangeOperation, sortTargets } from "../../server/state/command.ts";
import type { StateError } from "../../server/state/errors.ts";
import { decodeKeyValue } from "../../server/state/mvcc/key-value.ts";
import type { CommandResult, OperationResult } from "../../server/state/outcome.ts";
import type { RangeResult as ServerRange } from "../../server/state/range-read.ts";
import {
  decodeCompaction,
  decodeDeleteRange,
  decodePut,
  decodeRange,
  decodeTxn,
} from "../../server/state/request-codec.ts";
import type {
  Compare,
  Keys,
  KeyValue,
  RangeRequest,
  Refusal,
  Request,
  Result,
  TxnStep,
  TxnStepResult,
} from "../linearizability/operation.ts";

const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");
const noHeader = { key: "", rangeEnd: "" };

function keysOf(keys: Keys): { readonly key: Uint8Array; readonly rangeEnd: Uint8Array } {
  const { key, rangeEnd } =
    keys.kind === "key" ? { ...noHeader, key: keys.key } : { key: keys.from, rangeEnd: keys.to ?? "\0" };
  return { key: bytesOf(key), rangeEnd: bytesOf(rangeEnd) };
}

function wirePut(step: Extract<TxnStep, { kind: "put" }>): WirePut {
  return {
    key: bytesOf(step.key),
    value: bytesOf(step.value),
    lease: step.lease,
    prevKv: step.wantsPrevious ?? false,
    ignoreValue: step.ignoresValue ?? false,
    ignoreLease: step.ignoresLease ?? false,
  };
}

function wireRange(step: RangeRequest): WireRange {
  return WireRange.fromPartial({
    ...keysOf(step.keys),
    limit: BigInt(step.limit ?? 0),
    revision: BigInt(step.revision ?? 0),
    sortOrder: step.sort === undefined ? 0 : step.sort.isDescending ? 2 : 1,
    sortTarget: step.sort === undefined ? 0 : (sortTargets.indexOf(step.sort.target) as 0),
    serializable: step.isSerializable ?? false,
    keysOnly: step.isKeysOnly ?? false,
    countOnly: step.isCountOnly ?? false,
  });
}

const compareResults = ["equal", "greater", "less", "not-equal"];

function wireCompare(compare: Compare): WireTxn["compare"][number] {
  const { operand, keys } = compare;
  const result = compareResults.indexOf(compare.result) as 0;
  switch (operand.target) {
    case "version":
      return { ...keysOf(keys), result, target: 0, targetUnion: { $case: "version", value: BigInt(operand.number) } };
    case "create":
      return {
        ...keysOf(keys),
        result,
        target: 1,
        targetUnion: { $case: "createRevision", value: BigInt(operand.number) },
      };
    case "mod":
      return {
        ...keysOf(keys),
        result,
        target: 2,
        targetUnion: { $case: "modRevision", value: BigInt(operand.number) },
      };
    case "value":
      return { ...keysOf(keys), result, target: 3, targetUnion: { $case: "value", value: bytesOf(operand.value) } };
    case "lease":
      return { ...keysOf(keys), result, target: 4, targetUnion: { $case: "lease", value: operand.lease } };
  }
}

function wireOperation(step: TxnStep): RequestOp {
  switch (step.kind) {
    case "put":
      return { request: { $case: "requestPut", value: wirePut(step) } };
    case "delete":
      return {
        request: {
          $case: "requestDeleteRange",
          value: { ...keysOf(step.keys), prevKv: step.wantsPrevious ?? false },
        },
      };
    case "range":
      return { request: { $case: "requestRange", value: wireRange(step) } };
    case "txn":
      return { request: { $case: "requestTxn", value: wireTxn(step) } };
  }
}

function wireTxn(txn: Extract<TxnStep, { kind: "txn" }>): WireTxn {
  return {
    compare: txn.compares.map(wireCompare),
    success: txn.success.map(wireOperation),
    failure: txn.failure.map(wireOperation),
  };
}

/** A request that goes through the log, as the KV service hands it to the replica. */
export function toCommand(request: Extract<Request, { kind: "put" | "delete" | "txn" | "compact" }>): {
  readonly command: WireCommand;
  readonly bytes: Uint8Array;
} {
  switch (request.kind) {
    case "put": {
      const bytes = WirePut.encode(wirePut(request)).finish();
      return { command: decodePut(new WireReader(bytes)), bytes };
    }
    case "delete": {
      const wire = { ...keysOf(request.keys), prevKv: request.wantsPrevious ?? false };
      const bytes = DeleteRangeRequest.encode(wire).finish();
      return { command: decodeDeleteRange(new WireReader(bytes)), bytes };
    }
    case "txn": {
      const bytes = WireTxn.encode(wireTxn(request)).finish();
      return { command: decodeTxn(new WireReader(bytes)), bytes };
    }
    case "compact": {
      const bytes = CompactionRequest.encode({ revision: BigInt(request.revision), physical: false }).finish();
      return { command: decodeCompaction(new WireReader(bytes)), bytes };
    }
  }
}

/** A range, as the KV service reads it. */
export function toRange(request: RangeRequest): RangeOperation {
  return decodeRange(new WireReader(WireRange.encode(wireRange(request)).finish()));
}

/** A key with its value as the checker has it. */
export function toKeyValue(bytes: Uint8Array): KeyValue {
  const { key, value, ...rest } = decodeKeyValue(bytes);
  return { key, value: Buffer.from(value).toString("latin1"), ...rest };
}

export function fromRange(result: ServerRange): Extract<Result, { kind: "range" }> {
  const { revision, keyValues, count, hasMore } = result;
  return { kind: "range", revision, keyValues: keyValues.map(toKeyValue), count, hasMore };
}

function fromOperation(result: OperationResult): TxnStepResult {
  switch (result.kind) {
    case "put":
      return {
        kind: "put",
        revision: result.revision,
        previous: result.previous === undefined ? undefined : toKeyValue(result.previous),
      };
    case "delete-range":
      return {
        kind: "delete",
        revision: result.revision,
        deleted: result.deleted,
        previous: result.previous.map(toKeyValue),
      };
    case "range":
      return fromRange(result);
    case "txn":
      return {
        kind: "txn",
        revision: result.revision,
        succeeded: result.succeeded,
        results: result.results.map(fromOperation),
      };
  }
}

const refusals: readonly string[] = [
  "key-not-found",
  "lease-not-found",
  "lease-exists",
  "compacted",
  "future-revision",
] satisfies Refusal[];

/** Undefined for a refusal that is none of the store's own. */
export function fromRefusal(error: StateError): Result | undefined {
  return refusals.includes(error.code) ? { kind: "refused", reason: error.code as Refusal } : undefined;
}

/** What a command came to, or undefined if the checker has no word for it. */
export function fromResult(result: CommandResult): Result | undefined {
  switch (result.kind) {
    case "put":
    case "delete-range":
    case "txn":
      return fromOperation(result);
    case "compact":
    case "lease-grant":
    case "lease-revoke":
      return { kind: result.kind, revision: result.revision };
    case "refused":
      return fromRefusal(result.error);
    default:
      return undefined;
  }
}
