// The log, its window of appends under way, and its settings: against dumb models, over random inputs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { bootstrapSnapshot, resolveOptions } from "../../server/raft/config.ts";
import { Inflights } from "../../server/raft/inflights.ts";
import { MemoryLog } from "../../server/raft/memory-log.ts";
import { RaftLog } from "../../server/raft/raft-log.ts";
import type { Save } from "../../server/raft/ready.ts";
import { type Entry, entrySizeBytes } from "../../server/raft/types.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { entry } from "./rule.ts";

test("the window agrees with a plain list", () => {
  const seed = seedFromEnvironment();
  const random = createRandom(seed);
  for (let round = 0; round < 200; round++) {
    const [messagesMax, bytesMax] = [1 + random.below(40), 1 + random.below(500)];
    const window = new Inflights(messagesMax, bytesMax);
    let model: { last: number; bytes: number }[] = [];
    let last = 0;
    for (let move = 0; move < 200; move++) {
      if (random.below(3) > 0 && !window.full) {
        last += 1 + random.below(3);
        const bytes = random.below(60);
        window.add(last, bytes);
        model.push({ last, bytes });
      } else if (random.below(30) === 0) {
        window.clear();
        model = [];
      } else {
        const to = last - random.below(8);
        window.freeTo(to);
        model = model.filter((one) => one.last > to);
      }
      const bytes = model.reduce((sum, one) => sum + one.bytes, 0);
      assert.deepEqual([window.count, window.bytes], [model.length, bytes], `seed ${seed}, round ${round}`);
      assert.equal(window.full, model.length >= messagesMax || bytes >= bytesMax);
    }
  }
});

/** The longest start of `entries` that fits, but at least one. */
function fitting(entries: readonly Entry[], bytesMax: number): readonly Entry[] {
  let bytes = 0;
  const end = entries.findIndex((one, i) => (bytes += entrySizeBytes(one)) > bytesMax && i > 0);
  return end === -1 ? entries : entries.slice(0, end);
}

test("the log agrees with a plain array, whatever is appended, overwritten, saved and applied in whatever order", () => {
  const seed = seedFromEnvironment();
  const random = createRandom(seed);
  for (let round = 0; round < 150; round++) {
    const disk = new MemoryLog();
    const log = new RaftLog(disk, 0, 0);
    // `model[i]` has index i + 1; `durable` is how much of it any crash would leave.
    let model: Entry[] = [];
    let durable = 0;
    let term = 1;
    const saves: { readonly save: Omit<Save, "messagesAfter">; readonly model: readonly Entry[] }[] = [];
    for (let move = 0; move < 120; move++) {
      const where = `seed ${seed}, round ${round}, move ${move}`;
      const draw = random.below(6);
      if (draw <= 1) {
        // A leader of a new term overwrites from some uncommitted place on; or the present one goes on.
        if (random.below(3) === 0) term++;
        const from =
          random.below(2) === 0 ? model.length : log.committed + random.below(model.length - log.committed + 1);
        const previous = model[from - 1];
        const fresh = Array.from({ length: random.below(5) }, (_, i) =>
          entry(term, from + 1 + i, "x".repeat(random.below(50))),
        );
        const matched = log.tryAppend({ index: from, term: previous?.term ?? 0 }, fresh);
        assert.equal(matched, from + fresh.length, where);
        const isNews = fresh.some((one, i) => model[from + i]?.term !== one.term);
        if (isNews) {
          const keep = fresh.findIndex((one, i) => model[from + i]?.term !== one.term);
          durable = Math.min(durable, from + keep);
          model = [...model.slice(0, from + keep), ...fresh.slice(keep)];
        }
      } else if (draw === 2) log.commitTo(log.committed + random.below(model.length - log.committed + 1));
      else if (draw === 3) saves.push({ save: log.handOutForSave(term, undefined, 0), model: model.slice() });
      else if (draw === 4 && saves.length > 0) {
        const done = saves.splice(0, 1 + random.below(saves.length));
        for (const { save } of done) {
          disk.hardState = save.hardState;
          disk.append(save.entries);
        }
        const newest = done.at(-1)!;
        log.saved(newest.save.id);
        // What the save proves: the part of the log that has not changed since.
        const changed = model.findIndex((one, i) => newest.model[i] !== one);
        durable = Math.max(durable, changed === -1 ? model.length : Math.min(changed, newest.model.length));
        for (const later of saves)
          if (later.save.entries[0] !== undefined) durable = Math.min(durable, later.save.entries[0].index - 1);
      } else if (draw === 5) {
        const bytesMax = 1 + random.below(300);
        const expected = model.slice(log.applying, Math.max(log.applying, Math.min(log.committed, log.durable)));
        const before = log.applying;
        assert.deepEqual(log.handOutForApply(bytesMax), fitting(expected, bytesMax), where);
        if (random.below(2) === 0) log.appliedTo(before);
      }
      assert.equal(log.lastIndex, model.length, where);
      assert.equal(log.durable, durable, where);
      const index = random.below(model.length + 2);
      assert.equal(log.term(index), index === 0 ? 0 : (model[index - 1]?.term ?? "unavailable"), where);
      if (model.length > 0) {
        const low = 1 + random.below(model.length);
        const bytesMax = 1 + random.below(300);
        assert.deepEqual(log.entries(low, model.length + 1, bytesMax), fitting(model.slice(low - 1), bytesMax), where);
        const atMost = random.below(term + 1);
        const naive = model.slice(0, low).findLastIndex((one) => one.term <= atMost) + 1;
        assert.equal(log.lastWithTermAtMost(low, atMost).index, naive, where);
      }
    }
  }
});

test("a damaged or incomplete start is refused", () => {
  const log = (terms: readonly number[]): MemoryLog => {
    const disk = new MemoryLog();
    disk.append(terms.map((term, i) => entry(term, i + 1)));
    return disk;
  };
  assert.throws(() => new RaftLog(log([1, 1]), 3, 0), /3 was committed, but the log ends at 2: data is lost/);
  assert.throws(() => new RaftLog(log([1, 1]), 2, 3), /state is applied up to 3, but the log holds 1..2/);
  const compacted = log([1, 1, 1]);
  compacted.offerSnapshot({ index: 2, term: 1, confState: bootstrapSnapshot([1n]).confState });
  compacted.compactTo(2);
  assert.throws(() => new RaftLog(compacted, 2, 1), /state is applied up to 1, but the log holds 3..3/);
});

test("settings that make no sense are refused in plain words", () => {
  const base = {
    id: 1n,
    log: new MemoryLog(),
    random: createRandom(1),
    hardState: { term: 0, vote: undefined, commit: 0 },
    confState: bootstrapSnapshot([1n]).confState,
    appliedIndex: 0,
  };
  assert.throws(() => resolveOptions({ ...base, electionTicks: 1 }), /electionTicks \(1\) must be greater than/);
  assert.throws(() => resolveOptions({ ...base, appendBytesMax: 0 }), /appendBytesMax must be a whole number/);
  assert.throws(() => resolveOptions({ ...base, id: 0n }), /id must not be 0/);
  const confState = { ...base.confState, learners: [0n] };
  assert.throws(() => resolveOptions({ ...base, confState }), /must not contain the id 0/);
  assert.equal(resolveOptions({ ...base, heartbeatTicks: 2 }).heartbeatTicks, 2);
});
