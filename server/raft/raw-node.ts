// A member of a raft cluster, for its host: everything goes in through the methods and comes out through `ready()`.
// Synchronous and deterministic: the same calls and the same random source give the same outputs.
import { assertSafeInteger } from "../lib/assert.ts";
import type { ConfChange } from "./conf-change.ts";
import { encodeConfChange } from "./conf-change-codec.ts";
import type { RaftConfig } from "./config.ts";
import { Inflights } from "./inflights.ts";
import { applyConfChange } from "./membership.ts";
import type { Message, Proposal, ProposalRefusal } from "./message.ts";
import { mutated } from "./mutations.ts";
import { applied, saved, step, tick } from "./raft.ts";
import { RaftState } from "./raft-state.ts";
import type { Ready, Save } from "./ready.ts";
import { hasAppendsDue, hasCommittedInTerm, heldCommit, sendAppends, startReadRound } from "./replication.ts";
import { type Status, statusOf } from "./status.ts";
import { type CampaignRefusal, campaign } from "./step-candidate.ts";
import { proposeAsLeader, type TransferRefusal, transferLeader } from "./step-leader.ts";
import { type ConfState, type Entry, entrySizeBytes, type HardState, type MemberId, type RoleState } from "./types.ts";

export type ProposeOutcome =
  /** In this leader's log. It is committed if the entry at `index` still has `term` when it comes to be applied. */
  | { readonly kind: "accepted"; readonly index: number; readonly term: number }
  /** Sent to the leader with the next `Ready`. It may get lost; a refusal comes back with `sequence`. */
  | { readonly kind: "forwarded"; readonly to: MemberId; readonly sequence: number }
  | { readonly kind: "refused"; readonly reason: ProposalRefusal };

export type ReadRequestOutcome =
  /** The answer comes as a `ReadState` with this id: when a quorum is there, or when leadership moves. */
  | { readonly kind: "accepted"; readonly id: number }
  | { readonly kind: "refused"; readonly reason: "no-leader" | "too-many-reads" };

export type Outcome<Refusal> = { readonly kind: "accepted" } | { readonly kind: "refused"; readonly reason: Refusal };

const noMessages: readonly Message[] = [];
const acceptedOutcome = { kind: "accepted" } as const;

export class RawNode {
  readonly #raft: RaftState;
  /** What was handed out and not reported as applied. */
  readonly #applyWindow: Inflights;
  #handedHardState: HardState;
  #handedRoleState: RoleState;
  /** The durable log could not be read for applying. Not asked again before the next tick, or hosts would spin. */
  #applyBlocked = false;

  /** Throws a RangeError for settings that make no sense, and an InvariantError when what was on disk does not fit. */
  constructor(config: RaftConfig) {
    const raft = new RaftState(config);
    this.#raft = raft;
    this.#applyWindow = new Inflights(Number.MAX_SAFE_INTEGER, raft.options.applyingBytesMax);
    this.#handedHardState = config.hardState;
    this.#handedRoleState = { role: raft.role, term: raft.term, leader: raft.leader };
  }

  // --- Inputs.

  /** Lets one tick of time pass. After a pause of the process the host passes one tick, not all it missed. */
  tick(): void {
    this.#applyBlocked = false;
    tick(this.#raft);
  }

  /** Takes in a message from another member. Any message may come at any time, twice or late. */
  step(message: Message): void {
    step(this.#raft, message);
  }

  /** Proposes bytes of the host's. They must not change afterwards. */
  propose(data: Uint8Array): ProposeOutcome {
    return this.#propose("normal", data);
  }

  /** Proposes a membership change. When its entry is handed out for applying, the host calls `applyConfChange`. */
  proposeConfChange(change: ConfChange): ProposeOutcome {
    return this.#propose("conf-change", encodeConfChange(change));
  }

  /**
   * Makes the change in a committed `conf-change` entry the membership of this node, and returns what it is now. To be
   * called when the entry is applied, before `onApplied`; a host that voids a change when applying it must do so on
   * every member, and calls nothing.
   */
  applyConfChange(entry: Entry): ConfState {
    return applyConfChange(this.#raft, entry);
  }

  /** Asks from which applied index on a read made here is current. Costs a round trip to a quorum, shared by a turn. */
  readIndex(): ReadRequestOutcome {
    const raft = this.#raft;
    if (raft.leader === undefined) return { kind: "refused", reason: "no-leader" };
    const waiting = raft.leadership !== undefined ? raft.reads.length : raft.localReads.openCount;
    if (waiting >= raft.options.readsMax) return { kind: "refused", reason: "too-many-reads" };
    const id = raft.localReads.open();
    if (raft.leadership !== undefined)
      raft.reads.add(
        { from: raft.id, session: raft.localReads.session, id },
        raft.log.committed,
        hasCommittedInTerm(raft),
      );
    return { kind: "accepted", id };
  }

  /** Asks for votes now instead of after an election timeout. A member without any others leads when this returns. */
  campaign(): Outcome<CampaignRefusal> {
    return outcomeOf(campaign(this.#raft, false));
  }

  /** Begins to hand leadership to another voter. That it worked shows in a later `roleState`. */
  transferLeader(target: MemberId): Outcome<TransferRefusal> {
    return outcomeOf(transferLeader(this.#raft, target));
  }

  /**
   * With `holdCommits`: the commit index, when some members will not hear of it before something else is sent to them.
   * The host is to call `announceCommit` with it after a moment, or they hear of it with a heartbeat.
   */
  get heldCommit(): number | undefined {
    return heldCommit(this.#raft);
  }

  /** Lets everybody know, with the next `Ready`, that entries up to `commit` are committed. */
  announceCommit(commit: number): void {
    const { leadership } = this.#raft;
    if (leadership === undefined) return;
    leadership.commitCalled = Math.max(leadership.commitCalled, commit);
    this.#raft.appendsDue = true;
  }

  /** Messages to this member do not get through, so those sent before may be lost. */
  reportUnreachable(id: MemberId): void {
    const progress = this.#raft.tracker.progress(id);
    if (progress?.state === "replicate") progress.becomeProbe();
    this.#raft.appendsDue = true;
  }

  /**
   * How the transfer of a snapshot that a `snapshot` message asked for ended. Every such message needs one report; until
   * then the member gets nothing else. `finished`: handed over to the member complete.
   */
  reportSnapshot(id: MemberId, status: "finished" | "failed"): void {
    const progress = this.#raft.tracker.progress(id);
    if (progress?.state !== "snapshot") return;
    if (status === "failed") progress.pendingSnapshot = 0;
    progress.becomeProbe();
    // Not at once: after success the acknowledgement is on its way, after a failure the next try would fail as well.
    progress.probeSent = true;
  }

  /** Save `id`, and with it all saves before, are durable. Repeating this is fine, an id not handed out is not. */
  onSaved(id: number): void {
    assertSafeInteger(id, "save id");
    saved(this.#raft, id);
    // An installed snapshot stands for what was handed out before it.
    this.#applyWindow.freeTo(this.#raft.log.applied);
  }

  /** The state machine has applied everything up to `index`. */
  onApplied(index: number): void {
    assertSafeInteger(index, "applied index");
    applied(this.#raft, index);
    this.#applyWindow.freeTo(index);
  }

  // --- Outputs.

  /** Whether `ready()` has something. */
  hasReady(): boolean {
    const raft = this.#raft;
    return (
      raft.outbox.length > 0 ||
      (raft.promises.length > 0 && raft.log.savesSettled) ||
      raft.log.hasUnsaved ||
      this.#hasWorkToApply ||
      this.#hardStateChanged ||
      this.#roleStateChanged ||
      raft.localReads.hasStates ||
      raft.forwards.hasRefusals ||
      (raft.leadership !== undefined ? this.#hasLeaderWork() : !raft.forwards.isEmpty || raft.localReads.hasUnsent)
    );
  }

  /** Everything to be done since the last call. Each part must be dealt with; see `Ready`. */
  ready(): Ready {
    const raft = this.#raft;
    this.#flush();
    const roleState = this.#takeRoleState();
    const save = this.#takeSave();
    const committed = this.#takeCommitted();
    const messages = raft.outbox;
    raft.outbox = [];
    return {
      roleState,
      messages,
      save,
      committed,
      commit: raft.log.committed,
      readStates: raft.localReads.takeStates(),
      refusals: raft.forwards.takeRefusals(),
    };
  }

  status(): Status {
    return statusOf(this.#raft);
  }

  #propose(kind: Proposal["kind"], data: Uint8Array): ProposeOutcome {
    const raft = this.#raft;
    if (raft.leadership !== undefined) {
      const result = proposeAsLeader(raft, raft.leadership, kind, data);
      if (typeof result === "number") return { kind: "accepted", index: result, term: raft.term };
      return { kind: "refused", reason: result };
    }
    if (raft.leader === undefined) return { kind: "refused", reason: "no-leader" };
    if (!raft.options.forwardProposals) return { kind: "refused", reason: "not-leader" };
    const sequence = raft.forwards.add({ kind, data });
    if (sequence === undefined) return { kind: "refused", reason: "uncommitted-full" };
    return { kind: "forwarded", to: raft.leader, sequence };
  }

  #hasLeaderWork(): boolean {
    const raft = this.#raft;
    if (raft.reads.roundDue || !raft.forwards.isEmpty) return true;
    if (raft.appendsDue && !hasAppendsDue(raft)) raft.appendsDue = false;
    return raft.appendsDue;
  }

  /** Turns what is due into messages. */
  #flush(): void {
    const raft = this.#raft;
    const { id: from, leader, term, forwards, localReads } = raft;
    if (raft.leadership !== undefined) {
      if (raft.appendsDue) sendAppends(raft);
      if (raft.reads.roundDue) startReadRound(raft);
      forwards.refuseAll("not-leader");
      return;
    }
    if (leader === undefined) {
      forwards.refuseAll("no-leader");
      return;
    }
    const id = localReads.takeUnsent();
    if (id !== undefined) raft.send({ type: "read-request", from, to: leader, term, session: localReads.session, id });
    if (!forwards.isEmpty)
      raft.send({ type: "propose", from, to: leader, term, session: forwards.session, ...forwards.take() });
  }

  get #roleStateChanged(): boolean {
    const { role, term, leader } = this.#handedRoleState;
    return role !== this.#raft.role || term !== this.#raft.term || leader !== this.#raft.leader;
  }

  #takeRoleState(): RoleState | undefined {
    if (!this.#roleStateChanged) return undefined;
    const { role, term, leader } = this.#raft;
    this.#handedRoleState = { role, term, leader };
    return this.#handedRoleState;
  }

  // A new commit index alone is no reason to save: every later save carries it, and it can be found again. But for
  // membership changes: members that were removed may not be there to find it with.
  get #hardStateChanged(): boolean {
    const { term, vote, commit } = this.#handedHardState;
    return term !== this.#raft.term || vote !== this.#raft.vote || this.#raft.log.hasConfChangeCommittedAfter(commit);
  }

  #takeSave(): Save | undefined {
    const raft = this.#raft;
    const { log, promises } = raft;
    if (!log.hasUnsaved && !this.#hardStateChanged) {
      // All that is promised is durable already, or will be with the saves under way; no other one is made for it.
      if (promises.length > 0 && (log.savesSettled || mutated("raft/promise-overtakes-save"))) {
        for (const message of promises) raft.send(message);
        raft.promises = [];
      }
      return undefined;
    }
    const { id, hardState, snapshot, entries } = log.handOutForSave(raft.term, raft.vote, this.#handedHardState.commit);
    this.#handedHardState = hardState;
    // A snapshot goes alone. What is promised may be about the entries behind it, so it waits for the save with those.
    const complete = !log.hasUnsaved || mutated("raft/promise-leaves-with-snapshot");
    if (complete) raft.promises = [];
    return { id, hardState, snapshot, entries, messagesAfter: complete ? promises : noMessages };
  }

  get #hasWorkToApply(): boolean {
    return !this.#applyBlocked && !this.#applyWindow.full && this.#raft.log.hasUnapplied;
  }

  #takeCommitted(): readonly Entry[] {
    if (!this.#hasWorkToApply) return [];
    const raft = this.#raft;
    const committed = raft.log.handOutForApply(raft.options.applyBytesMax);
    this.#applyBlocked = committed.length === 0;
    const openedAt = raft.leadership?.openedAt ?? Number.POSITIVE_INFINITY;
    let bytes = 0;
    let ownBytes = 0;
    for (const entry of committed) {
      const sizeBytes = entrySizeBytes(entry);
      bytes += sizeBytes;
      if (entry.index >= openedAt) ownBytes += sizeBytes;
    }
    if (committed.length > 0) this.#applyWindow.add((committed.at(-1) as Entry).index, bytes);
    if (raft.leadership !== undefined) raft.leadership.uncommittedBytes -= ownBytes;
    return committed;
  }
}

function outcomeOf<Refusal>(refusal: Refusal | undefined): Outcome<Refusal> {
  return refusal === undefined ? acceptedOutcome : { kind: "refused", reason: refusal };
}
