// Opens the LMDB environment the one way it may be opened here; the reading side and the writer thread share it.
//
// Every commit is synced before it counts (no overlappingSync, noSync or noMetaSync): commits run on a thread of their
// own, so a sync costs nobody's latency, and a failed one is simply a failed batch. Maps are read-only in memory (no
// useWritemap): a full disk must be an error code, not a SIGBUS.
import {
  type Database,
  type DatabaseOptions,
  open,
  type RootDatabase,
  type RootDatabaseOptionsWithPath,
  type Transaction,
} from "lmdb";
import { byteStringFrom, writeByteString } from "../lib/byte-string.ts";
import { StorageError, type StorageErrorCode } from "./backend.ts";
import { type TableName, tableNames } from "./tables.ts";

/** A view of the store as of one commit, until it is done with. */
export type LmdbView = Transaction;

/** Its types leave out that a look-up, too, can be made in a given view. */
export type LmdbTable = Omit<Database<Buffer, string>, "getBinary"> & {
  getBinary(key: string, options?: { readonly transaction: LmdbView }): Buffer | undefined;
};

export interface LmdbEnvironment {
  readonly root: RootDatabase<Buffer, string>;
  readonly tables: { readonly [T in TableName]: LmdbTable };
}

// Address space, not memory or disk. Beyond it a batch is refused as if the disk were full.
const mapSizeBytes = 64 * 2 ** 30;

const keyEncoder = {
  writeKey: (key: string, target: Buffer, start: number): number => writeByteString(target, key, start),
  readKey: (target: Buffer, start: number, end: number): string => byteStringFrom(target, start, end),
};

/** @throws StorageError when the folder holds something that LMDB cannot use. */
export function openLmdbEnvironment(folder: string): LmdbEnvironment {
  try {
    const rootOptions = {
      path: folder,
      encoding: "binary",
      keyEncoder,
      maxDbs: tableNames.length + 1,
      mapSize: mapSizeBytes,
      overlappingSync: false,
      cache: false,
    } as RootDatabaseOptionsWithPath;
    const root = open<Buffer, string>(rootOptions);
    // The type of the options leaves keyEncoder out; the library reads it.
    const tableOptions = { encoding: "binary", keyEncoder } as DatabaseOptions;
    const tables = Object.fromEntries(
      tableNames.map((name) => [name, root.openDB<Buffer, string>({ ...tableOptions, name })]),
    );
    return { root, tables: tables as { [T in TableName]: LmdbTable } };
  } catch (cause) {
    throw toStorageError(cause, `cannot open the store in ${folder}`);
  }
}

const noSpaceCodes = new Set<unknown>([28, "ENOSPC", -30792, 122, "EDQUOT", 27, "EFBIG"]);
const corruptCodes = new Set<unknown>([-30797, -30796, -30793, -30794]);

// LMDB says that a write came out short, which is what a disk that runs full does, with the number of a damaged disk.
const shortWriteCodes = new Set<unknown>([5, "EIO"]);
/** It writes at most 64 pages at once, so that what is left after a short write is less. */
const largestWriteBytes = 256 * 1024;

/**
 * Translates what LMDB throws. Its `code` is an errno or one of LMDB's own negative numbers.
 * @param freeBytes What the disk has room for now, for a write that failed. A batch whose pages did not fit was not
 *   committed, and may be tried again; a sync that failed may not, and does not depend on room.
 */
export function toStorageError(
  cause: unknown,
  what: string,
  freeBytes: () => number = () => Number.POSITIVE_INFINITY,
): StorageError {
  if (cause instanceof StorageError) return cause;
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const number = (error as { code?: unknown }).code;
  let code: StorageErrorCode = "io";
  if (noSpaceCodes.has(number) || /ENOSPC|EFBIG|No space left|File too large|MDB_MAP_FULL/.test(error.message))
    code = "no-space";
  else if (shortWriteCodes.has(number) && freeBytes() < largestWriteBytes) code = "no-space";
  else if (corruptCodes.has(number) || /MDB_(CORRUPTED|PAGE_NOTFOUND|INVALID|VERSION_MISMATCH)/.test(error.message)) {
    code = "corrupt";
  }
  return new StorageError(code, `${what}: ${error.message}`, { cause });
}
