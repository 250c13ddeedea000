// Why a member did not start, or could not go on, and what its owner can do about it.

import type { MemberConfig } from "../../config.ts";
import { InvariantError } from "../../lib/assert.ts";
import { LogError } from "../../log/log-error.ts";
import { FolderLockedError, StartError } from "../../server.ts";
import { CorruptRecordError } from "../../state/errors.ts";
import { StorageError } from "../../storage/backend.ts";

export interface StartFailure {
  readonly message: string;
  /** What to do next; empty when nothing more is known than the message says. */
  readonly advice: string;
}

const restore =
  "Nothing was changed or cut away. Restore the data directory from a backup, or move it away and start with an empty one.";

/** Words for whatever starting or running a member threw. */
export function explainFailure(error: unknown, config: MemberConfig): StartFailure {
  const message = error instanceof Error ? error.message : String(error);
  const dataDir = config.dataDir;
  if (error instanceof FolderLockedError) {
    return { message, advice: "Stop that process, or give this member a folder of its own with --data-dir." };
  }
  if (error instanceof StartError) return { message, advice: adviceForSystem(error.cause, config) };
  if (error instanceof CorruptRecordError)
    return { message: `the data in ${dataDir} is damaged: ${message}`, advice: restore };
  if (error instanceof LogError || error instanceof StorageError) {
    const what = error instanceof LogError ? "log" : "store";
    if (error.code === "corrupt")
      return { message: `the ${what} in ${dataDir} is damaged: ${message}`, advice: restore };
    if (error.code === "locked") {
      return { message, advice: "Stop the process that has it open, or choose another --data-dir." };
    }
    if (error.code === "no-space")
      return { message, advice: `Free space on the disk of ${dataDir}, then start again.` };
    return { message, advice: adviceForSystem(error.cause, config) };
  }
  if (error instanceof InvariantError) {
    return {
      message: `a rule that must always hold was broken: ${message}`,
      advice: "This is a fault of Quorate: please report it with this log.",
    };
  }
  return { message, advice: adviceForSystem(error, config) };
}

type SystemError = {
  readonly code?: string;
  readonly path?: string;
  readonly port?: number;
  readonly address?: string;
};

function adviceForSystem(error: unknown, { dataDir }: MemberConfig): string {
  const { code, port, address, path } = (error ?? {}) as SystemError;
  const where = port === undefined ? (address ?? path ?? "") : `port ${port} of ${address}`;
  switch (code) {
    case "EADDRINUSE":
      return (
        `Another process listens at ${where}. Stop it, or choose other addresses with --listen-client-urls or ` +
        "--listen-peer-urls, and advertise those."
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "This machine has no such address: give --listen-client-urls one that it has, or 0.0.0.0 for all.";
    case "EACCES":
    case "EPERM":
      if (port !== undefined) return `Ports below 1024 need privileges: choose a higher one than ${port}.`;
      return `Give the user that runs this process the right to read and write ${path ?? dataDir}, or choose another --data-dir.`;
    case "EROFS":
      return "That file system is read-only: choose another --data-dir.";
    case "ENOTDIR":
    case "EEXIST":
      return `Something that is no folder is in the way: move ${path ?? dataDir} or choose another --data-dir.`;
    case "ENOSPC":
    case "EDQUOT":
      return `Free space on the disk of ${dataDir}, then start again.`;
    case "EMFILE":
    case "ENFILE":
      return "Allow this process more open files (ulimit -n).";
    default:
      return "";
  }
}
