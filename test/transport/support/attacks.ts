// Clients that mean harm, as endless sources of bytes: each is a known attack on HTTP/2 servers, or on gRPC's framing.
import { gzipSync } from "node:zlib";
import { errorCode, frameFlag, frameType, settingId } from "../../../server/transport/http2-constants.ts";
import {
  dataFrame,
  frame,
  grpcHeaders,
  grpcMessage,
  headersFrame,
  hpackBlock,
  hpackInteger,
  hpackLiteral,
  settings,
  uint32,
} from "./wire.ts";

const { endHeaders, endStream, ack } = frameFlag;
const reset = (id: number): Buffer => frame(frameType.rstStream, 0, id, uint32(errorCode.cancel));
const windowUpdate = (id: number, increment: number): Buffer => frame(frameType.windowUpdate, 0, id, uint32(increment));

/** The bytes of one more round, the `round`th. */
export type Attack = (round: number) => Buffer;

/** A request to the server that is attacked. */
export interface Ask {
  readonly path: string;
  readonly message: Buffer;
}

/** What the server has that attacks can abuse. */
export interface Victim {
  /** A unary call that is answered soon. */
  readonly quick: Ask;
  /** A call that goes on until it is given up. */
  readonly hanging: Ask;
  /** A unary call with an answer of a megabyte. */
  readonly large: Ask;
  /** A call with answers without end, or nearly so. */
  readonly endless: Ask;
  /** A call that takes as many requests as there are. */
  readonly collecting: Ask;
  /** A call that is answered without being read. */
  readonly unread: string;
}

export interface Attacks {
  /** Each of these is stopped by the limit on nuisances: GOAWAY ENHANCE_YOUR_CALM. */
  readonly nuisances: { readonly [name: string]: Attack };
  /** These are stopped by another limit, at once or nearly so, with this code of GOAWAY. */
  readonly stoppedAtOnce: { readonly [name: string]: readonly [Attack, number] };
  /** These are allowed to go on, within bounds: each request is answered or refused, and nothing grows. */
  readonly bounded: { readonly [name: string]: Attack };
}

/** Stream id of a round. */
const idOf = (round: number): number => 1 + 2 * round;

const call = (id: number, { path, message }: Ask, endsStream = true): Buffer =>
  Buffer.concat([headersFrame(id, grpcHeaders(path), false), dataFrame(id, message, endsStream)]);

const bomb = grpcMessage(gzipSync(Buffer.alloc(30_000_000)), 1);

export function attacksOn(victim: Victim): Attacks {
  return { nuisances: nuisancesFor(victim), stoppedAtOnce: stoppedAtOnceFor(victim), bounded: boundedFor(victim) };
}

const nuisancesFor = ({ quick, hanging, unread }: Victim): Attacks["nuisances"] => ({
  "rapid reset": (round) => Buffer.concat([call(idOf(round), hanging), reset(idOf(round))]),
  "rapid reset before the request is complete": (round) =>
    Buffer.concat([headersFrame(idOf(round), grpcHeaders(quick.path), false), reset(idOf(round))]),
  "made you reset: WINDOW_UPDATE of 0": (round) =>
    Buffer.concat([call(idOf(round), hanging), windowUpdate(idOf(round), 0)]),
  "made you reset: window above 2^31-1": (round) =>
    Buffer.concat([call(idOf(round), hanging), windowUpdate(idOf(round), 0x7fff_ffff)]),
  "made you reset: DATA after the end": (round) =>
    Buffer.concat([call(idOf(round), hanging), dataFrame(idOf(round), Buffer.alloc(0), true)]),
  "made you reset: HEADERS after the end": (round) =>
    Buffer.concat([call(idOf(round), hanging), headersFrame(idOf(round), [["x", "y"]], true)]),
  "made you reset: HEADERS in the middle": (round) =>
    Buffer.concat([
      headersFrame(idOf(round), grpcHeaders(quick.path), false),
      headersFrame(idOf(round), [["x", "y"]], false),
    ]),
  "malformed requests": (round) => headersFrame(idOf(round), [[":method", "POST"]], true),
  "requests that are too large to read": (round) =>
    headersFrame(idOf(round), [...grpcHeaders(quick.path), ["x", "y".repeat(8_000)], ["z", "y".repeat(8_000)]], true),
  "SETTINGS flood": () => settings([settingId.initialWindowSize, 65_535]),
  "empty SETTINGS flood": () => settings(),
  "SETTINGS acknowledgement flood": () => frame(frameType.settings, ack, 0),
  "window changes over many streams": (round) =>
    round < 500
      ? call(idOf(round), hanging)
      : settings([settingId.initialWindowSize, 65_535 + (round % 2)], [settingId.headerTableSize, round % 3]),
  "WINDOW_UPDATE flood on the connection": () => windowUpdate(0, 1),
  "WINDOW_UPDATE flood on a stream": (round) => (round === 0 ? call(1, hanging) : windowUpdate(1, 1)),
  "empty DATA flood": (round) =>
    round === 0 ? headersFrame(1, grpcHeaders(quick.path), false) : dataFrame(1, Buffer.alloc(0), false),
  "padding flood": (round) =>
    round === 0
      ? headersFrame(1, grpcHeaders(quick.path), false)
      : frame(frameType.data, frameFlag.padded, 1, Buffer.from([3, 0, 0, 0])),
  "PRIORITY flood": () => frame(frameType.priority, 0, 7, Buffer.from([0, 0, 0, 1, 1])),
  "PING acknowledgement flood": () => frame(frameType.ping, ack, 0, Buffer.alloc(8)),
  "GOAWAY flood": () => frame(frameType.goaway, 0, 0, Buffer.alloc(8)),
  "unknown frame flood": () => frame(0x77, 0, 0, Buffer.alloc(1)),
  "RST_STREAM flood on closed streams": (round) => (round === 0 ? call(1, quick) : reset(1)),
  "DATA flood on a closed stream": (round) =>
    round === 0 ? Buffer.concat([call(1, hanging), reset(1)]) : dataFrame(1, quick.message, false),
  "DATA flood on a stream that we ended": (round) =>
    round === 0 ? headersFrame(1, grpcHeaders(unread), false) : dataFrame(1, quick.message, false),
  "trailers flood on streams that we ended": (round) => {
    const headers = grpcHeaders(unread);
    return Buffer.concat([headersFrame(idOf(round), headers, false), headersFrame(idOf(round), [["x", "y"]], true)]);
  },
});

const stoppedAtOnceFor = ({ quick }: Victim): Attacks["stoppedAtOnce"] => ({
  "PING flood": [() => frame(frameType.ping, 0, 0, Buffer.alloc(8)), errorCode.enhanceYourCalm],
  "CONTINUATION flood of nothing": [
    (round) =>
      round === 0
        ? frame(frameType.headers, 0, 1, hpackBlock(grpcHeaders(quick.path)))
        : frame(frameType.continuation, 0, 1),
    errorCode.enhanceYourCalm,
  ],
  "CONTINUATION flood of fields": [
    (round) => {
      const fields = hpackLiteral("x", "y".repeat(16_000));
      return frame(round === 0 ? frameType.headers : frameType.continuation, 0, 1, fields);
    },
    errorCode.enhanceYourCalm,
  ],
  "table size above the limit": [
    () => frame(frameType.headers, endHeaders | endStream, 1, Buffer.concat([hpackInteger(0x20, 5, 1 << 30)])),
    errorCode.compressionError,
  ],
});

const boundedFor = ({ quick, large, endless, collecting }: Victim): Attacks["bounded"] => ({
  "HPACK bomb": (round) => {
    const entry = round === 0 ? hpackLiteral("x-bomb", "b".repeat(3_900), "incremental") : Buffer.alloc(0);
    const references = Buffer.alloc(16_000 - entry.length, 0x80 | 62);
    return frame(frameType.headers, endHeaders | endStream, idOf(round), Buffer.concat([entry, references]));
  },
  "table size up and down with every request": (round) => {
    const sizes = Buffer.concat([hpackInteger(0x20, 5, 0), hpackInteger(0x20, 5, 4096)]);
    const fields = Array.from({ length: 40 }, (_, i) => hpackLiteral(`x-${round}-${i}`, "v".repeat(50), "incremental"));
    const block = Buffer.concat([sizes, hpackBlock(grpcHeaders(quick.path)), ...fields]);
    return Buffer.concat([
      frame(frameType.headers, endHeaders, idOf(round), block),
      dataFrame(idOf(round), quick.message, true),
    ]);
  },
  "messages that announce much and bring little": (round) =>
    call(idOf(round), { path: quick.path, message: Buffer.from([0, 0, 0x1f, 0xff, 0xff, 1, 2, 3]) }, false),
  "empty messages that nobody reads": (round) => {
    const many = Buffer.concat(Array.from({ length: 3_000 }, () => grpcMessage(Buffer.alloc(0))));
    const message = Buffer.concat([collecting.message, many]);
    return call(idOf(round), { path: collecting.path, message }, false);
  },
  "small messages that grow on decompression": (round) => {
    const headers = [...grpcHeaders(quick.path), ["grpc-encoding", "gzip"]] as const;
    const pieces = [bomb.subarray(0, 16_000), bomb.subarray(16_000)];
    return Buffer.concat([
      headersFrame(idOf(round), headers, false),
      ...pieces.map((piece, i) => dataFrame(idOf(round), piece, i === pieces.length - 1)),
    ]);
  },
  "requests whose answers nobody takes": (round) => {
    const start = round === 0 ? settings([settingId.initialWindowSize, 0]) : Buffer.alloc(0);
    return Buffer.concat([start, call(idOf(round), large)]);
  },
  "streams of answers that nobody takes": (round) => {
    const start = round === 0 ? settings([settingId.initialWindowSize, 0]) : Buffer.alloc(0);
    return Buffer.concat([start, call(idOf(round), endless)]);
  },
});
