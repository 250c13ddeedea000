// What a fuzzed client does: frames that are right, nearly right or wrong, drawn from a seed. Knows the structure of the
// protocol so that most of what it sends gets past the first check.
import type { Random } from "../../../server/lib/random.ts";
import { frameFlag, frameType, settingId } from "../../../server/transport/http2-constants.ts";
import {
  frame,
  grpcMessage,
  type Headers,
  hpackBlock,
  hpackInteger,
  hpackLiteral,
  settings,
  uint32,
} from "../support/wire.ts";

/** What the client believes about its connection; also what the checker knows of the windows it has granted. */
export interface ClientView {
  /** How rarely it does what ends a connection: 1 for a wild client, more for a tame one. */
  readonly tameness: number;
  nextId: number;
  /** Streams it has opened, and whether it has said that it is done with each. */
  readonly open: Map<number, { ended: boolean }>;
  connectionWindow: number;
  initialWindow: number;
  readonly streamWindows: Map<number, number>;
}

export const createView = (tameness: number): ClientView => ({
  tameness,
  nextId: 1,
  open: new Map(),
  connectionWindow: 65_535,
  initialWindow: 65_535,
  streamWindows: new Map(),
});

export const pick = <T>(random: Random, items: readonly T[]): T => items[random.below(items.length)]!;

/** Something that ends the connection, or is likely to: once in `n` for a wild client. */
const fatally = (random: Random, view: ClientView, n: number): boolean => random.below(n * view.tameness) === 0;

const { endHeaders, endStream, padded, priority, ack } = frameFlag;

const methods = ["Sync", "Later", "Fail", "Pull", "Push", "Collect", "Chat", "Nothing"];

function headerList(random: Random): Headers {
  const list: [string, string][] = [
    [":method", random.below(20) === 0 ? "GET" : "POST"],
    [":scheme", "http"],
    [
      ":path",
      random.below(15) === 0 ? pick(random, ["/", "", "x", "/a/b/c", "*"]) : `/fuzz.Fuzz/${pick(random, methods)}`,
    ],
    [":authority", "a"],
    ["content-type", random.below(15) === 0 ? "text/plain" : "application/grpc"],
    ["te", random.below(30) === 0 ? "gzip" : "trailers"],
  ];
  if (random.below(4) === 0) {
    list.push(["grpc-timeout", pick(random, ["1m", "100m", "5S", "0n", "99999999H", "x", "-1S", "1000000000S"])]);
  }
  if (random.below(8) === 0) list.push(["grpc-encoding", pick(random, ["gzip", "identity", "snappy"])]);
  if (random.below(8) === 0) list.push(["x-bin", pick(random, ["AAEC", "!!", ""])]);
  if (random.below(10) === 0) list.push(["content-length", pick(random, ["0", "5", "100000", "x"])]);
  if (random.below(25) === 0)
    list.push(
      pick(random, [
        ["X", "y"],
        ["connection", "close"],
        [":late", "1"],
        ["a b", "c"],
        ["a", "b\n"],
      ]),
    );
  if (random.below(25) === 0) list.push(["x-large", "l".repeat(random.below(9_000))]);
  if (random.below(40) === 0) list.splice(random.below(4), 1);
  return list;
}

function headerBlock(random: Random, view: ClientView): Buffer {
  if (fatally(random, view, 40)) return Buffer.from(Array.from({ length: random.below(40) }, () => random.below(256)));
  const block = headerList(random).map(([name, value]) =>
    hpackLiteral(name, value, pick(random, ["none", "incremental", "incremental", "never"])),
  );
  if (random.below(6) === 0) block.push(hpackInteger(0x80, 7, 1 + random.below(fatally(random, view, 4) ? 80 : 61)));
  if (random.below(15) === 0) block.unshift(hpackInteger(0x20, 5, pick(random, [0, 100, 4096])));
  if (fatally(random, view, 60)) block.push(hpackInteger(0x20, 5, 4097));
  return Buffer.concat(block);
}

export function openStream(random: Random, view: ClientView): Buffer {
  const id = fatally(random, view, 40) ? random.below(60) : view.nextId;
  if (id === view.nextId) view.nextId += 2 * (1 + random.below(3));
  if (!view.streamWindows.has(id)) view.streamWindows.set(id, view.initialWindow);
  const ended = random.below(6) === 0;
  view.open.set(id, { ended });
  let block = headerBlock(random, view);
  let flags = ended ? endStream : 0;
  if (random.below(10) === 0) {
    flags |= priority;
    block = Buffer.concat([uint32(random.below(3) === 0 ? id : 0), Buffer.from([16]), block]);
  }
  if (random.below(10) === 0) {
    const pad = random.below(20);
    flags |= padded;
    block = Buffer.concat([Buffer.from([pad]), block, Buffer.alloc(pad)]);
  }
  if (random.below(8) !== 0) return frame(frameType.headers, flags | endHeaders, id, block);
  const cut = random.below(block.length + 1);
  const rest = block.subarray(cut);
  const pieces = random.below(3) === 0 ? [rest.subarray(0, 3), rest.subarray(3)] : [rest];
  return Buffer.concat([
    frame(frameType.headers, flags, id, block.subarray(0, cut)),
    ...pieces.map((piece, i) => {
      const last = i === pieces.length - 1 && !fatally(random, view, 20) ? endHeaders : 0;
      return frame(frameType.continuation, last, fatally(random, view, 30) ? id + 2 : id, piece);
    }),
  ]);
}

function body(random: Random): Buffer {
  const message = grpcMessage(
    Buffer.alloc(pick(random, [0, 1, 10, 100, 3_000]), 1),
    random.below(12) === 0 ? random.below(3) : 0,
  );
  switch (random.below(8)) {
    case 0:
      return message.subarray(0, random.below(message.length + 1));
    case 1:
      return Buffer.concat([message, message, message.subarray(0, 3)]);
    case 2:
      return Buffer.concat([
        Buffer.from([0]),
        uint32(pick(random, [5, 50_000, 3_000_000, 0xffff_ffff])),
        Buffer.alloc(3),
      ]);
    case 3:
      return Buffer.from(Array.from({ length: random.below(30) }, () => random.below(256)));
    default:
      return message;
  }
}

export function sendData(random: Random, view: ClientView): Buffer {
  const id = someStream(random, view);
  const stream = view.open.get(id);
  const ends = random.below(2) === 0;
  if (stream !== undefined) stream.ended ||= ends;
  const payload = body(random);
  if (random.below(8) !== 0) return frame(frameType.data, ends ? endStream : 0, id, payload);
  const pad = random.below(12);
  const content = Buffer.concat([Buffer.from([fatally(random, view, 10) ? 255 : pad]), payload, Buffer.alloc(pad)]);
  return frame(frameType.data, padded | (ends ? endStream : 0), id, content);
}

/** Mostly one that is open and not ended, so that what is sent on it counts. */
export function someStream(random: Random, view: ClientView): number {
  const usable = [...view.open].filter(([, { ended }]) => !ended).map(([id]) => id);
  if (usable.length > 0 && random.below(8) !== 0) return pick(random, usable);
  const all = [...view.open.keys()];
  return fatally(random, view, 4) ? random.below(30) : pick(random, all);
}

export function windowUpdate(random: Random, view: ClientView): Buffer {
  const id = random.below(2) === 0 ? 0 : someStream(random, view);
  const isOdd = fatally(random, view, 6) || (id !== 0 && random.below(10) === 0);
  const increment = isOdd ? pick(random, [0, 0x7fff_ffff]) : pick(random, [1, 10, 1_000, 100_000]);
  if (id === 0) view.connectionWindow += increment;
  else view.streamWindows.set(id, (view.streamWindows.get(id) ?? view.initialWindow) + increment);
  return frame(frameType.windowUpdate, 0, id, uint32(increment));
}

export function changeSettings(random: Random, view: ClientView): Buffer {
  if (random.below(8) === 0) return frame(frameType.settings, ack, 0);
  const id = pick(random, [...Object.values(settingId), 99]);
  const value = fatally(random, view, 3)
    ? pick(random, [2, 100, 0x7fff_ffff, 0xffff_ffff])
    : id === settingId.enablePush
      ? random.below(2)
      : pick(random, id === settingId.maxFrameSize ? [16_384, 1_000_000] : [0, 1, 100, 4_096, 65_535, 1_000_000]);
  if (id === settingId.initialWindowSize && value <= 0x7fff_ffff) {
    for (const [stream, left] of view.streamWindows) view.streamWindows.set(stream, left + value - view.initialWindow);
    view.initialWindow = value;
  }
  return settings([id, value]);
}

export function oddity(random: Random, view: ClientView): Buffer {
  const id = someStream(random, view);
  switch (random.below(8)) {
    case 0:
      return frame(frameType.rstStream, 0, id, uint32(random.below(16)));
    case 1:
      return frame(frameType.ping, random.below(3) === 0 ? ack : 0, 0, Buffer.alloc(8, random.below(256)));
    case 2:
      return frame(frameType.priority, 0, id, Buffer.from([0, 0, 0, fatally(random, view, 3) ? id : 200, 1]));
    case 3:
      return frame(frameType.goaway, 0, 0, Buffer.alloc(8));
    case 4:
      return frame(
        random.below(256),
        random.below(256),
        random.below(3) === 0 ? 0 : id,
        Buffer.alloc(random.below(20), 7),
      );
    case 5: {
      // Trailers, or a second header block.
      const block = random.below(3) === 0 ? headerBlock(random, view) : hpackBlock([["x-trailer", "1"]]);
      const stream = view.open.get(id);
      if (stream !== undefined) stream.ended = true;
      return frame(frameType.headers, endHeaders | (random.below(4) === 0 ? 0 : endStream), id, block);
    }
    case 6:
      return frame(frameType.rstStream, 0, id, Buffer.alloc(fatally(random, view, 2) ? random.below(6) : 4));
    default:
      return frame(frameType.data, 0, id);
  }
}

/** Changes a few bytes, or cuts some off. */
export function damage(random: Random, bytes: Buffer): Buffer {
  const damaged = Buffer.from(bytes);
  for (let i = random.below(4); i >= 0 && damaged.length > 0; i--) {
    damaged[random.below(Math.min(damaged.length, 64))] = random.below(256);
  }
  return random.below(4) === 0 ? damaged.subarray(0, random.below(damaged.length + 1)) : damaged;
}
