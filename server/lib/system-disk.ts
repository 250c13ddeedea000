// The real file system.
import {
  close,
  constants,
  existsSync,
  fdatasync,
  fstatSync,
  fsync,
  mkdirSync,
  open,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  write,
} from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Disk, DiskFile } from "./disk.ts";

const closeDescriptor = promisify(close);
const syncDescriptor = promisify(fsync);
const syncData = promisify(fdatasync);
const openDescriptor = promisify(open);

// A write with O_DSYNC is write and fdatasync in one trip through the thread pool, a quarter quicker than two.
const durableFlags = constants.O_RDWR | (constants.O_DSYNC ?? constants.O_SYNC ?? 0);

class SystemFile implements DiskFile {
  readonly #plain: number;
  readonly #durable: number;
  #isClosed = false;

  constructor(plain: number, durable: number) {
    this.#plain = plain;
    this.#durable = durable;
  }

  writeDurably(bytes: Uint8Array, offset: number): Promise<void> {
    return writeAll(this.#durable, bytes, offset);
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return writeAll(this.#plain, bytes, offset);
  }

  sync(): Promise<void> {
    return syncData(this.#plain);
  }

  read(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const count = readSync(this.#plain, bytes, done, length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  }

  sizeBytes(): number {
    return fstatSync(this.#plain).size;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await closeDescriptor(this.#durable);
    await closeDescriptor(this.#plain);
  }
}

/** The system may write less than it was given, a full disk being the common reason; the rest then fails by itself. */
function writeAll(descriptor: number, bytes: Uint8Array, offset: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const writeFrom = (done: number): void => {
      write(descriptor, bytes, done, bytes.length - done, offset + done, (error, count) => {
        if (error !== null) reject(error);
        else if (done + count === bytes.length) resolve();
        else writeFrom(done + count);
      });
    };
    writeFrom(0);
  });
}

/** Node's own way to make the folders above, too, never ends on file systems that take none, like /proc. */
function makeFolder(path: string): void {
  const above = dirname(path);
  if (above !== path && !existsSync(above)) makeFolder(above);
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === "EEXIST" && statSync(path).isDirectory();
    if (!isThere) throw error;
  }
}

export const systemDisk: Disk = {
  makeFolder,
  list(folder) {
    return readdirSync(folder).sort();
  },
  open(path, mode) {
    const plain = openSync(path, mode === "create" ? "wx+" : "r+", 0o600);
    return new SystemFile(plain, openSync(path, durableFlags));
  },
  rename(from, to) {
    renameSync(from, to);
  },
  remove(path) {
    rmSync(path, { force: true });
  },
  async syncFolder(path) {
    const descriptor = await openDescriptor(path, "r");
    try {
      await syncDescriptor(descriptor);
    } finally {
      await closeDescriptor(descriptor);
    }
  },
  freeBytes(path) {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  },
};
