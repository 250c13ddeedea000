// LogIndex and EntryCache against plain arrays.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { EntryCache } from "../../server/log/entry-cache.ts";
import { LogIndex } from "../../server/log/log-index.ts";
import { type Entry, entrySizeBytes } from "../../server/raft/types.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { entryOf } from "./log-bench.ts";

test("the index knows the term and the frame of every entry, whatever was cut off or given up", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  for (let round = 0; round < 150; round++) {
    const base = { index: random.below(3), term: 1 };
    const index = new LogIndex(base);
    // By index: the entry's term, and the number of its frame.
    const entries = new Map<number, { term: number; frame: number }>();
    let last = base.index;
    let first = base;
    let term = 1;
    for (let frame = 1; frame < 60; frame++) {
      const kind = random.below(12);
      if (kind === 0) {
        const to = first.index + random.below(last - first.index + 1);
        first = { index: to, term: entries.get(to)?.term ?? first.term };
        index.dropTo(to);
        for (const at of [...entries.keys()]) if (at <= to) entries.delete(at);
      } else if (kind === 1) {
        first = { index: last + random.below(10), term };
        last = first.index;
        entries.clear();
        index.addReset({
          ...first,
          confState: { voters: [1n], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
        });
      } else {
        if (random.below(4) === 0) term++;
        const from = random.below(5) === 0 ? first.index + 1 + random.below(last - first.index + 1) : last + 1;
        const count = 1 + random.below(4);
        for (let at = from; at < from + count; at++) {
          index.addEntry(entryOf(at, term));
          entries.set(at, { term, frame });
        }
        for (const at of [...entries.keys()]) if (at >= from + count) entries.delete(at);
        last = from + count - 1;
        index.addFrame({
          sequence: 1,
          offset: frame,
          length: 1,
          previousChecksum: 0,
          firstIndex: from,
          lastIndex: last,
        });
      }
      assert.equal(index.lastIndex, last);
      assert.deepEqual(index.base, first);
      assert.equal(index.term(first.index), first.term);
      for (let at = first.index - 1; at <= last + 1; at++) {
        if (at !== first.index) assert.equal(index.term(at), entries.get(at)?.term, `term of ${at}`);
        if (at > first.index) assert.equal(index.frameOf(at)?.offset, entries.get(at)?.frame, `frame of ${at}`);
      }
    }
  }
});

test("an entry that replaces one before the beginning becomes the beginning", () => {
  const index = new LogIndex({ index: 9, term: 1 });
  index.addEntry(entryOf(10, 1));
  index.addEntry(entryOf(11, 1));
  index.addEntry(entryOf(8, 2));
  assert.deepEqual(index.base, { index: 8, term: 2 });
  assert.equal(index.lastIndex, 8);
  index.addEntry(entryOf(9, 2));
  assert.equal(index.term(9), 2);
  assert.equal(index.term(10), undefined);
  assert.throws(() => index.addEntry(entryOf(12, 2)), /entry 12 after/);
});

test("the cache holds the newest entries within its bytes", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  for (let round = 0; round < 60; round++) {
    const bytesMax = 200 + random.below(5000);
    const cache = new EntryCache(bytesMax, 1);
    let entries: Entry[] = [];
    let next = 1;
    for (let step = 0; step < 300; step++) {
      const kind = random.below(20);
      if (kind === 0) {
        next += random.below(5);
        cache.reset(next);
        entries = [];
      } else {
        const back = kind === 1 ? random.below(entries.length + 5) : 0;
        const entry = entryOf(Math.max(1, next - back), step, Buffer.alloc(random.below(200)));
        entries = entries.filter(({ index }) => index < entry.index);
        entries.push(entry);
        cache.add(entry);
        next = entry.index + 1;
        while (entries.length > 1 && sizeOf(entries) > bytesMax) entries.shift();
      }
      const first = entries[0]?.index ?? next;
      for (let at = first - 2; at <= next; at++)
        assert.equal(cache.holds(at), at >= first && at < next, `${at} of ${first}..${next - 1}`);
      if (entries.length === 0) continue;
      const low = first + random.below(entries.length);
      const high = low + 1 + random.below(20);
      const sliceMax = random.below(1500);
      const expected = entries.filter(({ index }) => index >= low && index < high);
      while (expected.length > 1 && sizeOf(expected) > sliceMax) expected.pop();
      assert.deepEqual(cache.slice(low, high, sliceMax), expected);
    }
  }
});

function sizeOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, entry) => sum + entrySizeBytes(entry), 0);
}
