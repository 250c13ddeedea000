// Requests of the KV service from their wire form to commands, by hand: they are the hot path. Field numbers are
// etcd's (proto/etcd/etcdserverpb/rpc.proto). As protobuf has it, unknown fields are passed over and the last of a
// repeated single field wins.
import { type ByteString, byteStringFrom } from "../lib/byte-string.ts";
import { WireError, type WireReader } from "../lib/wire-reader.ts";
import {
  type Command,
  type Compare,
  type CompareOperand,
  compareResults,
  type DeleteRangeOperation,
  type Operation,
  type PutOperation,
  type RangeOperation,
  sortOrders,
  sortTargets,
  type TxnOperation,
} from "./command.ts";
import { keyRangeOf } from "./key-range.ts";

// A nested txn takes at least a few bytes a level, so a request could nest half a million deep and exhaust the stack.
const txnDepthMax = 128;

const noBytes = new Uint8Array(0);

export function decodePut(reader: WireReader): PutOperation {
  let key: ByteString = "";
  let value: Uint8Array = noBytes;
  let lease = 0n;
  let wantsPrevious = false;
  let ignoresValue = false;
  let ignoresLease = false;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 10) key = readByteString(reader);
    else if (tag === 18) value = reader.readBytes();
    else if (tag === 24) lease = reader.readInt64AsBigint();
    else if (tag === 32) wantsPrevious = reader.readBool();
    else if (tag === 40) ignoresValue = reader.readBool();
    else if (tag === 48) ignoresLease = reader.readBool();
    else reader.skip(tag);
  }
  return { kind: "put", key, value, lease, wantsPrevious, ignoresValue, ignoresLease };
}

export function decodeDeleteRange(reader: WireReader): DeleteRangeOperation {
  let key: ByteString = "";
  let rangeEnd: ByteString = "";
  let wantsPrevious = false;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 10) key = readByteString(reader);
    else if (tag === 18) rangeEnd = readByteString(reader);
    else if (tag === 24) wantsPrevious = reader.readBool();
    else reader.skip(tag);
  }
  return { kind: "delete-range", range: keyRangeOf(key, rangeEnd), wantsPrevious };
}

export function decodeRange(reader: WireReader): RangeOperation {
  let key: ByteString = "";
  let rangeEnd: ByteString = "";
  let limit = 0;
  let revision = 0;
  let sortOrder = 0;
  let sortTarget = 0;
  let isSerializable = false;
  let isKeysOnly = false;
  let isCountOnly = false;
  let minModRevision = 0;
  let maxModRevision = 0;
  let minCreateRevision = 0;
  let maxCreateRevision = 0;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 10) key = readByteString(reader);
    else if (tag === 18) rangeEnd = readByteString(reader);
    else if (tag === 24) limit = reader.readInt64();
    else if (tag === 32) revision = reader.readInt64();
    else if (tag === 40) sortOrder = reader.readEnum();
    else if (tag === 48) sortTarget = reader.readEnum();
    else if (tag === 56) isSerializable = reader.readBool();
    else if (tag === 64) isKeysOnly = reader.readBool();
    else if (tag === 72) isCountOnly = reader.readBool();
    else if (tag === 80) minModRevision = reader.readInt64();
    else if (tag === 88) maxModRevision = reader.readInt64();
    else if (tag === 96) minCreateRevision = reader.readInt64();
    else if (tag === 104) maxCreateRevision = reader.readInt64();
    else reader.skip(tag);
  }
  return {
    kind: "range",
    range: keyRangeOf(key, rangeEnd),
    limit,
    revision,
    sortOrder: sortOrders[sortOrder] ?? "unknown",
    sortTarget: sortTargets[sortTarget] ?? "unknown",
    isSerializable,
    isKeysOnly,
    isCountOnly,
    minModRevision,
    maxModRevision,
    minCreateRevision,
    maxCreateRevision,
  };
}

export function decodeTxn(reader: WireReader, depth = 0): TxnOperation {
  if (depth > txnDepthMax) throw new WireError(`a txn nested more than ${txnDepthMax} levels deep`);
  let compares = none as readonly Compare[];
  let success = none as readonly Operation[];
  let failure = none as readonly Operation[];
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag !== 10 && tag !== 18 && tag !== 26) {
      reader.skip(tag);
      continue;
    }
    const outerEnd = reader.enter();
    if (tag === 10) compares = withOneMore(compares, decodeCompare(reader));
    else if (tag === 18) success = withOneMore(success, decodeOperation(reader, depth));
    else failure = withOneMore(failure, decodeOperation(reader, depth));
    reader.leave(outerEnd);
  }
  return { kind: "txn", compares, success, failure };
}

const none: readonly never[] = [];

/** Most lists have one member: a list of one is made for it, not one with room for more. */
function withOneMore<T>(list: readonly T[], member: T): readonly T[] {
  if (list.length === 0) return [member];
  (list as T[]).push(member);
  return list;
}

const emptyOperation: Operation = { kind: "empty" };

function decodeOperation(reader: WireReader, depth: number): Operation {
  let operation = emptyOperation;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag !== 10 && tag !== 18 && tag !== 26 && tag !== 34) {
      reader.skip(tag);
      continue;
    }
    const outerEnd = reader.enter();
    if (tag === 10) operation = decodeRange(reader);
    else if (tag === 18) operation = decodePut(reader);
    else if (tag === 26) operation = decodeDeleteRange(reader);
    else operation = decodeTxn(reader, depth + 1);
    reader.leave(outerEnd);
  }
  return operation;
}

const compareTargets = ["version", "create", "mod", "value", "lease"] as const;

function decodeCompare(reader: WireReader): Compare {
  let result = 0;
  let target = 0;
  let key: ByteString = "";
  let rangeEnd: ByteString = "";
  // The wire has a union of five; an operand given for another target than the one named counts as zero or empty.
  let version = 0;
  let create = 0;
  let mod = 0;
  let value: Uint8Array = noBytes;
  let lease = 0n;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 8) result = reader.readEnum();
    else if (tag === 16) target = reader.readEnum();
    else if (tag === 26) key = readByteString(reader);
    else if (tag === 32) version = reader.readInt64();
    else if (tag === 40) create = reader.readInt64();
    else if (tag === 48) mod = reader.readInt64();
    else if (tag === 58) value = reader.readBytes();
    else if (tag === 64) lease = reader.readInt64AsBigint();
    else if (tag === 514) rangeEnd = readByteString(reader);
    else reader.skip(tag);
  }
  const name = compareTargets[target];
  let operand: CompareOperand;
  if (name === undefined) operand = { target: "unknown" };
  else if (name === "value") operand = { target: name, value };
  else if (name === "lease") operand = { target: name, lease };
  else operand = { target: name, number: name === "version" ? version : name === "create" ? create : mod };
  return { range: keyRangeOf(key, rangeEnd), result: compareResults[result] ?? "unknown", operand };
}

export function decodeCompaction(reader: WireReader): Extract<Command, { kind: "compact" }> {
  let revision = 0;
  let isPhysical = false;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 8) revision = reader.readInt64();
    else if (tag === 16) isPhysical = reader.readBool();
    else reader.skip(tag);
  }
  return { kind: "compact", revision, isPhysical };
}

function readByteString(reader: WireReader): ByteString {
  const length = reader.readLength();
  const start = reader.position;
  reader.position += length;
  return byteStringFrom(reader.bytes, start, reader.position);
}
