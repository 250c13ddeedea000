// A campaign: workers that fight over a few locks while everything is done to them and to the server, and a referee who
// counts what was lost. Faults are drawn from a seed; what they meet is not, so a seed repeats the weather, not the run.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Client, connect } from "../../../sdk/index.ts";
import { createRandom, type Random } from "../../../server/lib/random.ts";
import { pause, until } from "../../sdk/harness.ts";
import type { ServerUnderTest, Target } from "../../support/server-under-test.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { OutsideStore } from "./outside-store.ts";
import {
  type FromWorker,
  type Mode,
  type SectionOutcome,
  type ToWorker,
  targetKey,
  type WorkerOrder,
} from "./protocol.ts";

export interface CampaignOptions {
  readonly mode: Mode;
  readonly seed: number;
  /** Ends when so many sections were done ... */
  readonly sections: number;
  /** ... and, where that is given, something was lost. */
  readonly untilLost?: boolean;
  /** Ends after this time in any case. */
  readonly limitMs: number;
  readonly workers?: number;
  readonly loops?: number;
  readonly names?: number;
  /** Time between two faults, on average. Default 450 ms: hardly a moment of peace. */
  readonly faultPauseMs?: number;
  /** What may happen. Default: {@link allFaults}. */
  readonly faults?: readonly Fault[];
}

export interface CampaignReport {
  readonly target: string;
  readonly mode: Mode;
  readonly seed: number;
  readonly elapsedMs: number;
  readonly outcomes: { readonly [O in SectionOutcome]: number };
  /** Updates that were lost, or entries of the log out of place. */
  readonly violations: number;
  /** Accesses that a fenced store refused. */
  readonly refused: number;
  /** Sections that began in the store outside while another had not ended. */
  readonly overlaps: number;
  /** Longest time from the end of a holder that was killed or stopped to the next one's first access. */
  readonly takeoverMsMax: number;
  readonly faults: { readonly [fault: string]: number };
}

const ttlSeconds = 1;
const electionTimeoutMs = 100;
const serverArgs = ["--heartbeat-interval", "10", "--election-timeout", String(electionTimeoutMs)];
const endName = "end";
/** A holder that is stopped in the middle is what locks are feared for, so it happens more often. */
export const allFaults = [
  ...(["stop-holder", "stop-holder", "stop", "kill", "stall", "jump"] as const),
  ...(["cut", "blackhole", "deaf", "slow", "server-stop", "server-kill"] as const),
] as const;
export type Fault = (typeof allFaults)[number];

/** A worker's process, and the proxy that stands between it and the server. */
class Worker {
  readonly #order: Omit<WorkerOrder, "endpoint">;
  readonly #onMessage: (message: FromWorker, worker: Worker) => void;
  readonly proxy: TcpProxy;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  isStopped = false;

  constructor(
    order: Omit<WorkerOrder, "endpoint">,
    proxy: TcpProxy,
    onMessage: (message: FromWorker, worker: Worker) => void,
  ) {
    this.#order = order;
    this.proxy = proxy;
    this.#onMessage = onMessage;
  }

  start(seed: number): void {
    const order: WorkerOrder = { ...this.#order, endpoint: this.proxy.endpoint, seed };
    const program = fileURLToPath(new URL("./worker.js", import.meta.url));
    const child = fork(program, [JSON.stringify(order)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#child = child;
    child.on("message", (message) => this.#onMessage(message as FromWorker, this));
    const killWithUs = (): void => {
      child.kill("SIGKILL");
    };
    process.on("exit", killWithUs);
    this.#exited = new Promise((resolve) => {
      child.once("exit", () => {
        process.removeListener("exit", killWithUs);
        resolve();
      });
    });
  }

  send(message: ToWorker): void {
    // One that has just been killed hears nothing, and that is as it should be.
    if (this.#child?.connected) this.#child.send(message, () => undefined);
  }

  stop(): void {
    this.isStopped = true;
    this.#child?.kill("SIGSTOP");
  }

  continue(): void {
    this.isStopped = false;
    this.#child?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** Has it end; by force if it takes too long. */
  async end(): Promise<void> {
    this.continue();
    this.proxy.heal();
    this.send({ kind: "end" });
    const force = setTimeout(() => this.#child?.kill("SIGKILL"), 8000);
    await this.#exited;
    clearTimeout(force);
  }
}

class Referee {
  readonly outcomes = { done: 0, refused: 0, unknown: 0, lost: 0 };
  readonly store: OutsideStore;
  readonly faults: Record<string, number> = {};
  violations = 0;
  takeoverMsMax = 0;
  isAtEnd = false;
  /** Who is inside, by name: the worker that entered last and has not ended its section. */
  readonly holders = new Map<string, Worker>();
  readonly #gone = new Map<string, number>();
  readonly #last = new Map<string, { readonly epoch: bigint; readonly number: number }>();
  readonly #mode: Mode;

  constructor(mode: Mode) {
    this.#mode = mode;
    this.store = new OutsideStore(mode === "outside");
  }

  /** Everything that went wrong so far, whatever kind of campaign it is. */
  get losses(): number {
    return this.violations + this.store.lostUpdates;
  }

  hear(message: FromWorker, worker: Worker): void {
    if (message.kind === "enter") {
      this.#noteTakeover(message.name);
      this.holders.set(message.name, worker);
    } else if (message.kind === "section") {
      this.outcomes[message.outcome] += 1;
      if (this.holders.get(message.name) === worker) this.holders.delete(message.name);
    } else if (message.kind === "read") {
      const answer = this.store.read(message.name, BigInt(message.token));
      worker.send({ kind: "answer", id: message.id, ...answer });
    } else if (message.kind === "write") {
      const answer = this.store.write(message.name, BigInt(message.token), message.basedOn);
      worker.send({ kind: "answer", id: message.id, ...answer });
    }
  }

  /** A worker was killed or stopped: what it held will have to change hands. */
  noteGone(worker: Worker): void {
    for (const [name, holder] of this.holders) if (holder === worker) this.#gone.set(name, performance.now());
  }

  #noteTakeover(name: string): void {
    const goneMs = this.#gone.get(name);
    if (goneMs === undefined) return;
    this.#gone.delete(name);
    this.takeoverMsMax = Math.max(this.takeoverMsMax, performance.now() - goneMs);
  }

  count(fault: string): void {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1;
  }

  /** Follows what is written inside, in the order of the store. */
  async follow(client: Client, names: readonly string[], signal: AbortSignal): Promise<void> {
    const watch = client.watch({ prefix: targetKey("") }, { startRevision: 1n, resync: "error", signal });
    const values = new Map<string, number>();
    try {
      for await (const { events } of watch) {
        for (const event of events) {
          if (event.key === targetKey(endName)) this.isAtEnd = true;
          if (event.type !== "put" || !names.some((name) => targetKey(name) === event.key)) continue;
          if (this.#mode === "election") this.#judgeEntry(event.key, event.kv.value);
          else this.#judgeCount(values, event.key, Number(event.kv.value));
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Each update must be made from the one before: anything else has overwritten what it had not seen. */
  #judgeCount(values: Map<string, number>, key: string, value: number): void {
    if (value !== (values.get(key) ?? 0) + 1) this.violations += 1;
    values.set(key, value);
  }

  /** Epochs never go back, and each writes its entries in order. */
  #judgeEntry(key: string, text: string): void {
    const [epochText = "0", numberText] = text.split(":");
    const epoch = BigInt(epochText);
    const number = Number(numberText);
    const last = this.#last.get(key) ?? { epoch: 0n, number: 0 };
    const isInOrder = epoch === last.epoch ? number === last.number + 1 : epoch > last.epoch && number === 1;
    if (!isInOrder) this.violations += 1;
    this.#last.set(key, { epoch, number });
  }
}

/** Does one thing after the other to workers, network and server. */
class Weather {
  readonly #random: Random;
  readonly #workers: readonly Worker[];
  readonly #server: ServerUnderTest;
  readonly #referee: Referee;
  readonly #pauseMs: number;
  readonly #faults: readonly Fault[];
  readonly #healing = new Set<Promise<void>>();

  constructor(
    random: Random,
    workers: readonly Worker[],
    server: ServerUnderTest,
    referee: Referee,
    { faultPauseMs = 450, faults = allFaults }: Pick<CampaignOptions, "faultPauseMs" | "faults">,
  ) {
    this.#random = random;
    this.#workers = workers;
    this.#server = server;
    this.#referee = referee;
    this.#pauseMs = faultPauseMs;
    this.#faults = faults;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(this.#pauseMs / 3 + this.#random.below((this.#pauseMs * 4) / 3));
      if (signal.aborted) break;
      await this.#strike();
    }
    await Promise.all(this.#healing);
  }

  async #strike(): Promise<void> {
    const fault = this.#faults[this.#random.below(this.#faults.length)] as Fault;
    const worker = this.#pickWorker(fault === "stop-holder");
    if (worker === undefined) return;
    this.#referee.count(fault);
    await this.#inflict(fault, worker);
  }

  /** One that runs; for `isHolder` one that is inside a section at this moment, where that is known. */
  #pickWorker(isHolder: boolean): Worker | undefined {
    const holders = [...this.#referee.holders.values()];
    const choice = (isHolder && holders.length > 0 ? holders : this.#workers).filter(({ isStopped }) => !isStopped);
    // Somebody must go on: a cluster without customers shows nothing.
    if (this.#workers.filter(({ isStopped }) => !isStopped).length < 2) return undefined;
    return choice[this.#random.below(Math.max(1, choice.length))];
  }

  async #inflict(fault: Fault, worker: Worker): Promise<void> {
    const ttlMs = ttlSeconds * 1000;
    const { proxy } = worker;
    switch (fault) {
      case "stop-holder":
        this.#referee.noteGone(worker);
        worker.stop();
        // Long enough for others to take over while it believes to be inside.
        return this.#later(ttlMs * 1.5 + this.#random.below(ttlMs * 1.5), () => worker.continue());
      case "stop":
        this.#referee.noteGone(worker);
        worker.stop();
        return this.#later(this.#random.below(ttlMs * 3), () => worker.continue());
      case "kill":
        this.#referee.noteGone(worker);
        await worker.kill();
        worker.start(this.#random.below(2 ** 31));
        return;
      case "cut":
        return proxy.cut(this.#random.below(2) === 0 ? "reset" : "end");
      case "blackhole":
        proxy.blackhole();
        return this.#later(this.#random.below(ttlMs * 2), () => proxy.heal());
      case "deaf":
        proxy.blackhole(this.#random.below(2) === 0 ? "toServer" : "toClient");
        return this.#later(this.#random.below(ttlMs * 2), () => proxy.heal());
      case "slow":
        proxy.delay(this.#random.below(400));
        return this.#later(this.#random.below(ttlMs * 2), () => proxy.heal());
      case "stall":
        return worker.send({ kind: "stall", ms: this.#random.below(ttlMs * 2) });
      case "jump":
        return worker.send({ kind: "jump", ms: (this.#random.below(2) === 0 ? 1 : -1) * 3_600_000 });
      case "server-stop":
        this.#server.pause();
        await pause(this.#random.below(ttlMs * 1.5));
        return this.#server.resume();
      case "server-kill":
        await this.#server.kill();
        return this.#server.start();
      default:
        fault satisfies never;
    }
  }

  #later(ms: number, heal: () => void): void {
    const healing = pause(ms).then(heal);
    this.#healing.add(healing);
    void healing.finally(() => this.#healing.delete(healing));
  }
}

/** Runs a campaign on a fresh server of `target`. */
export async function runCampaign(target: Target, options: CampaignOptions): Promise<CampaignReport> {
  const { mode, seed, workers: workersMax = 4, loops = 4, names: namesMax = 6 } = options;
  const startMs = performance.now();
  await using server = await target.start({ args: serverArgs });
  const random = createRandom(seed);
  const referee = new Referee(mode);
  const names = Array.from({ length: namesMax }, (_, index) => `campaign/${index}`);
  const order = { mode, names, ttlSeconds, electionTimeoutMs, loops, seed: 0 };
  const workers: Worker[] = [];
  const client = await connect({ endpoints: server.endpoint, electionTimeout: electionTimeoutMs });
  const ending = new AbortController();
  const watching = new AbortController();
  const following = referee.follow(client, names, watching.signal);
  following.catch(() => undefined);
  try {
    for (let index = 0; index < workersMax; index++) {
      const proxy = await TcpProxy.start(server.endpoint);
      const worker = new Worker({ ...order, name: `worker-${index}` }, proxy, (message, who) =>
        referee.hear(message, who),
      );
      workers.push(worker);
      worker.start(random.below(2 ** 31));
    }
    const weather = new Weather(random.fork("weather"), workers, server, referee, options);
    const striking = weather.run(ending.signal);
    const isDone = (): boolean =>
      performance.now() - startMs > options.limitMs ||
      (referee.outcomes.done >= options.sections && (!options.untilLost || referee.losses > 0));
    await until("the campaign ends", isDone, options.limitMs + 60_000);
    ending.abort();
    await striking;
    await Promise.all(workers.map((worker) => worker.end()));
    // What was written inside is judged to the end.
    await client.kv.put(targetKey(endName), "end");
    await until("the referee has seen everything", () => referee.isAtEnd);
  } finally {
    ending.abort();
    await Promise.all(workers.map((worker) => worker.kill()));
    await Promise.all(workers.map((worker) => worker.proxy.close()));
    watching.abort();
    await following;
    await client.close();
  }
  return {
    target: target.name,
    mode,
    seed,
    elapsedMs: performance.now() - startMs,
    outcomes: referee.outcomes,
    violations: referee.losses,
    refused: referee.store.refused + referee.outcomes.refused,
    overlaps: referee.store.overlaps,
    takeoverMsMax: referee.takeoverMsMax,
    faults: referee.faults,
  };
}
