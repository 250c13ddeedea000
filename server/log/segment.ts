// One file of the log: a header in its own sector, then frames, then zeros up to where the next frame goes. Files are
// filled with zeros before use, since syncing into allocated space is half as slow as growing a file, and since a full
// disk then shows itself when a segment is made, not when an entry is acknowledged.
import { crc32 } from "../lib/crc32.ts";
import type { Disk, DiskFile } from "../lib/disk.ts";
import type { EntryId } from "../raft/types.ts";

/** Where frames begin. */
export const segmentDataStart = 512;

const magic = Buffer.from("QUORATE LOG 1\n\0\0", "latin1");
const headerBytes = 46;
const headerCrcAt = 42;
const zeroChunk = Buffer.alloc(1024 * 1024);

export interface SegmentHeader {
  /** 1, 2, 3, ... without a gap between the files of one log. */
  readonly sequence: number;
  /** The entry before the first one here, whichever file that is in. */
  readonly previous: EntryId;
  /** Checksum of the last frame of the file before; 0 for none. */
  readonly previousChecksum: number;
  /** Any number that nobody outside knows; the headers of the file's frames are checked with it. */
  readonly salt: number;
}

export function segmentName(sequence: number): string {
  return `${String(sequence).padStart(12, "0")}.log`;
}

export function isSegmentName(name: string): boolean {
  return /^\d{12}\.log$/.test(name);
}

/** The first sector of a segment. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentDataStart);
  magic.copy(bytes);
  bytes.writeUIntLE(header.sequence, 16, 6);
  bytes.writeUIntLE(header.previous.index, 22, 6);
  bytes.writeUIntLE(header.previous.term, 28, 6);
  bytes.writeUInt32LE(header.previousChecksum, 34);
  bytes.writeUInt32LE(header.salt, 38);
  bytes.writeUInt32LE(crc32(bytes, 0, headerCrcAt), headerCrcAt);
  return bytes;
}

/** Undefined when these are not the bytes of a header. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < headerBytes || bytes.compare(magic, 0, magic.length, 0, magic.length) !== 0) return undefined;
  if (bytes.readUInt32LE(headerCrcAt) !== crc32(bytes, 0, headerCrcAt)) return undefined;
  return {
    sequence: bytes.readUIntLE(16, 6),
    previous: { index: bytes.readUIntLE(22, 6), term: bytes.readUIntLE(28, 6) },
    previousChecksum: bytes.readUInt32LE(34),
    salt: bytes.readUInt32LE(38),
  };
}

/** Makes a file of zeros, durable as such. Leaves nothing behind when it fails. */
export async function createZeroedFile(disk: Disk, path: string, sizeBytes: number): Promise<DiskFile> {
  disk.remove(path);
  const file = disk.open(path, "create");
  try {
    for (let at = 0; at < sizeBytes; at += zeroChunk.length) {
      await file.write(zeroChunk.subarray(0, Math.min(zeroChunk.length, sizeBytes - at)), at);
    }
    await file.sync();
    return file;
  } catch (error) {
    await file.close();
    disk.remove(path);
    throw error;
  }
}
