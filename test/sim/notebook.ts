// Looks on and writes down: which probes were hit, how the run went in one number, and, if somebody wants to read it,
// everything that members say.
import type { LogFields, LogLevel } from "../../server/lib/logger.ts";
import type { MemberCore } from "../../server/member-core.ts";
import type { Message, ProposeMessage } from "../../server/raft/message.ts";
import type { RoleState } from "../../server/raft/types.ts";
import { proposalIdOf } from "../../server/state/command-codec.ts";
import type { EventBatch } from "../../server/state/mvcc/events.ts";
import type { Operation } from "../linearizability/operation.ts";
import { type Probe, ProbeCounts } from "./probes.ts";
import type { MemberObserver, SimMember } from "./sim-member.ts";
import { leaderOf, running, type World } from "./world.ts";

const logProbes: readonly (readonly [beginning: string, probe: Probe])[] = [
  ["zeroing a torn write", "torn write recovered"],
  ["finishing the installation of a snapshot", "snapshot installation finished at start"],
  ["installed a snapshot", "installed a snapshot"],
  ["the disk is full", "disk was full"],
  ["the process stood still", "process stood still"],
  ["membership changed", "membership changed"],
];

export class Notebook implements MemberObserver {
  readonly probes = new ProbeCounts();
  readonly #world: World;
  readonly #fail: (what: string, cause?: unknown) => void;
  readonly #onLine: ((line: string) => void) | undefined;
  messages = 0;
  traceHash = 0x811c9dc5;
  #lastLeader: bigint | undefined;
  #snapshotsUnderWay = 0;
  /** Proposals that a follower has sent to its leader. */
  readonly #forwarded = new Set<string>();
  /** Who asked for votes in which term. */
  readonly #candidates = new Map<number, bigint>();
  /** The leader under which each lease was granted. */
  readonly #grantedBy = new Map<bigint, bigint | undefined>();
  /** Which life of which member led a term. */
  readonly #leaders = new Map<number, string>();

  constructor(
    world: World,
    fail: (what: string, cause?: unknown) => void,
    onLine: ((line: string) => void) | undefined,
  ) {
    this.#world = world;
    this.#fail = fail;
    this.#onLine = onLine;
  }

  note(probe: string): void {
    this.probes.note(probe as Probe);
    this.#line(`* ${probe}`);
  }

  #line(text: string): void {
    this.#onLine?.(`${(this.#world.scheduler.nowMs / 1000).toFixed(4)} ${text}`);
  }

  #mix(...numbers: number[]): void {
    for (const number of numbers) this.traceHash = Math.imul(this.traceHash ^ (number | 0), 0x01000193);
  }

  onOpened(member: SimMember, core: MemberCore): void {
    const { machine } = core.replica;
    const { appliedIndex } = machine;
    this.#mix(1, Number(member.id), appliedIndex);
    this.#line(`${member.name} starts at entry ${appliedIndex}`);
    if (member.hasReleasedLog) this.note("log released");
    this.#world.truth.watch(machine, member.name);
    const apply = machine.apply.bind(machine);
    machine.apply = (index, term, command) => {
      const outcome = apply(index, term, command);
      this.#mix(2, Number(member.id), index, term);
      const { result } = outcome;
      if (command?.kind === "lease-grant" && !this.#grantedBy.has(command.id))
        this.#grantedBy.set(command.id, leaderOf(this.#world)?.id);
      if (command?.kind === "lease-revoke" && command.expiry !== undefined) {
        if (result.kind === "lease-revoke") this.#onExpiry(command.id);
      }
      if (command?.kind === "member-promote" && result.kind === "membership") this.note("learner promoted");
      if (command?.kind === "member-remove" && result.kind === "membership" && command.id === leaderOf(this.#world)?.id)
        this.note("leader removed");
      if (this.#onLine !== undefined)
        this.#line(`${member.name} applies ${term}/${index} ${command?.kind ?? "-"} -> ${result.kind}`);
      return outcome;
    };
    const { replica } = core;
    this.#watchSnapshots(member, core);
    replica.peerHandler.onMessage = observeMessages(replica.peerHandler.onMessage, (message) => {
      if (message.type === "propose") this.note("forwarded proposal");
    });
  }

  #watchSnapshots(member: SimMember, { replica }: MemberCore): void {
    const { peerHandler } = replica;
    const onSnapshot = peerHandler.onSnapshot.bind(peerHandler);
    let installed = 0;
    peerHandler.onSnapshot = (message, file) => {
      const { waitingToApply, isFlushing } = member;
      const wasReplacing = replica.localBarrier() !== undefined;
      onSnapshot(message, file);
      if (wasReplacing || replica.localBarrier() === undefined) return;
      if (++installed === 2) this.note("two snapshots in one life");
      if (waitingToApply > 0) this.note("snapshot installed while applying");
      if (isFlushing) this.note("snapshot while a flush is running");
    };
  }

  onSnapshotsUnderWay(change: number): void {
    this.#snapshotsUnderWay += change;
  }

  #onExpiry(id: bigint): void {
    this.note("lease expired");
    if (!this.#world.network.isWhole) this.note("lease expired during a partition");
    const by = this.#grantedBy.get(id);
    if (by !== undefined && by !== leaderOf(this.#world)?.id) this.note("lease expired across a leader change");
  }

  onEvents(member: SimMember, batch: EventBatch): void {
    this.#world.truth.onEvents(member.name, batch);
  }

  onRoleState(member: SimMember, state: RoleState): void {
    this.#mix(3, Number(member.id), state.term, state.role.length);
    this.#line(`${member.name} is ${state.role} in term ${state.term}, leader ${state.leader ?? "none"}`);
    if (state.role !== "leader") return;
    this.#checkElection(member, state.term);
    if (this.#lastLeader !== undefined && this.#lastLeader !== member.id) {
      this.note("leader changed");
      if (this.#world.door.txnsUnderWay > 0) this.note("leader changed with a txn in flight");
    }
    this.#lastLeader = member.id;
    const leaders = running(this.#world).filter((other) => other.core?.replica.roleState.role === "leader");
    if (leaders.some((other) => other !== member)) this.note("two leaders at once");
  }

  /** One leader a term, at most (Raft §5.2). */
  #checkElection(member: SimMember, term: number): void {
    const { voters = [], learners = [] } = member.core?.replica.raftStatus().confState ?? {};
    // A member without any others may lead a term that a crash made it forget: nobody had heard of it.
    if (voters.length + learners.length < 2) return;
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== member.name) this.#fail(`term ${term} is led by ${other} and ${member.name}`);
    this.#leaders.set(term, member.name);
  }

  onSend(member: SimMember, message: Message): void {
    this.messages++;
    const index = message.type === "append" ? message.previous.index + message.entries.length : 0;
    this.#mix(4, Number(member.id), Number(message.to), message.type.length, message.term, index);
    if (this.#onLine !== undefined) this.#line(`${member.name} sends ${drawMessage(message)}`);
    if (message.type === "propose") this.#lookAtProposals(message);
    if (message.type === "vote-response" && message.granted) this.#world.hooks.onVote?.(member);
    if (message.type !== "vote-request") return;
    const other = this.#candidates.get(message.term);
    if (other !== undefined && other !== member.id) this.note("vote split");
    this.#candidates.set(message.term, member.id);
    if (message.transfer) this.note("leadership transferred");
  }

  #lookAtProposals({ proposals }: ProposeMessage): void {
    for (const { kind, data } of proposals) {
      if (kind !== "normal") continue;
      const { proposer, sequence } = proposalIdOf(data);
      const name = `${proposer}/${sequence}`;
      if (this.#forwarded.has(name)) this.note("proposal made again");
      this.#forwarded.add(name);
    }
  }

  onLog(member: SimMember, level: LogLevel, message: string, fields: LogFields | undefined): void {
    const probe = logProbes.find(([beginning]) => message.startsWith(beginning))?.[1];
    if (probe !== undefined) this.note(probe);
    if (probe === "membership changed" && this.#snapshotsUnderWay > 0)
      this.note("membership changed while a snapshot travelled");
    if (probe === "installed a snapshot" && (member.core?.hub.counts.watchers ?? 0) > 0)
      this.note("watcher resumed over a snapshot");
    if (this.#onLine !== undefined) this.#line(`${member.name} ${level}: ${message} ${describe(fields)}`);
  }

  onOperation({ request, outcome, invokedAt, id }: Operation): void {
    this.#mix(5, id, Math.round(invokedAt * 1000), outcome.kind.length);
    if (outcome.kind === "returned" && outcome.result.kind === "refused" && outcome.result.reason === "compacted")
      if (request.kind === "range") this.note("compacted read");
  }

  onSerializableRead({ outcome }: Operation): void {
    if (outcome.kind !== "returned" || outcome.result.kind === "refused") return;
    if ((outcome.result.revision ?? 0) < this.#world.truth.revision) this.note("serializable read of the past");
  }

  onViolation(member: SimMember, what: string, cause: unknown): void {
    this.#fail(`member ${member.name} ${what}`, cause);
  }
}

function observeMessages(
  onMessage: (message: Message) => void,
  look: (message: Message) => void,
): (message: Message) => void {
  return (message) => {
    look(message);
    onMessage(message);
  };
}

function drawMessage({ type, to, term, ...rest }: Message): string {
  const short = (name: string, value: unknown): unknown => {
    if (name === "entries" || name === "proposals") return (value as readonly unknown[]).length;
    return typeof value === "bigint" ? String(value) : value;
  };
  return `${type} to ${to} in ${term} ${JSON.stringify(rest, short)}`;
}

function describe(fields: LogFields | undefined): string {
  return JSON.stringify(fields ?? {}, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}
