// Snapshots on their way from one member to another, as files: written whole before the first byte is sent or
// installed, so that a slow link holds nothing up, and closed by a digest, so that a damaged one is never installed.
// They do not survive a restart; what is installed lives in the state store.
//
//   file := pieces, each length 4 + bytes; then length 0, SHA-256 of everything before 32
import { createHash, type Hash } from "node:crypto";
import { join } from "node:path";
import type { Clock } from "../lib/clock.ts";
import type { Disk, DiskFile } from "../lib/disk.ts";
import { LogError } from "./log-error.ts";
import { mutated } from "./mutations.ts";

const lengthBytes = 4;
const digestBytes = 32;
/** A piece is never larger; a length beyond it is damage. */
export const snapshotPieceBytesMax = 64 * 1024 * 1024;

/** A complete snapshot file. */
export interface SnapshotFile {
  readonly sizeBytes: number;
  /** The whole file as it is, in pieces for sending. */
  raw(pieceBytes: number): AsyncIterable<Uint8Array>;
  /**
   * The pieces that were written, checked against the digest before the first is given out.
   * @throws LogError `corrupt`
   */
  pieces(): AsyncIterable<Uint8Array>;
  /** Deletes the file. Twice is fine. */
  dispose(): Promise<void>;
}

/** A file that is being written. */
export interface SnapshotWriter {
  /** Adds a piece of a snapshot that is made here. */
  addPiece(piece: Uint8Array): Promise<void>;
  /** Adds bytes of a snapshot that comes from another member, as they come. */
  addRaw(bytes: Uint8Array): Promise<void>;
  /** Ends a snapshot that is made here. */
  finish(): Promise<SnapshotFile>;
  /**
   * Ends a snapshot that came from another member.
   * @throws LogError `corrupt` when it is not what was sent.
   */
  finishRaw(): Promise<SnapshotFile>;
  /** Gives up and deletes the file. */
  abort(): Promise<void>;
}

export class SnapshotStore {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #clock: Clock;
  #count = 0;

  /** @param folder Created when it does not exist; leftovers of an earlier life are removed. */
  constructor(disk: Disk, folder: string, clock: Clock) {
    this.#disk = disk;
    this.#folder = folder;
    this.#clock = clock;
    disk.makeFolder(folder);
    for (const name of disk.list(folder)) if (name.endsWith(".snapshot")) disk.remove(join(folder, name));
  }

  create(): SnapshotWriter {
    const path = join(this.#folder, `${++this.#count}.snapshot`);
    return new FileWriter(this.#disk, path, this.#clock);
  }
}

class FileWriter implements SnapshotWriter {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #file: DiskFile;
  readonly #hash: Hash = createHash("sha256");
  #sizeBytes = 0;

  constructor(disk: Disk, path: string, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
    this.#path = path;
    this.#file = disk.open(path, "create");
  }

  async addPiece(piece: Uint8Array): Promise<void> {
    if (piece.length === 0) return;
    await this.#append(lengthOf(piece.length), true);
    await this.#append(piece, true);
  }

  async addRaw(bytes: Uint8Array): Promise<void> {
    await this.#append(bytes, false);
  }

  async #append(bytes: Uint8Array, isHashed: boolean): Promise<void> {
    if (isHashed) this.#hash.update(bytes);
    await this.#file.write(bytes, this.#sizeBytes);
    this.#sizeBytes += bytes.length;
  }

  async finish(): Promise<SnapshotFile> {
    await this.#append(lengthOf(0), true);
    await this.#append(this.#hash.digest(), false);
    return this.#close();
  }

  async finishRaw(): Promise<SnapshotFile> {
    const file = await this.#close();
    try {
      for await (const _ of file.pieces());
      return file;
    } catch (error) {
      await file.dispose();
      throw error;
    }
  }

  async #close(): Promise<SnapshotFile> {
    return new ClosedFile(this.#disk, this.#path, this.#file, this.#sizeBytes, this.#clock);
  }

  async abort(): Promise<void> {
    await this.#file.close();
    this.#disk.remove(this.#path);
  }
}

class ClosedFile implements SnapshotFile {
  readonly sizeBytes: number;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  readonly #clock: Clock;
  #isDisposed = false;

  constructor(disk: Disk, path: string, file: DiskFile, sizeBytes: number, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
    this.#path = path;
    this.#file = file;
    this.sizeBytes = sizeBytes;
  }

  async *raw(pieceBytes: number): AsyncIterable<Uint8Array> {
    for (let at = 0; at < this.sizeBytes; ) {
      const bytes = this.#file.read(at, Math.min(pieceBytes, this.sizeBytes - at));
      if (bytes.length === 0) throw new LogError("corrupt", `${this.#path} is shorter than it was written`);
      at += bytes.length;
      yield bytes;
    }
  }

  async *pieces(): AsyncIterable<Uint8Array> {
    const end = await this.#checkedEnd();
    for (let at = 0; at < end; ) {
      const length = this.#file.read(at, lengthBytes).readUInt32LE(0);
      await this.#turn();
      yield this.#file.read(at + lengthBytes, length);
      at += lengthBytes + length;
    }
  }

  /** Whoever else wants the event loop gets it between two pieces. */
  #turn(): Promise<void> {
    return new Promise((resolve) => this.#clock.nextTurn(resolve));
  }

  /** Reads the whole file and compares digests. Returns where the pieces end. */
  async #checkedEnd(): Promise<number> {
    const hash = createHash("sha256");
    const damaged = (what: string): LogError => new LogError("corrupt", `${this.#path}: ${what}`);
    for (let at = 0; ; ) {
      const header = this.#file.read(at, lengthBytes);
      if (header.length < lengthBytes) throw damaged("the snapshot ends before its digest");
      const length = header.readUInt32LE(0);
      hash.update(header);
      if (length === 0) {
        const digest = this.#file.read(at + lengthBytes, digestBytes);
        const isWhole = this.sizeBytes === at + lengthBytes + digestBytes;
        if (mutated("log/snapshot-digest-ignored")) return at;
        if (!isWhole || !digest.equals(hash.digest())) throw damaged("the digest does not match");
        return at;
      }
      if (length > snapshotPieceBytesMax) throw damaged(`a piece of ${length} bytes`);
      const piece = this.#file.read(at + lengthBytes, length);
      if (piece.length < length) throw damaged("the snapshot ends inside a piece");
      hash.update(piece);
      await this.#turn();
      at += lengthBytes + length;
    }
  }

  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#file.close();
    this.#disk.remove(this.#path);
  }
}

function lengthOf(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(lengthBytes);
  bytes.writeUInt32LE(length);
  return bytes;
}
