// Backend on top of a TableStore: writes collect in memory and go down in large batches, while reads look through
// memory to the store below. An engine's commit costs milliseconds, whatever its size; here it happens beside the
// event loop, a few times a second, and a key that changed ten times meanwhile is written once.
//
// Up to two layers lie over the store: `active` takes writes, `sealed` is on its way down and does not change. A
// layer goes only when the store shows its rows, so a read never sees a gap.
import { assert, InvariantError } from "../lib/assert.ts";
import type { ByteString } from "../lib/byte-string.ts";
import { putBytes } from "../lib/wire-put.ts";
import {
  type Backend,
  type Row,
  type RowCount,
  type RowSpace,
  type RowSpan,
  StorageError,
  type TableDump,
  type TableReader,
  type TableStore,
} from "./backend.ts";
import { LayerTable, type LayerWalk, type MemoryMeter } from "./layer-table.ts";
import { mutated } from "./mutations.ts";
import { type TableName, tableNames } from "./tables.ts";

/** Written often and looked up seldom; everything else has an index. */
const unindexed: ReadonlySet<TableName> = new Set(["events", "history", "longHistory"]);

class Layer implements MemoryMeter {
  bytes = 0;
  readonly tables = Object.fromEntries(
    tableNames.map((name, number) => [name, new LayerTable(number, !unindexed.has(name), this)]),
  ) as { readonly [T in TableName]: LayerTable };
  readonly #all = Object.values(this.tables);

  get isEmpty(): boolean {
    return this.#all.every(({ size }) => size === 0);
  }

  /** All rows in key order, which is also the order that a B-tree takes them fastest. */
  *batch(): Iterable<Uint8Array> {
    for (const table of this.#all) yield* table.batch();
  }
}

export class BufferedBackend implements Backend {
  readonly #store: TableStore;
  #active = new Layer();
  #sealed: Layer | undefined;
  #working: Promise<unknown> | undefined;
  #isClosed = false;

  constructor(store: TableStore) {
    this.#store = store;
  }

  get bufferedBytes(): number {
    return this.#active.bytes;
  }

  get(table: TableName, key: ByteString): Uint8Array | undefined {
    let rows = this.#active.tables[table];
    let row = rows.find(key);
    if (row === -1 && this.#sealed !== undefined) {
      rows = this.#sealed.tables[table];
      row = rows.find(key);
    }
    return row === -1 ? this.#store.get(table, key) : rows.valueOf(row);
  }

  locate(table: TableName, key: ByteString): RowSpan | undefined {
    let rows = this.#active.tables[table];
    let row = rows.find(key);
    if (row === -1 && this.#sealed !== undefined) {
      rows = this.#sealed.tables[table];
      row = rows.find(key);
    }
    if (row !== -1) return rows.locate(row);
    const value = this.#store.get(table, key);
    if (value === undefined) return undefined;
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.length);
    return { bytes, at: 0, length: bytes.length };
  }

  insert(table: TableName, key: ByteString, value: Uint8Array): void {
    fill(this.insertSpace(table, key, value.length), value);
  }

  insertSpace(table: TableName, key: ByteString, valueBytes: number): RowSpace {
    const rows = this.#active.tables[table];
    const row = rows.find(key);
    if (row === -1) return rows.add(key, valueBytes, true);
    if (rows.hasValue(row)) throw new InvariantError(`insert over a row of ${table}`);
    return rows.change(row, key, valueBytes);
  }

  replace(table: TableName, key: ByteString, value: Uint8Array): void {
    fill(this.replaceSpace(table, key, value.length), value);
  }

  replaceSpace(table: TableName, key: ByteString, valueBytes: number): RowSpace {
    const rows = this.#active.tables[table];
    const row = rows.find(key);
    if (row === -1) return rows.add(key, valueBytes, false);
    if (!rows.hasValue(row)) throw new InvariantError(`replace of a missing row of ${table}`);
    return rows.change(row, key, valueBytes);
  }

  set(table: TableName, key: ByteString, value: Uint8Array): void {
    const rows = this.#active.tables[table];
    const row = rows.find(key);
    fill(row === -1 ? rows.add(key, value.length, false) : rows.change(row, key, value.length), value);
  }

  remove(table: TableName, key: ByteString): void {
    const rows = this.#active.tables[table];
    const row = rows.find(key);
    if (row === -1) {
      rows.add(key, undefined, false);
      return;
    }
    assert(rows.hasValue(row), () => `remove of a missing row of ${table}`);
    // A row that lived only in this layer leaves no trace below.
    if (rows.isNew(row)) rows.delete(row, key);
    else rows.change(row, key, undefined);
  }

  *scan(table: TableName, from: ByteString, to: ByteString | undefined): IterableIterator<Row> {
    const layers = this.#layersWith(table, from, to);
    if (layers.length === 0) yield* this.#store.scan(table, from, to);
    else yield* mergeScan(layers, this.#store, table, from, to);
  }

  first(table: TableName, from: ByteString, to: ByteString | undefined): Row | undefined {
    for (const row of this.scan(table, from, to)) return row;
    return undefined;
  }

  count(table: TableName, from: ByteString, to: ByteString | undefined, rowsMax: number): RowCount {
    const below = this.#store.count(table, from, to, rowsMax);
    const countedTo = below.next ?? to;
    let rows = below.rows;
    for (const layerRows of this.#layersWith(table, from, countedTo)) {
      for (const walk = layerRows.walk(from, countedTo); walk.row !== -1; walk.next()) {
        if (!layerRows.hasValue(walk.row)) rows--;
        else if (layerRows.isNew(walk.row)) rows++;
      }
    }
    return { rows, next: below.next };
  }

  /** The layers that say anything about [from, to), newest first. */
  #layersWith(table: TableName, from: ByteString, to: ByteString | undefined): LayerTable[] {
    const found: LayerTable[] = [];
    for (const layer of [this.#active, this.#sealed]) {
      const rows = layer?.tables[table];
      if (rows?.hasAny(from, to) === true) found.push(rows);
    }
    return found;
  }

  flush(onSeal: () => void): Promise<void> {
    return this.#enqueue(() => this.#flushNow(onSeal));
  }

  dump(onSeal: () => void): Promise<TableDump> {
    return this.#enqueue(async () => {
      await this.#flushNow(onSeal);
      return this.#store.openDump();
    });
  }

  load(chunks: AsyncIterable<Uint8Array>, onLoaded: () => void): Promise<void> {
    return this.#enqueue(async () => {
      await this.#store.load(chunks);
      if (!mutated("storage/load-keeps-buffer")) this.#active = new Layer();
      this.#sealed = undefined;
      onLoaded();
    });
  }

  /** Runs work on the store after all that was asked for before, one at a time. */
  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const earlier = this.#working;
    const working = (async () => {
      // A failure was told to whoever asked; what it left undone is tried again by the next flush.
      await earlier?.catch(() => undefined);
      return work();
    })();
    this.#working = working;
    return working;
  }

  async #flushNow(onSeal: () => void): Promise<void> {
    await this.#writeSealed();
    onSeal();
    if (this.#active.isEmpty) return;
    this.#sealed = this.#active;
    this.#active = new Layer();
    await this.#writeSealed();
  }

  async #writeSealed(): Promise<void> {
    // Nobody may take rows for durable that were never written.
    if (this.#isClosed) throw new StorageError("io", "the store was closed before it was flushed");
    if (this.#sealed === undefined) return;
    const sealed = this.#sealed;
    if (mutated("storage/layer-dropped-early")) this.#sealed = undefined;
    const onVisible = (): void => {
      this.#sealed = undefined;
    };
    try {
      await this.#store.write(sealed.batch(), onVisible);
    } catch (error) {
      if (mutated("storage/failed-flush-forgotten")) onVisible();
      throw error;
    }
  }

  /** Bytes held in memory altogether, for the driver's limit on what may wait for a slow or full disk. */
  get memoryBytes(): number {
    return this.#active.bytes + (this.#sealed?.bytes ?? 0);
  }

  sizeBytes(): { readonly total: number; readonly inUse: number } {
    return this.#store.sizeBytes();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Whoever asked for that work hears of its failure; closing only waits for it to be over.
    await this.#working?.catch(() => undefined);
    await this.#store.close();
  }
}

function fill({ bytes, at }: RowSpace, value: Uint8Array): void {
  putBytes(bytes, at, value);
}

/** Merges layers (newest first) over the store: for one key the newest word counts. */
function* mergeScan(
  layers: readonly LayerTable[],
  store: TableReader,
  table: TableName,
  from: ByteString,
  to: ByteString | undefined,
): IterableIterator<Row> {
  const walks = layers.map((rows) => rows.walk(from, to));
  const below = store.scan(table, from, to);
  try {
    yield* mergeRows(walks, below);
  } finally {
    // A walk over the store that is not ended keeps its view of the store alive, and every page in it.
    below.return?.();
  }
}

function* mergeRows(walks: readonly LayerWalk[], below: IterableIterator<Row>): IterableIterator<Row> {
  let stored = below.next();
  for (;;) {
    let smallest: ByteString | undefined = stored.done === true ? undefined : stored.value.key;
    let newest: LayerWalk | undefined;
    for (const walk of walks) {
      const { key } = walk;
      if (key === undefined || (smallest !== undefined && key > smallest)) continue;
      if (key === smallest && newest !== undefined) continue;
      smallest = key;
      newest = walk;
    }
    if (smallest === undefined) return;
    if (newest === undefined) yield stored.value as Row;
    else {
      const value = newest.table.valueOf(newest.row);
      if (value !== undefined) yield { key: smallest, value };
    }
    for (const walk of walks) if (walk.key === smallest) walk.next();
    if (stored.done !== true && stored.value.key === smallest) stored = below.next();
  }
}
