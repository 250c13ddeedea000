// Keeps two processes out of one folder. The lock is a Unix socket that its holder listens on: it ends with the
// process, however that ends, needs no process ids, which mean nothing between containers, and asking whether it is
// held is a connection attempt. (Node has no flock.)
import { linkSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Another process holds the folder. */
export class FolderLockedError extends Error {
  override readonly name = "FolderLockedError";
}

export interface FolderLock {
  /** Gives the folder free. Twice is fine. */
  release(): Promise<void>;
}

const lockName = "lock";
const holderName = "lock.pid";
// Addresses of Unix sockets are short (108 bytes on Linux); a longer path is reached through a link.
const socketPathBytesMax = 100;

/**
 * Takes the lock of an existing folder.
 * @throws FolderLockedError when another process has it.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const paths = shortPathTo(folder);
  try {
    const server = await listenIn(paths.folder);
    writeFileSync(join(folder, holderName), `${process.pid}\n`);
    let isReleased = false;
    return {
      release: async () => {
        if (isReleased) return;
        isReleased = true;
        rmSync(join(folder, holderName), { force: true });
        rmSync(join(folder, lockName), { force: true });
        await closeServer(server);
        paths.dispose();
      },
    };
  } catch (error) {
    paths.dispose();
    if (!(error instanceof FolderLockedError)) throw error;
    throw new FolderLockedError(`${folder} is in use by ${holderOf(folder)}`);
  }
}

function holderOf(folder: string): string {
  try {
    return `process ${readFileSync(join(folder, holderName), "utf8").trim()}`;
  } catch {
    // The name of the holder is a courtesy; without it the message still says what is wrong.
    return "another process";
  }
}

function shortPathTo(folder: string): { readonly folder: string; dispose(): void } {
  if (Buffer.byteLength(join(folder, "lock.0000000000")) <= socketPathBytesMax) {
    return { folder, dispose: () => undefined };
  }
  const scratch = mkdtempSync(join(tmpdir(), "quorate-"));
  const link = join(scratch, "l");
  symlinkSync(folder, link);
  return { folder: link, dispose: () => rmSync(scratch, { recursive: true, force: true }) };
}

/**
 * Listens under a name of its own, then gives that socket the lock's name, which fails while somebody has it. A name
 * whose socket nobody listens on is a dead process's and is moved out of the way.
 */
async function listenIn(folder: string): Promise<Server> {
  const lockPath = join(folder, lockName);
  const ownPath = join(folder, `lock.${process.pid}`);
  rmSync(ownPath, { force: true });
  const server = createServer((socket) => socket.destroy());
  await listen(server, ownPath);
  try {
    for (;;) {
      if (tryLink(ownPath, lockPath)) break;
      if (await isAnswered(lockPath)) throw new FolderLockedError();
      moveAway(lockPath, join(folder, `lock.${process.pid}.old`));
    }
  } catch (error) {
    await closeServer(server);
    throw error;
  } finally {
    rmSync(ownPath, { force: true });
  }
  server.unref();
  return server;
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Removes a dead lock, but not one that a third process put there since it was looked at. */
function moveAway(lockPath: string, oldPath: string): void {
  const before = statSync(lockPath, { throwIfNoEntry: false });
  if (before === undefined) return;
  try {
    renameSync(lockPath, oldPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const moved = statSync(oldPath, { throwIfNoEntry: false });
  if (moved !== undefined && moved.ino !== before.ino) tryLink(oldPath, lockPath);
  rmSync(oldPath, { force: true });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
