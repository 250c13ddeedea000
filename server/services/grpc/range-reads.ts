// Lets ranges be read without holding anybody up. What one step does is done at once; longer ranges take turns of the
// event loop, a few of them at a time, one step each, and all others wait: neither time nor memory grows with the number
// of large ranges that are asked for together. Clients take turns, so that one that asks for much holds up itself.
import type { Clock } from "../../lib/clock.ts";
import { ReplicaError } from "../../replica/errors.ts";
import type { RangeRead, RangeResult } from "../../state/range-read.ts";

/** Rows of a step: about a millisecond. */
const stepRows = 1000;
/** Rows that are read at once in one turn; further reads wait for the next. */
const turnRowsMax = 4000;
/** Values weigh as rows of this size: large ones are copied, and all that is read in a turn is in memory at once. */
const rowBytes = 1024;
/** Time for waiting reads in one turn. */
const turnMs = 4;
/** Rows of their answers, which have to be sent, too: that takes time even where reading them takes none. */
const waitingRowsMax = 32_000;
/** Reads whose rows are held in memory while they take turns. */
const activeMax = 4;
/** Reads that may wait, of one client and of all; more are refused. */
const waitingMax = { client: 5_000, all: 100_000 } as const;

interface Caller {
  /** Who it is: calls with the same one share its turns. */
  readonly peer: string;
  readonly signal: AbortSignal;
}

interface Job {
  readonly read: RangeRead;
  readonly signal: AbortSignal;
  readonly resolve: (result: RangeResult) => void;
  readonly reject: (error: unknown) => void;
}

export class RangeReads {
  readonly #clock: Clock;
  /** Those that take turns, the next one first. */
  readonly #active: Job[] = [];
  readonly #waiting = new FairQueue();
  #turnRows = 0;
  #isScheduled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The answer, at once where it takes one step.
   * @param caller Whoever waits; looked at only if it has to wait.
   * @throws ReplicaError `too-many-requests`, StateError, AbortError
   */
  run(read: RangeRead, caller: Caller): RangeResult | Promise<RangeResult> {
    if (this.#turnRows < turnRowsMax && this.#waiting.size === 0) {
      const result = read.step(stepRows);
      this.#turnRows += result === undefined ? stepRows : rowsOf(result);
      if (result !== undefined) {
        if (this.#turnRows > stepRows) this.#schedule();
        return result;
      }
    }
    if (this.#waiting.isFullFor(caller.peer)) throw new ReplicaError("too-many-requests");
    return new Promise((resolve, reject) => {
      this.#waiting.push(caller.peer, { read, signal: caller.signal, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#clock.nextTurn(() => {
      this.#isScheduled = false;
      this.#turnRows = 0;
      this.#run();
    });
  }

  #run(): void {
    const endMs = this.#clock.nowMs() + turnMs;
    do {
      this.#admit();
      const job = this.#active.shift();
      if (job === undefined) return;
      if (!this.#step(job)) this.#active.push(job);
    } while (this.#turnRows < waitingRowsMax && this.#clock.nowMs() < endMs);
    this.#schedule();
  }

  #admit(): void {
    while (this.#active.length < activeMax) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#active.push(job);
    }
  }

  /** Returns whether the job is over. */
  #step({ read, signal, resolve, reject }: Job): boolean {
    if (signal.aborted) {
      // What the signal was aborted with: thousands may be gone at once, and an error each costs more than a read.
      reject(signal.reason);
      return true;
    }
    try {
      const result = read.step(stepRows);
      this.#turnRows += result === undefined ? stepRows : rowsOf(result);
      if (result === undefined) return false;
      resolve(result);
    } catch (error) {
      reject(error);
    }
    return true;
  }
}

function rowsOf({ keyValues, isShared }: RangeResult): number {
  const rows = 1 + keyValues.length;
  if (isShared) return rows;
  return rows + keyValues.reduce((sum, keyValue) => sum + keyValue.length, 0) / rowBytes;
}

/** What waits, by client: one of each in turn. */
class FairQueue {
  readonly #byClient = new Map<string, Job[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  isFullFor(client: string): boolean {
    return this.#size >= waitingMax.all || (this.#byClient.get(client)?.length ?? 0) >= waitingMax.client;
  }

  push(client: string, job: Job): void {
    const own = this.#byClient.get(client);
    if (own === undefined) this.#byClient.set(client, [job]);
    else own.push(job);
    this.#size += 1;
  }

  shift(): Job | undefined {
    const first = this.#byClient.entries().next();
    if (first.done === true) return undefined;
    const [client, own] = first.value;
    const job = own.shift();
    // Behind all others, if it wants more.
    this.#byClient.delete(client);
    if (own.length > 0) this.#byClient.set(client, own);
    this.#size -= 1;
    return job;
  }
}
