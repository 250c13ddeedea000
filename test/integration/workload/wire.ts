// From the words of histories to etcd's messages and back.
import {
  CompactionRequest,
  type CompactionResponse,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  type PutResponse,
  type RangeResponse,
  type RequestOp,
  type ResponseHeader,
  type TxnResponse,
  Compare as WireCompare,
  PutRequest as WirePutRequest,
  RangeRequest as WireRangeRequest,
  TxnRequest as WireTxnRequest,
} from "../../../proto/gen/etcdserverpb/rpc.ts";
import { type Event, Event_EventType, type KeyValue as WireKeyValue } from "../../../proto/gen/mvccpb/kv.ts";
import type {
  Compare,
  Keys,
  KeyValue,
  Request,
  Result,
  TxnStep,
  TxnStepResult,
} from "../../linearizability/operation.ts";
import type { WatchedChange } from "../../linearizability/watch-check.ts";

/** A request as the wire has it, with the name of its method: "KV/Put". */
export interface WireRequest {
  readonly method:
    | "KV/Put"
    | "KV/Range"
    | "KV/DeleteRange"
    | "KV/Txn"
    | "KV/Compact"
    | "Lease/LeaseGrant"
    | "Lease/LeaseRevoke";
  readonly message: object;
}

const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");
const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");

/** Where a range ends, as the wire says it. */
function rangeOf(keys: Keys): { readonly key: Uint8Array; readonly rangeEnd: Uint8Array } {
  if (keys.kind === "key") return { key: bytesOf(keys.key), rangeEnd: new Uint8Array(0) };
  return { key: bytesOf(keys.from), rangeEnd: keys.to === undefined ? Uint8Array.of(0) : bytesOf(keys.to) };
}

export function toWire(request: Request): WireRequest {
  switch (request.kind) {
    case "lease-grant": {
      const message = LeaseGrantRequest.fromPartial({ ID: request.id, TTL: BigInt(request.ttlSeconds) });
      return { method: "Lease/LeaseGrant", message };
    }
    case "lease-revoke":
      return { method: "Lease/LeaseRevoke", message: LeaseRevokeRequest.fromPartial({ ID: request.id }) };
    case "lease-expiry":
      throw new Error("nobody asks for an expiry");
    case "compact":
      return { method: "KV/Compact", message: CompactionRequest.fromPartial({ revision: BigInt(request.revision) }) };
    default:
      return toWireStep(request);
  }
}

function toWireStep(step: TxnStep): WireRequest & { readonly op: RequestOp } {
  switch (step.kind) {
    case "put": {
      const { key, value, lease, wantsPrevious = false } = step;
      const fields = { key: bytesOf(key), value: bytesOf(value), lease, prevKv: wantsPrevious };
      const message = WirePutRequest.fromPartial(fields);
      return { method: "KV/Put", message, op: { request: { $case: "requestPut", value: message } } };
    }
    case "delete": {
      const message = DeleteRangeRequest.fromPartial({ ...rangeOf(step.keys), prevKv: step.wantsPrevious ?? false });
      return { method: "KV/DeleteRange", message, op: { request: { $case: "requestDeleteRange", value: message } } };
    }
    case "range": {
      const { keys, revision = 0, limit = 0, isSerializable: serializable = false } = step;
      const fields = { ...rangeOf(keys), revision: BigInt(revision), limit: BigInt(limit), serializable };
      const message = WireRangeRequest.fromPartial(fields);
      return { method: "KV/Range", message, op: { request: { $case: "requestRange", value: message } } };
    }
    case "txn": {
      const message = WireTxnRequest.fromPartial({
        compare: step.compares.map(toWireCompare),
        success: step.success.map((inner) => toWireStep(inner).op),
        failure: step.failure.map((inner) => toWireStep(inner).op),
      });
      return { method: "KV/Txn", message, op: { request: { $case: "requestTxn", value: message } } };
    }
  }
}

const compareResults = { equal: 0, greater: 1, less: 2, "not-equal": 3 } as const;
const compareTargets = { version: 0, create: 1, mod: 2, value: 3, lease: 4 } as const;

function toWireCompare({ keys, result, operand }: Compare): WireCompare {
  const range = rangeOf(keys);
  const base = { ...range, result: compareResults[result], target: compareTargets[operand.target] };
  switch (operand.target) {
    case "value":
      return WireCompare.fromPartial({ ...base, targetUnion: { $case: "value", value: bytesOf(operand.value) } });
    case "lease":
      return WireCompare.fromPartial({ ...base, targetUnion: { $case: "lease", value: operand.lease } });
    case "version":
      return WireCompare.fromPartial({ ...base, targetUnion: { $case: "version", value: BigInt(operand.number) } });
    default: {
      const $case = operand.target === "create" ? "createRevision" : "modRevision";
      return WireCompare.fromPartial({ ...base, targetUnion: { $case, value: BigInt(operand.number) } as never });
    }
  }
}

/** What came back, in the words of histories. */
export function fromWire(request: Request, response: object): Result {
  switch (request.kind) {
    case "lease-grant":
    case "lease-revoke":
    case "compact":
      return { kind: request.kind, revision: revisionOf((response as CompactionResponse).header) };
    case "lease-expiry":
      throw new Error("nobody is told of an expiry");
    default:
      return fromWireStep(request, response);
  }
}

function fromWireStep(step: TxnStep, response: object): TxnStepResult {
  switch (step.kind) {
    case "put": {
      const { header, prevKv } = response as PutResponse;
      return { kind: "put", revision: revisionOf(header), previous: prevKv && toKeyValue(prevKv) };
    }
    case "delete": {
      const { header, deleted, prevKvs } = response as DeleteRangeResponse;
      const previous = prevKvs.map(toKeyValue);
      return { kind: "delete", revision: revisionOf(header), deleted: Number(deleted), previous };
    }
    case "range": {
      const { header, kvs, count, more } = response as RangeResponse;
      const keyValues = kvs.map(toKeyValue);
      return { kind: "range", revision: revisionOf(header), keyValues, count: Number(count), hasMore: more };
    }
    case "txn": {
      const { header, succeeded, responses } = response as TxnResponse;
      const steps = succeeded ? step.success : step.failure;
      const results = responses.map((inner, at) => fromWireStep(steps[at] as TxnStep, inner.response?.value as object));
      return { kind: "txn", revision: revisionOf(header), succeeded, results };
    }
  }
}

/** 0 is what is said inside a txn, where the txn's own header tells. */
function revisionOf(header: ResponseHeader | undefined): number | undefined {
  const revision = Number(header?.revision ?? 0n);
  return revision === 0 ? undefined : revision;
}

export function toKeyValue(wire: WireKeyValue): KeyValue {
  return {
    key: textOf(wire.key),
    value: textOf(wire.value),
    createRevision: Number(wire.createRevision),
    modRevision: Number(wire.modRevision),
    version: Number(wire.version),
    lease: wire.lease,
  };
}

export function toWatchedChange({ type, kv, prevKv }: Event): WatchedChange {
  const kind = type === Event_EventType.DELETE ? "delete" : "put";
  return { kind, keyValue: toKeyValue(kv as WireKeyValue), previous: prevKv && toKeyValue(prevKv) };
}
