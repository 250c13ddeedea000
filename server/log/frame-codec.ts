// The unit of the log on disk. A frame holds everything that one sync made durable, and the next frame is written only
// after that sync. So a damaged frame that no valid one follows is a write that power loss tore and nobody was told
// of; a damaged frame with a valid one behind it was durable once and is damaged now.
//
//   frame   := header 24, payload, zeros up to 8 bytes
//   header  := magic 4, payload length 4, checksum of the frame before 4, checksum 4, mask 1, 0 3, checksum of these 20
//              bytes 4
//   payload := records, every byte xor mask
//   record  := kind 1, body
//     1 entry       entry kind 1, index 6, term 6, data length 4, data
//     2 hard state  term 6, vote 8 (0 for none), commit 6
//     3 reset       index 6, term 6, membership (length 4, JSON)   the log begins anew after this place
//
// The frame's checksum covers its payload and starts from the checksum of the frame before: frames form a chain, and
// one that is old, misplaced or from another file does not fit into it. The header's starts from the file's salt: no
// value that a client stored can pass for a frame.
//
// Files are zeros before they are written, and disks write sectors whole, so what a loss of power cuts out of a write is
// sectors of zeros. The mask is chosen such that no sector of a written frame is zeros, nor would be with one bit
// flipped: a frame with such a gap was never complete, and one that is wrong without a gap was.
import { assert } from "../lib/assert.ts";
import { crc32 } from "../lib/crc32.ts";
import type { Entry, EntryKind, HardState, SnapshotMeta } from "../raft/types.ts";

export const frameHeaderBytes = 24;
const frameMagic = 0x51_46_52_4d; // "QFRM"
const maskAt = 16;
const headerChecksumAt = 20;
const masksMax = 256;
const frameAlignmentBytes = 8;
const sectorBytes = 512;

const entryHeaderBytes = 18;
const hardStateBytes = 21;

const entryKinds: readonly EntryKind[] = ["normal", "conf-change", "no-op"];

export type LogRecord =
  | { readonly kind: "entry"; readonly entry: Entry }
  | { readonly kind: "hard-state"; readonly hardState: HardState }
  | { readonly kind: "reset"; readonly snapshot: SnapshotMeta };

/** Collects records into one frame. Used again for frame after frame. */
export class FrameEncoder {
  #bytes: Buffer;
  #length = frameHeaderBytes;

  constructor(sizeHintBytes: number) {
    this.#bytes = Buffer.alloc(sizeHintBytes);
  }

  get isEmpty(): boolean {
    return this.#length === frameHeaderBytes;
  }

  /** Bytes of the frame so far, header included. */
  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = frameHeaderBytes;
  }

  addEntry(entry: Entry): void {
    const { data } = entry;
    const at = this.#reserve(entryHeaderBytes + data.length);
    const bytes = this.#bytes;
    bytes[at] = 1;
    bytes[at + 1] = entryKinds.indexOf(entry.kind);
    bytes.writeUIntLE(entry.index, at + 2, 6);
    bytes.writeUIntLE(entry.term, at + 8, 6);
    bytes.writeUInt32LE(data.length, at + 14);
    bytes.set(data, at + entryHeaderBytes);
  }

  addHardState(hardState: HardState): void {
    const at = this.#reserve(hardStateBytes);
    this.#bytes[at] = 2;
    this.#bytes.writeUIntLE(hardState.term, at + 1, 6);
    this.#bytes.writeBigUInt64LE(hardState.vote ?? 0n, at + 7);
    this.#bytes.writeUIntLE(hardState.commit, at + 15, 6);
  }

  addReset(snapshot: SnapshotMeta): void {
    const confState = Buffer.from(JSON.stringify(snapshot.confState, (_, value) => encodeBigint(value)));
    const at = this.#reserve(17 + confState.length);
    this.#bytes[at] = 3;
    this.#bytes.writeUIntLE(snapshot.index, at + 1, 6);
    this.#bytes.writeUIntLE(snapshot.term, at + 7, 6);
    this.#bytes.writeUInt32LE(confState.length, at + 13);
    this.#bytes.set(confState, at + 17);
  }

  /**
   * The frame, ready to be written at `offset` of a file with that `salt`. A view that the next use of the encoder
   * overwrites. To be called once.
   */
  finish(place: { readonly previousChecksum: number; readonly offset: number; readonly salt: number }): {
    readonly bytes: Buffer;
    readonly checksum: number;
  } {
    const padded = Math.ceil(this.#length / frameAlignmentBytes) * frameAlignmentBytes;
    if (padded > this.#bytes.length) this.#grow(padded);
    this.#bytes.fill(0, this.#length, padded);
    let mask = 0;
    let checksum = this.#seal(mask, place);
    // Values of 256 sectors that are all of one byte each, and each of another, leave no mask. Then the first one does.
    while (hasGap(this.#bytes, 0, this.#length, place.offset, 1)) {
      const next = (mask + 1) % masksMax;
      applyMask(this.#bytes, frameHeaderBytes, this.#length, mask ^ next);
      mask = next;
      checksum = this.#seal(mask, place);
      if (mask === 0) break;
    }
    return { bytes: this.#bytes.subarray(0, padded), checksum };
  }

  #seal(mask: number, place: { readonly previousChecksum: number; readonly salt: number }): number {
    const { previousChecksum, salt } = place;
    const bytes = this.#bytes;
    const checksum = crc32(bytes, frameHeaderBytes, this.#length, previousChecksum);
    bytes.writeUInt32LE(frameMagic, 0);
    bytes.writeUInt32LE(this.#length - frameHeaderBytes, 4);
    bytes.writeUInt32LE(previousChecksum, 8);
    bytes.writeUInt32LE(checksum, 12);
    bytes.writeUInt32LE(mask, maskAt);
    bytes.writeUInt32LE(crc32(bytes, 0, headerChecksumAt, salt), headerChecksumAt);
    return checksum;
  }

  #reserve(count: number): number {
    const at = this.#length;
    if (at + count > this.#bytes.length) this.#grow(at + count);
    this.#length = at + count;
    return at;
  }

  #grow(needed: number): void {
    const grown = Buffer.alloc(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

export type FrameAt =
  | {
      readonly kind: "valid";
      /** Bytes on disk, padding included. */
      readonly length: number;
      readonly payloadStart: number;
      readonly payloadEnd: number;
      readonly mask: number;
      readonly previousChecksum: number;
      readonly checksum: number;
    }
  /** Nothing but zeros where a header would be. */
  | { readonly kind: "blank" }
  /** What a loss of power may leave of a write: a part of it is missing. `end` is where it would end, if that is known. */
  | { readonly kind: "torn"; readonly end: number | undefined }
  /** Nothing is missing, and yet it is not what was written. */
  | { readonly kind: "damaged" };

/**
 * Looks at what stands at `at` in `bytes`, which are those of a file from `fileOffset` on. A valid frame is whole;
 * whether it fits the chain is the caller's to say.
 */
export function frameAt(bytes: Buffer, at: number, salt: number, fileOffset = 0): FrameAt {
  const headerEnd = Math.min(at + frameHeaderBytes, bytes.length);
  if (isZero(bytes, at, headerEnd)) return { kind: "blank" };
  if (headerEnd < at + frameHeaderBytes) return { kind: "torn", end: undefined };
  const isHeaderValid =
    bytes.readUInt32LE(at) === frameMagic &&
    bytes.readUInt32LE(at + headerChecksumAt) === crc32(bytes, at, at + headerChecksumAt, salt);
  if (!isHeaderValid) {
    return hasGap(bytes, at, headerEnd, fileOffset, 0) ? { kind: "torn", end: undefined } : { kind: "damaged" };
  }
  const payloadStart = headerEnd;
  const payloadEnd = payloadStart + bytes.readUInt32LE(at + 4);
  const length = Math.ceil((payloadEnd - at) / frameAlignmentBytes) * frameAlignmentBytes;
  const torn = { kind: "torn", end: at + length } as const;
  if (payloadEnd > bytes.length) return torn;
  const previousChecksum = bytes.readUInt32LE(at + 8);
  const checksum = bytes.readUInt32LE(at + 12);
  if (checksum !== crc32(bytes, payloadStart, payloadEnd, previousChecksum)) {
    return hasGap(bytes, at, payloadEnd, fileOffset, 0) ? torn : { kind: "damaged" };
  }
  const mask = bytes[at + maskAt] as number;
  return { kind: "valid", length, payloadStart, payloadEnd, mask, previousChecksum, checksum };
}

/** The records of a valid frame, as they were before they were masked. A view of `bytes` where that can be. */
export function payloadOf(bytes: Buffer, frame: Extract<FrameAt, { kind: "valid" }>): Buffer {
  const { payloadStart, payloadEnd, mask } = frame;
  const payload = bytes.subarray(payloadStart, payloadEnd);
  if (mask === 0) return payload;
  const plain = Buffer.from(payload);
  applyMask(plain, 0, plain.length, mask);
  return plain;
}

function applyMask(bytes: Buffer, start: number, end: number, mask: number): void {
  for (let at = start; at < end; at++) bytes[at] = (bytes[at] as number) ^ mask;
}

/**
 * Whether a sector of the file, as far as it lies in [start, end), has at most `bitsMax` bits set.
 * @param fileOffset Where byte 0 of `bytes` is in the file.
 */
function hasGap(bytes: Buffer, start: number, end: number, fileOffset: number, bitsMax: number): boolean {
  for (let from = start; from < end; ) {
    const to = Math.min(end, from + sectorBytes - ((fileOffset + from) % sectorBytes));
    if (hasFewBits(bytes, from, to, bitsMax)) return true;
    from = to;
  }
  return false;
}

function hasFewBits(bytes: Buffer, start: number, end: number, bitsMax: number): boolean {
  let bits = 0;
  for (let at = start; at < end; at++) {
    for (let rest = bytes[at] as number; rest !== 0; rest &= rest - 1) bits++;
    if (bits > bitsMax) return false;
  }
  return true;
}

const zeros = Buffer.alloc(64 * 1024);

/** Whether all bytes in [start, end) are zero. */
export function isZero(bytes: Buffer, start: number, end: number): boolean {
  for (let from = start; from < end; from += zeros.length) {
    const to = Math.min(end, from + zeros.length);
    if (bytes.compare(zeros, 0, to - from, from, to) !== 0) return false;
  }
  return true;
}

/** Records of a valid frame's payload. Entry data are views of it. */
export function* decodeRecords(bytes: Buffer): IterableIterator<LogRecord> {
  const end = bytes.length;
  let at = 0;
  while (at < end) {
    const kind = bytes[at];
    if (kind === 1) {
      const dataStart = at + entryHeaderBytes;
      const dataEnd = dataStart + bytes.readUInt32LE(at + 14);
      const entryKind = entryKinds[bytes[at + 1] as number];
      assert(entryKind !== undefined && dataEnd <= end, () => `malformed entry record at byte ${at} of a valid frame`);
      const entry = {
        term: bytes.readUIntLE(at + 8, 6),
        index: bytes.readUIntLE(at + 2, 6),
        kind: entryKind,
        data: bytes.subarray(dataStart, dataEnd),
      };
      yield { kind: "entry", entry };
      at = dataEnd;
    } else if (kind === 2) {
      const vote = bytes.readBigUInt64LE(at + 7);
      const term = bytes.readUIntLE(at + 1, 6);
      const commit = bytes.readUIntLE(at + 15, 6);
      yield { kind: "hard-state", hardState: { term, vote: vote === 0n ? undefined : vote, commit } };
      at += hardStateBytes;
    } else {
      assert(kind === 3, () => `unknown record kind ${kind} at byte ${at} of a valid frame`);
      const textEnd = at + 17 + bytes.readUInt32LE(at + 13);
      const confState = JSON.parse(bytes.toString("utf8", at + 17, textEnd), (_, value) => decodeBigint(value));
      const snapshot = { index: bytes.readUIntLE(at + 1, 6), term: bytes.readUIntLE(at + 7, 6), confState };
      yield { kind: "reset", snapshot };
      at = textEnd;
    }
  }
}

function encodeBigint(value: unknown): unknown {
  return typeof value === "bigint" ? `0x${value.toString(16)}` : value;
}

function decodeBigint(value: unknown): unknown {
  return typeof value === "string" && value.startsWith("0x") ? BigInt(value) : value;
}
