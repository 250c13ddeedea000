// The frame reader gives the same frames however the network cuts the bytes, and never lets a payload change after it
// was handed on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { FrameReader } from "../../server/transport/frame-reader.ts";
import { errorCode } from "../../server/transport/http2-constants.ts";
import { ConnectionError } from "../../server/transport/http2-error.ts";
import { type Frame, frame } from "./support/wire.ts";

function collect(chunks: readonly Buffer[]): { frames: Frame[]; isMidFrame: boolean } {
  const frames: Frame[] = [];
  const reader = new FrameReader({
    onFrame: (type, flags, streamId, bytes, start, end) =>
      frames.push({ type, flags, streamId, payload: bytes.subarray(start, end) }),
  });
  for (const chunk of chunks) reader.feed(chunk, 0);
  return { frames, isMidFrame: reader.isMidFrame };
}

const seed = Number(process.env["QUORATE_SEED"] ?? 20_240_611);

test("frames are the same wherever the bytes are cut", (t) => {
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  const expected: Frame[] = Array.from({ length: 60 }, (_, i) => ({
    type: random.below(12),
    flags: random.below(256),
    streamId: random.below(0x7fff_ffff),
    payload: Buffer.alloc([0, 1, 8, 100, 16_384][random.below(5)]!, i),
  }));
  const bytes = Buffer.concat(
    expected.map(({ type, flags, streamId, payload }) => frame(type, flags, streamId, payload)),
  );
  assert.deepEqual(collect([bytes]), { frames: expected, isMidFrame: false });
  for (let round = 0; round < 200; round++) {
    const chunks: Buffer[] = [];
    const longest = [1, 3, 9, 20, 1000, 40_000][random.below(6)]!;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + random.below(longest));
      // Every read is a buffer of its own, as with a socket.
      chunks.push(Buffer.from(bytes.subarray(at, end)));
      at = end;
    }
    const { frames, isMidFrame } = collect(chunks);
    assert.equal(isMidFrame, false);
    assert.deepEqual(frames, expected);
    if (longest === 1) round += 20;
  }
});

test("a frame above the limit is refused by its header alone", () => {
  const head = frame(0, 0, 1, Buffer.alloc(16_385)).subarray(0, 9);
  for (const chunks of [[head], [head.subarray(0, 4), head.subarray(4)]]) {
    assert.throws(
      () => collect(chunks),
      (error) => error instanceof ConnectionError && error.code === errorCode.frameSizeError,
    );
  }
});
