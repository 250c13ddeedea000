// Writes HTTP/2 frames (RFC 9113 section 6) into a connection's output. Header blocks are hpack-encoder.ts's work, DATA
// is h2-stream.ts's.
import { putUint32 } from "../lib/wire-put.ts";
import { type ErrorCode, frameFlag, frameHeaderBytes, frameType } from "./http2-constants.ts";
import type { OutputBuffer } from "./output-buffer.ts";

/** Writes the nine bytes of a frame header at `at`. `length` is the payload's. */
export function putFrameHeader(
  bytes: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  putUint32(bytes, at + 5, streamId);
}

function reserveFrame(output: OutputBuffer, length: number, type: number, flags: number, streamId: number): number {
  const at = output.reserve(frameHeaderBytes + length);
  putFrameHeader(output.bytes, at, length, type, flags, streamId);
  return at + frameHeaderBytes;
}

export function writeSettings(output: OutputBuffer, settings: readonly (readonly [id: number, value: number])[]): void {
  let at = reserveFrame(output, settings.length * 6, frameType.settings, 0, 0);
  for (const [id, value] of settings) {
    output.bytes[at] = id >>> 8;
    output.bytes[at + 1] = id;
    putUint32(output.bytes, at + 2, value);
    at += 6;
  }
}

export function writeSettingsAck(output: OutputBuffer): void {
  reserveFrame(output, 0, frameType.settings, frameFlag.ack, 0);
}

/** `opaque` are the eight bytes that the other end sends back. */
export function writePing(output: OutputBuffer, opaque: Uint8Array, isAck: boolean): void {
  const at = reserveFrame(output, 8, frameType.ping, isAck ? frameFlag.ack : 0, 0);
  output.bytes.set(opaque, at);
}

/** `debugText` is for people who read a packet capture or a client's log; ASCII. */
export function writeGoaway(output: OutputBuffer, lastStreamId: number, code: ErrorCode, debugText: string): void {
  const at = reserveFrame(output, 8 + debugText.length, frameType.goaway, 0, 0);
  putUint32(output.bytes, at, lastStreamId);
  putUint32(output.bytes, at + 4, code);
  output.bytes.write(debugText, at + 8, "latin1");
}

export function writeRstStream(output: OutputBuffer, streamId: number, code: ErrorCode): void {
  const at = reserveFrame(output, 4, frameType.rstStream, 0, streamId);
  putUint32(output.bytes, at, code);
}

/** `streamId` zero is the connection's window. */
export function writeWindowUpdate(output: OutputBuffer, streamId: number, increment: number): void {
  const at = reserveFrame(output, 4, frameType.windowUpdate, 0, streamId);
  putUint32(output.bytes, at, increment);
}
