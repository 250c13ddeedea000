// What the state machine sees of storage, and what storage asks of an engine. Both are ordered tables of byte
// strings to bytes. `Backend` is synchronous and shows every write at once; `TableStore` is the engine underneath,
// written to in large atomic batches. buffered-backend.ts makes the one out of the other.
import type { ByteString } from "../lib/byte-string.ts";
import type { TableName } from "./tables.ts";

export interface Row {
  readonly key: ByteString;
  readonly value: Uint8Array;
}

export interface RowCount {
  readonly rows: number;
  /** Where to go on counting; undefined when the range was counted to its end. */
  readonly next: ByteString | undefined;
}

/** Read access. Values are stable: they may be kept, and must not be changed. */
export interface TableReader {
  get(table: TableName, key: ByteString): Uint8Array | undefined;
  /** Rows with keys in [from, to) in byte order; no `to` means to the end. Finish the walk before the next write. */
  scan(table: TableName, from: ByteString, to: ByteString | undefined): IterableIterator<Row>;
  /** The first row of that walk. */
  first(table: TableName, from: ByteString, to: ByteString | undefined): Row | undefined;
  /**
   * Counts rows with keys in [from, to), at most `rowsMax` of them at a time: counting a million rows takes longer
   * than anyone may hold the event loop.
   */
  count(table: TableName, from: ByteString, to: ByteString | undefined, rowsMax: number): RowCount;
}

/** Where a row's value is to be written, before anything else is asked of the backend. */
export interface RowSpace {
  readonly bytes: Buffer;
  readonly at: number;
}

/** Where a row's value is: `length` bytes from `at` on. Good until anything else is asked of the backend. */
export interface RowSpan extends RowSpace {
  readonly length: number;
}

/**
 * The store as the state machine uses it. Every method is synchronous, and reads see all earlier writes. Nothing is
 * durable until {@link Backend.flush} resolves: what was acknowledged is safe because it is in the log, and the log
 * is replayed from the last flush. A flush takes everything written before it as one atomic unit, so a caller that
 * flushes between commands, never inside one, finds whole commands after a crash.
 */
export interface Backend extends TableReader {
  /** {@link TableReader.get} for a value that is looked at in its place. */
  locate(table: TableName, key: ByteString): RowSpan | undefined;
  /** Adds a row. The caller knows that `key` has none. */
  insert(table: TableName, key: ByteString, value: Uint8Array): void;
  /** Replaces a row. The caller knows that `key` has one. */
  replace(table: TableName, key: ByteString, value: Uint8Array): void;
  /** {@link Backend.insert} for a value that is made in its place, not copied there. */
  insertSpace(table: TableName, key: ByteString, valueBytes: number): RowSpace;
  /** {@link Backend.replace} for a value that is made in its place, not copied there. */
  replaceSpace(table: TableName, key: ByteString, valueBytes: number): RowSpace;
  /** Adds or replaces a row, for tables whose rows are never counted. */
  set(table: TableName, key: ByteString, value: Uint8Array): void;
  /** Removes a row. The caller knows that `key` has one. */
  remove(table: TableName, key: ByteString): void;

  /**
   * Memory that is taken by what was written since the last flush began, overwritten rows included. The driver flushes
   * when this grows large.
   */
  readonly bufferedBytes: number;
  /** The same plus what a running or failed flush still holds: all memory that waits for the disk. */
  readonly memoryBytes: number;
  /**
   * Makes everything written so far durable, together. Writes may go on meanwhile; they belong to the next flush.
   * One flush runs at a time: a call during a flush waits for it and then flushes what has come since.
   * @param onSeal Called at the moment that decides what belongs to this flush; what it writes still does.
   * @throws StorageError The buffered rows stay readable, and the next call tries them again.
   */
  flush(onSeal: () => void): Promise<void>;
  /**
   * Flushes, and opens a view of exactly what that flush made durable, which later writes do not change.
   * @param onSeal As for {@link Backend.flush}.
   * @throws StorageError
   */
  dump(onSeal: () => void): Promise<TableDump>;
  /**
   * Replaces everything, buffered rows included, by the rows of a dump, atomically and durably. Nothing may be read or
   * written until the promise settles. When it rejects, everything is as it was.
   * @param onLoaded Called when the new rows are there, before any later flush can begin.
   * @throws StorageError
   */
  load(chunks: AsyncIterable<Uint8Array>, onLoaded: () => void): Promise<void>;
  /** Size on disk, and the part of it that holds rows. Buffered rows do not count. */
  sizeBytes(): { readonly total: number; readonly inUse: number };
  /** Ends without flushing. Twice is fine. */
  close(): Promise<void>;
}

/** All rows of a store at one moment, in pieces of some hundred KiB that only a store's `load` understands. */
export interface TableDump {
  /** The pieces, to be walked once. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Gives the view up. Twice is fine. */
  close(): Promise<void>;
}

/** One change of a batch; no value means that the row goes. */
export interface TableChange {
  readonly table: TableName;
  readonly key: ByteString;
  readonly value: Uint8Array | undefined;
}

/** An engine that keeps rows on disk and writes whole batches atomically. */
export interface TableStore extends TableReader {
  /**
   * Applies all changes, or none, and resolves when they are durable. Called again only after it settled.
   * @param batch The changes in batch form (batch-codec.ts), whole ones in each piece.
   * @param onVisible Called once, when reads begin to show the batch: before it they show nothing of it, from then on
   *   all of it. What lies over the store goes at that very moment, or a count would see a row twice.
   * @throws StorageError
   */
  write(batch: Iterable<Uint8Array>, onVisible: () => void): Promise<void>;
  /** Opens a view of everything written so far, which later batches do not change. */
  openDump(): Promise<TableDump>;
  /**
   * Replaces all rows by those of a dump, atomically and durably.
   * @throws StorageError
   */
  load(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  sizeBytes(): { readonly total: number; readonly inUse: number };
  close(): Promise<void>;
}

/**
 * - `no-space`: the disk or the map is full; nothing of the batch was written, a later try may succeed.
 * - `locked`: another process has the folder open.
 * - `corrupt`: bytes on disk are not what was written. The process must not serve from this store.
 * - `io`: any other failure; what is on disk is unknown, so the process must stop.
 */
export type StorageErrorCode = "no-space" | "locked" | "corrupt" | "io";

/** An operating error of the store. */
export class StorageError extends Error {
  override readonly name = "StorageError";
  readonly code: StorageErrorCode;

  constructor(code: StorageErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
