// One member of the simulated cluster across all its lives: its disk and its store, which stay, and its process, which
// comes and goes. Composed by the product's own `openMemberCore`, over doors of this world.
import { createDeferred } from "../../server/lib/deferred.ts";
import type { LogFields, Logger, LogLevel } from "../../server/lib/logger.ts";
import { noMetrics } from "../../server/lib/metrics.ts";
import type { Random } from "../../server/lib/random.ts";
import { LogError } from "../../server/log/log-error.ts";
import { type MemberCore, openMemberCore } from "../../server/member-core.ts";
import type { Message } from "../../server/raft/message.ts";
import type { RoleState } from "../../server/raft/types.ts";
import { ReplicaError } from "../../server/replica/errors.ts";
import type { EventBatch } from "../../server/state/mvcc/events.ts";
import { StorageError } from "../../server/storage/backend.ts";
import { createMemoryImage, type MemoryImage } from "../../server/storage/memory-store.ts";
import { MemoryDisk } from "../support/memory-disk.ts";
import { weigh } from "./heavy-bytes.ts";
import type { Network } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";
import { SimProcess } from "./sim-process.ts";
import { SimStore } from "./sim-store.ts";
import { type Endpoint, SimTransport } from "./sim-transport.ts";
import type { Weather } from "./weather.ts";

/** What the world is told of its members. */
export interface MemberObserver {
  /** A life has read what it finds on disk, and is about to take part. */
  onOpened(member: SimMember, core: MemberCore): void;
  onEvents(member: SimMember, batch: EventBatch): void;
  onRoleState(member: SimMember, state: RoleState): void;
  onSend(member: SimMember, message: Message): void;
  /** A snapshot sets out for another member, or has come to the end of its way: 1 or -1. */
  onSnapshotsUnderWay(change: number): void;
  onLog(member: SimMember, level: LogLevel, message: string, fields: LogFields | undefined): void;
  note(probe: string): void;
  /** A member did what no member must do. */
  onViolation(member: SimMember, what: string, cause: unknown): void;
}

export interface SimMemberOptions {
  readonly id: bigint;
  /** For a member of the first configuration: all of it. */
  readonly initialIds: readonly bigint[];
  /** For one that joins later: who was there. */
  readonly peerIds: readonly bigint[];
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly weather: Weather;
  readonly random: Random;
  readonly observer: MemberObserver;
  readonly endpoint: (id: bigint) => Endpoint | undefined;
}

/** A life of a member that is under way. */
export interface Life {
  readonly number: number;
  readonly process: SimProcess;
  core: MemberCore | undefined;
  endpoint: Endpoint | undefined;
  /** It was current once and answers clients. */
  isServing: boolean;
  /** Requests of clients that it has not answered. */
  underWay: number;
  /** Resolves when the process is gone, however it ended. */
  readonly ended: Promise<void>;
}

const folder = "/member";
const urlOf = (id: bigint): readonly string[] => [`sim://${id}`];
const memberOf = (id: bigint) => ({ id, name: "", peerUrls: urlOf(id), clientUrls: [], isLearner: false });

export class SimMember {
  readonly id: bigint;
  readonly #options: SimMemberOptions;
  readonly #disks: Random;
  readonly #image: MemoryImage = createMemoryImage();
  #disk: MemoryDisk;
  #store: SimStore | undefined;
  #life: Life | undefined;
  #lives = 0;
  #ended = createDeferred<void>();
  readonly #clockRate: number;
  /** Faults of its disk, set from outside. */
  diskDelayMs = 0;
  isDiskFull = false;
  /** What the store alone is slowed down by. */
  storeDelayMs = 0;
  /** Rows are on their way to its store. */
  isFlushing = false;
  /** Where it is to crash the next time it gets there, and what brings the crash about. */
  doom: { readonly at: "log" | "flush" | "install"; readonly strike: () => void } | undefined;
  /** The next operation on its log, or on its store, fails for good. */
  breaksNext: "log" | "store" | undefined;
  /** It was removed from the cluster, or its disk is lost or beyond repair: it does not come back. */
  isGone = false;
  /** Its log was damaged from outside: it may find so and refuse to start. Before that, its last entry was this one. */
  damagedAfter: number | undefined;

  constructor(options: SimMemberOptions) {
    this.id = options.id;
    this.#options = options;
    this.#disks = options.random.fork("disk");
    this.#disk = this.#newDisk();
    // Rates of clocks differ, though by less than leases allow for.
    this.#clockRate = 0.96 + options.random.next() * 0.085;
  }

  get life(): Life | undefined {
    return this.#life;
  }

  /** The core of the present life, once it takes part. */
  get core(): MemberCore | undefined {
    return this.#life?.core;
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  get name(): string {
    return `${this.id}/${this.#lives}`;
  }

  #newDisk(): MemoryDisk {
    return new MemoryDisk(this.#diskOptions());
  }

  #diskOptions(): ConstructorParameters<typeof MemoryDisk>[0] {
    return {
      random: this.#disks,
      schedule: (operation, complete) => {
        const { process } = this.#life ?? {};
        const delayMs = this.#diskDelayOf(operation.kind);
        if (operation.kind !== "write") this.#meetDoom("log", delayMs);
        // Without a process nobody waits for the disk.
        process?.input(delayMs, complete);
      },
      faultOf: (operation) => {
        if (this.isDiskFull && operation.kind.startsWith("write")) return "ENOSPC";
        if (this.breaksNext !== "log") return undefined;
        this.breaksNext = undefined;
        return "EIO";
      },
    };
  }

  /** Strikes, if it is time, while something is under way that takes `delayMs`. */
  #meetDoom(at: "log" | "flush" | "install", delayMs: number): void {
    if (this.doom?.at !== at) return;
    const { strike } = this.doom;
    this.doom = undefined;
    this.#options.scheduler.after(this.#disks.next() * delayMs * 1.2, strike);
  }

  #diskDelayOf(kind: string): number {
    const { delayMinMs, delayMaxMs } = this.#options.weather.disk;
    const base = delayMinMs + this.#disks.next() ** 3 * delayMaxMs;
    // What is only written goes to the cache; what must last is slow when the disk is.
    return kind === "write" ? base / 10 : base + (this.diskDelayMs === 0 ? 0 : this.#disks.next() * this.diskDelayMs);
  }

  /** Starts the process on what its disk holds. */
  start(): void {
    if (this.#life !== undefined || this.isGone) return;
    const { scheduler, random } = this.#options;
    this.#lives++;
    const process = new SimProcess({
      scheduler,
      rate: this.#clockRate,
      startMs: random.below(1_000_000),
      random,
      onUncaught: (error) => this.#onFailed(life, error),
    });
    this.#ended = createDeferred<void>();
    const life: Life = {
      number: this.#lives,
      process,
      core: undefined,
      endpoint: undefined,
      isServing: false,
      underWay: 0,
      ended: this.#ended.promise,
    };
    this.#life = life;
    this.#run(life).catch((error: unknown) => this.#onFailed(life, error));
  }

  readonly #closers: (() => Promise<void> | void)[] = [];

  async #run(life: Life): Promise<void> {
    const { id, scheduler, network, weather, random, observer, initialIds, peerIds } = this.#options;
    const { process } = life;
    const startedMs = scheduler.nowMs;
    this.#closers.length = 0;
    const disk = this.#disk;
    disk.makeFolder(folder);
    await disk.syncFolder("/");
    const store = new SimStore({
      image: this.#image,
      schedule: (commit) => {
        const delayMs = this.#diskDelayOf("write-durably") * 2 + this.storeDelayMs;
        this.#meetDoom("flush", delayMs);
        const isFlush = !store.isLoading;
        this.isFlushing = isFlush;
        process.input(delayMs, () => {
          if (isFlush) this.isFlushing = false;
          if (this.waitingToApply > 0) observer.note("applying waited for the store");
          commit();
        });
      },
      // Soon: until the log begins anew, too, it takes one write and no more.
      onLoaded: () => this.#meetDoom("install", this.#diskDelayOf("write-durably") / 3),
      faults: () => {
        if (this.isDiskFull) return "no-space";
        if (this.breaksNext !== "store") return undefined;
        this.breaksNext = undefined;
        return "io";
      },
    });
    this.#store = store;
    const lifeRandom = random.fork(`life ${life.number}`);
    const ready = createDeferred<void>();
    let transport: SimTransport | undefined;
    const core = await openMemberCore({
      identity: {
        memberId: id,
        clusterId: 1n,
        initialMembers: initialIds.map(memberOf),
        initialPeers: [...initialIds, ...peerIds].map(memberOf),
      },
      disk,
      folder,
      store,
      clock: process.clock,
      random: lifeRandom,
      logger: this.#logger(),
      metrics: noMetrics,
      heartbeatIntervalMs: weather.heartbeatIntervalMs,
      electionTimeoutMs: weather.electionTimeoutMs,
      preVote: weather.preVote,
      strictReconfigCheck: weather.strictReconfigCheck,
      catchUpEntries: weather.catchUpEntries,
      requestBytesMax: 1 << 20,
      quotaBytes: 0,
      log: { segmentBytes: weather.segmentBytes, cacheBytes: weather.cacheBytes },
      watchLimits: weather.watchLimits,
      createTransport: (handler) => {
        transport = new SimTransport({
          ownId: id,
          process,
          startedMs,
          ended: life.ended,
          network,
          random: lifeRandom.fork("transport"),
          isEncoded: weather.network.isEncoded,
          nowMs: () => scheduler.nowMs,
          handler,
          endpoint: this.#options.endpoint,
          onSend: (message) => observer.onSend(this, message),
          onSnapshotsUnderWay: (change) => observer.onSnapshotsUnderWay(change),
          note: (probe) => observer.note(probe),
        });
        return transport;
      },
      onEvents: (batch) => observer.onEvents(this, batch),
      onRoleState: (state) => {
        observer.onRoleState(this, state);
        if (state.leader !== undefined) ready.resolve();
      },
      onRemoved: () => this.#onRemoved(life),
      onFailed: (error) => this.#onFailed(life, error),
      onOpened: (close) => this.#closers.push(close),
    });
    if (process.isDead) return;
    weigh(core.backend, weather.storeWeight);
    const { replica } = core;
    life.core = core;
    life.endpoint = {
      process,
      startedMs,
      ended: life.ended,
      transport: transport as unknown as SimTransport,
      handler: replica.peerHandler,
      wasRemoved: (other) => replica.machine.members.wasRemoved(other),
    };
    observer.onOpened(this, core);
    const { lastIndex } = replica.raftStatus();
    if (this.damagedAfter !== undefined && lastIndex < this.damagedAfter)
      observer.onViolation(
        this,
        `had entries up to ${this.damagedAfter} on disk and starts with ${lastIndex}`,
        undefined,
      );
    this.damagedAfter = undefined;
    replica.start();
    await ready.promise;
    await this.#untilCurrent(core);
    life.isServing = true;
    await this.#publish(core, process);
  }

  /** As server.ts does before it opens its client port. */
  async #untilCurrent({ replica }: MemberCore): Promise<void> {
    for (;;) {
      try {
        await replica.readBarrier();
        return;
      } catch (error) {
        if (!(error instanceof ReplicaError) || error.code !== "timed-out") throw error;
      }
    }
  }

  async #publish({ replica }: MemberCore, process: SimProcess): Promise<void> {
    for (;;) {
      try {
        await replica.proposeInternal({
          kind: "member-publish",
          member: { id: this.id, name: `member ${this.id}`, clientUrls: [] },
        });
        return;
      } catch (error) {
        if (!(error instanceof ReplicaError) || error.code.startsWith("stopped")) throw error;
        await new Promise<void>((resolve) => process.clock.setTimer(500, resolve));
      }
    }
  }

  #logger(): Logger {
    const logger: Logger = {
      log: (level, message, fields) => this.#options.observer.onLog(this, level, message, fields),
      child: () => logger,
    };
    return logger;
  }

  /** The member says that it cannot go on. With a broken or damaged disk that is right, otherwise never. */
  #onFailed(life: Life, error: unknown): void {
    if (this.#life !== life || life.process.isDead) return;
    const { observer } = this.#options;
    if (error instanceof ReplicaError && error.code.startsWith("stopped")) return;
    const isInjected =
      (error instanceof LogError &&
        (error.code === "io" || (error.code === "corrupt" && this.damagedAfter !== undefined))) ||
      (error instanceof StorageError && error.code === "io") ||
      String((error as Error).message).startsWith("EIO") ||
      // A member that finds no room when it starts may say so.
      (life.core === undefined && String((error as Error).message).startsWith("ENOSPC"));
    if (!isInjected) {
      observer.onViolation(this, "stopped with", error);
      return;
    }
    if (error instanceof LogError && error.code === "corrupt") {
      observer.note("damaged log refused");
      this.isGone = true;
    } else observer.note("stopped by its disk");
    this.crash("kill");
  }

  #onRemoved(life: Life): void {
    if (this.#life !== life) return;
    this.#options.observer.note("removed member stopped");
    this.isGone = true;
    this.crash("kill");
  }

  /**
   * Ends the process without a word. `power`: the machine with it, so that only what was synced is sure to be there;
   * `kill`: the files are as the process left them.
   */
  crash(how: "power" | "kill"): void {
    const life = this.#life;
    if (life === undefined) return;
    if (this.waitingToApply > 0) this.#options.observer.note("crash between commit and apply");
    this.#endLife(life);
    const before = this.#disk.waiting.length;
    if (how === "power" || this.#disks.below(2) === 0) this.#disk = this.#disk.crash(this.#diskOptions());
    else this.#disk = this.#disk.copy(this.#diskOptions());
    if (before > 0) this.#options.observer.note("crash in the middle of a write");
    if (this.#store?.isLoading === true) this.#options.observer.note("crash during snapshot installation");
    if (this.#store?.crash(this.#disks.below(2) === 0) === true)
      this.#options.observer.note("flush reached the disk unnoticed");
    this.#store = undefined;
  }

  #endLife(life: Life): void {
    life.process.kill();
    this.#life = undefined;
    this.isFlushing = false;
    this.breaksNext = undefined;
    this.#ended.resolve();
  }

  /** Stops as on SIGTERM: hands leadership over, answers what it has taken, puts its state on disk. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (life?.core === undefined) return;
    const { replica } = life.core;
    life.isServing = false;
    await replica.leaderTransfer.handOver();
    for (let left = 100; left > 0 && life.underWay > 0; left--)
      await new Promise<void>((resolve) => life.process.clock.setTimer(20, resolve));
    for (const close of this.#closers.splice(0).reverse()) await close();
    if (this.#life !== life) return;
    this.#endLife(life);
    this.#store = undefined;
  }

  /** Entries that are committed, durable here, and not applied. */
  get waitingToApply(): number {
    const { replica } = this.core ?? {};
    if (replica === undefined) return 0;
    const { commit, durable } = replica.raftStatus();
    return Math.max(0, Math.min(commit, durable) - replica.machine.appliedIndex);
  }

  get disk(): MemoryDisk {
    return this.#disk;
  }

  /** Whether the beginning of its log is gone. */
  get hasReleasedLog(): boolean {
    const first = this.#disk.list(`${folder}/log`).find((name) => name.endsWith(".log"));
    return first !== undefined && first !== "000000000001.log";
  }

  get image(): MemoryImage {
    return this.#image;
  }
}
