// BufferedBackend against plain maps, over each engine: random operations, flushes that run meanwhile, ends without a
// flush.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../server/lib/random.ts";
import { type Backend, StorageError } from "../../server/storage/backend.ts";
import { BufferedBackend } from "../../server/storage/buffered-backend.ts";
import type { TableName } from "../../server/storage/tables.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { NaiveTables, textOf } from "./naive-tables.ts";
import { type StoreKind, type StorePlace, storeKinds } from "./stores.ts";

const tables: readonly TableName[] = ["current", "events", "history"];
const keysMax = 300;

/** A backend and what it should hold, driven by chance. */
class Trial {
  readonly #random: Random;
  readonly #place: StorePlace;
  #backend: Backend;
  /** What reads must see, and what must be there after an end without a flush. */
  #model = new NaiveTables();
  #durable = new NaiveTables();
  #flushing: Promise<void> | undefined;
  readonly #kept: { readonly value: Uint8Array; readonly copy: string }[] = [];
  #value = 0;

  constructor(random: Random, place: StorePlace) {
    this.#random = random;
    this.#place = place;
    this.#backend = new BufferedBackend(place.open());
  }

  #table(): TableName {
    return tables[this.#random.below(tables.length)] as TableName;
  }

  #key(): string {
    const number = this.#random.below(keysMax);
    // Keys of all kinds of bytes, some of them prefixes of others.
    return String.fromCharCode(number % 256) + (number % 3 === 0 ? "" : `\0\xff${number}`);
  }

  #newValue(): Uint8Array {
    const sizes = [0, 1, 40, 40, 40, 3000];
    const sizeBytes = this.#random.below(300) === 0 ? 70_000 : (sizes[this.#random.below(sizes.length)] as number);
    return Buffer.alloc(sizeBytes, `value ${++this.#value} `);
  }

  #bounds(): [string, string | undefined] {
    const [a, b] = [this.#key(), this.#key()].sort() as [string, string];
    return [this.#random.below(4) === 0 ? "" : a, this.#random.below(4) === 0 ? undefined : b];
  }

  async step(): Promise<void> {
    const kind = this.#random.below(100);
    if (kind < 45) this.#write();
    else if (kind < 60) this.#remove();
    else if (kind < 70) this.#get();
    else if (kind < 80) this.#scan();
    else if (kind < 92) this.#count();
    else if (kind < 96) this.#startFlush();
    else if (kind < 98) await new Promise((resolve) => setImmediate(resolve));
    else if (kind < 99) await this.#flushing;
    else if (this.#random.below(6) === 0) await this.#reopen();
  }

  #write(): void {
    const table = this.#table();
    const key = this.#key();
    const value = this.#newValue();
    if (this.#model.get(table, key) === undefined) this.#backend.insert(table, key, value);
    else this.#backend.replace(table, key, value);
    this.#model.table(table).set(key, value);
  }

  #remove(): void {
    const table = this.#table();
    const key = this.#key();
    if (!this.#model.table(table).delete(key)) return;
    this.#backend.remove(table, key);
  }

  #get(): void {
    const table = this.#table();
    const key = this.#key();
    const value = this.#backend.get(table, key);
    assertSameValue(value, this.#model.get(table, key));
    this.#keep(value);
  }

  #scan(): void {
    const table = this.#table();
    const [from, to] = this.#bounds();
    const expected = [...this.#model.scan(table, from, to)];
    const rowsMax = this.#random.below(3) === 0 ? this.#random.below(10) : Number.POSITIVE_INFINITY;
    let at = 0;
    for (const { key, value } of this.#backend.scan(table, from, to)) {
      assert.equal(key, expected[at]?.key);
      assertSameValue(value, expected[at]?.value);
      this.#keep(value);
      at++;
      if (at >= rowsMax) return;
    }
    assert.equal(at, expected.length);
    const first = this.#backend.first(table, from, to);
    assert.equal(first?.key, expected[0]?.key);
    assertSameValue(first?.value, expected[0]?.value);
  }

  #count(): void {
    const table = this.#table();
    const [from, to] = this.#bounds();
    const rowsMax = 1 + this.#random.below(40);
    let rows = 0;
    let at: string | undefined = from;
    while (at !== undefined) {
      const counted = this.#backend.count(table, at, to, rowsMax);
      // A part of the range was counted, and all of it that lies before `next`.
      assert.equal(counted.rows, this.#model.count(table, at, counted.next ?? to).rows);
      rows += counted.rows;
      at = counted.next;
    }
    assert.equal(rows, this.#model.count(table, from, to).rows);
    assert.equal(this.#backend.count(table, from, to, Number.MAX_SAFE_INTEGER * 10).rows, rows);
  }

  #startFlush(): void {
    let sealed: NaiveTables | undefined;
    this.#flushing = this.#backend
      .flush(() => {
        sealed = this.#model.copy();
      })
      .then(
        () => {
          if (sealed !== undefined) this.#durable = sealed;
        },
        // The end of the backend may come first.
        (error: unknown) => assert(error instanceof StorageError),
      );
  }

  async #reopen(): Promise<void> {
    await this.#backend.close();
    // What was under way may have been finished or given up; either way it counts as a whole.
    await this.#flushing;
    this.#flushing = undefined;
    this.#backend = new BufferedBackend(this.#place.open());
    assert.deepEqual(textOf(this.#backend), textOf(this.#durable));
    this.#model = this.#durable.copy();
  }

  /** Values that were given out must not change, whatever happens later. */
  #keep(value: Uint8Array | undefined): void {
    if (value === undefined || this.#random.below(10) !== 0) return;
    this.#kept.push({ value, copy: Buffer.from(value).toString("latin1") });
  }

  async finish(): Promise<void> {
    await this.#backend.flush(() => undefined);
    assert.deepEqual(textOf(this.#backend), textOf(this.#model));
    await this.#backend.close();
    this.#backend = new BufferedBackend(this.#place.open());
    assert.deepEqual(textOf(this.#backend), textOf(this.#model));
    await this.#backend.close();
    for (const { value, copy } of this.#kept) assert.equal(Buffer.from(value).toString("latin1"), copy);
  }
}

function assertSameValue(actual: Uint8Array | undefined, expected: Uint8Array | undefined): void {
  assert.equal(actual === undefined, expected === undefined);
  if (actual !== undefined && expected !== undefined) assert(Buffer.compare(actual, expected) === 0, "another value");
}

async function withPlace(kind: StoreKind, body: (place: StorePlace) => Promise<void>): Promise<void> {
  const place = kind.create();
  try {
    await body(place);
  } finally {
    await place.dispose();
  }
}

for (const kind of storeKinds) {
  test(`${kind.name}: random operations agree with plain maps`, async (t) => {
    const seed = seedFromEnvironment();
    t.diagnostic(`QUORATE_SEED=${seed}`);
    await withPlace(kind, async (place) => {
      const trial = new Trial(createRandom(seed).fork(kind.name), place);
      for (let step = 0; step < 12_000; step++) await trial.step();
      await trial.finish();
    });
  });

  test(`${kind.name}: a count sees every row once at every moment of a flush`, async () => {
    await withPlace(kind, async (place) => {
      const backend = new BufferedBackend(place.open());
      const countAll = (): number => backend.count("current", "", undefined, 1_000_000).rows;
      let rows = 0;
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 500; i++) backend.insert("current", `key ${rows++}`, Buffer.alloc(100));
        backend.remove("current", `key ${round}`);
        backend.insert("current", `again ${round}`, Buffer.alloc(10));
        let isOver = false;
        const flushing = backend.flush(() => undefined).then(() => (isOver = true));
        while (!isOver) {
          assert.equal(countAll(), rows);
          // Looks again in every gap there is: between microtasks and between turns.
          for (let i = 0; i < 20; i++) {
            await undefined;
            assert.equal(countAll(), rows);
          }
          await new Promise((resolve) => setTimeout(resolve));
          // The writer thread goes on while this one stands still: it may be done before anybody here knows.
          if (round % 4 === 0) standStill(20);
          assert.equal(countAll(), rows);
        }
        await flushing;
        assert.equal(countAll(), rows);
      }
      await backend.close();
    });
  });

  test(`${kind.name}: a walk shows the rows as they are, layer over layer`, async () => {
    await withPlace(kind, async (place) => {
      const backend = new BufferedBackend(place.open());
      for (const key of ["a", "b", "c", "d"]) backend.insert("current", key, Buffer.from("stored"));
      await backend.flush(() => undefined);
      backend.replace("current", "b", Buffer.from("sealed"));
      backend.remove("current", "c");
      const flushing = backend.flush(() => undefined);
      await undefined;
      backend.insert("current", "c", Buffer.from("active"));
      backend.remove("current", "d");
      backend.insert("current", "bb", Buffer.from("active"));
      const rows = [...backend.scan("current", "", undefined)].map(({ key, value }) => `${key} ${value}`);
      assert.deepEqual(rows, ["a stored", "b sealed", "bb active", "c active"]);
      await flushing;
      assert.equal(backend.count("current", "", undefined, 100).rows, 4);
      await backend.close();
    });
  });

  test(`${kind.name}: a dump is one moment, and loading it replaces everything`, async () => {
    await withPlace(kind, async (place) => {
      const backend = new BufferedBackend(place.open());
      for (let i = 0; i < 3000; i++) backend.insert("events", `row ${i}`, Buffer.alloc(i % 700, i));
      const expected = textOf(backend);
      const dump = await backend.dump(() => undefined);
      for (let i = 0; i < 1000; i++) backend.remove("events", `row ${i}`);
      backend.insert("current", "later", Buffer.from("x"));
      await backend.flush(() => undefined);
      const chunks: Uint8Array[] = [];
      for await (const chunk of dump.chunks()) chunks.push(Uint8Array.from(chunk));
      await dump.close();
      await dump.close();
      backend.insert("current", "buffered", Buffer.from("y"));
      await backend.load(
        (async function* () {
          yield* chunks;
        })(),
        () => assert.deepEqual(textOf(backend), expected),
      );
      assert.deepEqual(textOf(backend), expected);
      await backend.close();
      const again = new BufferedBackend(place.open());
      assert.deepEqual(textOf(again), expected);
      await again.close();
    });
  });

  test(`${kind.name}: a load that breaks off leaves everything as it was`, async () => {
    await withPlace(kind, async (place) => {
      const backend = new BufferedBackend(place.open());
      for (let i = 0; i < 100; i++) backend.insert("events", `row ${i}`, Buffer.from(`value ${i}`));
      await backend.flush(() => undefined);
      backend.insert("events", "buffered", Buffer.from("x"));
      const before = textOf(backend);
      const dump = await backend.dump(() => undefined);
      const broken = (async function* () {
        yield* dump.chunks();
        throw new Error("the connection ended");
      })();
      await assert.rejects(
        backend.load(broken, () => assert.fail("nothing was loaded")),
        /the connection ended/,
      );
      await dump.close();
      assert.deepEqual(textOf(backend), before);
      backend.insert("events", "later", Buffer.from("x"));
      await backend.flush(() => undefined);
      const after = textOf(backend);
      await backend.close();
      const again = new BufferedBackend(place.open());
      assert.deepEqual(textOf(again), after);
      await again.close();
    });
  });

  test(`${kind.name}: after its end a store takes no flush for done`, async () => {
    await withPlace(kind, async (place) => {
      const backend = new BufferedBackend(place.open());
      backend.insert("events", "row", Buffer.from("x"));
      await backend.close();
      await backend.close();
      await assert.rejects(
        backend.flush(() => undefined),
        StorageError,
      );
    });
  });
}

const nobody = new Int32Array(new SharedArrayBuffer(4));

function standStill(forMs: number): void {
  Atomics.wait(nobody, 0, 0, forMs);
}

test("lmdb: walks that are left early keep no old pages", async () => {
  await withPlace(storeKinds.find(({ name }) => name === "lmdb") as StoreKind, leaveWalksEarly);
});

async function leaveWalksEarly(place: StorePlace): Promise<void> {
  const backend = new BufferedBackend(place.open());
  const rewrite = async (): Promise<void> => {
    for (let i = 0; i < 500; i++) backend.set("current", `key ${i}`, Buffer.alloc(1000, i));
    // Such a walk has a layer above the store, and is not finished.
    for (let i = 0; i < 5; i++) for (const row of backend.scan("current", `key ${i}`, undefined)) if (row) break;
    assert.equal(backend.first("current", "key 5", undefined)?.key, "key 5");
    await backend.flush(() => undefined);
  };
  for (let round = 0; round < 5; round++) await rewrite();
  const { total } = backend.sizeBytes();
  for (let round = 0; round < 25; round++) await rewrite();
  assert(backend.sizeBytes().total <= total * 1.5, `the file grew from ${total} to ${backend.sizeBytes().total} bytes`);
  await backend.close();
}

for (const kind of storeKinds.filter(({ hasFaults }) => hasFaults)) {
  test(`${kind.name}: rows that found no room stay readable and go down with the next flush`, async () => {
    await withPlace(kind, async (place) => {
      const backend = new BufferedBackend(place.open());
      backend.insert("current", "a", Buffer.from("1"));
      await backend.flush(() => undefined);
      backend.replace("current", "a", Buffer.from("2"));
      backend.insert("current", "b", Buffer.from("2"));
      place.fault = "no-space";
      let seals = 0;
      const seal = (): void => {
        seals++;
      };
      await assert.rejects(backend.flush(seal), { code: "no-space" });
      backend.insert("current", "c", Buffer.from("3"));
      backend.remove("current", "b");
      assert.deepEqual(
        [...backend.scan("current", "", undefined)].map(({ key, value }) => `${key} ${value}`),
        ["a 2", "c 3"],
      );
      assert.equal(backend.count("current", "", undefined, 100).rows, 2);
      const heldBytes = backend.memoryBytes;
      await assert.rejects(backend.flush(seal), { code: "no-space" });
      // The failed batch is tried first: nothing new is sealed on top of it.
      assert.equal(seals, 1);
      assert.equal(backend.memoryBytes, heldBytes);
      place.fault = undefined;
      await backend.flush(seal);
      assert.equal(seals, 2);
      assert.equal(backend.memoryBytes, 0);
      const expected = textOf(backend);
      await backend.close();
      const again = new BufferedBackend(place.open());
      assert.deepEqual(textOf(again), expected);
      await again.close();
    });
  });

  test(`${kind.name}: an io error is told, and rows stay readable`, async () => {
    await withPlace(kind, async (place) => {
      const backend = new BufferedBackend(place.open());
      backend.insert("current", "a", Buffer.from("1"));
      place.fault = "io";
      await assert.rejects(
        backend.flush(() => undefined),
        { code: "io" },
      );
      assert.equal(String(backend.get("current", "a")), "1");
      await backend.close();
      place.fault = undefined;
      const again = new BufferedBackend(place.open());
      assert.deepEqual(textOf(again), []);
      await again.close();
    });
  });

  test(`${kind.name}: flushes that are asked for at once run one after the other`, async () => {
    await withPlace(kind, async (place) => {
      const backend = new BufferedBackend(place.open());
      const seals: number[] = [];
      const flushes = [1, 2, 3].map((number) => {
        backend.insert("current", `key ${number}`, Buffer.alloc(1));
        return backend.flush(() => seals.push(number));
      });
      await Promise.all(flushes);
      assert.deepEqual(seals, [1, 2, 3]);
      await backend.close();
    });
  });
}
