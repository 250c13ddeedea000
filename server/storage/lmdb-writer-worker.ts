// The thread that writes LMDB, and reads it in bulk: batches and loads arrive in pieces and are one synced transaction
// each, dumps are read piece by piece from a snapshot. It decides nothing: order, retries and what a failure means belong
// to its caller (lmdb-writer.ts).
import { statfsSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../lib/assert.ts";
import { byteStringFrom } from "../lib/byte-string.ts";
import { createDeferred, type Deferred } from "../lib/deferred.ts";
import type { StorageErrorCode } from "./backend.ts";
import { BatchEncoder, decodeBatch } from "./batch-codec.ts";
import { type LmdbTable, openLmdbEnvironment, toStorageError } from "./lmdb-environment.ts";
import { tableNames } from "./tables.ts";

export interface WriterWorkerData {
  readonly folder: string;
}

/** Requests are answered one by one, in order. */
export type WriterRequest =
  /** Opens a transaction. `isReplacing`: all rows go first. */
  | { readonly kind: "write-begin"; readonly isReplacing: boolean }
  | { readonly kind: "write-piece"; readonly buffer: ArrayBuffer; readonly length: number }
  /** Commits what came since the beginning, or gives it up. */
  | { readonly kind: "write-end"; readonly isComplete: boolean }
  | { readonly kind: "dump-open"; readonly dumpId: number }
  | { readonly kind: "dump-next"; readonly dumpId: number }
  | { readonly kind: "dump-close"; readonly dumpId: number };

export type WriterAnswer =
  /** `spare`: the buffer of the request, to be used again. */
  | { readonly kind: "done"; readonly seconds: number; readonly spare: ArrayBuffer | undefined }
  /** A piece of a dump; empty at its end. */
  | { readonly kind: "chunk"; readonly buffer: ArrayBuffer; readonly length: number }
  | { readonly kind: "failed"; readonly code: StorageErrorCode; readonly message: string };

interface Dump {
  readonly transaction: { done(): void };
  tableNumber: number;
  /** Where to go on in that table. */
  from: string;
}

// Commit at the end of the callback, with a sync, without a nested transaction.
const synchronousCommit = 2;
const dumpChunkBytes = 512 * 1024;

class Aborted extends Error {}

// A batch is some hundred milliseconds of work that nobody waits for: where cores are few, those who are waited for go
// first. On Linux the priority is this thread's own; elsewhere it would be the whole process's.
const ownPriority = constants.priority.PRIORITY_BELOW_NORMAL;

const port = parentPort;
if (port !== null) {
  if (process.platform === "linux") setPriority(ownPriority);
  const { folder } = workerData as WriterWorkerData;
  const { root, tables } = openLmdbEnvironment(folder);
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  };
  const byNumber = tableNames.map((name): LmdbTable => tables[name]);
  const dumps = new Map<number, Dump>();
  let writing: { readonly end: Deferred<void>; readonly committed: Promise<void> } | undefined;

  const applyChanges = (buffer: ArrayBuffer, length: number): void => {
    decodeBatch(Buffer.from(buffer, 0, length), (tableNumber, key, value) => {
      const table = byNumber[tableNumber] as LmdbTable;
      const text = byteStringFrom(key);
      if (value === undefined) table.removeSync(text);
      else table.putSync(text, value);
    });
  };

  const readChunk = (dump: Dump): BatchEncoder => {
    const encoder = new BatchEncoder(new ArrayBuffer(dumpChunkBytes));
    let bytes = 0;
    while (dump.tableNumber < byNumber.length && bytes < dumpChunkBytes) {
      const table = tableNames[dump.tableNumber] as (typeof tableNames)[number];
      const options = { start: dump.from, transaction: dump.transaction } as never;
      let isTableDone = true;
      for (const { key, value } of (byNumber[dump.tableNumber] as LmdbTable).getRange(options)) {
        encoder.add({ table, key, value });
        bytes += key.length + value.length;
        dump.from = `${key}\0`;
        if (bytes < dumpChunkBytes) continue;
        isTableDone = false;
        break;
      }
      if (isTableDone) {
        dump.tableNumber++;
        dump.from = "";
      }
    }
    return encoder;
  };

  const beginWrite = (isReplacing: boolean): void => {
    assert(writing === undefined, "a batch was begun within another one");
    const end = createDeferred<void>();
    // The transaction stays open until the promise settles: pieces arrive as messages of their own.
    const committed = root.transactionSync(() => {
      if (isReplacing) for (const table of byNumber) table.clearSync();
      return end.promise;
    }, synchronousCommit) as unknown as Promise<void>;
    // Whoever ends the transaction hears of it.
    committed.catch(() => undefined);
    writing = { end, committed };
  };

  const endWrite = async (isComplete: boolean): Promise<void> => {
    const write = writing;
    writing = undefined;
    if (write === undefined) return;
    if (isComplete) write.end.resolve();
    else write.end.reject(new Aborted());
    await write.committed.catch((error: unknown) => {
      if (!(error instanceof Aborted)) throw error;
    });
  };

  const carryOut = async (request: WriterRequest): Promise<BatchEncoder | undefined> => {
    switch (request.kind) {
      case "write-begin":
        beginWrite(request.isReplacing);
        return undefined;
      case "write-piece":
        // Outside a transaction every row would be a commit of its own.
        assert(writing !== undefined, "a piece of a batch that was not begun");
        applyChanges(request.buffer, request.length);
        return undefined;
      case "write-end":
        await endWrite(request.isComplete);
        return undefined;
      case "dump-open":
        dumps.set(request.dumpId, { transaction: root.useReadTransaction(), tableNumber: 0, from: "" });
        return undefined;
      case "dump-next":
        return readChunk(dumps.get(request.dumpId) as Dump);
      case "dump-close":
        dumps.get(request.dumpId)?.transaction.done();
        dumps.delete(request.dumpId);
        return undefined;
    }
  };

  const answer = async (request: WriterRequest): Promise<void> => {
    const startedMs = performance.now();
    try {
      const chunk = await carryOut(request);
      if (chunk === undefined) {
        const seconds = (performance.now() - startedMs) / 1000;
        const spare = request.kind === "write-piece" ? request.buffer : undefined;
        port.postMessage({ kind: "done", seconds, spare } satisfies WriterAnswer, spare === undefined ? [] : [spare]);
        return;
      }
      const { buffer, length } = chunk.finish();
      port.postMessage({ kind: "chunk", buffer, length } satisfies WriterAnswer, [buffer]);
    } catch (cause) {
      const { code, message } = toStorageError(cause, `${request.kind} failed`, freeBytes);
      port.postMessage({ kind: "failed", code, message } satisfies WriterAnswer);
    }
  };
  port.on("message", (request: WriterRequest) => void answer(request));
}
