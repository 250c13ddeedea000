// The near side of the thread that writes LMDB: sends requests and matches answers, which come in order. The thread
// starts with the first request.
import { Worker } from "node:worker_threads";
import { assert } from "../lib/assert.ts";
import { createDeferred, type Deferred } from "../lib/deferred.ts";
import { StorageError } from "./backend.ts";
import type { WriterAnswer, WriterRequest, WriterWorkerData } from "./lmdb-writer-worker.ts";

/** Part of a batch, in a buffer of its own. */
export interface Piece {
  readonly buffer: ArrayBuffer;
  readonly length: number;
}

type ReadRequest = Extract<WriterRequest, { kind: `dump-${string}` }>;
type Success = Exclude<WriterAnswer, { kind: "failed" }>;

export class LmdbWriter {
  readonly #folder: string;
  readonly #waiting: Deferred<Success>[] = [];
  #isBatchOpen = false;
  #worker: Worker | undefined;
  #isClosed = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Writes pieces as one transaction, all or nothing, and resolves when it is durable with the seconds that the thread
   * spent on it. While the thread is at one piece, the next one is made. Called again only after it settled.
   * @param isReplacing The pieces take the place of all rows.
   * @param makePieces Makes the pieces. It is given a list in which their buffers turn up again once the thread is done
   *   with them: what is left to the collector of garbage piles up, since nothing tells it how large buffers are.
   * @throws StorageError
   */
  async write(isReplacing: boolean, makePieces: (spares: ArrayBuffer[]) => AsyncIterable<Piece>): Promise<number> {
    assert(!this.#isBatchOpen, "a batch was begun within another one");
    this.#isBatchOpen = true;
    const spares: ArrayBuffer[] = [];
    try {
      return await this.#write(isReplacing, makePieces(spares), spares);
    } finally {
      this.#isBatchOpen = false;
    }
  }

  async #write(isReplacing: boolean, pieces: AsyncIterable<Piece>, spares: ArrayBuffer[]): Promise<number> {
    let seconds = await this.#change({ kind: "write-begin", isReplacing });
    try {
      let underWay = Promise.resolve(0);
      for await (const { buffer, length } of pieces) {
        seconds += await underWay;
        underWay = this.#change({ kind: "write-piece", buffer, length }, spares);
        // Awaited once the next piece is made. Until then nobody would hear of its failure.
        underWay.catch(() => undefined);
      }
      seconds += await underWay;
    } catch (error) {
      // A thread that cannot even give up has ended, and the transaction with it.
      await this.#change({ kind: "write-end", isComplete: false }).catch(() => undefined);
      throw error;
    }
    return seconds + (await this.#change({ kind: "write-end", isComplete: true }));
  }

  async #change(request: Exclude<WriterRequest, ReadRequest>, spares: ArrayBuffer[] = []): Promise<number> {
    const answer = await this.#request(request);
    if (answer.kind !== "done") return 0;
    if (answer.spare !== undefined) spares.push(answer.spare);
    return answer.seconds;
  }

  /**
   * Has the thread read. What a view sees does not depend on the batch that is being written.
   * @throws StorageError
   */
  read(request: ReadRequest): Promise<Success> {
    return this.#request(request);
  }

  /** A buffer in the request is handed over with it. */
  async #request(request: WriterRequest): Promise<Success> {
    if (this.#isClosed) throw new StorageError("io", "the store was closed");
    const answer = createDeferred<Success>();
    this.#waiting.push(answer);
    const worker = this.#startedWorker();
    worker.postMessage(request, "buffer" in request ? [request.buffer] : []);
    return answer.promise;
  }

  #startedWorker(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // Compiled or not, the thread's program lies beside this file and has its ending.
    const ending = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
    const worker = new Worker(new URL(`./lmdb-writer-worker${ending}`, import.meta.url), {
      workerData: { folder: this.#folder } satisfies WriterWorkerData,
      // It handles one piece of a batch at a time and keeps nothing.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    worker.unref();
    worker.on("message", (answer: WriterAnswer) => {
      const waiting = this.#waiting.shift();
      if (answer.kind === "failed") waiting?.reject(new StorageError(answer.code, answer.message));
      else waiting?.resolve(answer);
    });
    const onGone = (cause: unknown): void => {
      this.#worker = undefined;
      for (const waiting of this.#waiting.splice(0)) {
        waiting.reject(new StorageError("io", "the thread that writes the store ended", { cause }));
      }
    };
    worker.on("error", onGone);
    worker.on("exit", onGone);
    this.#worker = worker;
    return worker;
  }

  /** Waits for what is under way and ends the thread. Twice is fine. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#waiting.length > 0) await this.#waiting[0]?.promise.catch(() => undefined);
    await this.#worker?.terminate();
  }
}
