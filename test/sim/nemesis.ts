// Who does harm to the cluster while the storm lasts: crashes, cuts wires, stops processes, breaks disks, and now and
// then acts as a clumsy operator. It never takes away what the contract says must be there: one copy of what was
// acknowledged on the disks of a majority.
import type { Random } from "../../server/lib/random.ts";
import { recoverLog } from "../../server/log/recover.ts";
import type { Message } from "../../server/raft/message.ts";
import { emptyHardState, noEntryId } from "../../server/raft/types.ts";
import { ReplicaError } from "../../server/replica/errors.ts";
import { StateError } from "../../server/state/errors.ts";
import type { SimMember } from "./sim-member.ts";
import { type FaultKind, faultKinds } from "./weather.ts";
import { leaderOf, pick, running, serving, type World } from "./world.ts";

export interface NemesisOptions {
  readonly world: World;
  readonly random: Random;
  /** Makes a member that knows `peerIds`, and starts it. */
  readonly addMember: (id: bigint, peerIds: readonly bigint[]) => SimMember;
  readonly nextId: () => bigint;
}

const membersMax = 6;

export class Nemesis {
  readonly #world: World;
  readonly #random: Random;
  readonly #options: NemesisOptions;
  /** How often each kind of fault was done, not only drawn. */
  readonly counts = new Map<FaultKind, number>();
  /** Members that may have lost what they acknowledged: their disk is gone, or damaged. At most a minority, ever. */
  readonly #spoiled = new Set<bigint>();

  constructor(options: NemesisOptions) {
    this.#options = options;
    this.#world = options.world;
    this.#random = options.random;
  }

  async run(): Promise<void> {
    const { scheduler, weather, isStormy } = this.#world;
    for (;;) {
      await scheduler.sleep(weather.faultIntervalMs * (0.2 + this.#random.next() * 1.6));
      if (!isStormy()) return;
      const kind = this.#draw();
      if (kind !== undefined && this.#faults[kind]()) this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    }
  }

  #draw(): FaultKind | undefined {
    const { faultWeights } = this.#world.weather;
    let at = this.#random.next() * faultKinds.reduce((sum, kind) => sum + faultWeights[kind], 0);
    return faultKinds.find((kind) => (at -= faultWeights[kind]) < 0);
  }

  /** Each does its harm if it can be done now, and says whether it was. */
  readonly #faults: { readonly [K in FaultKind]: () => boolean } = {
    crash: () => this.#crash(this.#victim(), "power"),
    kill: () => this.#crash(this.#victim(), "kill"),
    "crash-in-write": () => this.#doom(this.#victim(), "log"),
    "crash-in-flush": () => this.#doom(this.#victim(), "flush"),
    "stall-before-snapshot": () => {
      const members = running(this.#world).filter((member) => member !== leaderOf(this.#world));
      const member = pick(this.#random, members);
      if (member === undefined) return false;
      // What it was sent and told to be committed is not on its disk yet when it falls behind.
      member.diskDelayMs = 9000;
      this.#later(200 + this.#random.next() * 500, () => this.#cutOff(member));
      this.#later(9000, () => (member.diskDelayMs = 0));
      return true;
    },
    "stall-in-flush": () => {
      const others = running(this.#world).filter((member) => member !== leaderOf(this.#world));
      const member = this.#random.below(4) === 0 ? this.#victim() : pick(this.#random, others);
      if (member === undefined || this.#world.weather.storeWeight === 1) return false;
      member.storeDelayMs = 15_000;
      this.#later(12_000, () => (member.storeDelayMs = 0));
      this.#inBackground(this.#overtake(member));
      return true;
    },
    "crash-in-install": () => {
      const laggard = this.#cutOff(undefined, 8000);
      if (laggard !== undefined) this.#inBackground(this.#healWhenBehind(laggard));
      return this.#doom(laggard, this.#random.below(3) === 0 ? "flush" : "install");
    },
    "crash-all": () => {
      const victims = running(this.#world);
      for (const member of victims) this.#crash(member, "power");
      return victims.length > 0;
    },
    restart: () => {
      const member = this.#victim();
      if (member?.life?.isServing !== true) return false;
      const { life } = member;
      this.#later(5000, () => {
        // It did not stop in time; whoever runs it has no more patience.
        if (member.life === life) member.crash("kill");
      });
      this.#inBackground(member.stop().then(() => this.#startLater(member)));
      return true;
    },
    "partition-one": () => this.#partition((apart) => [apart]),
    "partition-halves": () => this.#partition(() => running(this.#world).filter(() => this.#random.below(2) === 0)),
    "partition-one-way": () => {
      const apart = this.#victim();
      if (apart === undefined) return false;
      const isDeaf = this.#random.below(2) === 0;
      for (const { id } of running(this.#world)) {
        if (id === apart.id) continue;
        if (isDeaf) this.#world.network.cut(id, apart.id);
        else this.#world.network.cut(apart.id, id);
      }
      this.#healLater();
      return true;
    },
    "partition-bridge": () => {
      const members = running(this.#world);
      if (members.length < 3) return false;
      const bridge = pick(this.#random, members);
      const left = new Set(members.filter(() => this.#random.below(2) === 0).map(({ id }) => id));
      for (const { id: a } of members)
        for (const { id: b } of members)
          if (a !== bridge.id && b !== bridge.id && left.has(a) !== left.has(b)) this.#world.network.cut(a, b);
      this.#healLater();
      return true;
    },
    pause: () => {
      const process = this.#victim()?.life?.process;
      if (process === undefined || process.isPaused) return false;
      process.pause();
      this.#later(pick(this.#random, [100, 700, 2500, 7000]) * (0.5 + this.#random.next()), () => process.resume());
      return true;
    },
    "wake-apart": () => {
      const leader = leaderOf(this.#world);
      const process = leader?.life?.process;
      const { electionTimeoutMs } = this.#world.weather;
      if (leader === undefined || process === undefined || process.isPaused) return false;
      // It sleeps while another one is elected, and wakes up where no word of that reaches it.
      process.pause();
      this.#cutOff(leader, electionTimeoutMs * 8);
      this.#later(electionTimeoutMs * (1.5 + this.#random.next() * 2), () => {
        const { role } = leader.core?.replica.roleState ?? {};
        if (role === "leader" && leaderOf(this.#world) !== leader) this.#world.note("a replaced leader woke up apart");
        process.resume();
        this.#later(electionTimeoutMs * (0.5 + this.#random.next()), () => {
          if (this.#world.isStormy()) this.#world.network.healAll();
        });
      });
      return true;
    },
    "slow-disk": () => this.#spoilDisk((member) => (member.diskDelayMs = pick(this.#random, [30, 200, 1000]))),
    "disk-full": () => this.#spoilDisk((member) => (member.isDiskFull = true)),
    "disk-error": () => {
      const member = this.#victim();
      if (member?.core === undefined) return false;
      member.breaksNext = this.#random.below(3) === 0 ? "store" : "log";
      this.#inBackground(this.#restartWhenDown(member));
      return true;
    },
    "slow-network": () => {
      const { network } = this.#world;
      network.extraDelayMs = pick(this.#random, [20, 100, 400]);
      this.#later(500 + this.#random.next() * 3000, () => (network.extraDelayMs = 0));
      return true;
    },
    transfer: () => {
      const leader = leaderOf(this.#world);
      const voters = leader?.core?.replica.raftStatus().confState.voters ?? [];
      const target = pick(
        this.#random,
        voters.filter((id) => id !== leader?.id),
      );
      if (leader?.core === undefined || target === undefined) return false;
      const { replica } = leader.core;
      // Its target may die in the middle of it.
      if (this.#random.below(5) === 0) this.#crash(this.#world.members.get(target), "power");
      this.#operate(replica.leaderTransfer.moveTo(target));
      return true;
    },
    campaign: () => {
      const leader = leaderOf(this.#world);
      if (leader === undefined || running(this.#world).length < 2) return false;
      for (const { id } of running(this.#world)) if (id !== leader.id) this.#world.network.cut(leader.id, id);
      this.#healLater(1500);
      return true;
    },
    "add-learner": () => this.#addMember(true),
    "add-voter": () => this.#addMember(false),
    promote: () => {
      const member = this.#operator();
      const learners = member?.core?.replica.machine.members.list().filter(({ isLearner }) => isLearner) ?? [];
      // Nobody makes a voter of one that is lost: without strict checks that may cost the quorum.
      const whole = learners.filter(({ id }) => this.#world.members.get(id)?.isGone === false);
      const learner = pick(this.#random, whole);
      if (member?.core === undefined || learner === undefined) return false;
      this.#operate(member.core.replica.leaderCalls.promoteMember(learner.id));
      return true;
    },
    remove: () => {
      const member = this.#operator();
      if (member?.core === undefined) return false;
      const { members } = member.core.replica.machine;
      const gone = members.list().filter(({ id }) => this.#world.members.get(id)?.isGone !== false);
      const victim = gone.length > 0 ? pick(this.#random, gone) : pick(this.#random, members.list());
      if (victim === undefined || members.list().length <= 2) return false;
      this.#operate(member.core.replica.changeMembership({ kind: "member-remove", id: victim.id }));
      return true;
    },
    "damage-log": () => this.#damage(),
    "lose-disk": () => {
      const member = this.#victim();
      if (member === undefined || !this.#maySpoil(member)) return false;
      this.#spoiled.add(member.id);
      member.isGone = true;
      member.crash("power");
      return true;
    },
    "churn-leaders": () => {
      this.#inBackground(this.#churn());
      return true;
    },
    "vote-storm": () => {
      const { network, hooks } = this.#world;
      const { id: own, core } = leaderOf(this.#world) ?? {};
      const others = core?.replica.raftStatus().confState.voters.filter((id) => id !== own) ?? [];
      const [first, second] = this.#random.below(2) === 0 ? others : [...others].reverse();
      if (core === undefined || first === undefined || second === undefined) return false;
      // Two are told to take over, as by a leader that is asked twice in a moment, and neither hears of the other: both
      // ask for votes in the same term. Whoever has voted for the first crashes, forgets it if it can, and is back when
      // the second asks.
      network.extraDelayMs = 15 + this.#random.next() * 60;
      let crashes = 1 + this.#random.below(3);
      hooks.onVote = (voter) => {
        if (crashes-- <= 0) return;
        this.#later(this.#random.below(2) * this.#random.next() * 5, () => {
          if (!this.#world.isStormy() || !voter.isUp) return;
          voter.crash("power");
          this.#later(this.#random.next() * 5, () => voter.start());
        });
      };
      const { term } = core.replica.roleState;
      network.cut(first, second);
      network.cut(second, first);
      const secondMs = network.extraDelayMs + 5 + this.#random.next() * 40;
      for (const [to, delayMs] of [
        [first, 0],
        [second, secondMs],
      ] as const) {
        const call: Message = { type: "timeout-now", from: core.replica.memberId, to, term };
        const { life } = this.#world.members.get(to) ?? {};
        life?.process.input(delayMs, () => life.core?.replica.peerHandler.onMessage(call));
      }
      this.#later(1500, () => {
        network.extraDelayMs = 0;
        hooks.onVote = undefined;
        if (this.#world.isStormy()) network.healAll();
      });
      return true;
    },
    "lag-behind-snapshot": () => {
      return this.#cutOff() !== undefined;
    },
  };

  /** Rather the leader than another. */
  #victim(): SimMember | undefined {
    const leader = leaderOf(this.#world);
    return leader !== undefined && this.#random.below(2) === 0 ? leader : pick(this.#random, running(this.#world));
  }

  /** A member to which operators turn. */
  #operator(): SimMember | undefined {
    const leader = leaderOf(this.#world);
    return leader?.life?.isServing === true && this.#random.below(3) > 0
      ? leader
      : pick(this.#random, serving(this.#world));
  }

  #later(delayMs: number, run: () => void): void {
    this.#world.scheduler.after(delayMs, run);
  }

  #inBackground(work: Promise<unknown>): void {
    // What goes wrong in a process is its member's to report; this is only about waiting for it.
    work.catch(() => undefined);
  }

  /** What an operator asks for may be refused, for many a good reason. */
  #operate(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      if (!(error instanceof ReplicaError) && !(error instanceof StateError)) throw error;
    });
  }

  #startLater(member: SimMember): void {
    const delayMs = pick(this.#random, [0, 50, 500, 3000]) * (0.5 + this.#random.next());
    this.#later(delayMs, () => member.start());
  }

  async #restartWhenDown(member: SimMember): Promise<void> {
    await member.life?.ended;
    this.#startLater(member);
  }

  #crash(member: SimMember | undefined, how: "power" | "kill"): boolean {
    if (member?.isUp !== true || !this.#world.isStormy()) return false;
    member.crash(how);
    this.#noteOutage();
    this.#startLater(member);
    return true;
  }

  #noteOutage(): void {
    const { members, note } = this.#world;
    const all = [...members.values()].filter(({ isGone }) => !isGone);
    const up = running(this.#world).length;
    if (up === 0) note("all members down");
    if (up * 2 <= all.length) note("quorum lost");
  }

  #healLater(afterMs = pick(this.#random, [300, 1500, 4000])): void {
    this.#later(afterMs * (0.5 + this.#random.next()), () => {
      if (this.#world.isStormy()) this.#world.network.healAll();
    });
  }

  #partition(choose: (victim: SimMember) => readonly SimMember[]): boolean {
    const victim = this.#victim();
    if (victim === undefined) return false;
    const apart = new Set(choose(victim).map(({ id }) => id));
    for (const { id: a } of running(this.#world)) {
      for (const { id: b } of running(this.#world)) {
        if (apart.has(a) === apart.has(b)) continue;
        this.#world.network.cut(a, b);
      }
    }
    this.#healLater();
    return true;
  }

  #spoilDisk(spoil: (member: SimMember) => void): boolean {
    const member = this.#victim();
    if (member === undefined) return false;
    spoil(member);
    this.#later(500 + this.#random.next() * 4000, () => {
      member.diskDelayMs = 0;
      member.isDiskFull = false;
    });
    return true;
  }

  /** Adds a learner that the seed begins with. */
  addLearner(): void {
    this.#addMember(true);
  }

  #addMember(isLearner: boolean): boolean {
    const operator = this.#operator();
    if (operator?.core === undefined) return false;
    const { replica } = operator.core;
    const known = replica.machine.members.list();
    if (known.length >= membersMax) return false;
    const id = this.#options.nextId();
    const member = { id, peerUrls: [`sim://${id}`], isLearner };
    const adding = replica.changeMembership({ kind: "member-add", member, learnersMax: 2 });
    this.#operate(
      adding.then(({ result }) => {
        // Whoever mends the cluster may have found it among the members before its operator heard that it is one.
        if (result.kind !== "membership" || this.#world.members.has(id)) return;
        this.#options.addMember(
          id,
          known.map((other) => other.id),
        );
      }),
    );
    return true;
  }

  /** Cuts a follower off, long enough for the others to give up the part of the log that it lacks. */
  #cutOff(chosen?: SimMember, forMs = 3000 + this.#random.next() * 3000): SimMember | undefined {
    const members = running(this.#world).filter((member) => member !== leaderOf(this.#world));
    const laggard = chosen ?? pick(this.#random, members);
    if (laggard === undefined || !this.#world.isStormy()) return undefined;
    for (const { id } of running(this.#world)) {
      this.#world.network.cut(id, laggard.id);
      this.#world.network.cut(laggard.id, id);
    }
    this.#healLater(forMs);
    return laggard;
  }

  /**
   * Waits until a member's log keeps up while applying waits for its store, and cuts it off until what it lacks is gone:
   * a snapshot is to come before it has applied what it has.
   */
  async #overtake(member: SimMember): Promise<void> {
    if (!(await this.#until(member, () => member.waitingToApply > 2))) return;
    this.#cutOff(member, 8000);
    await this.#healWhenBehind(member);
  }

  /** Ends a partition as soon as the others have given up the part of the log that a member lacks. */
  async #healWhenBehind(member: SimMember): Promise<void> {
    const lastIndex = member.core?.replica.raftStatus().lastIndex ?? 0;
    const isBehind = await this.#until(member, () => {
      const leader = leaderOf(this.#world);
      return leader !== member && (leader?.core?.replica.raftStatus().firstIndex ?? 0) > lastIndex + 1;
    });
    if (isBehind) this.#world.network.healAll();
  }

  /** Waits for something while a member runs; false when it did not come about. */
  async #until(member: SimMember, isDone: () => boolean): Promise<boolean> {
    const { scheduler, isStormy } = this.#world;
    const { life } = member;
    for (let left = 200; left > 0 && isStormy() && member.life === life; left--) {
      if (isDone()) return true;
      await scheduler.sleep(50);
    }
    return false;
  }

  #doom(member: SimMember | undefined, at: "log" | "flush" | "install"): boolean {
    if (member === undefined) return false;
    member.doom = { at, strike: () => this.#crash(member, "power") };
    return true;
  }

  /** Whether the disks that stay whole are those of a majority, whatever becomes of this one. */
  #maySpoil(member: SimMember): boolean {
    const confState = leaderOf(this.#world)?.core?.replica.raftStatus().confState;
    if (confState === undefined || confState.votersOutgoing.length > 0 || confState.voters.length < 3) return false;
    const spoiled = confState.voters.filter((id) => id === member.id || this.#isSpoiled(id));
    return spoiled.length * 2 < confState.voters.length;
  }

  #isSpoiled(id: bigint): boolean {
    return this.#spoiled.has(id) || this.#world.members.get(id)?.isGone !== false;
  }

  /** Flips a bit in the log of a member that is down, as a disk does in time. */
  #damage(): boolean {
    const member = this.#victim();
    if (member === undefined || !this.#maySpoil(member)) return false;
    this.#spoiled.add(member.id);
    member.crash("kill");
    if (!damageLog(member, this.#random)) return false;
    this.#startLater(member);
    return true;
  }

  /** One leader after the other is cut off, so that few of them get anything done. */
  async #churn(): Promise<void> {
    const { scheduler, network } = this.#world;
    for (let count = 2 + this.#random.below(4); count > 0; count--) {
      const leader = leaderOf(this.#world);
      if (!this.#world.isStormy()) return;
      if (leader !== undefined && this.#random.below(3) === 0) this.#crash(leader, "power");
      else if (leader !== undefined) {
        for (const { id } of running(this.#world)) if (id !== leader.id) network.cut(leader.id, id);
      }
      await scheduler.sleep(this.#world.weather.electionTimeoutMs * (0.6 + this.#random.next() * 2));
      if (this.#world.isStormy()) network.healAll();
    }
  }
}

/** Flips a bit in a place of the log that was written. */
function damageLog(member: SimMember, random: Random): boolean {
  const folder = "/member/log";
  let names: string[];
  try {
    names = member.disk.list(folder).filter((name) => name.endsWith(".log"));
  } catch {
    // It has not come so far as to have a log.
    return false;
  }
  const path = `${folder}/${random.below(2) === 0 ? names.at(-1) : pick(random, names)}`;
  if (names.length === 0) return false;
  const nothing = { base: noEntryId, hardState: emptyHardState };
  const { index } = recoverLog(member.disk.copy(), folder, nothing);
  const bytes = member.disk.fileBytes(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  if (end <= 600) return false;
  bytes[512 + random.below(end - 512)]! ^= 1 << random.below(8);
  member.disk.replaceFile(path, bytes);
  member.damagedAfter = index.lastIndex;
  return true;
}
