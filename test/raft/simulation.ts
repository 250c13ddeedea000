// A cluster under one seed: real nodes, a network that loses, doubles, delays and reorders, disks that are slow and lose
// what was not saved, crashes, partitions, membership changes, compaction. First chaos, with an oracle watching; then
// everything is healed and must come to rest in agreement.
import assert from "node:assert/strict";
import { createRandom, type Random } from "../../server/lib/random.ts";
import { type ConfChange, type ConfChangeStep, isVoter, membersOf } from "../../server/raft/conf-change.ts";
import { bootstrapSnapshot, type RaftOptions } from "../../server/raft/config.ts";
import type { Message } from "../../server/raft/message.ts";
import { type MemberId, noBytes, type SnapshotMeta } from "../../server/raft/types.ts";
import { Host } from "./host.ts";
import { draw, Oracle } from "./oracle.ts";

/** What a seed draws first: how wild it gets. Chances are per step, or per message. */
type Weather = {
  readonly dropChance: number;
  readonly duplicateChance: number;
  readonly delayMax: number;
  readonly lateChance: number;
  readonly crashChance: number;
  readonly partitionChance: number;
  readonly saveChance: number;
  readonly applyChance: number;
  readonly compactChance: number;
  readonly confChangeChance: number;
  readonly transferChance: number;
  readonly proposeChance: number;
  readonly readChance: number;
  readonly pauseChance: number;
};

type Flight = { readonly due: number; readonly message: Message; readonly order: number };
type OpenRead = { readonly id: number; readonly floor: number };

export type SimulationCounts = {
  applied: number;
  elections: number;
  crashes: number;
  confChanges: number;
  snapshots: number;
  readsConfirmed: number;
  forwarded: number;
  messages: number;
  transfers: number;
};

const one = <T>(random: Random, choices: readonly T[]): T => choices[random.below(choices.length)] as T;
const pattern = new TextEncoder();
const leaveJoint: ConfChange = { transition: "auto", steps: [], context: noBytes };

export class Simulation {
  readonly counts: SimulationCounts = {
    applied: 0,
    elections: 0,
    crashes: 0,
    confChanges: 0,
    snapshots: 0,
    readsConfirmed: 0,
    forwarded: 0,
    messages: 0,
    transfers: 0,
  };
  readonly #seed: number;
  // A stream for each subject, so that one more draw here does not change what happens there.
  readonly #network: Random;
  readonly #disks: Random;
  readonly #faults: Random;
  readonly #workload: Random;
  readonly #weather: Weather;
  readonly #raft: Partial<RaftOptions>;
  readonly #hosts = new Map<MemberId, Host>();
  readonly #oracle: Oracle;
  readonly #cut = new Set<string>();
  readonly #slow = new Set<MemberId>();
  readonly #retired = new Set<Host>();
  /** Processes that stand still, and the step at which they go on as if nothing had happened. */
  readonly #paused = new Map<MemberId, number>();
  readonly #reads = new Map<Host, OpenRead[]>();
  readonly #forwarded = new Map<string, string>();
  #flights: Flight[] = [];
  #calm = false;
  #now = 0;
  #order = 0;
  #texts = 0;
  #idNext: number;
  #traceHash = 0x811c9dc5;
  readonly #traced: boolean;

  constructor(seed: number, traced = false) {
    this.#seed = seed;
    this.#traced = traced;
    const random = createRandom(seed);
    this.#network = random.fork("network");
    this.#disks = random.fork("disks");
    this.#faults = random.fork("faults");
    this.#workload = random.fork("workload");
    this.#weather = drawWeather(random.fork("weather"));
    this.#raft = drawOptions(random.fork("options"));
    const sizes = random.fork("sizes");
    const voters = Array.from({ length: one(sizes, [1, 1, 2, 3, 3, 3, 3, 4, 5, 5]) }, (_, i) => BigInt(i + 1));
    const learners = Array.from({ length: one(sizes, [0, 0, 0, 1, 2]) }, (_, i) => BigInt(voters.length + i + 1));
    this.#idNext = voters.length + learners.length + 1;
    const bootstrap = bootstrapSnapshot(voters, learners);
    this.#oracle = new Oracle(bootstrap, () => this.#hosts.values());
    for (const id of [...voters, ...learners]) this.#join(id, bootstrap);
  }

  /** The same for the same seed, if the simulation was made to be traced. */
  get traceHash(): number {
    return this.#traceHash;
  }

  /** Runs both phases. Whatever is thrown names the seed. */
  run(steps = 700): void {
    try {
      while (this.#now < steps) this.#step();
      this.#heal();
      this.#converge();
    } catch (error) {
      throw new Error(`seed ${this.#seed}, step ${this.#now}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  }

  #join(id: MemberId, bootstrap?: SnapshotMeta): void {
    const oracle = this.#oracle;
    const counts = this.counts;
    this.#hosts.set(
      id,
      new Host({
        id,
        bootstrap,
        seed: this.#seed,
        raft: this.#raft,
        observer: {
          onReady: (host, ready) => {
            if (ready.roleState?.role === "leader") counts.elections++;
            if (ready.save?.snapshot !== undefined) counts.snapshots++;
            oracle.onReady(host, ready);
          },
          onSend: (host, message) => oracle.onSend(host, message),
          onApply: (host, entry, after) => {
            counts.applied++;
            oracle.onApply(host, entry, after);
          },
        },
      }),
    );
  }

  #chance(random: Random, chance: number): boolean {
    return random.next() < chance;
  }

  #step(): void {
    this.#now++;
    for (const host of this.#hosts.values()) {
      if (!host.isUp || this.#isPaused(host.id)) continue;
      // What clients have asked a standing process is read before what its peers have to say.
      if (this.#paused.delete(host.id)) this.#read(host);
      this.#turn(host);
    }
    this.#deliver();
    if (this.#calm) return;
    this.#disturb();
    this.#work();
  }

  #isPaused(id: MemberId): boolean {
    return (this.#paused.get(id) ?? 0) > this.#now;
  }

  /** One host's turn: time, disk, state machine, messages out. */
  #turn(host: Host): void {
    const { saveChance, applyChance } = this.#weather;
    if (this.#calm || this.#chance(this.#faults, 0.9)) host.node.tick();
    host.collect();
    const saveNow = this.#calm || this.#chance(this.#disks, this.#slow.has(host.id) ? 0.05 : saveChance);
    if (saveNow && host.saves.length > 0) host.completeSaves(1 + this.#disks.below(host.saves.length));
    if (this.#calm) host.settle();
    else if (host.toApply.length > 0 && this.#chance(this.#disks, applyChance))
      host.applyNext(1 + this.#disks.below(host.toApply.length));
    host.collect();
    this.#maybeAnnounceCommit(host);
    this.#checkLimits(host);
    this.#takeAnswers(host);
    this.#maybeRetire(host);
    const messages = host.outgoing;
    host.outgoing = [];
    for (const message of messages) this.#launch(host, message);
  }

  /** A member that was removed leaves for good as soon as it does not lead and another voter tells it that it is gone. */
  #maybeRetire(host: Host): void {
    const { confState } = host.applied;
    if (confState.voters.length === 0 || membersOf(confState).includes(host.id)) return;
    const isTold = [...this.#hosts.values()].some(
      ({ id, applied }) => isVoter(applied.confState, id) && !membersOf(applied.confState).includes(host.id),
    );
    if (isTold && host.node.status().role !== "leader" && this.#chance(this.#faults, 0.05)) this.#retired.add(host);
  }

  /** What a real host's timer does. In calm weather it is left to heartbeats: they must do. */
  #maybeAnnounceCommit({ node }: Host): void {
    const held = node.heldCommit;
    if (held !== undefined && !this.#calm && this.#chance(this.#disks, 0.3)) node.announceCommit(held);
  }

  #checkLimits(host: Host): void {
    const { uncommittedBytes, progress } = host.node.status();
    const { inflightMessagesMax = 256, uncommittedBytesMax = 1 << 26 } = this.#raft;
    for (const { id, inflightMessages } of progress)
      assert(inflightMessages <= inflightMessagesMax, `${inflightMessages} appends are on the way to ${id}`);
    assert(uncommittedBytes <= uncommittedBytesMax + 1000, `${uncommittedBytes} bytes wait at leader ${host.id}`);
  }

  #takeAnswers(host: Host): void {
    for (const state of host.readStates.splice(0)) {
      const open = this.#reads.get(host) ?? [];
      const at = open.findIndex(({ id }) => id === state.id);
      const [read] = open.splice(at, 1);
      assert(at !== -1 && read !== undefined, `member ${host.id} answers read ${state.id}, which nobody asked`);
      if (state.kind === "dropped") continue;
      this.counts.readsConfirmed++;
      this.#oracle.onRead(host, read.floor, state.index);
    }
    for (const { sequence, count } of host.refusals.splice(0))
      for (let i = 0; i < count; i++) {
        const text = this.#forwarded.get(`${host.id}/${host.life}/${sequence + i}`);
        assert(text !== undefined, `proposal ${sequence + i} of member ${host.id} was refused, but never forwarded`);
        this.#oracle.refused(text);
      }
  }

  #launch(host: Host, message: Message): void {
    this.counts.messages++;
    if (this.#traced) this.#trace(message);
    const { dropChance, duplicateChance, delayMax, lateChance } = this.#weather;
    let sent = message;
    // A host may send a newer state than the one it offered.
    if (message.type === "snapshot" && host.applied.index >= message.snapshot.index)
      if (this.#calm || this.#chance(this.#network, 0.5)) sent = { ...message, snapshot: host.applied };
    if (!this.#calm && this.#chance(this.#network, dropChance)) {
      this.#lost(sent);
      return;
    }
    const copies = !this.#calm && this.#chance(this.#network, duplicateChance) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const late = !this.#calm && this.#chance(this.#network, lateChance) ? 60 : 0;
      const due = this.#now + 1 + this.#network.below((this.#calm ? 1 : delayMax) + late);
      this.#flights.push({ due, message: sent, order: this.#order++ });
    }
  }

  #lost(message: Message): void {
    const sender = this.#hosts.get(message.from);
    if (sender?.isUp !== true) return;
    if (message.type === "snapshot") sender.node.reportSnapshot(message.to, "failed");
    else if (this.#chance(this.#network, 0.2)) sender.node.reportUnreachable(message.to);
  }

  #deliver(): void {
    // What arrives at a paused process waits in its buffers.
    const isDue = ({ due, message }: Flight): boolean => due <= this.#now && !this.#isPaused(message.to);
    const due = this.#flights.filter(isDue);
    this.#flights = this.#flights.filter((flight) => !isDue(flight));
    due.sort((a, b) => a.due - b.due || a.order - b.order);
    for (const { message } of due) {
      const receiver = this.#hosts.get(message.to);
      if (receiver?.isUp !== true || this.#cut.has(`${message.from}>${message.to}`)) {
        this.#lost(message);
        continue;
      }
      receiver.node.step(message);
      const sender = this.#hosts.get(message.from);
      if (message.type === "snapshot" && sender?.isUp === true) sender.node.reportSnapshot(message.to, "finished");
    }
  }

  #trace(message: Message): void {
    const text = draw(message);
    for (let i = 0; i < text.length; i++) this.#traceHash = Math.imul(this.#traceHash ^ text.charCodeAt(i), 0x01000193);
  }

  /** Faults. */
  #disturb(): void {
    const { crashChance, partitionChance, compactChance, pauseChance } = this.#weather;
    const random = this.#faults;
    const hosts = [...this.#hosts.values()];
    for (const host of hosts) {
      if (!host.isUp) {
        if (this.#chance(random, 0.08) && !this.#retired.has(host)) host.start();
      } else if (this.#retired.has(host)) host.crash(host.saves.length);
      else if (this.#chance(random, crashChance)) {
        this.counts.crashes++;
        host.crash(random.below(host.saves.length + 1), random.below(4) - 1);
        this.#reads.delete(host);
      } else if (this.#chance(random, compactChance) && host.applied.index > host.disk.firstIndex())
        host.compact(host.applied.index - random.below(host.applied.index - host.disk.firstIndex() + 1));
      else if (this.#chance(random, 0.1)) host.flush();
    }
    if (this.#chance(random, partitionChance)) this.#partition(hosts);
    else if (this.#chance(random, 0.03)) this.#cut.clear();
    const host = one(random, hosts);
    if (this.#chance(random, 0.02)) this.#slow.add(host.id);
    else if (this.#chance(random, 0.05)) this.#slow.clear();
    if (host.isUp && this.#chance(random, 0.005)) host.node.campaign();
    if (this.#chance(random, pauseChance)) this.#pause(one(random, hosts));
  }

  /** Rather a leader than another: it wakes up and does not know that it was replaced. */
  #pause(host: Host): void {
    const leader = [...this.#hosts.values()].find((other) => other.isUp && other.node.status().role === "leader");
    this.#paused.set((leader ?? host).id, this.#now + 5 + this.#faults.below(60));
  }

  #partition(hosts: readonly Host[]): void {
    const random = this.#faults;
    const oneWay = this.#chance(random, 0.3);
    const apart = new Set(hosts.filter(() => random.below(2) === 0).map(({ id }) => id));
    for (const { id: a } of hosts)
      for (const { id: b } of hosts)
        if (apart.has(a) && !apart.has(b)) {
          this.#cut.add(`${a}>${b}`);
          if (!oneWay) this.#cut.add(`${b}>${a}`);
        }
  }

  /** What clients and operators do. */
  #work(): void {
    const random = this.#workload;
    const up = [...this.#hosts.values()].filter((host) => host.isUp && !this.#isPaused(host.id));
    if (up.length === 0) return;
    const { proposeChance, readChance, confChangeChance, transferChance } = this.#weather;
    if (this.#chance(random, proposeChance))
      for (let i = random.below(4); i >= 0; i--) this.#propose(one(random, up), random.below(40));
    if (this.#chance(random, readChance)) this.#read(one(random, up));
    if (this.#chance(random, confChangeChance)) this.#changeMembers(one(random, up));
    if (this.#chance(random, transferChance)) {
      const leader = up.find((host) => host.node.status().role === "leader");
      const outcome = leader?.node.transferLeader(one(random, up).id);
      if (outcome?.kind === "accepted") this.counts.transfers++;
    }
  }

  #propose(host: Host, padding: number): string {
    const text = `p${++this.#texts}${"-".repeat(padding)}`;
    const outcome = host.node.propose(pattern.encode(text));
    if (outcome.kind === "refused") this.#oracle.refused(text);
    if (outcome.kind === "forwarded") {
      this.counts.forwarded++;
      this.#forwarded.set(`${host.id}/${host.life}/${outcome.sequence}`, text);
    }
    return text;
  }

  #read(host: Host): void {
    const outcome = host.node.readIndex();
    if (outcome.kind === "refused") return;
    const open = this.#reads.get(host) ?? [];
    open.push({ id: outcome.id, floor: this.#oracle.committedIndex });
    this.#reads.set(host, open);
  }

  #changeMembers(host: Host): void {
    const random = this.#workload;
    const { voters, learners } = this.#oracle.confState;
    const steps: ConfChangeStep[] = [];
    for (let i = one(random, [1, 1, 1, 2, 3]); i > 0; i--) {
      const known = [...voters, ...learners];
      // A name is used once: the next one is free until it has been a member.
      if (this.#wasMember(BigInt(this.#idNext))) this.#idNext++;
      const id =
        known.length < 6 && this.#idNext < 20 && random.below(2) === 0 ? BigInt(this.#idNext) : one(random, known);
      if (!this.#hosts.has(id)) this.#join(id);
      steps.push({ kind: one(random, ["add-voter", "add-voter", "add-learner", "remove"] as const), id });
    }
    const leave = this.#oracle.joint && random.below(2) === 0;
    const change: ConfChange = {
      transition: leave ? "auto" : one(random, ["auto", "auto", "joint-implicit", "joint-explicit"] as const),
      steps: leave ? [] : steps,
      context: noBytes,
    };
    const outcome = host.node.proposeConfChange(change);
    if (outcome.kind !== "refused") this.counts.confChanges++;
    if (outcome.kind === "forwarded")
      this.#forwarded.set(`${host.id}/${host.life}/${outcome.sequence}`, `change ${this.#now}`);
  }

  #wasMember(id: MemberId): boolean {
    return this.#oracle.confStates.some((confState) => membersOf(confState).includes(id));
  }

  #heal(): void {
    this.#calm = true;
    this.#cut.clear();
    this.#slow.clear();
    this.#paused.clear();
    for (const host of this.#hosts.values()) if (!host.isUp && !this.#retired.has(host)) host.start();
  }

  /** Demands that all members of the last configuration agree, within bounded time. */
  #converge(): void {
    const end = this.#now + 4000;
    let marker: string | undefined;
    while (this.#now < end) {
      this.#step();
      const members = [...this.#hosts.values()].filter(({ id, isUp }) => isUp && this.#oracle.isMember(id));
      const leaders = members.filter((host) => host.node.status().role === "leader");
      if (this.#oracle.joint) leaders[0]?.node.proposeConfChange(leaveJoint);
      const target = one(this.#workload, members);
      if (marker === undefined || this.#now % 40 === 0) marker = this.#propose(target, 0);
      const last = this.#oracle.committedIndex;
      const settled =
        leaders.length === 1 &&
        this.#oracle.wasApplied(marker) &&
        members.every((host) => host.applied.index >= last - 20);
      if (settled && this.#answersReads(members)) return;
    }
    const states = [...this.#hosts.values()].map((host) =>
      host.isUp ? draw(host.node.status()) : `${host.id} is down`,
    );
    assert.fail(`liveness: healed, but no agreement\n${draw(this.#oracle.confState)}\n${states.join("\n")}`);
  }

  /** A read at every member is confirmed, and with what is committed before it. */
  #answersReads(members: readonly Host[]): boolean {
    const before = this.counts.readsConfirmed;
    for (const host of members) this.#read(host);
    for (let i = 0; i < 30; i++) this.#step();
    return this.counts.readsConfirmed >= before + members.length;
  }
}

function drawWeather(random: Random): Weather {
  return {
    dropChance: one(random, [0, 0.01, 0.05, 0.2]),
    duplicateChance: one(random, [0, 0.05, 0.3]),
    delayMax: one(random, [1, 2, 4, 8]),
    lateChance: one(random, [0, 0, 0.02, 0.1]),
    crashChance: one(random, [0, 0.002, 0.005, 0.02]),
    partitionChance: one(random, [0, 0.005, 0.02]),
    saveChance: one(random, [1, 0.7, 0.3]),
    applyChance: one(random, [1, 0.7, 0.2]),
    compactChance: one(random, [0, 0.01, 0.05]),
    confChangeChance: one(random, [0, 0.01, 0.05, 0.2]),
    transferChance: one(random, [0, 0, 0.01, 0.05]),
    proposeChance: one(random, [0.1, 0.5, 0.9]),
    readChance: one(random, [0, 0.1, 0.5]),
    pauseChance: one(random, [0, 0, 0.003, 0.01]),
  };
}

function drawOptions(random: Random): Partial<RaftOptions> {
  return {
    preVote: one(random, [true, true, true, false]),
    electionTicks: one(random, [5, 10]),
    heartbeatTicks: one(random, [1, 2]),
    appendBytesMax: one(random, [200, 1000, 1 << 20]),
    inflightMessagesMax: one(random, [1, 3, 256]),
    inflightBytesMax: one(random, [100, 1000, 1 << 24]),
    uncommittedBytesMax: one(random, [400, 5000, 1 << 26]),
    applyBytesMax: one(random, [40, 500, 1 << 22]),
    applyingBytesMax: one(random, [100, 1000, 1 << 26]),
    readsMax: one(random, [3, 10_000]),
    holdCommits: one(random, [true, false]),
  };
}
