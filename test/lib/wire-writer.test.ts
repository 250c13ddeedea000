import assert from "node:assert/strict";
import { test } from "node:test";
import { RangeResponse } from "../../proto/gen/etcdserverpb/rpc.ts";
import { KeyValue } from "../../proto/gen/mvccpb/kv.ts";
import { createRandom } from "../../server/lib/random.ts";
import { putVarint64, varint64Length, varintLength } from "../../server/lib/wire-put.ts";
import { WireWriter } from "../../server/lib/wire-writer.ts";
import { seedFromEnvironment } from "../support/seed.ts";

const edges = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 2 ** 21, 2 ** 28, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 35, 2 ** 53 - 1];

test("a varint is as long as it says, and comes back", () => {
  for (const value of edges) {
    const writer = new WireWriter(0);
    writer.uintField(2, value);
    const bytes = writer.finish();
    assert.equal(bytes.length, value === 0 ? 0 : 1 + varintLength(value));
    assert.equal(KeyValue.decode(bytes).createRevision, BigInt(value));
  }
});

test("signed numbers forwards are what they are backwards", () => {
  for (const value of [...edges.map(BigInt), -1n, -(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n, 2n ** 56n]) {
    const writer = new WireWriter(0);
    writer.int64Field(1, value);
    const target = Buffer.alloc(10);
    const end = putVarint64(target, 0, value);
    assert.equal(end, varint64Length(value));
    if (value !== 0n) assert.deepEqual(target.subarray(0, end), writer.finish().subarray(1));
  }
});

test("growing loses nothing, wherever the buffer ends", () => {
  const random = createRandom(seedFromEnvironment(1));
  for (let room = 0; room < 300; room++) {
    const writer = new WireWriter(room);
    const count = edges[random.below(edges.length)] as number;
    const lease = BigInt.asIntN(
      64,
      BigInt(random.below(2 ** 31)) * 0x1_0000_0001_0000n * (random.below(2) === 0 ? 1n : -1n),
    );
    const keys = Array.from({ length: 1 + random.below(6) }, () => "k".repeat(random.below(200)));
    const value = Buffer.alloc(random.below(200), 7);
    writer.uintField(4, count);
    writer.boolField(3, true);
    for (const key of [...keys].reverse()) {
      const before = writer.length;
      writer.int64Field(6, lease);
      writer.bytesField(5, value);
      writer.uintField(3, count);
      writer.bytesField(1, Buffer.from(key));
      writer.header(2, writer.length - before);
    }
    const answer = RangeResponse.decode(writer.finish());
    const kvs = keys.map((key) => ({ key, modRevision: BigInt(count), value: value.length, lease }));
    assert.deepEqual(
      { count: answer.count, more: answer.more },
      { count: BigInt(count), more: true },
      `a writer that begins with ${room} bytes`,
    );
    assert.deepEqual(
      answer.kvs.map((kv) => ({
        key: Buffer.from(kv.key).toString(),
        modRevision: kv.modRevision,
        value: kv.value.length,
        lease: kv.lease,
      })),
      kvs,
      `a writer that begins with ${room} bytes`,
    );
  }
});
