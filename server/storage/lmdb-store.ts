// TableStore on LMDB. Reads run here, on the event loop; batches are committed by a thread of their own, because an
// LMDB commit writes every touched page and takes milliseconds. The thread starts with the first batch.
import type { ByteString } from "../lib/byte-string.ts";
import type { Clock } from "../lib/clock.ts";
import type { Histogram, Metrics } from "../lib/metrics.ts";
import type { Row, RowCount, TableDump, TableStore } from "./backend.ts";
import { BatchEncoder } from "./batch-codec.ts";
import { type LmdbEnvironment, type LmdbView, openLmdbEnvironment, toStorageError } from "./lmdb-environment.ts";
import { LmdbWriter, type Piece } from "./lmdb-writer.ts";
import type { TableName } from "./tables.ts";

// Copying a batch is cut into turns of the event loop of about this size: some hundred microseconds each.
const copyTurnBytes = 256 * 1024;
/** A batch goes to the thread in pieces of this size, of which two exist at a time. A larger row is a larger piece. */
const pieceBytes = 1024 * 1024;
/** LMDB counts in 32 bits. */
const rowsPerCountMax = 0xffff_ffff;

/** Pages that LMDB needs for itself: two for its head, one for the list of tables. */
const ownPages = 3;

interface TableStats {
  readonly pageSize: number;
  readonly lastPageNumber: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

export interface LmdbStoreOptions {
  /** Created when it does not exist. */
  readonly folder: string;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

export class LmdbStore implements TableStore {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #commitSeconds: Histogram;
  readonly #environment: LmdbEnvironment;
  readonly #writer: LmdbWriter;
  /**
   * What reads see. Left to itself the library moves to the newest commit with each turn of the event loop; here the
   * move comes at a moment of our own, since a layer of buffered rows goes with it.
   */
  #view: { readonly transaction: LmdbView };
  #lastDumpId = 0;
  #isClosed = false;

  /** @throws StorageError */
  constructor(options: LmdbStoreOptions) {
    this.#folder = options.folder;
    this.#clock = options.clock;
    this.#commitSeconds = options.metrics.histogram("etcd_disk_backend_commit_duration_seconds");
    this.#environment = openLmdbEnvironment(options.folder);
    this.#writer = new LmdbWriter(options.folder);
    this.#view = this.#newestView();
  }

  #newestView(): { readonly transaction: LmdbView } {
    const { root } = this.#environment;
    root.resetReadTxn();
    return { transaction: root.useReadTransaction() };
  }

  get(table: TableName, key: ByteString): Uint8Array | undefined {
    return this.#environment.tables[table].getBinary(key, this.#view);
  }

  *scan(table: TableName, from: ByteString, to: ByteString | undefined): IterableIterator<Row> {
    yield* this.#environment.tables[table].getRange(this.#rangeOf(from, to)) as Iterable<Row>;
  }

  first(table: TableName, from: ByteString, to: ByteString | undefined): Row | undefined {
    const range = { ...this.#rangeOf(from, to), limit: 1 };
    for (const row of this.#environment.tables[table].getRange(range)) return row;
    return undefined;
  }

  count(table: TableName, from: ByteString, to: ByteString | undefined, rowsMax: number): RowCount {
    const database = this.#environment.tables[table];
    const range = this.#rangeOf(from, to);
    const offset = Math.min(rowsMax, rowsPerCountMax);
    // LMDB steps over rows natively: the row after `rowsMax` others tells that there are that many.
    for (const next of database.getKeys({ ...range, offset, limit: 1 })) return { rows: offset, next };
    return { rows: database.getCount(range), next: undefined };
  }

  #rangeOf(from: ByteString, to: ByteString | undefined): { start: string; end?: string; transaction: LmdbView } {
    const { transaction } = this.#view;
    return to === undefined ? { start: from, transaction } : { start: from, end: to, transaction };
  }

  async write(batch: Iterable<Uint8Array>, onVisible: () => void): Promise<void> {
    this.#commitSeconds.observe(await this.#writer.write(false, (spares) => this.#pieces(batch, spares)));
    this.#showNewest();
    onVisible();
  }

  /** The batch as pieces for the thread, in buffers that came back from it where there are some. */
  async *#pieces(batch: Iterable<Uint8Array>, spares: ArrayBuffer[]): AsyncIterable<Piece> {
    const createEncoder = (): BatchEncoder => new BatchEncoder(spares.pop() ?? new ArrayBuffer(pieceBytes));
    let encoder = createEncoder();
    let turnBytes = 0;
    for (const changes of batch) {
      if (!encoder.isEmpty && encoder.length + changes.length > pieceBytes) {
        yield encoder.finish();
        encoder = createEncoder();
      }
      encoder.append(changes);
      turnBytes += changes.length;
      if (turnBytes < copyTurnBytes) continue;
      turnBytes = 0;
      await new Promise<void>((resolve) => this.#clock.nextTurn(resolve));
    }
    if (!encoder.isEmpty) yield encoder.finish();
  }

  async openDump(): Promise<TableDump> {
    const dumpId = ++this.#lastDumpId;
    const writer = this.#writer;
    await writer.read({ kind: "dump-open", dumpId });
    let isClosed = false;
    return {
      async *chunks() {
        for (;;) {
          const answer = await writer.read({ kind: "dump-next", dumpId });
          if (answer.kind !== "chunk" || answer.length === 0) return;
          yield new Uint8Array(answer.buffer, 0, answer.length);
        }
      },
      close: async () => {
        if (isClosed) return;
        isClosed = true;
        await writer.read({ kind: "dump-close", dumpId });
      },
    };
  }

  async load(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#writer.write(true, (spares) => copiesOf(chunks, spares));
    this.#showNewest();
  }

  /** Lets reads see what was committed since. The old view goes, and with it the pages that only it still needed. */
  #showNewest(): void {
    const { transaction } = this.#view;
    this.#view = this.#newestView();
    transaction.done();
  }

  sizeBytes(): { readonly total: number; readonly inUse: number } {
    let pages = ownPages;
    let lastPage = 0;
    let pageSize = 0;
    for (const table of Object.values(this.#environment.tables)) {
      const stats = table.getStats() as TableStats;
      pages += stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
      lastPage = stats.lastPageNumber;
      pageSize = stats.pageSize;
    }
    const total = (lastPage + 1) * pageSize;
    // Pages that no table accounts for are LMDB's to use again.
    return { total, inUse: Math.min(total, pages * pageSize) };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#writer.close();
    this.#view.transaction.done();
    try {
      await this.#environment.root.close();
    } catch (cause) {
      throw toStorageError(cause, `cannot close the store in ${this.#folder}`);
    }
  }
}

/** What is handed over to the thread is lost to its owner, so it must be a copy. */
async function* copiesOf(chunks: AsyncIterable<Uint8Array>, spares: ArrayBuffer[]): AsyncIterable<Piece> {
  for await (const chunk of chunks) {
    const { length } = chunk;
    let buffer = spares.pop();
    if (buffer === undefined || buffer.byteLength < length) buffer = new ArrayBuffer(Math.max(length, pieceBytes));
    new Uint8Array(buffer).set(chunk);
    yield { buffer, length };
  }
}
