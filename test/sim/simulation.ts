// One run under one seed: a cluster of the real thing, a storm with clients in it, then calm weather in which all
// members must come to the same state, and a verdict on everything that was seen.
import { assert } from "../../server/lib/assert.ts";
import { createRandom, type Random } from "../../server/lib/random.ts";
import type { Operation } from "../linearizability/operation.ts";
import { ClientDoor } from "./client-door.ts";
import { createCommon, LeaseHolder, runKvClient } from "./clients.ts";
import { Convergence } from "./convergence.ts";
import { Nemesis } from "./nemesis.ts";
import { Network } from "./network.ts";
import { Notebook } from "./notebook.ts";
import { watchQuorums } from "./quorum-watch.ts";
import { Scheduler } from "./scheduler.ts";
import { SimMember } from "./sim-member.ts";
import { Truth } from "./truth.ts";
import { judge } from "./verdict.ts";
import { WatchingClient } from "./watchers.ts";
import { drawWeather, type FaultKind, type Weather } from "./weather.ts";
import type { World } from "./world.ts";

/** Figures of a run, to be summed up. */
export interface RunCounts {
  readonly operations: number;
  readonly acknowledgedWrites: number;
  readonly applied: number;
  readonly messages: number;
  readonly watchEvents: number;
  readonly leases: number;
  readonly events: number;
  readonly simulatedMs: number;
  readonly faults: { readonly [kind: string]: number };
  readonly probes: { readonly [probe: string]: number };
  readonly traceHash: number;
}

export interface RunResult {
  readonly seed: number;
  /** What went wrong, if anything did. */
  readonly failure: string | undefined;
  readonly counts: RunCounts;
}

export interface RunOptions {
  /** Gets a line for everything worth reading; for looking at one seed. */
  readonly onLine?: (line: string) => void;
  /** The kind of fault to make frequent; by chance without it. */
  readonly favourite?: FaultKind | undefined;
}

class Violation extends Error {
  override readonly name = "Violation";
}

/** Longest that a run may take to begin, and to come to rest, in its own time. */
const beginMsMax = 60_000;

export class Simulation {
  readonly #seed: number;
  readonly #random: Random;
  readonly #scheduler = new Scheduler();
  readonly #weather: Weather;
  readonly #world: World;
  readonly #network: Network;
  readonly #notebook: Notebook;
  readonly #history: Operation[] = [];
  readonly #holders: LeaseHolder[] = [];
  readonly #watchers: WatchingClient[] = [];
  #nemesis: Nemesis | undefined;
  #lastId = 0n;
  #phase: "begin" | "storm" | "calm" | "over" = "begin";
  #failure: Error | undefined;

  constructor(seed: number, options: RunOptions = {}) {
    this.#seed = seed;
    this.#random = createRandom(seed);
    this.#weather = drawWeather(this.#random.fork("weather"), options.favourite);
    const scheduler = this.#scheduler;
    this.#network = new Network(scheduler, this.#random.fork("network"), this.#weather.network);
    const fail = (what: string, cause?: unknown): void => this.#fail(what, cause);
    const truth = new Truth(
      () => scheduler.nowMs,
      (what) => fail(what),
    );
    const members = new Map<bigint, SimMember>();
    const door = new ClientDoor({
      scheduler,
      random: this.#random.fork("door"),
      onOperation: (operation) => {
        this.#history.push(operation);
        this.#notebook.onOperation(operation);
      },
      onSerializableRead: (operation) => this.#notebook.onSerializableRead(operation),
      note: (probe) => this.#notebook.note(probe),
      onViolation: fail,
    });
    this.#world = {
      scheduler,
      weather: this.#weather,
      network: this.#network,
      truth,
      door,
      members,
      isStormy: () => this.#phase === "storm",
      hooks: { onVote: undefined },
      note: (probe) => this.#notebook.note(probe),
    };
    this.#notebook = new Notebook(this.#world, fail, options.onLine);
  }

  /** Runs it to its end, good or bad. */
  async run(): Promise<RunResult> {
    const onRejection = (error: unknown): void => this.#fail("a promise was rejected, and nobody looked", error);
    process.on("unhandledRejection", onRejection);
    try {
      await this.#runPhases();
    } catch (error) {
      if (!(error instanceof Violation)) this.#fail("the simulation broke", error);
    } finally {
      // Rejections that nobody looked at are reported at the end of the turn.
      await new Promise((resolve) => setImmediate(resolve));
      process.off("unhandledRejection", onRejection);
      this.#phase = "over";
    }
    return { seed: this.#seed, failure: this.#failure?.message, counts: this.#counts() };
  }

  async #runPhases(): Promise<void> {
    const { voters, learners, stormMs } = this.#weather;
    const ids = Array.from({ length: voters }, () => ++this.#lastId);
    for (const id of ids) this.#addMember(id, ids, []);
    await this.#until(beginMsMax, () => [...this.#world.members.values()].some(({ life }) => life?.isServing === true));
    const working = this.#beginStorm(learners);
    await this.#until(stormMs, () => false);
    this.#phase = "calm";
    const convergence = new Convergence(this.#world, this.#random.fork("calm"), (id, peers) =>
      this.#addMember(id, [], peers),
    );
    const bounds = await this.#watchOver(convergence.run());
    this.#phase = "over";
    await this.#watchOver(Promise.all(working));
    const violations = judge({
      truth: this.#world.truth,
      history: this.#history,
      door: this.#world.door,
      holders: this.#holders,
      watchers: this.#watchers,
      bounds,
    });
    if (violations.length > 0) this.#fail(violations.join("\n"));
  }

  #beginStorm(learners: number): Promise<void>[] {
    this.#phase = "storm";
    const random = this.#random;
    const world = this.#world;
    const common = createCommon(world);
    const working: Promise<void>[] = [];
    for (let i = 1; i <= this.#weather.clients; i++)
      working.push(runKvClient(world, `client${i}`, random.fork(`client${i}`), common));
    for (let i = 1; i <= this.#weather.leaseHolders; i++) {
      const holder = new LeaseHolder(world, `holder${i}`, random.fork(`holder${i}`), common);
      this.#holders.push(holder);
      working.push(holder.run());
    }
    for (let i = 1; i <= this.#weather.watchers; i++) {
      const watcher = new WatchingClient(world, `watcher${i}`, random.fork(`watcher${i}`), common);
      this.#watchers.push(watcher);
      working.push(watcher.run(() => this.#phase === "over"));
    }
    this.#nemesis = new Nemesis({
      world,
      random: random.fork("nemesis"),
      nextId: () => ++this.#lastId,
      addMember: (id, peers) => this.#addMember(id, [], peers),
    });
    working.push(
      this.#nemesis.run(),
      watchQuorums(world, () => this.#phase === "over"),
    );
    for (let i = 0; i < learners; i++) this.#nemesis.addLearner();
    for (const work of working) work.catch((error: unknown) => this.#fail("a client of the simulation broke", error));
    return working;
  }

  #addMember(id: bigint, initialIds: readonly bigint[], peerIds: readonly bigint[]): SimMember {
    assert(!this.#world.members.has(id), `member ${id} was added twice: its disk would be lost`);
    const member = new SimMember({
      id,
      initialIds,
      peerIds,
      scheduler: this.#scheduler,
      network: this.#network,
      weather: this.#weather,
      random: this.#random.fork(`member ${id}`),
      observer: this.#notebook,
      endpoint: (other) => this.#world.members.get(other)?.life?.endpoint,
    });
    this.#world.members.set(id, member);
    member.start();
    return member;
  }

  /** Lets time pass. */
  async #until(forMs: number, isDone: () => boolean): Promise<void> {
    await this.#scheduler.run(this.#scheduler.nowMs + forMs, () => this.#failure !== undefined || isDone());
    if (this.#failure !== undefined) throw new Violation();
  }

  /** Lets time pass until some work is done. */
  async #watchOver<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    const watched = work.finally(() => (isDone = true));
    watched.catch(() => undefined);
    await this.#until(600_000, () => isDone);
    if (!isDone) this.#fail("the simulation does not come to an end");
    return watched;
  }

  #fail(what: string, cause?: unknown): void {
    if (this.#failure !== undefined) return;
    const detail =
      cause instanceof Error ? `: ${cause.stack ?? cause.message}` : cause === undefined ? "" : `: ${cause}`;
    this.#failure = new Violation(`${what}${detail}`);
  }

  #counts(): RunCounts {
    const { door, truth } = this.#world;
    const { lost, doubled, late } = this.#network;
    const faults: { [kind: string]: number } = {
      "message lost": lost,
      "message doubled": doubled,
      "message late": late,
    };
    for (const [kind, count] of this.#nemesis?.counts ?? []) faults[kind] = count;
    return {
      operations: door.asked,
      acknowledgedWrites: door.acknowledgedWrites,
      applied: truth.appliedCount,
      messages: this.#notebook.messages,
      watchEvents: this.#watchers.reduce((sum, { events }) => sum + events, 0),
      leases: this.#holders.reduce((sum, { records }) => sum + records.length, 0),
      events: this.#scheduler.eventCount,
      simulatedMs: this.#scheduler.nowMs,
      faults,
      probes: Object.fromEntries(this.#notebook.probes.counts),
      traceHash: this.#notebook.traceHash,
    };
  }
}

/** Runs one seed. */
export function runSeed(seed: number, options: RunOptions = {}): Promise<RunResult> {
  return new Simulation(seed, options).run();
}
