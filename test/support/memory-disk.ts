// A disk in memory that keeps its promises to the letter and no further: what was not synced may be lost in a crash,
// sector by sector. A real implementation of `Disk`, for tests and the cluster simulator; no clock, no chance of its
// own: the owner decides when an operation completes, which one fails, and lends it the random numbers of a crash.
//
// What it promises, and what it does not:
// - Asynchronous operations do nothing until they complete. `schedule` is handed each one and decides when; operations
//   of one file may be completed in any order. The bytes of a write are read at that moment, as a thread pool reads them:
//   whoever changes a buffer before its write has completed writes something else.
// - `writeDurably`: once it has completed, its bytes survive every crash.
// - `write`: seen by reads once it has completed; durable once a `sync` that began later has completed. Until then a crash
//   keeps any of its sectors (512 bytes, aligned in the file) and loses the others. So it is with a write of either
//   kind that was under way. A sector is never torn, and never holds anything but one of the versions it had.
// - The size of a file is durable like its bytes: up to the furthest sector that survived.
// - `open` with "create", `rename` and `remove` change names, which are durable once a `syncFolder` of that folder that
//   began later has completed. Until then a crash keeps any of them and loses the others, each as a whole: a rename
//   has happened or has not. A new folder is a name in the folder above.
// - A failed `sync` loses its file's unsynced writes, as Linux does: reads show them still, no later sync brings them down.
//   A failed write leaves any of its sectors.
// - `capacityBytes` counts what files hold, allocated by size. Beyond it writes fail with ENOSPC and change nothing.
import { dirname } from "node:path";
import type { Disk, DiskFile } from "../../server/lib/disk.ts";
import type { Random } from "../../server/lib/random.ts";

const sectorBytes = 512;

export type DiskOperationKind = "write" | "write-durably" | "sync" | "sync-folder" | "close";

/** An operation that waits to be completed. */
export interface DiskOperation {
  readonly kind: DiskOperationKind;
  /** As it was when the operation was asked for. */
  readonly path: string;
  readonly bytes: number;
}

export type DiskFault = "EIO" | "ENOSPC";

export interface MemoryDiskOptions {
  /** Decides what a crash keeps. */
  readonly random: Random;
  /** Gets every asynchronous operation; completes it when it sees fit, at most once. A microtask later by default. */
  readonly schedule?: (operation: DiskOperation, complete: () => void) => void;
  /** Asked when an operation completes; an answer makes it fail. */
  readonly faultOf?: (operation: DiskOperation) => DiskFault | undefined;
  readonly capacityBytes?: number;
}

/** A change of a file's bytes that a crash may undo, in whole sectors. */
interface UnsyncedWrite {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** What a file holds, whatever it is called. */
class Node {
  readonly isFolder: boolean;
  /** As reads see it. */
  bytes: Buffer;
  /** As a crash leaves it at least. */
  durable: Buffer;
  /** Completed and not synced, in order. */
  unsynced: UnsyncedWrite[] = [];

  constructor(isFolder: boolean, bytes: Buffer = Buffer.alloc(0)) {
    this.isFolder = isFolder;
    this.bytes = bytes;
    this.durable = Buffer.from(bytes);
  }
}

/** A change of names that a crash may undo, as a whole. */
interface UnsyncedName {
  readonly folder: string;
  readonly apply: (names: Map<string, Node>) => void;
}

interface UnderWay {
  readonly operation: DiskOperation;
  readonly node: Node;
  readonly write: { readonly bytes: Uint8Array; readonly offset: number } | undefined;
}

export class MemoryDisk implements Disk {
  readonly #options: MemoryDiskOptions;
  readonly #names: Map<string, Node>;
  readonly #durableNames: Map<string, Node>;
  #unsyncedNames: UnsyncedName[] = [];
  readonly #underWay = new Set<UnderWay>();
  #isDown = false;

  constructor(options: MemoryDiskOptions, names: ReadonlyMap<string, Node> = new Map([["/", new Node(true)]])) {
    this.#options = options;
    this.#names = new Map(names);
    this.#durableNames = new Map(names);
  }

  makeFolder(path: string): void {
    this.#assertUp();
    if (this.#names.get(path)?.isFolder === true) return;
    if (path !== dirname(path)) this.makeFolder(dirname(path));
    const node = new Node(true);
    this.#change(dirname(path), (names) => names.set(path, node));
  }

  list(folder: string): string[] {
    this.#assertUp();
    if (this.#names.get(folder)?.isFolder !== true) throw failure("ENOENT", folder);
    return [...this.#names.keys()]
      .filter((path) => path !== folder && dirname(path) === folder)
      .map((path) => path.slice(folder === "/" ? 1 : folder.length + 1))
      .sort();
  }

  open(path: string, mode: "existing" | "create"): DiskFile {
    this.#assertUp();
    const found = this.#names.get(path);
    if (mode === "create") {
      if (found !== undefined) throw failure("EEXIST", path);
      if (this.#names.get(dirname(path))?.isFolder !== true) throw failure("ENOENT", path);
      const node = new Node(false);
      this.#change(dirname(path), (names) => names.set(path, node));
      return new MemoryFile(this, path, node);
    }
    if (found === undefined || found.isFolder) throw failure("ENOENT", path);
    return new MemoryFile(this, path, found);
  }

  rename(from: string, to: string): void {
    this.#assertUp();
    const node = this.#names.get(from);
    if (node === undefined) throw failure("ENOENT", from);
    this.#change(dirname(to), (names) => {
      // In a crash's own order of things the file may have another name by now, or none.
      if (names.get(from) === node) names.delete(from);
      names.set(to, node);
    });
  }

  remove(path: string): void {
    this.#assertUp();
    const node = this.#names.get(path);
    if (node === undefined) return;
    this.#change(dirname(path), (names) => {
      if (names.get(path) === node) names.delete(path);
    });
  }

  #change(folder: string, apply: (names: Map<string, Node>) => void): void {
    apply(this.#names);
    this.#unsyncedNames.push({ folder, apply });
  }

  async syncFolder(path: string): Promise<void> {
    const node = this.#names.get(path);
    if (node === undefined) throw failure("ENOENT", path);
    const before = this.#unsyncedNames.filter(({ folder }) => folder === path);
    await this.run({ kind: "sync-folder", path, bytes: 0 }, node, undefined, () => {
      for (const change of before) change.apply(this.#durableNames);
      this.#unsyncedNames = this.#unsyncedNames.filter((change) => !before.includes(change));
    });
  }

  freeBytes(): number {
    return (this.#options.capacityBytes ?? Number.MAX_SAFE_INTEGER) - this.usedBytes;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const node of new Set(this.#names.values())) bytes += node.bytes.length;
    return bytes;
  }

  /** Hands an operation to the owner, and carries it out when that says so. For the files of this disk. */
  run(
    operation: DiskOperation,
    node: Node,
    write: UnderWay["write"],
    carryOut: () => void,
    fail: () => void = () => undefined,
  ): Promise<void> {
    this.#assertUp();
    const underWay: UnderWay = { operation, node, write };
    this.#underWay.add(underWay);
    return new Promise((resolve, reject) => {
      const complete = (): void => {
        // After a crash nothing completes any more, and nobody is there to be told.
        if (this.#isDown || !this.#underWay.delete(underWay)) return;
        const fault = this.#options.faultOf?.(operation);
        try {
          if (fault !== undefined) throw failure(fault, operation.path);
          carryOut();
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === "EIO") fail();
          reject(error);
          return;
        }
        resolve();
      };
      (this.#options.schedule ?? ((_, now) => queueMicrotask(now)))(operation, complete);
    });
  }

  /** Throws when a file cannot grow by so much. For the files of this disk. */
  reserve(path: string, growthBytes: number): void {
    if (growthBytes > 0 && growthBytes > this.freeBytes()) throw failure("ENOSPC", path);
  }

  /** Keeps some of a write's sectors, as chance has it. For the files of this disk. */
  tear(target: Buffer, { bytes, offset }: { readonly bytes: Uint8Array; readonly offset: number }): Buffer {
    let kept = target;
    for (let at = 0; at < bytes.length; ) {
      const to = Math.min(bytes.length, at + sectorBytes - ((offset + at) % sectorBytes));
      if (this.#options.random.below(2) === 0) kept = overwrite(kept, bytes.subarray(at, to), offset + at);
      at = to;
    }
    return kept;
  }

  /** What waits to be completed, oldest first. */
  get waiting(): readonly DiskOperation[] {
    return [...this.#underWay].map(({ operation }) => operation);
  }

  /**
   * Ends the machine: nothing of this disk completes any more. Returns a new one with what has survived, which is all
   * that was durable and, as chance has it, some of what was not.
   * @param options For the new disk; the same by default.
   */
  crash(options: MemoryDiskOptions = this.#options): MemoryDisk {
    this.#assertUp();
    this.#isDown = true;
    const { random } = this.#options;
    const names = new Map(this.#durableNames);
    for (const change of this.#unsyncedNames) if (random.below(2) === 0) change.apply(names);
    const writesUnderWay = [...this.#underWay].filter(({ write }) => write !== undefined);
    const survivors = new Map<Node, Node>();
    for (const node of new Set(names.values())) {
      let bytes = node.durable;
      for (const write of node.unsynced) bytes = this.tear(bytes, write);
      for (const other of writesUnderWay) {
        if (other.node === node) bytes = this.tear(bytes, other.write as NonNullable<UnderWay["write"]>);
      }
      survivors.set(node, new Node(node.isFolder, Buffer.from(bytes)));
    }
    const kept = [...names].filter(([path]) => pathsAbove(path).every((above) => names.get(above)?.isFolder === true));
    return new MemoryDisk(options, new Map(kept.map(([path, node]) => [path, survivors.get(node) as Node])));
  }

  /** Puts a file there, durably and at once; for damage done from outside. */
  replaceFile(path: string, bytes: Uint8Array): void {
    const node = new Node(false, Buffer.from(bytes));
    this.#names.set(path, node);
    this.#durableNames.set(path, node);
  }

  /** What a file holds, as reads see it. */
  fileBytes(path: string): Buffer {
    const node = this.#names.get(path);
    if (node === undefined) throw failure("ENOENT", path);
    return Buffer.from(node.bytes);
  }

  /** A disk of its own with the same files, all of them durable. */
  copy(options: MemoryDiskOptions = this.#options): MemoryDisk {
    const copies = [...this.#names].map(
      ([path, node]) => [path, new Node(node.isFolder, Buffer.from(node.bytes))] as const,
    );
    return new MemoryDisk(options, new Map(copies));
  }

  #assertUp(): void {
    if (this.#isDown) throw new Error("this disk's machine has crashed");
  }
}

class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk;
  readonly #path: string;
  readonly #node: Node;
  #isClosed = false;

  constructor(disk: MemoryDisk, path: string, node: Node) {
    this.#disk = disk;
    this.#path = path;
    this.#node = node;
  }

  async writeDurably(bytes: Uint8Array, offset: number): Promise<void> {
    const node = this.#node;
    await this.#write("write-durably", bytes, offset, () => {
      node.durable = overwrite(node.durable, bytes, offset);
      // What was written before in the same place is overtaken, not to come back in a crash.
      node.unsynced = node.unsynced.flatMap((write) => without(write, offset, offset + bytes.length));
    });
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await this.#write("write", bytes, offset, () => {
      this.#node.unsynced.push({ offset, bytes: Buffer.from(bytes) });
    });
  }

  async #write(
    kind: "write" | "write-durably",
    bytes: Uint8Array,
    offset: number,
    carryOut: () => void,
  ): Promise<void> {
    this.#assertOpen();
    const node = this.#node;
    await this.#disk.run(
      { kind, path: this.#path, bytes: bytes.length },
      node,
      { bytes, offset },
      () => {
        this.#disk.reserve(this.#path, offset + bytes.length - node.bytes.length);
        node.bytes = overwrite(node.bytes, bytes, offset);
        carryOut();
      },
      () => {
        node.bytes = this.#disk.tear(node.bytes, { bytes, offset });
        node.durable = this.#disk.tear(node.durable, { bytes, offset });
      },
    );
  }

  async sync(): Promise<void> {
    this.#assertOpen();
    const node = this.#node;
    const before = new Set(node.unsynced);
    const settle = (isDurable: boolean): void => {
      for (const write of node.unsynced) {
        if (isDurable && before.has(write)) node.durable = overwrite(node.durable, write.bytes, write.offset);
      }
      node.unsynced = node.unsynced.filter((write) => !before.has(write));
    };
    await this.#disk.run(
      { kind: "sync", path: this.#path, bytes: 0 },
      node,
      undefined,
      () => settle(true),
      () => settle(false),
    );
  }

  read(offset: number, length: number): Buffer {
    this.#assertOpen();
    return Buffer.from(this.#node.bytes.subarray(offset, offset + length));
  }

  sizeBytes(): number {
    this.#assertOpen();
    return this.#node.bytes.length;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw failure("EBADF", this.#path);
  }
}

/** Writes into `target` if there is room, else into a longer copy. Returns what holds the result. */
function overwrite(target: Buffer, bytes: Uint8Array, offset: number): Buffer {
  let result = target;
  if (offset + bytes.length > target.length) {
    result = Buffer.alloc(offset + bytes.length);
    target.copy(result);
  }
  result.set(bytes, offset);
  return result;
}

/** What of a write lies outside [from, to). */
function without(write: UnsyncedWrite, from: number, to: number): UnsyncedWrite[] {
  const { offset, bytes } = write;
  const end = offset + bytes.length;
  const parts: UnsyncedWrite[] = [];
  if (offset < from) parts.push({ offset, bytes: bytes.subarray(0, Math.min(end, from) - offset) });
  if (end > to) {
    const start = Math.max(offset, to);
    parts.push({ offset: start, bytes: bytes.subarray(start - offset) });
  }
  return parts;
}

function pathsAbove(path: string): string[] {
  return path === dirname(path) ? [] : [dirname(path), ...pathsAbove(dirname(path))];
}

function failure(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code, path });
}
