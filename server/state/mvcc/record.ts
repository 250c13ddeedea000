// Layout of the rows that hold versions and events. Every row carries a checksum over its key and its bytes: LMDB
// notices neither a flipped bit nor a page that came back old or from elsewhere, and a wrong answer must not leave.
//
//   version row (tables current, history):  mod 6, sub 4, create 6, version 6, lease 8, crc 4 (over the user's key, and
//                                           in history the superseding revision, which the table's key ends with)
//   event row (table events):               kind 1, previous main 6, previous sub 4, KeyValue in wire form, crc 4 (over
//                                           the table's key and all before; least significant byte first, so that a
//                                           row is checked in one go, as it lies)
import { type ByteString, byteStringFrom, uint48ToByteString } from "../../lib/byte-string.ts";
import { crc32, crc32OfByteString, crc32Residue } from "../../lib/crc32.ts";
import { readUint32, readUint48 } from "../../lib/wire-get.ts";
import { putUint32, putUint48 } from "../../lib/wire-put.ts";
import type { RowSpace, RowSpan } from "../../storage/backend.ts";
import { CorruptRecordError } from "../errors.ts";
import { type KeyValue, keyValueLength, putKeyValue } from "./key-value.ts";
import type { Revision } from "./revision.ts";

/** What is known of a version without reading its value. */
export interface KeyVersion {
  readonly key: ByteString;
  readonly modRevision: number;
  /** Position of the change inside its transaction; with modRevision the key of its event. */
  readonly sub: number;
  readonly createRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

/** Bytes of every version row. */
export const versionRowBytes = 34;
const versionRowCrcAt = 30;

/**
 * Writes a version row where there is room for it.
 * @param supersededAt Revision until which the version was valid, for history; 0 for the current one.
 */
export function putVersionRow({ bytes, at }: RowSpace, version: KeyVersion, supersededAt = 0): void {
  putUint48(bytes, at, version.modRevision);
  putUint32(bytes, at + 6, version.sub);
  putUint48(bytes, at + 10, version.createRevision);
  putUint48(bytes, at + 16, version.version);
  if (version.lease === 0n) {
    putUint32(bytes, at + 22, 0);
    putUint32(bytes, at + 26, 0);
  } else bytes.writeBigInt64BE(version.lease, at + 22);
  putUint32(bytes, at + versionRowCrcAt, versionChecksum(version.key, supersededAt, bytes, at));
}

function versionChecksum(key: ByteString, supersededAt: number, bytes: Buffer, at: number): number {
  const ofKey = crc32OfByteString(key);
  const seed = supersededAt === 0 ? ofKey : crc32OfByteString(uint48ToByteString(supersededAt), ofKey);
  return crc32(bytes, at, at + versionRowCrcAt, seed);
}

/** @throws CorruptRecordError when the row is not what was written for `key`. */
export function decodeVersionRow(key: ByteString, row: Uint8Array, supersededAt = 0): KeyVersion {
  return decodeVersionAt(key, { bytes: asBuffer(row), at: 0, length: row.length }, supersededAt);
}

/** The same for a row that lies among others. */
export function decodeVersionAt(key: ByteString, { bytes, at, length }: RowSpan, supersededAt = 0): KeyVersion {
  if (
    length !== versionRowBytes ||
    readUint32(bytes, at + versionRowCrcAt) !== versionChecksum(key, supersededAt, bytes, at)
  ) {
    throw new CorruptRecordError(supersededAt === 0 ? "current" : "history", key);
  }
  const hasLease = readUint32(bytes, at + 22) !== 0 || readUint32(bytes, at + 26) !== 0;
  return {
    key,
    modRevision: readUint48(bytes, at),
    sub: readUint32(bytes, at + 6),
    createRevision: readUint48(bytes, at + 10),
    version: readUint48(bytes, at + 16),
    lease: hasLease ? bytes.readBigInt64BE(at + 22) : 0n,
  };
}

export type EventKind = "put" | "delete";

/** One change as the `events` table keeps it. */
export interface StoredEvent {
  readonly kind: EventKind;
  /** The version that this change superseded; undefined when it created the key. */
  readonly previous: Revision | undefined;
  /** mvccpb.KeyValue in wire form. A view of the row. */
  readonly keyValue: Uint8Array;
}

const eventHeaderBytes = 11;
const eventCrcBytes = 4;
const putByte = 1;
const deleteByte = 2;

/** Bytes of the event row that holds `keyValue`. */
export function eventRowLength(keyValue: KeyValue): number {
  return eventHeaderBytes + keyValueLength(keyValue) + eventCrcBytes;
}

/**
 * Writes an event row where there is room for it.
 * @param eventKey The row's key, which the checksum covers.
 */
export function putEventRow(
  { bytes, at }: RowSpace,
  eventKey: ByteString,
  kind: EventKind,
  previous: Revision | undefined,
  keyValue: KeyValue,
): void {
  bytes[at] = kind === "put" ? putByte : deleteByte;
  // Main 0 never holds a change, so it can say that there is no previous version.
  putUint48(bytes, at + 1, previous === undefined ? 0 : previous.main);
  putUint32(bytes, at + 7, previous === undefined ? 0 : previous.sub);
  const end = putKeyValue(bytes, at + eventHeaderBytes, keyValue);
  const checksum = crc32(bytes, at, end, crc32OfByteString(eventKey));
  bytes[end] = checksum;
  bytes[end + 1] = checksum >>> 8;
  bytes[end + 2] = checksum >>> 16;
  bytes[end + 3] = checksum >>> 24;
}

/** The version or tombstone inside an event row that is known to be good. A view. */
export function keyValueOfEventRow(row: Uint8Array, start = 0, end = row.length): Uint8Array {
  return row.subarray(start + eventHeaderBytes, end - eventCrcBytes);
}

/** @throws CorruptRecordError when the row is not what was written under `eventKey`. */
export function decodeEventRow(eventKey: ByteString, bytes: Uint8Array): StoredEvent {
  checkEventRow(eventKey, bytes);
  const row = asBuffer(bytes);
  const previousMain = row.readUIntBE(1, 6);
  return {
    kind: row[0] === putByte ? "put" : "delete",
    previous: previousMain === 0 ? undefined : { main: previousMain, sub: row.readUInt32BE(7) },
    keyValue: keyValueOfEventRow(row),
  };
}

/** The same for readers that want nothing but the KeyValue. */
export function keyValueInEventRow(eventKey: ByteString, row: Uint8Array): Uint8Array {
  checkEventRow(eventKey, row);
  return keyValueOfEventRow(row);
}

function checkEventRow(eventKey: ByteString, row: Uint8Array): void {
  const isGood =
    row.length >= eventHeaderBytes + eventCrcBytes &&
    crc32(row, 0, row.length, crc32OfByteString(eventKey)) === crc32Residue;
  if (!isGood) throw new CorruptRecordError("events", eventKey);
}

/** The key inside a KeyValue in wire form, which is its first field. */
export function keyOfKeyValue(keyValue: Uint8Array): ByteString {
  let at = 1;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = keyValue[at++] as number;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return byteStringFrom(keyValue, at, at + length);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
