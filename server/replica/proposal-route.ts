// The way of a proposal from its client into the log: into this member's own when it leads, else to the leader, and while
// leadership moves into a queue, until it has moved. What is certain not to be in the log, now and for ever, is proposed
// again. What may be in it never is: applying tells what became of it, or nobody does.
import type { Clock, Timer } from "../lib/clock.ts";
import type { ProposalRefusal, ProposeMessage } from "../raft/message.ts";
import type { ProposeOutcome, RawNode } from "../raft/raw-node.ts";
import type { ForwardRefusal } from "../raft/ready.ts";
import type { Entry, RoleState } from "../raft/types.ts";
import type { Command } from "../state/command.ts";
import type { ProposalId } from "../state/command-codec.ts";
import { AcceptedProposals } from "./accepted-proposals.ts";
import { ReplicaError, refusalError } from "./errors.ts";
import { ForwardedProposals } from "./forwarded-proposals.ts";
import { mutated } from "./mutations.ts";
import type { OutcomeWaiter, ProposalTable } from "./proposals.ts";

export interface ProposalRouteOptions {
  readonly node: Pick<RawNode, "propose">;
  readonly table: ProposalTable;
  readonly clock: Clock;
  readonly electionTimeoutMs: number;
  /** Nobody else can ever have an entry: there is nothing to keep track of. */
  readonly isLoneVoter: () => boolean;
  /** Asks for a turn of the ready loop. */
  readonly schedule: () => void;
}

/** A proposal that is in nobody's log and waits for a leader to take it. */
interface Held {
  readonly id: ProposalId;
  readonly data: Uint8Array;
  /** After this it is refused if it still is. */
  readonly untilMs: number;
}

/** How often held proposals are tried although no new leader was heard of: a transfer may have been given up. */
const retryMs = 100;
/** Beyond this much, proposals that cannot be made at once are refused at once. */
const heldBytesMax = 64 * 1024 * 1024;

/** What a leader proposes of its own accord counts under its own term: another leader decides for itself. */
function isOfOffice(command: Command): boolean {
  return command.kind === "lease-checkpoint" || (command.kind === "lease-revoke" && command.expiry !== undefined);
}

export class ProposalRoute {
  readonly #options: ProposalRouteOptions;
  readonly #accepted = new AcceptedProposals();
  readonly #forwarded: ForwardedProposals;
  /** An election timeout, after which raft gives a transfer up, and time to notice that. */
  readonly #holdMs: number;
  #held: Held[] = [];
  #heldBytes = 0;
  #hasLeader = false;
  /** When this member last lost its leader. */
  #leaderlessMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #isReleasing = false;
  #isClosed = false;

  constructor(options: ProposalRouteOptions) {
    this.#options = options;
    this.#holdMs = options.electionTimeoutMs + 2 * retryMs;
    this.#forwarded = new ForwardedProposals((id) => options.table.isWaiting(id));
  }

  /**
   * Proposes, and proposes again for as long as that is safe. The waiter hears of a failure when there is no leader and
   * none to be expected, and what {@link ProposalTable.wait} tells.
   */
  propose(id: ProposalId, command: Command, data: Uint8Array, waiter: OutcomeWaiter): void {
    const outcome = this.#options.node.propose(data);
    if (isOfOffice(command)) {
      this.wait(id, command, outcome, waiter);
      return;
    }
    const untilMs = outcome.kind === "refused" ? this.#holdUntilMs(outcome.reason, data.length) : undefined;
    if (untilMs === undefined) {
      this.wait(id, command, outcome, waiter, data);
      return;
    }
    this.#options.table.wait(id, command, waiter, data);
    this.#hold({ id, data, untilMs });
  }

  /** Waits for what becomes of a proposal that raft was given. Without `data` it is not proposed again. */
  wait(id: ProposalId, command: Command, outcome: ProposeOutcome, waiter: OutcomeWaiter, data?: Uint8Array): void {
    if (outcome.kind === "refused") {
      waiter.onFailure(refusalError(outcome.reason));
      return;
    }
    this.#follow(id, outcome);
    this.#options.table.wait(id, command, waiter, data);
  }

  #follow(id: ProposalId, outcome: Exclude<ProposeOutcome, { kind: "refused" }>): void {
    if (outcome.kind === "forwarded") this.#forwarded.add(outcome.sequence, id);
    else if (!this.#options.isLoneVoter()) {
      // The entry that had this place may be in other members' logs, and come back with the next leader.
      const replaced = this.#accepted.add(outcome.index, id);
      if (replaced !== undefined) this.#lose(replaced, false);
    }
    this.#options.schedule();
  }

  /** Until when something that was refused for this reason may wait; undefined when there is nothing to wait for. */
  #holdUntilMs(reason: ProposalRefusal, sizeBytes: number): number | undefined {
    if (this.#heldBytes > 0 && this.#heldBytes + sizeBytes > heldBytesMax) return undefined;
    const nowMs = this.#options.clock.nowMs();
    switch (reason) {
      case "leader-transfer":
      case "not-leader":
        return nowMs + this.#holdMs;
      case "no-leader": {
        const untilMs = this.#leaderlessMs + this.#holdMs;
        return untilMs > nowMs ? untilMs : undefined;
      }
      default:
        return undefined;
    }
  }

  #hold(held: Held): void {
    this.#held.push(held);
    this.#heldBytes += held.data.length;
    this.#timer ??= this.#options.clock.setTimer(retryMs, () => this.#release());
  }

  #releaseSoon(): void {
    if (this.#isReleasing || this.#held.length === 0) return;
    this.#isReleasing = true;
    this.#options.clock.nextTurn(() => this.#release());
  }

  /** Tries everything that is held, in the order in which it came. */
  #release(): void {
    const { node, table, clock } = this.#options;
    this.#isReleasing = false;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#isClosed) return;
    const held = this.#held;
    const nowMs = clock.nowMs();
    this.#held = [];
    this.#heldBytes = 0;
    for (const waiting of held) {
      if (!table.isWaiting(waiting.id)) continue;
      const outcome = node.propose(waiting.data);
      if (outcome.kind !== "refused") this.#follow(waiting.id, outcome);
      else if (waiting.untilMs > nowMs) this.#hold(waiting);
      else table.reject(waiting.id, refusalError(outcome.reason));
    }
  }

  /** A proposal did not make it, and nobody may take it for one that can still be carried out if `isCertain`. */
  #lose(id: ProposalId, isCertain: boolean): void {
    const { table, clock } = this.#options;
    const data = isCertain ? table.dataOf(id) : undefined;
    if (data === undefined || this.#heldBytes + data.length > heldBytesMax) {
      table.reject(id, new ReplicaError("leader-changed"));
      return;
    }
    this.#hold({ id, data, untilMs: clock.nowMs() + this.#holdMs });
    this.#releaseSoon();
  }

  /** Forwarded proposals leave for the leader. */
  onForwarded({ sequence, proposals, term }: ProposeMessage): void {
    this.#forwarded.onSent(sequence, proposals.length, term);
  }

  onRefusals(refusals: readonly ForwardRefusal[]): void {
    const { table } = this.#options;
    for (const { sequence, count, reason } of refusals) {
      for (const id of this.#forwarded.onRefused(sequence, count)) {
        const data = table.dataOf(id);
        const untilMs = data === undefined ? undefined : this.#holdUntilMs(reason, data.length);
        if (data === undefined || untilMs === undefined) table.reject(id, refusalError(reason));
        else this.#hold({ id, data, untilMs });
      }
    }
  }

  onRoleState({ leader, term }: RoleState): void {
    if (mutated("replica/forwarded-again-early"))
      for (const id of this.#forwarded.onApplied(term)) this.#lose(id, true);
    if (leader !== undefined) this.#releaseSoon();
    else if (this.#hasLeader) this.#leaderlessMs = this.#options.clock.nowMs();
    this.#hasLeader = leader !== undefined;
  }

  /** An entry was applied, whoever proposed it. */
  onEntry({ index, term }: Entry, id: ProposalId | undefined): void {
    if (this.#accepted.size > 0) {
      // Another entry is committed in its place, so it was not, and cannot be any more.
      const lost = this.#accepted.onApplied(index, id);
      if (lost !== undefined) this.#lose(lost, true);
    }
    if (this.#forwarded.size === 0) return;
    for (const lost of this.#forwarded.onApplied(term)) this.#lose(lost, true);
  }

  /** A snapshot took the place of all entries up to this one: what became of the proposals among them is not known. */
  onSnapshot(last: { readonly index: number; readonly term: number }): void {
    this.#accepted.forgetTo(last.index);
    this.#forwarded.forgetTo(last.term);
  }

  /** What is held is left to the table of proposals, which answers everybody who waits. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#held = [];
    this.#heldBytes = 0;
  }
}
