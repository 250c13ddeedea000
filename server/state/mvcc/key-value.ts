// A key's version as clients get it: mvccpb.KeyValue in wire form. It is stored that way, so that a range copies bytes
// from the store into its answer and nothing is decoded. Fields are written in ascending order and zeros left out,
// the canonical form, so equal versions have equal bytes on every member.
import { type ByteString, byteStringFrom, writeByteString } from "../../lib/byte-string.ts";
import { putBytes, putVarint, putVarint64, varint64Length, varintLength } from "../../lib/wire-put.ts";
import { WireReader } from "../../lib/wire-reader.ts";

export interface KeyValue {
  readonly key: ByteString;
  /** 0 in the event of a delete. */
  readonly createRevision: number;
  readonly modRevision: number;
  /** 1 for the first put of a key's life; 0 in the event of a delete. */
  readonly version: number;
  readonly value: Uint8Array;
  /** 0n for none. */
  readonly lease: bigint;
}

/** Bytes of the wire form. */
export function keyValueLength({ key, value, createRevision, modRevision, version, lease }: KeyValue): number {
  let length = 1 + varintLength(key.length) + key.length;
  if (createRevision !== 0) length += 1 + varintLength(createRevision);
  if (modRevision !== 0) length += 1 + varintLength(modRevision);
  if (version !== 0) length += 1 + varintLength(version);
  if (value.length > 0) length += 1 + varintLength(value.length) + value.length;
  if (lease !== 0n) length += 1 + varint64Length(lease);
  return length;
}

/** Writes the wire form at `at`, where there is room for it, and returns where it ends. */
export function putKeyValue(target: Uint8Array, at: number, keyValue: KeyValue): number {
  const { key, value, createRevision, modRevision, version, lease } = keyValue;
  let end = at;
  target[end++] = 0x0a;
  end = writeByteString(target, key, putVarint(target, end, key.length));
  if (createRevision !== 0) {
    target[end++] = 0x10;
    end = putVarint(target, end, createRevision);
  }
  if (modRevision !== 0) {
    target[end++] = 0x18;
    end = putVarint(target, end, modRevision);
  }
  if (version !== 0) {
    target[end++] = 0x20;
    end = putVarint(target, end, version);
  }
  if (value.length > 0) {
    target[end++] = 0x2a;
    end = putBytes(target, putVarint(target, end, value.length), value);
  }
  if (lease !== 0n) {
    target[end++] = 0x30;
    end = putVarint64(target, end, lease);
  }
  return end;
}

export function encodeKeyValue(keyValue: KeyValue): Buffer {
  const bytes = Buffer.allocUnsafe(keyValueLength(keyValue));
  putKeyValue(bytes, 0, keyValue);
  return bytes;
}

const noValue = new Uint8Array(0);

/** What the event of a delete carries: the key and when it went. */
export function deletedKeyValue(key: ByteString, modRevision: number): KeyValue {
  return { key, createRevision: 0, modRevision, version: 0, value: noValue, lease: 0n };
}

export function decodeKeyValue(bytes: Uint8Array): KeyValue {
  const reader = new WireReader(bytes);
  let key: ByteString = "";
  let createRevision = 0;
  let modRevision = 0;
  let version = 0;
  let value: Uint8Array = noValue;
  let lease = 0n;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 10) key = byteStringFrom(reader.readBytes());
    else if (tag === 16) createRevision = reader.readInt64();
    else if (tag === 24) modRevision = reader.readInt64();
    else if (tag === 32) version = reader.readInt64();
    else if (tag === 42) value = reader.readBytes();
    else if (tag === 48) lease = reader.readInt64AsBigint();
    else reader.skip(tag);
  }
  return { key, createRevision, modRevision, version, value, lease };
}
