// Members without sockets and files: real ones otherwise, on disks in memory, with one clock for all that stands still
// unless a test lets it go on, and wires that a test can cut.
import { PutRequest } from "../../proto/gen/etcdserverpb/rpc.ts";
import type { Clock, Timer } from "../../server/lib/clock.ts";
import { silentLogger } from "../../server/lib/logger.ts";
import { noMetrics } from "../../server/lib/metrics.ts";
import { createRandom } from "../../server/lib/random.ts";
import { WireReader } from "../../server/lib/wire-reader.ts";
import { type MemberCore, type MemberCoreOptions, openMemberCore } from "../../server/member-core.ts";
import type { Message } from "../../server/raft/message.ts";
import { ReplicaError } from "../../server/replica/errors.ts";
import type { Replica } from "../../server/replica/replica.ts";
import type { PeerAddress, PeerHandler, Transport } from "../../server/replica/transport.ts";
import type { ApplyOutcome } from "../../server/state/outcome.ts";
import { decodePut } from "../../server/state/request-codec.ts";
import type { StorageErrorCode } from "../../server/storage/backend.ts";
import { createMemoryImage, MemoryStore } from "../../server/storage/memory-store.ts";
import { type DiskFault, type DiskOperation, MemoryDisk } from "../support/memory-disk.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const folder = "/data/member";
const hopMs = 1;

type Settings = Partial<
  Pick<MemberCoreOptions, "quotaBytes" | "catchUpEntries" | "strictReconfigCheck" | "requestBytesMax" | "log">
> & { readonly capacityBytes?: number };

const urlOf = (id: bigint): string => `http://10.0.0.${id}:2380`;

/** A clock that stops for a member that crashed. */
class LifeClock implements Clock {
  readonly #clock: VirtualClock;
  isOver = false;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return this.#clock.setTimer(delayMs, () => {
      if (!this.isOver) callback();
    });
  }

  nextTurn(callback: () => void): void {
    this.#clock.nextTurn(() => {
      if (!this.isOver) callback();
    });
  }
}

export class World {
  readonly clock = new VirtualClock();
  readonly members: readonly WorldMember[];
  readonly #cut = new Set<string>();

  private constructor(ids: readonly bigint[], settings: Settings) {
    const initial: readonly PeerAddress[] = ids.map((id) => ({ id, peerUrls: [urlOf(id)] }));
    this.members = ids.map((id) => new WorldMember(this, id, initial, settings));
  }

  /** Opens and starts members 1 to `size` of a new cluster. */
  static async start(size: number, settings: Settings = {}): Promise<World> {
    const world = new World(
      Array.from({ length: size }, (_, index) => BigInt(index + 1)),
      settings,
    );
    for (const member of world.members) await member.open();
    await world.until(() => world.leader !== undefined);
    return world;
  }

  /** A further member, which is to be added; it is opened by the caller. */
  createMember(id: bigint, settings: Settings = {}): WorldMember {
    const member = new WorldMember(this, id, [], settings);
    (this.members as WorldMember[]).push(member);
    return member;
  }

  /** The member that leads in the newest term and has applied an entry of it. */
  get leader(): WorldMember | undefined {
    const leaders = this.members.filter((member) => {
      if (!member.isUp) return false;
      const { roleState, machine } = member.replica;
      return roleState.role === "leader" && machine.appliedTerm === roleState.term;
    });
    return leaders.sort((a, b) => b.replica.roleState.term - a.replica.roleState.term)[0];
  }

  get followers(): readonly WorldMember[] {
    return this.members.filter((member) => member.isUp && member !== this.leader);
  }

  cut(a: WorldMember, ...others: readonly WorldMember[]): void {
    for (const b of others)
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const)
        this.#cut.add(`${from.id}>${to.id}`);
  }

  healAll(): void {
    this.#cut.clear();
  }

  isCut(from: bigint, to: bigint): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  /** Lets time pass until something holds. */
  async until(condition: () => boolean, withinMs = 30_000): Promise<void> {
    const endMs = this.clock.nowMs() + withinMs;
    await this.clock.settle();
    while (!condition()) {
      if (this.clock.nowMs() >= endMs) throw new Error(`not so within ${withinMs} ms: ${condition}`);
      await this.clock.advance(10);
    }
  }

  /** Lets time pass until a promise is settled, and returns what came of it. */
  async settled<T>(promise: Promise<T>, withinMs = 30_000): Promise<PromiseSettledResult<T>> {
    let result: PromiseSettledResult<T> | undefined;
    void Promise.allSettled([promise]).then(([settled]) => {
      result = settled;
    });
    await this.until(() => result !== undefined, withinMs);
    return result as PromiseSettledResult<T>;
  }

  /** The same for one that must be fulfilled. */
  async value<T>(promise: Promise<T>): Promise<T> {
    const result = await this.settled(promise);
    if (result.status === "rejected") throw result.reason;
    return result.value;
  }

  /** The code of the error that a promise comes to. */
  async failure(promise: Promise<unknown>): Promise<string> {
    const result = await this.settled(promise);
    if (result.status === "fulfilled") throw new Error(`it worked: ${JSON.stringify(result.value)}`);
    if (result.reason instanceof ReplicaError) return result.reason.code;
    throw result.reason;
  }

  async close(): Promise<void> {
    for (const member of this.members) if (member.isUp) await this.value(member.close());
  }
}

export class WorldMember {
  readonly id: bigint;
  readonly failures: unknown[] = [];
  /** Revisions that watchers were told of, and outcomes that callers got, in order. */
  readonly told: string[] = [];
  storeFault: StorageErrorCode | undefined;
  diskFault: ((operation: DiskOperation) => DiskFault | undefined) | undefined;
  /** What the transport says of connections, instead of how they are. */
  connectedMs: ((id: bigint) => number | undefined) | undefined;
  isRemoved = false;
  readonly image = createMemoryImage();
  disk: MemoryDisk;
  readonly #world: World;
  readonly #settings: Settings;
  readonly #initial: readonly PeerAddress[];
  #closers: (() => Promise<void> | void)[] = [];
  #clock: LifeClock | undefined;
  #core: MemberCore | undefined;
  #lives = 0;

  constructor(world: World, id: bigint, initial: readonly PeerAddress[], settings: Settings) {
    this.id = id;
    this.#world = world;
    this.#initial = initial;
    this.#settings = settings;
    const disk = new MemoryDisk(this.#diskOptions());
    disk.makeFolder(folder);
    this.disk = disk.copy();
  }

  #diskOptions() {
    const { capacityBytes } = this.#settings;
    return {
      random: createRandom(Number(this.id)),
      faultOf: (operation: DiskOperation) => this.diskFault?.(operation),
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
    };
  }

  get isUp(): boolean {
    return this.#core !== undefined;
  }

  get core(): MemberCore {
    if (this.#core === undefined) throw new Error(`member ${this.id} is not up`);
    return this.#core;
  }

  get replica(): Replica {
    return this.core.replica;
  }

  /** Opens what is there and starts. `others`: where one finds members when the state does not say yet. */
  async open(others: readonly PeerAddress[] = this.#initial): Promise<void> {
    const clock = new LifeClock(this.#world.clock);
    this.#clock = clock;
    const initialMembers = this.#initial.map((peer) => ({ ...peer, name: "", clientUrls: [], isLearner: false }));
    const core = await openMemberCore({
      quotaBytes: 0,
      catchUpEntries: 1000,
      strictReconfigCheck: false,
      requestBytesMax: 1024 * 1024,
      preVote: true,
      heartbeatIntervalMs: 100,
      electionTimeoutMs: 1000,
      ...this.#settings,
      identity: { memberId: this.id, clusterId: 1n, initialMembers, initialPeers: others },
      disk: this.disk,
      folder,
      store: new MemoryStore({ image: this.image, faults: () => this.storeFault }),
      clock,
      random: createRandom(Number(this.id) * 1000 + this.#lives++),
      logger: silentLogger,
      metrics: noMetrics,
      createTransport: (peerHandler) => this.#createTransport(clock, peerHandler),
      onEvents: ({ revision }) => this.told.push(`watch ${revision}`),
      onRoleState: () => undefined,
      onRemoved: () => {
        this.isRemoved = true;
      },
      onFailed: (error) => this.failures.push(error),
      onOpened: (close) => this.#closers.push(close),
    });
    this.#core = core;
    core.replica.start();
  }

  #createTransport(clock: Clock, _ownHandler: () => PeerHandler): Transport {
    const handlerOf = (to: bigint): PeerHandler | undefined => {
      const member = this.#world.members.find(({ id }) => id === to);
      if (member?.isUp !== true || this.#world.isCut(this.id, to)) return undefined;
      return member.replica.peerHandler;
    };
    const hop = (): Promise<void> => new Promise((resolve) => clock.setTimer(hopMs, resolve));
    const reach = async (to: bigint): Promise<PeerHandler> => {
      await hop();
      const handler = handlerOf(to);
      if (handler === undefined) throw new ReplicaError("no-leader");
      return handler;
    };
    return {
      send: (messages: readonly Message[]) => {
        for (const message of messages) clock.setTimer(hopMs, () => handlerOf(message.to)?.onMessage(message));
      },
      setPeers: () => undefined,
      call: async (to, request) => (await reach(to)).onRequest(request),
      sendSnapshot: async (message, file) => {
        const handler = await reach(message.to);
        const writer = handler.openSnapshot(message);
        if (writer === undefined) throw new Error("busy");
        for await (const piece of file.raw(1000)) await writer.addRaw(piece);
        handler.onSnapshot(message, await writer.finishRaw());
      },
      connectedMs: (id) => {
        if (this.connectedMs !== undefined) return this.connectedMs(id);
        return handlerOf(id) === undefined ? undefined : 60_000;
      },
      close: async () => undefined,
    };
  }

  put(key: string, value: string | Uint8Array, lease = 0n): Promise<ApplyOutcome> {
    const request = PutRequest.encode(
      PutRequest.fromPartial({ key: Buffer.from(key), value: Buffer.from(value), lease }),
    ).finish();
    return this.replica.propose(decodePut(new WireReader(request)), request).then((outcome) => {
      this.told.push(`answer ${this.replica.machine.mvcc.currentRevision}`);
      return outcome;
    });
  }

  delete(key: string): Promise<ApplyOutcome> {
    const request = Buffer.concat([Buffer.from([0x0a, key.length]), Buffer.from(key)]);
    const range = { kind: "key", key } as const;
    return this.replica.propose({ kind: "delete-range", range, wantsPrevious: false }, request);
  }

  /** What this member has of a key now. */
  local(key: string): string | undefined {
    const { mvcc } = this.replica.machine;
    const version = mvcc.current(key);
    return version === undefined ? undefined : String(mvcc.valueOf(version));
  }

  /** A linearizable read. */
  async read(key: string): Promise<string | undefined> {
    await this.replica.readBarrier();
    return this.local(key);
  }

  /** Says its name, as members do once they serve. */
  async publish(): Promise<void> {
    await this.replica.proposeInternal({
      kind: "member-publish",
      member: { id: this.id, name: `m${this.id}`, clientUrls: [] },
    });
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
    this.#core = undefined;
  }

  /** Ends this member's machine: what was not durable may be gone. It can be opened again. */
  crash(): void {
    if (this.#clock !== undefined) this.#clock.isOver = true;
    this.#core = undefined;
    this.#closers = [];
    this.disk = this.disk.crash(this.#diskOptions());
  }
}
