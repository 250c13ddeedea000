// The rules of HTTP/2 (RFC 9113) one by one: what a client may not do, and how the server answers. The table is ours;
// h2spec says much the same from outside.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createGrpcServer, type GrpcServer } from "../../server/transport/grpc-server.ts";
import { clientPreface, errorCode, frameFlag, frameType, settingId } from "../../server/transport/http2-constants.ts";
import { createEchoService, createJournal, EchoDefinition } from "./support/echo-service.ts";
import { ManualClock, MemoryLink } from "./support/memory-link.ts";
import {
  dataFrame,
  frame,
  greeting,
  grpcHeaders,
  grpcMessage,
  headersFrame,
  hpackBlock,
  hpackInteger,
  hpackLiteral,
  settings,
  uint32,
} from "./support/wire.ts";

const { endHeaders, endStream, padded, priority, ack } = frameFlag;
const path = "/test.Echo/Unary";
const message = grpcMessage(Buffer.from('{"text":"hi"}'));
const slow = grpcMessage(Buffer.from('{"waitForAbort":true}'));
const block = hpackBlock(grpcHeaders(path));
const open1 = headersFrame(1, grpcHeaders(path), false);
/** A call that is answered: stream 1 is closed by both sides afterwards. */
const done1 = Buffer.concat([open1, dataFrame(1, message, true)]);
/** A call that has been sent in full and is not answered: half-closed (remote). */
const half1 = Buffer.concat([open1, dataFrame(1, slow, true)]);

const addEcho = (server: GrpcServer): unknown => server.add(EchoDefinition, createEchoService(createJournal()));
const openLink = (): MemoryLink => MemoryLink.open({}, addEcho);

const goaway = (code: number) => ({ goaway: code });
const reset = (code: number, streamId = 1) => ({ reset: code, streamId });
const nothing = {};

const { protocolError, frameSizeError, flowControlError, streamClosed, compressionError, refusedStream } = errorCode;
const withField = (name: string, value: string): Buffer => headersFrame(1, grpcHeaders(path, [[name, value]]), true);
const without = (name: string): Buffer =>
  headersFrame(
    1,
    grpcHeaders(path).filter(([other]) => other !== name),
    true,
  );

// What the client sends (each buffer after the server has dealt with the one before), and what it gets for it.
const table: readonly (readonly [string, readonly Buffer[], object])[] = [
  // 4.1, 4.2, 4.3: frames
  ["unknown frame type", [frame(0x77, 0xff, 5, Buffer.alloc(20))], nothing],
  ["unknown flags and the reserved bit", [frame(frameType.ping, 0x16, 0x8000_0000, Buffer.alloc(8))], nothing],
  ["DATA larger than a frame may be", [open1, frame(0, 0, 1, Buffer.alloc(16_385))], goaway(frameSizeError)],
  ["HEADERS larger than a frame may be", [frame(1, endHeaders, 1, Buffer.alloc(16_385))], goaway(frameSizeError)],
  ["header block that is no HPACK", [frame(1, endHeaders, 1, Buffer.from([0xff, 0xff]))], goaway(compressionError)],
  [
    "another frame within a header block",
    [frame(1, 0, 1, block), frame(frameType.ping, 0, 0, Buffer.alloc(8))],
    goaway(protocolError),
  ],
  [
    "another stream's HEADERS within a header block",
    [frame(1, 0, 1, block), frame(1, endHeaders, 3, block)],
    goaway(protocolError),
  ],
  ["CONTINUATION on stream 0", [frame(9, endHeaders, 0, block)], goaway(protocolError)],
  ["another stream's CONTINUATION", [frame(1, 0, 1, block), frame(9, endHeaders, 3)], goaway(protocolError)],
  ["unknown frame within a header block", [frame(1, 0, 1, block), frame(0x77, 0, 0)], goaway(protocolError)],
  // 5.1: stream states
  ["DATA on an idle stream", [dataFrame(1, message, true)], goaway(protocolError)],
  ["RST_STREAM on an idle stream", [frame(3, 0, 1, uint32(8))], goaway(protocolError)],
  ["WINDOW_UPDATE on an idle stream", [frame(8, 0, 1, uint32(8))], goaway(protocolError)],
  ["CONTINUATION on an idle stream", [frame(9, endHeaders, 1, block)], goaway(protocolError)],
  ["DATA after END_STREAM", [half1, dataFrame(1, message, true)], reset(streamClosed)],
  ["HEADERS after END_STREAM", [half1, headersFrame(1, [["x", "y"]], true)], reset(streamClosed)],
  ["WINDOW_UPDATE after END_STREAM", [half1, frame(8, 0, 1, uint32(8))], nothing],
  ["DATA after RST_STREAM", [half1, frame(3, 0, 1, uint32(8)), dataFrame(1, message, true)], reset(streamClosed)],
  ["HEADERS after RST_STREAM", [half1, frame(3, 0, 1, uint32(8)), open1], goaway(streamClosed)],
  ["HEADERS on a stream that is done", [done1, open1], goaway(streamClosed)],
  ["DATA on a stream that is done", [done1, dataFrame(1, message, true)], reset(streamClosed)],
  [
    "RST_STREAM and WINDOW_UPDATE on a stream that is done",
    [done1, frame(3, 0, 1, uint32(8)), frame(8, 0, 1, uint32(8))],
    nothing,
  ],
  ["HEADERS on an even stream", [headersFrame(2, grpcHeaders(path), true)], goaway(protocolError)],
  ["HEADERS on stream 0", [headersFrame(0, grpcHeaders(path), true)], goaway(protocolError)],
  [
    "a stream id below an earlier one",
    [headersFrame(5, grpcHeaders(path), true), headersFrame(3, grpcHeaders(path), true)],
    goaway(protocolError),
  ],
  // 5.3: priorities are ignored, but must make sense
  ["PRIORITY on a stream of its own", [frame(2, 0, 1, Buffer.from([0, 0, 0, 3, 1]))], nothing],
  ["PRIORITY of a stream on itself", [frame(2, 0, 1, Buffer.from([0, 0, 0, 1, 1]))], goaway(protocolError)],
  [
    "HEADERS that depend on themselves",
    [frame(1, endHeaders | endStream | priority, 1, Buffer.concat([uint32(1), Buffer.from([0]), block]))],
    reset(protocolError),
  ],
  ["PRIORITY on stream 0", [frame(2, 0, 0, Buffer.alloc(5))], goaway(protocolError)],
  ["PRIORITY of the wrong length", [frame(2, 0, 1, Buffer.alloc(4))], goaway(frameSizeError)],
  // 6.1, 6.2: padding
  ["DATA on stream 0", [dataFrame(0, message, true)], goaway(protocolError)],
  ["DATA with more padding than payload", [open1, frame(0, padded, 1, Buffer.from([5, 0, 0]))], goaway(protocolError)],
  ["padded DATA without a pad length", [open1, frame(0, padded, 1)], goaway(frameSizeError)],
  [
    "HEADERS with more padding than payload",
    [frame(1, padded | endHeaders, 1, Buffer.from([9, 0x82]))],
    goaway(protocolError),
  ],
  [
    "HEADERS too short for its priority",
    [frame(1, priority | endHeaders, 1, Buffer.from([1]))],
    goaway(frameSizeError),
  ],
  // 6.4: RST_STREAM
  ["RST_STREAM on stream 0", [frame(3, 0, 0, uint32(8))], goaway(protocolError)],
  ["RST_STREAM of the wrong length", [half1, frame(3, 0, 1, Buffer.alloc(3))], goaway(frameSizeError)],
  // 6.5: SETTINGS
  ["SETTINGS acknowledgement with a payload", [frame(4, ack, 0, Buffer.alloc(6))], goaway(frameSizeError)],
  ["SETTINGS on a stream", [frame(4, 0, 1)], goaway(protocolError)],
  ["SETTINGS of the wrong length", [frame(4, 0, 0, Buffer.alloc(5))], goaway(frameSizeError)],
  ["ENABLE_PUSH of 2", [settings([settingId.enablePush, 2])], goaway(protocolError)],
  ["INITIAL_WINDOW_SIZE of 2^31", [settings([settingId.initialWindowSize, 2 ** 31])], goaway(flowControlError)],
  ["MAX_FRAME_SIZE of 16383", [settings([settingId.maxFrameSize, 16_383])], goaway(protocolError)],
  ["MAX_FRAME_SIZE of 2^24", [settings([settingId.maxFrameSize, 2 ** 24])], goaway(protocolError)],
  ["unknown setting", [settings([0x77, 1])], nothing],
  // 6.6 to 6.8: PUSH_PROMISE, PING, GOAWAY
  ["PUSH_PROMISE", [frame(5, endHeaders, 1, Buffer.concat([uint32(2), block]))], goaway(protocolError)],
  ["PING on a stream", [frame(6, 0, 1, Buffer.alloc(8))], goaway(protocolError)],
  ["PING of the wrong length", [frame(6, 0, 0, Buffer.alloc(7))], goaway(frameSizeError)],
  ["PING acknowledgement of nothing", [frame(6, ack, 0, Buffer.alloc(8))], nothing],
  ["GOAWAY on a stream", [frame(7, 0, 1, Buffer.alloc(8))], goaway(protocolError)],
  ["GOAWAY too short", [frame(7, 0, 0, Buffer.alloc(7))], goaway(frameSizeError)],
  ["GOAWAY with an unknown code", [frame(7, 0, 0, Buffer.concat([uint32(0), uint32(99)]))], nothing],
  // 6.9: WINDOW_UPDATE
  ["WINDOW_UPDATE of 0 on the connection", [frame(8, 0, 0, uint32(0))], goaway(protocolError)],
  ["WINDOW_UPDATE of 0 on a stream", [half1, frame(8, 0, 1, uint32(0))], reset(protocolError)],
  ["WINDOW_UPDATE of the wrong length", [frame(8, 0, 0, Buffer.alloc(3))], goaway(frameSizeError)],
  ["connection window above 2^31-1", [frame(8, 0, 0, uint32(0x7fff_ffff))], goaway(flowControlError)],
  ["stream window above 2^31-1", [half1, frame(8, 0, 1, uint32(0x7fff_ffff))], reset(flowControlError)],
  [
    "stream window above 2^31-1 by SETTINGS",
    [half1, frame(8, 0, 1, uint32(0x7fff_0000)), settings([4, 0x7fff_ffff])],
    goaway(flowControlError),
  ],
  // 8.1: requests
  ["HEADERS in the middle without END_STREAM", [open1, headersFrame(1, [["x", "y"]], false)], reset(protocolError)],
  ["pseudo-header field in trailers", [open1, headersFrame(1, [[":method", "POST"]], true)], reset(protocolError)],
  ["upper-case field name", [withField("X-Upper", "1")], reset(protocolError)],
  ["empty field name", [withField("", "1")], reset(protocolError)],
  ["field value with a line break", [withField("x", "a\nb")], reset(protocolError)],
  ["field value with NUL", [withField("x", "a\0b")], reset(protocolError)],
  ["field value with a blank in front", [withField("x", " a")], reset(protocolError)],
  ["unknown pseudo-header field", [withField(":unknown", "1")], reset(protocolError)],
  ["response pseudo-header field", [withField(":status", "200")], reset(protocolError)],
  ["pseudo-header field after a regular one", [withField(":authority", "x")], reset(protocolError)],
  ["connection", [withField("connection", "keep-alive")], reset(protocolError)],
  ["transfer-encoding", [withField("transfer-encoding", "chunked")], reset(protocolError)],
  [
    "te other than trailers",
    [headersFrame(1, [...grpcHeaders(path).filter(([name]) => name !== "te"), ["te", "gzip"]], true)],
    reset(protocolError),
  ],
  ["no :method", [without(":method")], reset(protocolError)],
  ["no :scheme", [without(":scheme")], reset(protocolError)],
  ["no :path", [without(":path")], reset(protocolError)],
  ["empty :path", [headersFrame(1, grpcHeaders(""), true)], reset(protocolError)],
  [":path without a slash", [headersFrame(1, grpcHeaders("test.Echo/Unary"), true)], reset(protocolError)],
  ["two :method", [headersFrame(1, [[":method", "POST"], ...grpcHeaders(path)], true)], reset(protocolError)],
  [
    "CONNECT",
    [
      headersFrame(
        1,
        [
          [":method", "CONNECT"],
          [":authority", "x"],
        ],
        true,
      ),
    ],
    reset(protocolError),
  ],
  [
    "content-length above the body",
    [headersFrame(1, grpcHeaders(path, [["content-length", "100"]]), false), dataFrame(1, message, true)],
    reset(protocolError),
  ],
  [
    "content-length below the body",
    [headersFrame(1, grpcHeaders(path, [["content-length", "3"]]), false), dataFrame(1, message, false)],
    reset(protocolError),
  ],
  ["content-length without a body", [withField("content-length", "1")], reset(protocolError)],
  ["content-length that is no number", [withField("content-length", "-1")], reset(protocolError)],
];

for (const [name, sent, expected] of table) {
  test(`protocol: ${name}`, async () => {
    const link = openLink();
    for (const bytes of sent) {
      link.send(bytes);
      await link.settle();
    }
    const {
      goaway: code,
      reset: resetCode,
      streamId = 1,
    } = expected as { goaway?: number; reset?: number; streamId?: number };
    assert.equal(link.goawayCode, code, link.goawayText());
    assert.equal(link.socket.isEnded, code !== undefined);
    if (resetCode !== undefined) assert.equal(link.resetCode(streamId), resetCode);
    if (code !== undefined) {
      // Nothing more is heard, and the socket does not stay for ever.
      link.send(frame(frameType.ping, 0, 0, Buffer.alloc(8)));
      assert.equal(link.of(frameType.ping).filter(({ flags }) => flags === ack).length, 0);
      link.advance(5_000);
      assert.equal(link.socket.isDestroyed, true);
      return;
    }
    // The connection still serves.
    link.send(headersFrame(101, grpcHeaders(path), false), dataFrame(101, message, true));
    await link.settle();
    assert.equal(link.statusOf(101), 0);
    await link.server.close();
  });
}

test("protocol: the first frame must be SETTINGS", () => {
  for (const first of [frame(frameType.ping, 0, 0, Buffer.alloc(8)), frame(frameType.settings, ack, 0)]) {
    const clock = new ManualClock();
    const link = new MemoryLink(createGrpcServer({ clock }), clock);
    link.send(clientPreface, first);
    assert.equal(link.goawayCode, protocolError);
  }
});

test("protocol: the greeting says what the server allows, and SETTINGS are acknowledged", () => {
  const clock = new ManualClock();
  const link = new MemoryLink(createGrpcServer({ clock, limits: { streamsMax: 77 } }), clock);
  link.send(greeting);
  const [ours, ...others] = link.of(frameType.settings);
  assert.equal(ours!.payload.readUInt16BE(0), settingId.maxConcurrentStreams);
  assert.equal(ours!.payload.readUInt32BE(2), 77);
  assert.deepEqual(
    others.map(({ flags, payload }) => [flags, payload.length]),
    [[ack, 0]],
  );
  assert.equal(link.of(frameType.windowUpdate, 0).length, 1);
});

test("protocol: streams over the limit are refused, and count while their handlers run", async () => {
  const journal = createJournal();
  const link = MemoryLink.open({ limits: { streamsMax: 3 } }, (server) =>
    server.add({ unary: EchoDefinition.unary }, { unary: () => journal.until("finish").then(() => ({})) }),
  );
  for (const id of [1, 3, 5, 7]) link.send(headersFrame(id, grpcHeaders(path), false), dataFrame(id, message, true));
  assert.deepEqual(
    [1, 3, 5, 7].map((id) => link.resetCode(id)),
    [undefined, undefined, undefined, refusedStream],
  );
  // Resetting a stream does not make room while its handler is at work.
  link.send(frame(frameType.rstStream, 0, 1, uint32(8)));
  link.send(headersFrame(9, grpcHeaders(path), false), dataFrame(9, message, true));
  assert.equal(link.resetCode(9), refusedStream);
  journal.note("finish");
  await link.settle();
  assert.deepEqual(
    [3, 5].map((id) => link.statusOf(id)),
    [0, 0],
  );
  for (const id of [11, 13, 15]) link.send(headersFrame(id, grpcHeaders(path), false), dataFrame(id, message, true));
  await link.settle();
  assert.deepEqual(
    [11, 13, 15].map((id) => link.statusOf(id)),
    [0, 0, 0],
  );
});

test("protocol: frames for a stream that we ended early are ignored", async () => {
  const link = openLink();
  // Unknown method: answered before the request is complete.
  link.send(headersFrame(1, grpcHeaders("/test.Echo/Nothing"), false));
  assert.equal(link.statusOf(1), 12);
  assert.equal(link.resetCode(1), errorCode.noError);
  link.frames.length = 0;
  link.send(
    dataFrame(1, message, false),
    dataFrame(1, message, true),
    frame(8, 0, 1, uint32(5)),
    frame(3, 0, 1, uint32(8)),
  );
  link.send(headersFrame(1, [["x", "y"]], true));
  assert.deepEqual(link.frames, []);
});

test("protocol: the same header block means the same only while the table is unchanged", async () => {
  const link = openLink();
  const post = (id: number, headerBlock: Buffer): void =>
    link.send(frame(frameType.headers, endHeaders, id, headerBlock), dataFrame(id, message, true));
  const base = hpackBlock(grpcHeaders(path).filter(([name]) => name !== ":path"));
  // An indexed :path that names whatever was inserted last.
  const byIndex = Buffer.concat([hpackInteger(0x80, 7, 62), base]);
  post(1, Buffer.concat([hpackLiteral(":path", path, "incremental"), base]));
  post(3, byIndex);
  post(5, byIndex);
  post(7, Buffer.concat([hpackLiteral(":path", "/test.Echo/Nothing", "incremental"), base]));
  post(9, byIndex);
  // Also where the table changes in a block that is no request's: trailers of a stream that was opened before.
  link.send(headersFrame(11, grpcHeaders(path), false));
  post(13, byIndex);
  post(15, byIndex);
  link.send(frame(frameType.headers, endHeaders | endStream, 11, hpackLiteral(":path", path, "incremental")));
  post(17, byIndex);
  post(19, byIndex);
  await link.settle();
  assert.deepEqual(
    [1, 3, 5, 7, 9, 13, 15, 17, 19].map((id) => link.statusOf(id)),
    [0, 0, 0, 12, 12, 12, 12, 0, 0],
  );
});

test("protocol: header blocks in pieces, with padding and priority, are read", async () => {
  const link = openLink();
  const pieces = [block.subarray(0, 10), block.subarray(10, 11), Buffer.alloc(0), block.subarray(11)];
  const first = Buffer.concat([Buffer.from([4]), uint32(0), Buffer.from([200]), pieces[0]!, Buffer.alloc(4)]);
  link.send(frame(frameType.headers, padded | priority, 1, first));
  link.send(frame(frameType.continuation, 0, 1, pieces[1]), frame(frameType.continuation, 0, 1, pieces[2]));
  link.send(frame(frameType.continuation, endHeaders, 1, pieces[3]));
  link.send(frame(frameType.data, padded | endStream, 1, Buffer.concat([Buffer.from([7]), message, Buffer.alloc(7)])));
  await link.settle();
  assert.equal(link.statusOf(1), 0);
});

test("protocol: a wrong content type is answered with 415, a wrong method with 405", async () => {
  const link = openLink();
  const replace = (name: string, value: string) =>
    grpcHeaders(path).map(([other, before]) => [other, other === name ? value : before] as const);
  link.send(headersFrame(1, replace("content-type", "application/json"), true));
  link.send(headersFrame(3, replace("content-type", "application/grpc-web"), true));
  link.send(headersFrame(5, replace(":method", "GET"), true));
  for (const [i, type] of ["application/grpc+proto", "application/grpc;x=y"].entries()) {
    link.send(headersFrame(7 + 2 * i, replace("content-type", type), false), dataFrame(7 + 2 * i, message, true));
  }
  await link.settle();
  const statuses = [1, 3, 5].map((id) => link.headersOf(id)[":status"]);
  assert.deepEqual(statuses, ["415", "415", "405"]);
  assert.deepEqual(
    [7, 9].map((id) => link.statusOf(id)),
    [0, 0],
  );
});

test("protocol: requests that are not one message are refused with grpc-go's words", async () => {
  const cases: readonly (readonly [Buffer[], number, string, (readonly [string, string])[]?])[] = [
    [[Buffer.alloc(0)], 13, "cardinality violation: received no request message from non-client-streaming RPC"],
    [[message, message], 13, "cardinality violation: received multiple request messages for non-client-streaming RPC"],
    [[message.subarray(0, 7)], 13, "unexpected EOF"],
    [[message.subarray(0, 3)], 13, "unexpected EOF"],
    [[grpcMessage(Buffer.from("{}"), 2)], 13, "grpc: received unexpected payload format 2"],
    [[grpcMessage(Buffer.from("{}"), 1)], 13, "grpc: compressed flag set with identity or empty encoding"],
    [
      [grpcMessage(Buffer.from("{}"), 1)],
      12,
      'grpc: Decompressor is not installed for grpc-encoding "snappy"',
      [["grpc-encoding", "snappy"]],
    ],
    [[Buffer.from([0, 0, 0x20, 0, 1])], 8, "grpc: received message larger than max (2097153 vs. 2097152)"],
    [[message], 13, 'malformed grpc-timeout: "soon"', [["grpc-timeout", "soon"]]],
    [[message], 13, 'malformed grpc-timeout: "123456789S"', [["grpc-timeout", "123456789S"]]],
  ];
  for (const [parts, code, text, more = []] of cases) {
    for (const kind of ["Unary", "Expand"]) {
      const link = openLink();
      const body = Buffer.concat(parts);
      link.send(headersFrame(1, grpcHeaders(`/test.Echo/${kind}`, more), false), dataFrame(1, body, true));
      await link.settle();
      assert.equal(link.statusOf(1), code, text);
      assert.equal(decodeURIComponent(link.headersOf(1)["grpc-message"]!), text);
    }
  }
});

test("protocol: a stream without messages is answered with a status all the same", async () => {
  const link = openLink();
  const none = grpcMessage(Buffer.from('{"count":0}'));
  link.send(headersFrame(1, grpcHeaders("/test.Echo/Expand"), false), dataFrame(1, none, true));
  await link.settle();
  assert.deepEqual(link.heads, [
    {
      streamId: 1,
      headers: { ":status": "200", "content-type": "application/grpc", "grpc-status": "0" },
      endsStream: true,
    },
  ]);
});

test("protocol: messages may be cut anywhere", async () => {
  const body = Buffer.concat([message, grpcMessage(Buffer.from('{"text":"there"}')), grpcMessage(Buffer.from("{}"))]);
  for (const size of [1, 2, 5, 7, 30]) {
    const link = openLink();
    link.send(headersFrame(1, grpcHeaders("/test.Echo/Collect"), false));
    link.send(headersFrame(3, grpcHeaders(path), false));
    for (let at = 0; at < body.length; at += size) {
      link.send(dataFrame(1, body.subarray(at, at + size), at + size >= body.length));
    }
    for (let at = 0; at < message.length; at += size) link.send(dataFrame(3, message.subarray(at, at + size), false));
    link.send(dataFrame(3, Buffer.alloc(0), true));
    await link.settle();
    assert.equal(link.body(1).toString("utf8", 5), '{"text":"hithere"}');
    assert.equal(link.body(3).toString("utf8", 5), '{"text":"hi"}');
  }
});
