// Rows that say all they have to say with their key. Their value is a checksum of it, so that a flipped bit does not make
// one such fact into another.
import type { ByteString } from "../lib/byte-string.ts";
import { crc32OfByteString } from "../lib/crc32.ts";
import type { TableName } from "../storage/tables.ts";
import { CorruptRecordError } from "./errors.ts";

export function encodeKeyRow(key: ByteString): Uint8Array {
  const row = Buffer.allocUnsafe(4);
  row.writeUInt32BE(crc32OfByteString(key));
  return row;
}

/** @throws CorruptRecordError when this is not the row that was written under `key`. */
export function checkKeyRow(table: TableName, key: ByteString, bytes: Uint8Array): void {
  const row = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (row.length !== 4 || row.readUInt32BE() !== crc32OfByteString(key)) throw new CorruptRecordError(table, key);
}
