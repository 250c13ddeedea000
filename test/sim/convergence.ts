// The calm after the storm: everything is mended, and the cluster has to come to rest by itself. All members must run,
// serve, have applied the same and hold the same, every lease must run out, and writes and reads work at each of them.

import type { Random } from "../../server/lib/random.ts";
import type { LeaseBounds } from "../linearizability/lease-check.ts";
import type { Request } from "../linearizability/operation.ts";
import { drill } from "./drill.ts";
import type { SimMember } from "./sim-member.ts";
import { countRows, describeState, hashLines } from "./state-hash.ts";
import { leaderOf, running, type World } from "./world.ts";

/** How long it may take, with generous times for what waits for a timeout. */
const calmMsMax = 120_000;
const lookMs = 250;
/** How long a watch may take to deliver what there is. */
const deliverMs = 4000;

export class Convergence {
  readonly #world: World;
  readonly #addMember: (id: bigint, peerIds: readonly bigint[]) => SimMember;
  readonly #random: Random;
  #leader: bigint | undefined;
  #commit = 0;
  #stableSince: number | undefined;

  constructor(world: World, random: Random, addMember: (id: bigint, peerIds: readonly bigint[]) => SimMember) {
    this.#random = random;
    this.#world = world;
    this.#addMember = addMember;
  }

  /** Resolves with what leases are to be judged by. Rejects with what did not come about. */
  async run(): Promise<LeaseBounds> {
    const { scheduler, network, members } = this.#world;
    network.calm();
    for (const member of members.values()) {
      member.life?.process.resume();
      member.diskDelayMs = 0;
      member.storeDelayMs = 0;
      member.isDiskFull = false;
      member.breaksNext = undefined;
      member.doom = undefined;
    }
    const deadlineMs = scheduler.nowMs + calmMsMax;
    let missing: string | undefined;
    do {
      await scheduler.sleep(lookMs);
      this.#mend();
      this.#lookAtLeader();
      missing = this.#missing();
      if (scheduler.nowMs > deadlineMs) throw new Error(`the cluster does not come to rest: ${missing}`);
    } while (missing !== undefined);
    await drill(this.#world, this.#random);
    await this.#useEach();
    await scheduler.sleep(deliverMs);
    this.#compare();
    const { electionTimeoutMs } = this.#world.weather;
    return { now: scheduler.nowMs, stableSince: this.#stableSince, electionTimeoutMs };
  }

  /** Starts what is down, and whoever was added while nobody heard of it. */
  #mend(): void {
    const { members } = this.#world;
    for (const member of members.values()) if (!member.isUp && !member.isGone) member.start();
    const table = leaderOf(this.#world)?.core?.replica.machine.members;
    const known = table?.list().map(({ id }) => id) ?? [];
    // Without the one that was added there may be no leader, so whoever knows of it will do.
    for (const { core } of running(this.#world)) {
      const ids = core?.replica.machine.members.list().map(({ id }) => id) ?? [];
      for (const id of ids) if (!members.has(id)) this.#addMember(id, ids);
    }
    for (const id of known) {
      if (members.get(id)?.isGone !== true) continue;
      // An operator replaces what is lost for good.
      leaderOf(this.#world)
        ?.core?.replica.changeMembership({ kind: "member-remove", id })
        .catch(() => undefined);
      return;
    }
  }

  #lookAtLeader(): void {
    const leader = leaderOf(this.#world);
    const { roleState, machine } = leader?.core?.replica ?? {};
    // One that cannot get anything applied does not decide about leases yet.
    const id = machine !== undefined && machine.appliedTerm === roleState?.term ? leader?.id : undefined;
    const { commit = 0, lastIndex = 0 } = leader?.core?.replica.raftStatus() ?? {};
    // Nor one whose entries find no quorum, since the others are still catching up, or wait for its store.
    const isStuck = (commit < lastIndex && commit === this.#commit) || (leader?.waitingToApply ?? 0) > 0;
    this.#commit = commit;
    if (id !== this.#leader || isStuck) this.#stableSince = id === undefined ? undefined : this.#world.scheduler.nowMs;
    this.#leader = id;
  }

  /** Who belongs to the cluster now. */
  #belonging(): readonly SimMember[] {
    const table = leaderOf(this.#world)?.core?.replica.machine.members;
    return (table?.list() ?? []).flatMap(({ id }) => this.#world.members.get(id) ?? []);
  }

  /** What is still to come about. */
  #missing(): string | undefined {
    const leader = leaderOf(this.#world);
    if (leader?.core === undefined) return "there is no leader";
    const { machine } = leader.core.replica;
    if (machine.members.get(leader.id) === undefined) return `leader ${leader.name} was removed, and goes on leading`;
    if (machine.appliedIndex < this.#world.truth.appliedIndex) return "the leader has not applied all there is";
    for (const member of this.#belonging()) {
      if (member.isGone) return `member ${member.id} was lost, and is to be removed`;
      if (member.life?.isServing !== true || member.core === undefined) return `member ${member.name} does not serve`;
      const { replica } = member.core;
      const { appliedIndex, mvcc, leases } = replica.machine;
      if (appliedIndex !== machine.appliedIndex)
        return `member ${member.name} has applied ${appliedIndex} of ${machine.appliedIndex}`;
      if (leases.size > 0) return `${leases.size} leases do not end`;
      if (mvcc.position.sweptRevision < mvcc.compactRevision) return `member ${member.name} does not sweep`;
      if (replica.raftStatus().confState.votersOutgoing.length > 0) return "the membership stays joint";
    }
    return undefined;
  }

  /** Writes and reads through each member. */
  async #useEach(): Promise<void> {
    for (const member of this.#belonging()) {
      const key = `calm${member.id}`;
      const isLearner = member.core?.replica.isLearner === true;
      await this.#try(member, { kind: "put", key, value: "works", lease: 0n });
      if (!isLearner) await this.#try(member, { kind: "range", keys: { kind: "key", key } });
    }
  }

  /** A disk that was full may be thought so for a moment longer. */
  async #try(member: SimMember, request: Request): Promise<void> {
    for (let left = 8; left > 0; left--) {
      if ((await this.#world.door.execute("calm", member, request, 10_000)) !== undefined) return;
      await this.#world.scheduler.sleep(1000);
    }
    throw new Error(`in calm weather a ${request.kind} through member ${member.name} fails`);
  }

  #compare(): void {
    const { truth } = this.#world;
    let first: { readonly name: string; readonly lines: readonly string[]; readonly rows: string } | undefined;
    for (const member of this.#belonging()) {
      if (member.core === undefined) throw new Error(`member ${member.name} went down in calm weather`);
      const lines = describeState(member.core.replica.machine);
      const rows = countRows(member.core.backend);
      first ??= { name: member.name, lines, rows };
      if (hashLines(lines) !== hashLines(first.lines)) {
        const at = lines.findIndex((line, index) => line !== first?.lines[index]);
        throw new Error(
          `states differ: member ${member.name} has ${lines[at]}, member ${first.name} has ${first.lines[at]}`,
        );
      }
      if (rows !== first.rows)
        throw new Error(`tables differ: member ${member.name} has ${rows}, member ${first.name} has ${first.rows}`);
    }
    const machine = leaderOf(this.#world)?.core?.replica.machine;
    const versions = machine?.mvcc.versionsIn({ kind: "interval", from: "\0", to: undefined }) ?? [];
    const held = versions
      .map(({ key, modRevision, version }) => `${key.slice(0, 40)} ${modRevision} ${version}`)
      .join();
    const expected = truth
      .live()
      .map(({ key, modRevision, version }) => `${key.slice(0, 40)} ${modRevision} ${version}`)
      .join();
    if (held !== expected) throw new Error(`the store holds ${held}, but what happened leads to ${expected}`);
  }
}
