// How far the state is, in one row, and the membership in another. They are written with the rows they speak of, in one
// flush: an index that ran ahead of its data would make a restart skip commands on one member only.
//
//   applied index 6, applied term 6, current revision 6, compact revision + 1 6, swept revision 6, crc 4
import { crc32 } from "../lib/crc32.ts";
import type { Backend, TableChange } from "../storage/backend.ts";
import { CorruptRecordError } from "./errors.ts";
import { mutated } from "./mutations.ts";
import { initialMvccPosition, type MvccPosition } from "./mvcc/mvcc-store.ts";
import { initialRevision } from "./mvcc/revision.ts";

export interface AppliedPosition {
  /** Index of the last log entry that was applied. 0 for none. */
  readonly appliedIndex: number;
  /** Term of that entry. */
  readonly appliedTerm: number;
  readonly mvcc: MvccPosition;
}

const positionKey = "position";
const rowBytes = 34;
const crcAt = 30;

export function readPosition(backend: Backend): AppliedPosition {
  const bytes = backend.get("meta", positionKey);
  if (bytes === undefined) return { appliedIndex: 0, appliedTerm: 0, mvcc: initialMvccPosition };
  const row = Buffer.from(bytes);
  if (row.length !== rowBytes || row.readUInt32BE(crcAt) !== crc32(row, 0, crcAt)) {
    throw new CorruptRecordError("meta", positionKey);
  }
  return {
    appliedIndex: row.readUIntBE(0, 6),
    appliedTerm: row.readUIntBE(6, 6),
    mvcc: {
      currentRevision: row.readUIntBE(12, 6),
      compactRevision: row.readUIntBE(18, 6) - 1,
      sweptRevision: row.readUIntBE(24, 6),
    },
  };
}

export function writePosition(backend: Backend, position: AppliedPosition): void {
  const row = Buffer.allocUnsafe(rowBytes);
  row.writeUIntBE(position.appliedIndex + (mutated("state/applied-index-ahead") ? 1 : 0), 0, 6);
  row.writeUIntBE(position.appliedTerm, 6, 6);
  const lag = mutated("state/revision-not-recorded") && position.mvcc.currentRevision > initialRevision ? 1 : 0;
  row.writeUIntBE(position.mvcc.currentRevision - lag, 12, 6);
  row.writeUIntBE(position.mvcc.compactRevision + 1, 18, 6);
  row.writeUIntBE(position.mvcc.sweptRevision, 24, 6);
  row.writeUInt32BE(crc32(row, 0, crcAt), crcAt);
  backend.set("meta", positionKey, row);
}

const configurationKey = "configuration";

/** Raft's membership, opaque here. */
export function readConfiguration(backend: Backend): Uint8Array | undefined {
  const bytes = backend.get("meta", configurationKey);
  if (bytes === undefined) return undefined;
  const row = Buffer.from(bytes);
  if (row.length < 4 || row.readUInt32BE(0) !== crc32(row, 4)) throw new CorruptRecordError("meta", configurationKey);
  return row.subarray(4);
}

export function writeConfiguration(backend: Backend, configuration: Uint8Array): void {
  const row = Buffer.allocUnsafe(4 + configuration.length);
  row.set(configuration, 4);
  row.writeUInt32BE(crc32(row, 4), 0);
  backend.set("meta", configurationKey, row);
}

const installedKey = "installed";

/** Names the snapshot that last replaced the state here: index 6, term 6, crc 4. */
export interface InstalledSnapshot {
  readonly index: number;
  readonly term: number;
}

/**
 * The row that goes in with a snapshot, as one change of the store. A crash between the state's replacement and the
 * log's is recognised by it: the state stands at a place that the log does not reach.
 */
export function installedSnapshotRow(installed: InstalledSnapshot): TableChange {
  const row = Buffer.allocUnsafe(16);
  row.writeUIntBE(installed.index, 0, 6);
  row.writeUIntBE(installed.term, 6, 6);
  row.writeUInt32BE(crc32(row, 0, 12), 12);
  return { table: "meta", key: installedKey, value: row };
}

export function readInstalledSnapshot(backend: Backend): InstalledSnapshot | undefined {
  const bytes = backend.get("meta", installedKey);
  if (bytes === undefined) return undefined;
  const row = Buffer.from(bytes);
  if (row.length !== 16 || row.readUInt32BE(12) !== crc32(row, 0, 12))
    throw new CorruptRecordError("meta", installedKey);
  return { index: row.readUIntBE(0, 6), term: row.readUIntBE(6, 6) };
}
