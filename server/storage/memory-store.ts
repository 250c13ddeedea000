// TableStore in memory: for tests, the simulator, and members that are not meant to keep anything. A batch becomes
// visible and durable at the same moment, some turns after it was handed in, or fails as a whole when the caller's
// `faults` says so.
import type { ByteString } from "../lib/byte-string.ts";
import { OrderedMap } from "../lib/ordered-map.ts";
import {
  type Row,
  type RowCount,
  StorageError,
  type StorageErrorCode,
  type TableChange,
  type TableDump,
  type TableStore,
} from "./backend.ts";
import { BatchEncoder, decodeChanges } from "./batch-codec.ts";
import { type TableName, tableNames } from "./tables.ts";

const dumpChunkRows = 500;

/** What the store held at some moment. Values are shared with the store, which never changes them. */
export type MemoryImage = { readonly [T in TableName]: OrderedMap<Uint8Array> };

export interface MemoryStoreOptions {
  /** What a crashed store left behind; empty by default. */
  readonly image?: MemoryImage;
  /** Runs `commit` later. By default on a microtask; the simulator decides the moment. */
  readonly schedule?: (commit: () => void) => void;
  /** Asked before each commit; an answer makes it fail with that code. */
  readonly faults?: () => StorageErrorCode | undefined;
}

export function createMemoryImage(): MemoryImage {
  return Object.fromEntries(tableNames.map((name) => [name, new OrderedMap<Uint8Array>()])) as MemoryImage;
}

export class MemoryStore implements TableStore {
  /** What survives a crash: everything that was committed. */
  readonly image: MemoryImage;
  readonly #schedule: (commit: () => void) => void;
  readonly #faults: () => StorageErrorCode | undefined;
  #isClosed = false;

  constructor(options: MemoryStoreOptions = {}) {
    this.image = options.image ?? createMemoryImage();
    this.#schedule = options.schedule ?? queueMicrotask;
    this.#faults = options.faults ?? (() => undefined);
  }

  get(table: TableName, key: ByteString): Uint8Array | undefined {
    return this.image[table].get(key);
  }

  *scan(table: TableName, from: ByteString, to: ByteString | undefined): IterableIterator<Row> {
    const rows = this.image[table];
    for (const key of rows.keys(from, to)) yield { key, value: rows.get(key) as Uint8Array };
  }

  first(table: TableName, from: ByteString, to: ByteString | undefined): Row | undefined {
    const rows = this.image[table];
    const key = rows.ceiling(from);
    if (key === undefined || (to !== undefined && key >= to)) return undefined;
    return { key, value: rows.get(key) as Uint8Array };
  }

  count(table: TableName, from: ByteString, to: ByteString | undefined, rowsMax: number): RowCount {
    let rows = 0;
    for (const key of this.image[table].keys(from, to)) {
      if (rows === rowsMax) return { rows, next: key };
      rows++;
    }
    return { rows, next: undefined };
  }

  async write(batch: Iterable<Uint8Array>, onVisible: () => void): Promise<void> {
    const changes = [...batch].flatMap(decodeChanges);
    await new Promise<void>((resolve) => this.#schedule(resolve));
    if (this.#isClosed) throw new StorageError("io", "the store was closed before a batch was written");
    const fault = this.#faults();
    if (fault !== undefined) throw new StorageError(fault, `injected fault: ${fault}`);
    for (const { table, key, value } of changes) {
      if (value === undefined) this.image[table].delete(key);
      else this.image[table].set(key, value);
    }
    onVisible();
  }

  async openDump(): Promise<TableDump> {
    const rows: TableChange[] = [];
    for (const table of tableNames)
      for (const { key, value } of this.scan(table, "", undefined)) rows.push({ table, key, value });
    return {
      async *chunks() {
        for (let from = 0; from < rows.length; from += dumpChunkRows) {
          const encoder = new BatchEncoder();
          for (const row of rows.slice(from, from + dumpChunkRows)) encoder.add(row);
          const { buffer, length } = encoder.finish();
          yield new Uint8Array(buffer, 0, length);
        }
      },
      close: async () => undefined,
    };
  }

  async load(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const loaded = createMemoryImage();
    for await (const chunk of chunks) {
      for (const { table, key, value } of decodeChanges(chunk)) if (value !== undefined) loaded[table].set(key, value);
    }
    await new Promise<void>((resolve) => this.#schedule(resolve));
    if (this.#isClosed) throw new StorageError("io", "the store was closed before a snapshot was loaded");
    const fault = this.#faults();
    if (fault !== undefined) throw new StorageError(fault, `injected fault: ${fault}`);
    // All tables at once: there is no moment between the old rows and the new.
    for (const name of tableNames) {
      for (const [key] of [...this.image[name].entries()]) this.image[name].delete(key);
      for (const [key, value] of loaded[name].entries()) this.image[name].set(key, value);
    }
  }

  sizeBytes(): { readonly total: number; readonly inUse: number } {
    let total = 0;
    for (const name of tableNames)
      for (const [key, value] of this.image[name].entries()) total += key.length + value.length;
    return { total, inUse: total };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}
