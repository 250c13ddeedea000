// Puts through log and state, without network and HTTP: bytes of a request in, outcome out. Run as a process of its own
// by in-process/puts.ts, so that its memory and its compiled code are nobody else's.
import { performance } from "node:perf_hooks";
import { WireReader } from "../../../server/lib/wire-reader.ts";
import { ReplicaError } from "../../../server/replica/errors.ts";
import { decodePut } from "../../../server/state/request-codec.ts";
import { Histogram } from "../lib/histogram.ts";
import { digitsIn, keyChooser, keyText, putDigits, putMessage } from "../load/messages.ts";
import { openReplica, type ReplicaHost } from "./replica-host.ts";

export interface PutsSpec {
  /** An empty folder. */
  readonly folder: string;
  readonly concurrency: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** Keys that are put to, by chance. */
  readonly keys: number;
}

export interface PutsResult {
  readonly putsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the process for each put, its threads included. */
  readonly cpuMicrosPerPut: number;
  /** Puts that were refused, of all that were tried since the start, and why the first one was. */
  readonly refused: number;
  readonly refusal: string | undefined;
}

async function run({ folder, concurrency, warmUpMs, measureMs, keys }: PutsSpec): Promise<PutsResult> {
  const host = await openReplica(folder);
  const load = new PutLoad(host, keys);
  const loops = Array.from({ length: concurrency }, () => load.loop());
  await wait(warmUpMs);
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  load.latency = new Histogram();
  await wait(measureMs);
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const { latency } = load;
  load.isStopped = true;
  await Promise.all(loops);
  await host.close();
  return {
    putsPerSecond: latency.count / seconds,
    p50Ms: latency.quantile(0.5) / 1000,
    p99Ms: latency.quantile(0.99) / 1000,
    cpuMicrosPerPut: (user + system) / latency.count,
    refused: load.refused,
    refusal: load.refusal,
  };
}

const wait = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs));

class PutLoad {
  readonly #host: ReplicaHost;
  readonly #message = putMessage(keyText(0));
  readonly #digitsAt = digitsIn(this.#message);
  readonly #nextKey: () => number | undefined;
  latency = new Histogram();
  isStopped = false;
  refused = 0;
  refusal: string | undefined;

  constructor(host: ReplicaHost, keys: number) {
    this.#host = host;
    this.#nextKey = keyChooser({ kind: "random", count: keys }, 1);
  }

  /** One after the other, as one client would. */
  async loop(): Promise<void> {
    while (!this.isStopped) {
      // A request has bytes of its own, as it has when it comes over the wire.
      const bytes = Buffer.from(this.#message);
      putDigits(bytes, this.#digitsAt, this.#nextKey()!);
      const sentMs = performance.now();
      try {
        const { result } = await this.#host.replica.propose(decodePut(new WireReader(bytes)), bytes);
        if (result.kind !== "put") throw new Error(`a put came out as ${result.kind}`);
        this.latency.add((performance.now() - sentMs) * 1000);
      } catch (error) {
        if (!(error instanceof ReplicaError)) throw error;
        this.refused += 1;
        this.refusal ??= error.code;
        // A refusal comes at once; trying again at once would leave no time for what is being waited for.
        await wait(1);
      }
    }
  }
}

process.once("message", (spec: PutsSpec) => {
  run(spec).then(
    (result) => process.send?.(result, () => process.disconnect()),
    (error: unknown) => {
      process.stderr.write(`${(error as Error).stack}\n`);
      // Not by exit(): that waits for the store's writer thread, which may be in the middle of something.
      process.kill(process.pid, "SIGKILL");
    },
  );
});
