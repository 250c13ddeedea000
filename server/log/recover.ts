// Reads the log's files after a start, clean or not, and decides what they hold.
//
// The last frame of the last file may be a write that power loss cut short: it was never acknowledged and goes. Every
// other damage is reported and left as it is; an entry that was acknowledged is never cut away to make a start
// possible.
import { join } from "node:path";
import type { Disk, DiskFile } from "../lib/disk.ts";
import type { EntryId, HardState } from "../raft/types.ts";
import { decodeRecords, type FrameAt, frameAt, isZero, payloadOf } from "./frame-codec.ts";
import { LogError } from "./log-error.ts";
import { LogIndex } from "./log-index.ts";
import { mutated } from "./mutations.ts";
import { decodeSegmentHeader, isSegmentName, type SegmentHeader, segmentDataStart } from "./segment.ts";

export interface OpenSegment {
  readonly header: SegmentHeader;
  readonly path: string;
  readonly file: DiskFile;
}

export interface RecoveredLog {
  readonly index: LogIndex;
  /** Oldest first; the last one is written to. Empty for a new log. */
  readonly segments: readonly OpenSegment[];
  /** Where the next frame goes in the last segment. */
  readonly endOffset: number;
  /** Checksum of the last frame. */
  readonly lastChecksum: number;
  /** Bytes of a torn write that were found behind it, and must be zeroed before the next frame is written. */
  readonly tornBytes: number;
}

/**
 * @param bootstrap What a log without files starts from.
 * @throws LogError `corrupt`
 */
export function recoverLog(
  disk: Disk,
  folder: string,
  bootstrap: { readonly base: EntryId; readonly hardState: HardState },
): RecoveredLog {
  const segments: OpenSegment[] = [];
  for (const name of disk.list(folder)) {
    if (!isSegmentName(name)) continue;
    const path = join(folder, name);
    const file = disk.open(path, "existing");
    const header = decodeSegmentHeader(file.read(0, segmentDataStart));
    if (header === undefined) throw new LogError("corrupt", `${path}: damaged header`);
    segments.push({ header, path, file });
  }
  const first = segments[0];
  const index = new LogIndex(first?.header.previous ?? bootstrap.base);
  // Every frame has a hard state, so files without one are those of a log that was never written to.
  index.setHardState(bootstrap.hardState);
  let state = { index, endOffset: segmentDataStart, lastChecksum: first?.header.previousChecksum ?? 0, tornBytes: 0 };
  for (const [position, segment] of segments.entries()) {
    checkSuccession(segment, segments[position - 1], state.lastChecksum);
    state = readSegment(segment, index, state.lastChecksum, position === segments.length - 1);
  }
  return { ...state, segments };
}

function checkSuccession(segment: OpenSegment, before: OpenSegment | undefined, lastChecksum: number): void {
  if (before === undefined) return;
  const isNext = segment.header.sequence === before.header.sequence + 1;
  if (isNext && segment.header.previousChecksum === lastChecksum) return;
  throw new LogError("corrupt", `${segment.path}: does not follow ${before.path}; a file or the end of one is missing`);
}

function readSegment(
  segment: OpenSegment,
  index: LogIndex,
  previousChecksum: number,
  isLast: boolean,
): { index: LogIndex; endOffset: number; lastChecksum: number; tornBytes: number } {
  const { path, file, header } = segment;
  const bytes = file.read(0, file.sizeBytes());
  let offset = segmentDataStart;
  let checksum = previousChecksum;
  for (;;) {
    const frame = frameAt(bytes, offset, header.salt);
    if (frame.kind !== "valid") {
      const tornBytes = checkTail(segment, bytes, offset, frame, isLast);
      return { index, endOffset: offset, lastChecksum: checksum, tornBytes };
    }
    if (frame.previousChecksum !== checksum) {
      throw new LogError("corrupt", `${path}: the frame at byte ${offset} does not follow the one before it`);
    }
    let firstIndex = 0;
    for (const record of decodeRecords(payloadOf(bytes, frame))) {
      index.addRecord(record);
      if (record.kind === "reset") firstIndex = 0;
      if (record.kind === "entry")
        firstIndex = firstIndex === 0 ? record.entry.index : Math.min(firstIndex, record.entry.index);
    }
    if (firstIndex > 0) {
      const { sequence } = header;
      const { lastIndex } = index;
      index.addFrame({ sequence, offset, length: frame.length, previousChecksum: checksum, firstIndex, lastIndex });
    }
    checksum = frame.checksum;
    offset += frame.length;
  }
}

/** What stands where no valid frame does. Returns how many bytes of a torn write are to be zeroed. */
function checkTail(segment: OpenSegment, bytes: Buffer, offset: number, frame: FrameAt, isLast: boolean): number {
  const { path, header } = segment;
  const isBlank = isZero(bytes, offset, bytes.length);
  if (isBlank) return 0;
  // Nothing was written behind a frame before it was durable.
  const isFollowed = frame.kind === "torn" && frame.end !== undefined && !isZero(bytes, frame.end, bytes.length);
  if (mutated("log/damage-taken-for-torn") && isLast) return bytes.length - offset;
  if (frame.kind === "damaged" || !isLast || isFollowed || mutated("log/torn-tail-refused")) {
    throw new LogError("corrupt", `${path}: damaged at byte ${offset}; entries there were durable and cannot be read`);
  }
  for (let at = offset + 8; at < bytes.length; at += 8) {
    if (bytes[at] !== 0 && frameAt(bytes, at, header.salt).kind === "valid") {
      throw new LogError(
        "corrupt",
        `${path}: damaged at byte ${offset}, with a whole frame behind it at byte ${at}; entries were durable and cannot be read`,
      );
    }
  }
  return bytes.length - offset;
}
