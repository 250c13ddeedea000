// Takes changes of membership through the log and makes them count, here and for raft, when they are applied.
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { decodeConfChange, encodeConfChange } from "../raft/conf-change-codec.ts";
import type { ProposeOutcome, RawNode } from "../raft/raw-node.ts";
import type { ConfState, Entry } from "../raft/types.ts";
import type { Command, MembershipCommand } from "../state/command.ts";
import { decodeEnvelope, encodeInternalCommand, type ProposalId } from "../state/command-codec.ts";
import type { ApplyOutcome } from "../state/outcome.ts";
import type { StateMachine } from "../state/state-machine.ts";
import { encodeConfState } from "./conf-state-codec.ts";
import { checkReconfiguration, stepsOf } from "./membership.ts";
import type { PeerAddress, Transport } from "./transport.ts";

export interface MembershipChangesOptions {
  readonly memberId: bigint;
  readonly machine: StateMachine;
  readonly node: Pick<RawNode, "proposeConfChange" | "applyConfChange">;
  readonly transport: Pick<Transport, "connectedMs" | "setPeers">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly timeoutMs: number;
  readonly isStrict: boolean;
  /** The membership as of the applied index. */
  readonly confState: ConfState;
  readonly nextId: () => ProposalId;
  /** Where to find others as long as the state knows no members. */
  readonly initialPeers: readonly PeerAddress[];
  readonly admit: (command: Command, sizeBytes: number) => void;
  readonly awaitOutcome: (id: ProposalId, command: Command, outcome: ProposeOutcome) => Promise<ApplyOutcome>;
}

/** How long to wait before a change that met another one is proposed again. */
const retryMs = 50;

export class MembershipChanges {
  readonly #options: MembershipChangesOptions;
  #confState: ConfState;
  #isLoneVoter: boolean;

  constructor(options: MembershipChangesOptions) {
    this.#options = options;
    this.#confState = options.confState;
    this.#isLoneVoter = isLoneVoter(options.confState, options.memberId);
  }

  /** The membership as of the applied index. */
  get confState(): ConfState {
    return this.#confState;
  }

  /** Whether nobody else has a vote. */
  get isLoneVoter(): boolean {
    return this.#isLoneVoter;
  }

  /** Whether nobody else takes entries either. */
  get isAlone(): boolean {
    return this.#isLoneVoter && this.#confState.learners.length === 0;
  }

  /**
   * One change is made at a time; a further one waits for it.
   * @throws ReplicaError
   */
  async change(command: MembershipCommand): Promise<ApplyOutcome> {
    const { clock, machine, memberId: ownId, transport, isStrict } = this.#options;
    checkReconfiguration(command, { ownId, members: machine.members.list(), transport, isStrict });
    const deadlineMs = clock.nowMs() + this.#options.timeoutMs;
    for (;;) {
      const id = this.#options.nextId();
      const context = encodeInternalCommand(id, command);
      const change = { transition: "auto", steps: stepsOf(command), context } as const;
      this.#options.admit(command, encodeConfChange(change).length);
      const outcome = this.#options.node.proposeConfChange(change);
      const isBusy =
        outcome.kind === "refused" &&
        (outcome.reason === "conf-change-in-flight" || outcome.reason === "leader-not-ready");
      if (!isBusy || clock.nowMs() >= deadlineMs) return this.#options.awaitOutcome(id, command, outcome);
      await new Promise<void>((resolve) => clock.setTimer(retryMs, resolve));
    }
  }

  /** Applies a change's entry, to the state machine and to raft. Returns whose it was and what it came to. */
  apply(entry: Entry): { readonly id: ProposalId; readonly outcome: ApplyOutcome } | undefined {
    const { machine, node } = this.#options;
    const change = decodeConfChange(entry.data);
    assert(change !== undefined, () => `entry ${entry.index} is no change of membership`);
    if (change.context.length === 0) {
      // Raft's own: leaving a joint configuration.
      machine.apply(entry.index, entry.term, undefined);
      this.adopt(node.applyConfChange(entry));
      return undefined;
    }
    const { id, command } = decodeEnvelope(change.context);
    const outcome = machine.apply(entry.index, entry.term, command);
    // A change that the table of members refuses is void on every member.
    if (outcome.result.kind !== "refused") this.adopt(node.applyConfChange(entry));
    return { id, outcome };
  }

  /** Makes this the membership, from a change or with a snapshot. */
  adopt(confState: ConfState): void {
    this.#confState = confState;
    this.#isLoneVoter = isLoneVoter(confState, this.#options.memberId);
    this.#options.machine.setConfiguration(encodeConfState(confState));
    this.updatePeers();
    this.#options.logger.log("info", "membership changed", {
      voters: confState.voters.map((id) => id.toString(16)),
      learners: confState.learners.map((id) => id.toString(16)),
    });
  }

  /** Tells the transport who the others are. */
  updatePeers(): void {
    const { machine, memberId, transport, initialPeers } = this.#options;
    const known = machine.members.list();
    const others = (known.length > 0 ? known : initialPeers).filter(({ id }) => id !== memberId);
    transport.setPeers(others.map(({ id, peerUrls }) => ({ id, peerUrls })));
  }
}

function isLoneVoter(confState: ConfState, memberId: bigint): boolean {
  const { voters, votersOutgoing } = confState;
  return voters.length === 1 && voters[0] === memberId && votersOutgoing.length === 0;
}
