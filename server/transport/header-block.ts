// From HEADERS and CONTINUATION frames to header lists: puts the pieces of a block together within limits, decodes each
// block exactly once, and remembers the latest request head, since most calls of a client repeat it byte for byte.
import { HpackDecoder } from "./hpack-decoder.ts";
import { errorCode } from "./http2-constants.ts";
import { ConnectionError } from "./http2-error.ts";
import type { TransportLimits } from "./limits.ts";
import { RequestHead, trailerProblem } from "./request-head.ts";

/** What a request's header block came to: a head, "too-large" (answer 431), or why it is malformed. */
export type HeaderBlockResult = RequestHead | "too-large" | { readonly problem: string };

/** Heads with longer blocks are rare and not worth remembering. */
const rememberedBytesMax = 512;

export class HeaderBlockReader {
  readonly #decoder: HpackDecoder;
  readonly #blockBytesMax: number;
  readonly #continuationFramesMax: number;
  /** The block that CONTINUATION frames are still to complete. */
  #open: { readonly streamId: number; readonly pieces: Buffer[]; sizeBytes: number; frames: number } | undefined;
  #remembered: Buffer | undefined;
  #rememberedHead: RequestHead | undefined;

  constructor(limits: TransportLimits) {
    this.#decoder = new HpackDecoder(limits.headerListBytesMax);
    this.#blockBytesMax = limits.headerBlockBytesMax;
    this.#continuationFramesMax = limits.continuationFramesMax;
  }

  /** The stream whose header block is incomplete, 0 where there is none: only its CONTINUATION may come next. */
  get openStreamId(): number {
    return this.#open?.streamId ?? 0;
  }

  /** Starts a block whose HEADERS frame did not end it. */
  begin(streamId: number, bytes: Buffer, start: number, end: number): void {
    this.#open = { streamId, pieces: [], sizeBytes: 0, frames: -1 };
    this.continue(bytes, start, end);
  }

  /** Adds a piece. Throws {@link ConnectionError} ENHANCE_YOUR_CALM at the limits. */
  continue(bytes: Buffer, start: number, end: number): void {
    const open = this.#open!;
    open.frames += 1;
    open.sizeBytes += end - start;
    if (open.sizeBytes > this.#blockBytesMax || open.frames > this.#continuationFramesMax) {
      throw new ConnectionError(errorCode.enhanceYourCalm, "header block too large");
    }
    // A copy: the reads that the pieces lie in need not be kept alive.
    open.pieces.push(Buffer.from(bytes.subarray(start, end)));
  }

  /** Ends the block that CONTINUATION completed and returns all of it. */
  complete(): Buffer {
    const block = Buffer.concat(this.#open!.pieces);
    this.#open = undefined;
    return block;
  }

  /** Decodes a request's block. Throws {@link ConnectionError} COMPRESSION_ERROR. */
  readRequest(block: Buffer, start: number, end: number): HeaderBlockResult {
    const length = end - start;
    const remembered = this.#remembered;
    if (remembered !== undefined && remembered.length === length && isSame(remembered, block, start)) {
      return this.#rememberedHead!;
    }
    const { fields, isTooLarge, changedTable } = this.#decoder.decode(block, start, end);
    // Whatever was remembered may name entries that are elsewhere in the table now.
    if (changedTable) this.#remembered = undefined;
    if (isTooLarge) return "too-large";
    const head = RequestHead.from(fields);
    if (typeof head === "string") return { problem: head };
    if (!changedTable && length <= rememberedBytesMax) {
      this.#remembered = Buffer.from(block.subarray(start, end));
      this.#rememberedHead = head;
    }
    return head;
  }

  /** Decodes a block that is not a request's: trailers, or one for a stream that is refused. Returns a problem, if any. */
  readTrailers(block: Buffer, start: number, end: number): string | undefined {
    const { fields, isTooLarge, changedTable } = this.#decoder.decode(block, start, end);
    if (changedTable) this.#remembered = undefined;
    return isTooLarge ? "trailers too large" : trailerProblem(fields);
  }
}

function isSame(remembered: Buffer, block: Buffer, start: number): boolean {
  for (let i = 0; i < remembered.length; i++) {
    if (remembered[i] !== block[start + i]) return false;
  }
  return true;
}
