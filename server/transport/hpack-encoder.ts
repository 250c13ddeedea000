// Header blocks of responses (HPACK, RFC 7541). Every gRPC response repeats the same two fields, so these two go into
// the client's dynamic table once per connection and are one octet each from then on; everything else is sent as plain
// literals. Blocks must be written in the order in which the client will read them, and are: straight into the output.

import { putFrameHeader } from "./frame-writer.ts";
import { headerFieldOverheadBytes } from "./header-field.ts";
import { dynamicIndexFirst, staticNameIndex } from "./hpack-static-table.ts";
import {
  frameBytesDefault,
  frameFlag,
  frameHeaderBytes,
  frameType,
  headerTableBytesDefault,
} from "./http2-constants.ts";
import type { OutputBuffer } from "./output-buffer.ts";

/** Fields of a response beside `:status`: lower-case names, values of one octet per UTF-16 unit. */
export type ResponseFields = readonly (readonly [name: string, value: string])[];

const grpcContentType = ["content-type", "application/grpc"] as const;
const grpcStatusOk = ["grpc-status", "0"] as const;
const sizeOf = ([name, value]: readonly [string, string]): number =>
  name.length + value.length + headerFieldOverheadBytes;
/** A client's table must have this much room for the two fields to stay in it. */
const tableBytesWanted = sizeOf(grpcContentType) + sizeOf(grpcStatusOk);

const statusIndex = new Map([
  [200, 8],
  [204, 9],
  [206, 10],
  [304, 11],
  [400, 12],
  [404, 13],
  [500, 14],
]);

/** Room for a block made of the two fields, `:status` and pending size updates. */
const smallBlockBytesMax = 64;

export class HpackEncoder {
  readonly #output: OutputBuffer;
  #isTableUsable = true;
  /** How many fields were inserted, and after how many insertions each of ours was; undefined where it was not yet. */
  #insertions = 0;
  #contentTypeAt: number | undefined;
  #statusOkAt: number | undefined;
  /** The limit that the client's table is under now, and the updates that the next block has to begin with. */
  #tableBytes = headerTableBytesDefault;
  #sizeUpdates: number[] = [];
  #at = 0;

  constructor(output: OutputBuffer) {
    this.#output = output;
  }

  /**
   * Follows the client's SETTINGS_HEADER_TABLE_SIZE. A larger table than the default is not made use of; a smaller one
   * must be acknowledged in the next block (RFC 7541 section 4.2), and ends our use of it if our fields would not fit.
   */
  onTableSize(sizeBytes: number): void {
    const chosen = Math.min(sizeBytes, headerTableBytesDefault);
    if (chosen === this.#tableBytes) return;
    // Only the smallest and the final size matter to the other end.
    if (this.#sizeUpdates.length > 0 && Math.min(...this.#sizeUpdates) >= chosen) this.#sizeUpdates = [];
    this.#sizeUpdates = [...this.#sizeUpdates.slice(0, 1), chosen];
    this.#tableBytes = chosen;
    if (chosen < tableBytesWanted) this.#isTableUsable = false;
  }

  /** HEADERS that open a gRPC response. */
  writeGrpcHeaders(streamId: number): void {
    const start = this.#begin(smallBlockBytesMax);
    this.#put(0x88);
    this.#contentTypeAt = this.#putKept(grpcContentType, this.#contentTypeAt);
    this.#finish(start, streamId, false);
  }

  /** HEADERS that end a gRPC response with status OK and nothing else. */
  writeGrpcOk(streamId: number): void {
    const start = this.#begin(smallBlockBytesMax);
    this.#statusOkAt = this.#putKept(grpcStatusOk, this.#statusOkAt);
    this.#finish(start, streamId, true);
  }

  /** HEADERS with any fields; `status` undefined for trailers. Adds CONTINUATION frames where one frame is too small. */
  write(streamId: number, status: number | undefined, fields: ResponseFields, endsStream: boolean): void {
    let sizeBytes = smallBlockBytesMax;
    // A literal costs its two strings and at most 1 + 6 + 6 octets of lengths.
    for (const [name, value] of fields) sizeBytes += name.length + value.length + 13;
    const start = this.#begin(sizeBytes);
    if (status !== undefined) this.#putStatus(status);
    for (const field of fields) {
      if (field[0] === grpcContentType[0] && field[1] === grpcContentType[1]) {
        this.#contentTypeAt = this.#putKept(grpcContentType, this.#contentTypeAt);
      } else this.#putLiteral(field, 0x00, 4);
    }
    if (this.#at - start - frameHeaderBytes <= frameBytesDefault) this.#finish(start, streamId, endsStream);
    else this.#finishLong(start, streamId, endsStream);
  }

  #begin(blockBytesMax: number): number {
    const start = this.#output.reserve(frameHeaderBytes + blockBytesMax);
    this.#at = start + frameHeaderBytes;
    if (this.#sizeUpdates.length > 0) {
      for (const sizeBytes of this.#sizeUpdates) this.#putInteger(0x20, 5, sizeBytes);
      this.#sizeUpdates = [];
    }
    return start;
  }

  #finish(start: number, streamId: number, endsStream: boolean): void {
    const flags = frameFlag.endHeaders | (endsStream ? frameFlag.endStream : 0);
    const length = this.#at - start - frameHeaderBytes;
    putFrameHeader(this.#output.bytes, start, length, frameType.headers, flags, streamId);
    this.#output.endAt(this.#at);
  }

  /** Cuts a block that is too long for one frame. */
  #finishLong(start: number, streamId: number, endsStream: boolean): void {
    const block = Buffer.from(this.#output.bytes.subarray(start + frameHeaderBytes, this.#at));
    this.#output.endAt(start);
    for (let from = 0; from < block.length; from += frameBytesDefault) {
      const piece = block.subarray(from, from + frameBytesDefault);
      const isLast = from + piece.length === block.length;
      const type = from === 0 ? frameType.headers : frameType.continuation;
      const flags = (isLast ? frameFlag.endHeaders : 0) | (from === 0 && endsStream ? frameFlag.endStream : 0);
      const at = this.#output.reserve(frameHeaderBytes + piece.length);
      putFrameHeader(this.#output.bytes, at, piece.length, type, flags, streamId);
      this.#output.bytes.set(piece, at + frameHeaderBytes);
    }
  }

  #put(byte: number): void {
    this.#output.bytes[this.#at++] = byte;
  }

  #putStatus(status: number): void {
    const index = statusIndex.get(status);
    if (index !== undefined) this.#put(0x80 | index);
    else this.#putLiteral([":status", String(status)], 0x00, 4);
  }

  /** One of the two fields: as an index once it is in the client's table, else as a literal that puts it there. */
  #putKept(field: readonly [string, string], insertedAt: number | undefined): number | undefined {
    if (!this.#isTableUsable) {
      this.#putLiteral(field, 0x00, 4);
      return undefined;
    }
    if (insertedAt !== undefined) {
      this.#put(0x80 | (dynamicIndexFirst + this.#insertions - insertedAt));
      return insertedAt;
    }
    this.#putLiteral(field, 0x40, 6);
    this.#insertions += 1;
    return this.#insertions;
  }

  #putLiteral([name, value]: readonly [string, string], pattern: number, prefixBits: number): void {
    const nameIndex = staticNameIndex.get(name) ?? 0;
    this.#putInteger(pattern, prefixBits, nameIndex);
    if (nameIndex === 0) this.#putString(name);
    this.#putString(value);
  }

  #putString(text: string): void {
    this.#putInteger(0x00, 7, text.length);
    this.#at += this.#output.bytes.write(text, this.#at, "latin1");
  }

  #putInteger(pattern: number, prefixBits: number, value: number): void {
    const mask = (1 << prefixBits) - 1;
    if (value < mask) {
      this.#put(pattern | value);
      return;
    }
    this.#put(pattern | mask);
    let rest = value - mask;
    while (rest >= 0x80) {
      this.#put((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.#put(rest);
  }
}
