// The door to files. system-disk.ts is the real one; the simulator hands in a disk that loses what was not synced.
//
// What is done once, at start or at a change of files, is synchronous; what happens while requests wait is not.

export interface DiskFile {
  /**
   * Writes bytes so that they survive a loss of power once the promise resolves. On an error it is unknown what of
   * them is on disk; the caller must not try again on the same file.
   */
  writeDurably(bytes: Uint8Array, offset: number): Promise<void>;
  /** Writes bytes that are durable only after a later {@link DiskFile.sync}. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  sync(): Promise<void>;
  /** Up to `length` bytes from `offset`; fewer where the file ends. */
  read(offset: number, length: number): Buffer;
  sizeBytes(): number;
  close(): Promise<void>;
}

export interface Disk {
  /** Makes a folder and those above it. Fine when it exists. */
  makeFolder(path: string): void;
  /** Names in a folder, sorted. */
  list(folder: string): string[];
  /** Opens a file for reading and writing. `create` makes a new one, and fails when there is one. */
  open(path: string, mode: "existing" | "create"): DiskFile;
  /** Replaces `to` if it exists. Durable after {@link Disk.syncFolder}. */
  rename(from: string, to: string): void;
  remove(path: string): void;
  /** Makes names in a folder durable: files that were made, renamed or removed in it. */
  syncFolder(path: string): Promise<void>;
  /** Bytes that may still be written to the file system that holds `path`. */
  freeBytes(path: string): number;
}

/** Whether an error of the file system says that there is no room: the disk, a quota, or a limit on the file's size. */
export function isNoSpaceError(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
}
