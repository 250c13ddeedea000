// `snapshot save`: the whole store of one member in a file.
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { badArguments, CommandError, exitStatus } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";

const digestBytes = 32;

/**
 * Writes beside the file and renames at the end, so that a file of that name is always whole. The checksum at the end
 * of the stream must be right.
 */
export async function run(context: CommandContext): Promise<void> {
  const [path] = context.args;
  if (path === undefined || context.args.length !== 1) throw badArguments("snapshot save expects one argument");
  const endpoints = await context.endpoints();
  if (endpoints.length !== 1) {
    const found = `snapshot must be requested to one selected node, not multiple [${endpoints.join(" ")}]`;
    throw badArguments(found);
  }
  const client = await context.client();
  const partPath = `${path}.part`;
  const file = await openPart(partPath);
  try {
    await copy(client.maintenance.snapshot(), file);
    await file.sync();
    await file.close();
    await rename(partPath, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await file.close();
    await rm(partPath, { force: true });
    throw error;
  }
  await context.out.write(`Snapshot saved at ${path}\n`);
}

async function openPart(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
  } catch (error) {
    throw new CommandError(`cannot write ${path}: ${(error as Error).message}`, exitStatus.io, { cause: error });
  }
}

/** Copies the stream and checks it: its last 32 bytes are the SHA-256 of all before them. */
async function copy(chunks: AsyncIterable<{ readonly blob: Uint8Array }>, file: FileHandle): Promise<void> {
  const hash = createHash("sha256");
  let tail = Buffer.alloc(0);
  for await (const { blob } of chunks) {
    await file.writeFile(blob);
    const held = Buffer.concat([tail, blob]);
    const split = Math.max(0, held.length - digestBytes);
    hash.update(held.subarray(0, split));
    tail = held.subarray(split);
  }
  if (tail.length < digestBytes) throw new CommandError("the snapshot is empty or was broken off", exitStatus.io);
  if (!hash.digest().equals(tail)) throw new CommandError("the snapshot was damaged on its way", exitStatus.io);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
