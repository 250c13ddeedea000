// HTTP/2 from the client's side, byte by byte, for tests that say what a well-behaved library would not. The encoder
// here is the naive one: literals only, Huffman on request.
import { huffmanCodes } from "../../../server/transport/hpack-huffman.ts";
import { clientPreface, frameFlag, frameType } from "../../../server/transport/http2-constants.ts";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export type Headers = readonly (readonly [name: string, value: string])[];

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function settings(...values: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(values.length * 6);
  for (const [i, [id, value]] of values.entries()) {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return frame(frameType.settings, 0, 0, payload);
}

/** Preface and empty SETTINGS: the shortest honest greeting. */
export const greeting = Buffer.concat([clientPreface, settings()]);

export function hpackInteger(pattern: number, prefixBits: number, value: number): Buffer {
  const mask = 2 ** prefixBits - 1;
  if (value < mask) return Buffer.from([pattern | value]);
  const bytes = [pattern | mask];
  let rest = value - mask;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

export function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([hpackInteger(0, 7, bytes.length), bytes]);
}

const codes = huffmanCodes();

export function huffmanEncode(bytes: Uint8Array): Buffer {
  let bits = "";
  for (const byte of bytes) {
    const { code, length } = codes[byte]!;
    bits += code.toString(2).padStart(length, "0");
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

/** How a literal is to be remembered by the decoder. */
export type Indexing = "incremental" | "none" | "never";

export function hpackLiteral(name: string, value: string, indexing: Indexing = "none"): Buffer {
  const pattern = { incremental: 0x40, none: 0x00, never: 0x10 }[indexing];
  return Buffer.concat([Buffer.from([pattern]), hpackString(name), hpackString(value)]);
}

export const hpackBlock = (headers: Headers, indexing: Indexing = "none"): Buffer =>
  Buffer.concat(headers.map(([name, value]) => hpackLiteral(name, value, indexing)));

/** The header list of a gRPC request. */
export function grpcHeaders(path: string, more: Headers = []): Headers {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "127.0.0.1"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ];
}

export function headersFrame(streamId: number, headers: Headers, endsStream: boolean): Buffer {
  const flags = frameFlag.endHeaders | (endsStream ? frameFlag.endStream : 0);
  return frame(frameType.headers, flags, streamId, hpackBlock(headers));
}

export const dataFrame = (streamId: number, payload: Uint8Array, endsStream: boolean): Buffer =>
  frame(frameType.data, endsStream ? frameFlag.endStream : 0, streamId, payload);

/** A gRPC message with its prefix. */
export const grpcMessage = (bytes: Uint8Array, flag = 0): Buffer =>
  Buffer.concat([Buffer.from([flag]), uint32(bytes.length), bytes]);

/** Cuts bytes into frames; what is left over is an incomplete frame. */
export function parseFrames(bytes: Buffer): { frames: Frame[]; rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 9) {
    const length = bytes.readUIntBE(at, 3);
    if (bytes.length - at < 9 + length) break;
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      streamId: bytes.readUInt32BE(at + 5) & 0x7fff_ffff,
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return { frames, rest: bytes.subarray(at) };
}
