// A frame is whole or it is not, and when it is not it can be told whether it ever was.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../server/lib/random.ts";
import { decodeRecords, FrameEncoder, frameAt, frameHeaderBytes, payloadOf } from "../../server/log/frame-codec.ts";
import { type Entry, type HardState, noBytes, type SnapshotMeta } from "../../server/raft/types.ts";
import { seedFromEnvironment } from "../support/seed.ts";

const salt = 0x1234_5678;
const sectorBytes = 512;

interface Placed {
  /** A file of zeros with the frame in it. */
  readonly file: Buffer;
  readonly at: number;
  /** Where payload and padding end. */
  readonly payloadEnd: number;
  readonly end: number;
}

function place(data: Uint8Array, at: number, hardState?: HardState): Placed {
  const encoder = new FrameEncoder(16);
  if (hardState !== undefined) encoder.addHardState(hardState);
  encoder.addEntry({ index: 5, term: 3, kind: "normal", data });
  const payloadEnd = at + encoder.length;
  const { bytes } = encoder.finish({ previousChecksum: 99, offset: at, salt });
  const file = Buffer.alloc(at + bytes.length + 2 * sectorBytes);
  file.set(bytes, at);
  return { file, at, payloadEnd, end: at + bytes.length };
}

function kindAt({ file, at }: Placed): string {
  return frameAt(file, at, salt).kind;
}

/** Values that are hard to tell from a file's zeros, and some that are not. */
const awkwardValues: readonly Uint8Array[] = [
  noBytes,
  Buffer.from("x"),
  Buffer.alloc(30),
  Buffer.alloc(2000),
  Buffer.alloc(700, 1),
  Buffer.concat([Buffer.alloc(600), Buffer.alloc(600, 1), Buffer.alloc(600, 2)]),
  Buffer.from("text that is longer than a sector ".repeat(20)),
];

test("every flipped bit of a frame is noticed, and taken for damage, wherever the frame lies", () => {
  for (const data of awkwardValues) {
    for (const at of [512, 512 + 8, 512 + 480, 1024 - 16, 1024 - 8]) {
      const placed = place(data, at, { term: 1, vote: undefined, commit: 1 });
      assert.equal(kindAt(placed), "valid");
      for (let bit = at * 8; bit < placed.payloadEnd * 8; bit++) {
        placed.file[bit >>> 3] = (placed.file[bit >>> 3] as number) ^ (1 << (bit & 7));
        assert.equal(kindAt(placed), "damaged", `${data.length} bytes at ${at}, bit ${bit - at * 8}`);
        placed.file[bit >>> 3] = (placed.file[bit >>> 3] as number) ^ (1 << (bit & 7));
      }
    }
  }
});

test("a frame that lost any of its sectors counts as torn, never as damaged, never as whole", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  for (const data of awkwardValues) {
    for (let round = 0; round < 60; round++) {
      const placed = place(data, 512 + 8 * random.below(64), undefined);
      const { file, at, payloadEnd } = placed;
      let lost = 0;
      for (let from = at; from < payloadEnd; from += sectorBytes - (from % sectorBytes)) {
        if (random.below(2) === 0) continue;
        file.fill(0, from, Math.min(payloadEnd, from + sectorBytes - (from % sectorBytes)));
        lost++;
      }
      const kind = kindAt(placed);
      if (lost === 0) assert.equal(kind, "valid");
      else assert(kind === "torn" || kind === "blank", `${lost} lost sectors of ${data.length} bytes: ${kind}`);
    }
  }
});

test("a frame in a file that was cut short counts as torn", () => {
  for (const data of awkwardValues) {
    const placed = place(data, 520);
    for (let size = placed.at; size < placed.payloadEnd; size++) {
      const { kind } = frameAt(placed.file.subarray(0, size), placed.at, salt);
      assert(kind === "torn" || (kind === "blank" && size === placed.at), `cut to ${size - placed.at} bytes: ${kind}`);
    }
    assert.equal(frameAt(placed.file.subarray(0, placed.payloadEnd), placed.at, salt).kind, "valid");
  }
});

test("a value that uses up every mask is still stored as it is", () => {
  const data = Buffer.alloc(256 * 1100);
  for (let byte = 0; byte < 256; byte++) data.fill(byte, byte * 1100, (byte + 1) * 1100);
  const placed = place(data, 512);
  const frame = frameAt(placed.file, placed.at, salt);
  assert(frame.kind === "valid");
  const [record] = [...decodeRecords(payloadOf(placed.file, frame))];
  assert(record?.kind === "entry");
  assert(data.equals(Buffer.from(record.entry.data)));
});

test("a frame is one of its file alone", () => {
  const placed = place(Buffer.from("x"), 512);
  assert.equal(frameAt(placed.file, placed.at, salt + 1).kind, "damaged");
});

test("hostile lengths are bounded by the file", () => {
  const placed = place(Buffer.from("x"), 512);
  for (const length of [0xffff_ffff, 0x7fff_ffff, placed.file.length]) {
    placed.file.writeUInt32LE(length, placed.at + 4);
    assert.equal(kindAt(placed), "damaged");
  }
});

function randomBytes(random: Random, lengthMax: number): Buffer {
  const bytes = Buffer.alloc(random.below(lengthMax));
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.below(4) === 0 ? random.below(256) : 0;
  return bytes;
}

test("records come back as they went in", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  const encoder = new FrameEncoder(8);
  const kinds = ["normal", "conf-change", "no-op"] as const;
  const big = (): number => random.below(2 ** 32) * 2 ** 16;
  for (let round = 0; round < 300; round++) {
    const expected: unknown[] = [];
    encoder.clear();
    assert(encoder.isEmpty);
    for (let count = random.below(8); count >= 0; count--) {
      const kind = random.below(3);
      if (kind === 0) {
        const entry: Entry = {
          index: big(),
          term: big(),
          kind: kinds[random.below(3)] as Entry["kind"],
          data: randomBytes(random, 1200),
        };
        encoder.addEntry(entry);
        expected.push({ kind: "entry", entry });
      } else if (kind === 1) {
        const vote = random.below(2) === 0 ? undefined : BigInt.asUintN(64, BigInt(big()) * 99_999_989n) || 1n;
        const hardState = { term: big(), vote, commit: big() };
        encoder.addHardState(hardState);
        expected.push({ kind: "hard-state", hardState });
      } else {
        const snapshot: SnapshotMeta = {
          index: big(),
          term: big(),
          confState: {
            voters: [1n, 0xffff_ffff_ffff_ffffn],
            votersOutgoing: [2n],
            learners: [],
            learnersNext: [3n],
            autoLeave: random.below(2) === 0,
          },
        };
        encoder.addReset(snapshot);
        expected.push({ kind: "reset", snapshot });
      }
    }
    const previousChecksum = random.below(2 ** 32);
    const offset = 512 + 8 * random.below(1000);
    const { bytes, checksum } = encoder.finish({ previousChecksum, offset, salt });
    assert.equal(bytes.length % 8, 0);
    const frame = frameAt(bytes, 0, salt, offset);
    assert(frame.kind === "valid");
    assert.equal(frame.checksum, checksum);
    assert.equal(frame.previousChecksum, previousChecksum);
    assert.equal(frame.payloadStart, frameHeaderBytes);
    assert.equal(frame.length, bytes.length);
    assert.deepEqual([...decodeRecords(payloadOf(bytes, frame))], expected);
  }
});
