// The output keeps bytes in order and never touches what a socket may still read, however connections share slabs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { MemoryBudget } from "../../server/transport/memory-budget.ts";
import { OutputBuffer, SlabPool } from "../../server/transport/output-buffer.ts";

test("bytes come out in order, and stay what they were after they were handed over", (t) => {
  const seed = Number(process.env["QUORATE_SEED"] ?? 99);
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  const pool = new SlabPool();
  // Several connections that take turns with the same slabs.
  const connections = Array.from({ length: 5 }, () => ({
    output: new OutputBuffer(pool),
    handedOver: [] as Uint8Array[],
    expected: [] as number[],
  }));
  for (let step = 0; step < 6_000; step++) {
    const { output, handedOver, expected } = connections[random.below(connections.length)]!;
    const size = [1, 9, 100, 3_000, 5_000, 20_000][random.below(6)]!;
    const value = 1 + random.below(255);
    switch (random.below(4)) {
      case 0:
        output.append(Buffer.alloc(size, value));
        for (let i = 0; i < size; i++) expected.push(value);
        break;
      case 1:
        output.flush((pieces) => takeOver(handedOver, pieces, random.below(2) === 0));
        assert.equal(output.waitingBytes, 0);
        break;
      default: {
        // Reserve more than is used, as encoders do.
        const at = output.reserve(size + 50);
        const used = size - random.below(Math.min(size, 20));
        output.bytes.fill(value, at, at + used);
        output.endAt(at + used);
        for (let i = 0; i < used; i++) expected.push(value);
      }
    }
  }
  for (const { output, handedOver, expected } of connections) {
    output.flush((pieces) => takeOver(handedOver, pieces, false));
    assert.deepEqual(Buffer.concat(handedOver), Buffer.from(expected));
  }
});

/** As a socket does that can pass everything on at once, or that keeps it. */
function takeOver(handedOver: Uint8Array[], pieces: readonly Uint8Array[], isAtOnce: boolean): boolean {
  handedOver.push(...(isAtOnce ? pieces.map((piece) => Buffer.from(piece)) : pieces));
  return isAtOnce;
}

test("what sockets take at once costs no memory, however many connections write in one turn", () => {
  const pool = new SlabPool();
  const outputs = Array.from({ length: 100 }, () => new OutputBuffer(pool));
  const seen = new Set<ArrayBufferLike>();
  for (let turn = 0; turn < 50; turn++) {
    for (const output of outputs) {
      // Small at first, then more than a small slab holds.
      for (let i = 0; i < turn; i++) output.reserve(500);
      if (turn > 0) seen.add(output.bytes.buffer);
    }
    for (const output of outputs) output.flush(() => true);
  }
  assert(seen.size <= 200, `${seen.size} slabs for 100 connections`);
});

test("a reservation that is taken back leaves nothing behind", () => {
  const output = new OutputBuffer(new SlabPool());
  const at = output.reserve(100);
  output.endAt(at);
  assert.equal(output.waitingBytes, 0);
  output.flush(() => assert.fail("there is nothing to hand over"));
  const again = output.reserve(10);
  assert.throws(() => output.endAt(again + 11), /outside what was reserved/);
});

test("budgets: all or nothing, within the budget around them", () => {
  const server = new MemoryBudget(100);
  const one = new MemoryBudget(80, server);
  const two = new MemoryBudget(80, server);
  assert(one.take(80));
  assert(!one.take(1));
  assert(!two.take(21));
  assert.deepEqual([one.usedBytes, two.usedBytes, server.usedBytes], [80, 0, 80]);
  assert(two.take(20));
  one.giveBack(80);
  two.force(200);
  assert.equal(server.usedBytes, 220);
  assert(!one.take(1));
  two.giveBack(220);
  assert.equal(server.usedBytes, 0);
  assert.throws(() => one.giveBack(1), /more was given back/);
});
