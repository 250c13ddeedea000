// The rows of a layer against a plain map: any order of adding, changing and taking out, with and without an index.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../server/lib/random.ts";
import { decodeChanges } from "../../server/storage/batch-codec.ts";
import { LayerTable } from "../../server/storage/layer-table.ts";
import { tableNames } from "../../server/storage/tables.ts";
import { seedFromEnvironment } from "../support/seed.ts";

const seed = seedFromEnvironment();
const steps = 20_000;

interface ModelRow {
  value: string | undefined;
  readonly isNew: boolean;
}

/** Keys of many lengths, some the beginning of others, with bytes that a signed comparison would get wrong. */
function keyOf(random: Random): string {
  const head = String.fromCharCode(random.below(4) * 85);
  return head + "k".repeat(random.below(3)) + String(random.below(400)).padStart(random.below(5), "\u00ff");
}

function write(space: { readonly bytes: Buffer; readonly at: number }, value: string): void {
  space.bytes.write(value, space.at, "latin1");
}

function textOf(value: Uint8Array | undefined): string | undefined {
  return value && Buffer.from(value).toString("latin1");
}

for (const isIndexed of [true, false]) {
  test(`a layer's table ${isIndexed ? "with" : "without"} an index holds what a map holds (seed ${seed})`, () => {
    const random = createRandom(seed);
    const meter = { bytes: 0 };
    const table = new LayerTable(tableNames.indexOf("history"), isIndexed, meter);
    const model = new Map<string, ModelRow>();
    const views: { readonly view: Uint8Array; readonly text: string }[] = [];
    const inOrder = (): [string, ModelRow][] => [...model].sort(([a], [b]) => (a < b ? -1 : 1));
    for (let step = 0; step < steps; step++) {
      const key = keyOf(random);
      const row = table.find(key);
      const known = model.get(key);
      assert.equal(row !== -1, known !== undefined);
      // Now and then a value that no block holds.
      const value = random.below(5) === 0 ? undefined : `${step}`.repeat(random.below(2000) === 0 ? 20_000 : 3);
      const before = meter.bytes;
      if (known === undefined) {
        const isNew = random.below(2) === 0;
        const space = table.add(key, value?.length, isNew);
        if (value !== undefined) write(space, value);
        model.set(key, { value, isNew });
      } else if (random.below(4) === 0) {
        table.delete(row, key);
        model.delete(key);
      } else {
        const view = table.valueOf(row);
        if (view !== undefined && views.length < 500) views.push({ view, text: known.value as string });
        const space = table.change(row, key, value?.length);
        if (value !== undefined) write(space, value);
        known.value = value;
      }
      assert(meter.bytes >= before + (model.has(key) ? key.length + (value?.length ?? 0) : 0));
      const now = table.find(key);
      if (now !== -1) {
        assert.equal(table.isNew(now), model.get(key)?.isNew);
        assert.equal(textOf(table.valueOf(now)), value);
        const span = table.locate(now);
        assert.equal(span && textOf(span.bytes.subarray(span.at, span.at + span.length)), value);
      }
      assert.equal(table.size, model.size);
      if (step % 500 !== 0) continue;
      const [from, to] = [keyOf(random), random.below(3) === 0 ? undefined : keyOf(random)];
      const expected = inOrder().filter(([each]) => each >= from && (to === undefined || each < to));
      const found: string[] = [];
      for (const walk = table.walk(from, to); walk.row !== -1; walk.next()) found.push(walk.key as string);
      assert.deepEqual(
        found,
        expected.map(([each]) => each),
      );
      assert.equal(table.hasAny(from, to), expected.length > 0);
    }
    const expected = inOrder().map(([key, { value }]) => ({ key, value }));
    const batch = [...table.batch()].flatMap(decodeChanges);
    assert(batch.every(({ table: name }) => name === "history"));
    assert.deepEqual(
      batch.map(({ key, value }) => ({ key, value: textOf(value) })),
      expected,
    );
    // What was handed out is as it was, whatever was written since.
    for (const { view, text } of views) assert.equal(textOf(view), text);
    assert(views.length > 100);
  });
}

test("rows whose keys only grow are a batch as they lie", () => {
  const table = new LayerTable(tableNames.indexOf("events"), false, { bytes: 0 });
  const keys = Array.from({ length: 5000 }, (_, i) => `row ${String(i).padStart(6, "0")}`);
  for (const key of keys) write(table.add(key, 100, true), key.padEnd(100));
  const pieces = [...table.batch()];
  assert(pieces.length < 20, `${pieces.length} pieces`);
  assert.deepEqual(
    pieces.flatMap(decodeChanges).map(({ key }) => key),
    keys,
  );
});

test("a table that was emptied takes rows again, lower ones too", () => {
  const table = new LayerTable(tableNames.indexOf("history"), false, { bytes: 0 });
  table.add("m", undefined, true);
  table.delete(table.find("m"), "m");
  assert.equal(table.find("a"), -1);
  assert.equal(table.hasAny("", undefined), false);
  table.add("a", undefined, true);
  assert.equal(table.keyOf(table.find("a")), "a");
});
