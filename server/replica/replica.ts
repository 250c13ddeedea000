// One member of the replicated state machine: puts the parts of this folder together and offers what services need.
// It decides nothing itself; each duty has a file of its own.
import { assert } from "../lib/assert.ts";
import { createDeferred, type Deferred } from "../lib/deferred.ts";
import type { Counter, Gauge } from "../lib/metrics.ts";
import type { SnapshotFile } from "../log/snapshot-store.ts";
import type { LogReader } from "../raft/log-reader.ts";
import type { Message, SnapshotMessage } from "../raft/message.ts";
import { RawNode } from "../raft/raw-node.ts";
import type { Entry, RoleState, SnapshotMeta } from "../raft/types.ts";
import type { Command, MembershipCommand } from "../state/command.ts";
import { encodeInternalCommand, encodeWireCommand, type ProposalId } from "../state/command-codec.ts";
import type { ApplyOutcome } from "../state/outcome.ts";
import type { StateMachine } from "../state/state-machine.ts";
import { Admission } from "./admission.ts";
import { ApplyLoop } from "./apply-loop.ts";
import { fromLateFlush, ReplicaError } from "./errors.ts";
import { Flusher } from "./flusher.ts";
import { LeaderCalls } from "./leader-calls.ts";
import { LeaderTransfer } from "./leader-transfer.ts";
import { Lessor } from "./lessor.ts";
import { checkLearnerReady } from "./membership.ts";
import { MembershipChanges } from "./membership-changes.ts";
import { mutated } from "./mutations.ts";
import { ProposalRoute } from "./proposal-route.ts";
import { type OutcomeWaiter, outcomeOf, ProposalTable } from "./proposals.ts";
import { ReadIndex } from "./read-index.ts";
import { ReadyLoop } from "./ready-loop.ts";
import type { InternalCommand, ReplicaOptions, WireCommand } from "./replica-options.ts";
import { Snapshotter } from "./snapshotter.ts";
import { Sweeper } from "./sweeper.ts";
import type { PeerHandler } from "./transport.ts";

/** Raft's time is finer than the heartbeat, which spreads the members' random election timeouts apart. */
const ticksPerHeartbeat = 10;

export class Replica {
  readonly memberId: bigint;
  readonly machine: StateMachine;
  readonly lessor: Lessor;
  readonly leaderCalls: LeaderCalls;
  readonly leaderTransfer: LeaderTransfer;
  /** What the transport brings in goes here. */
  readonly peerHandler: PeerHandler;
  readonly #options: ReplicaOptions;
  readonly #node: RawNode;
  readonly #proposals: ProposalTable;
  readonly #route: ProposalRoute;
  readonly #readIndex: ReadIndex;
  readonly #readyLoop: ReadyLoop;
  readonly #applyLoop: ApplyLoop;
  readonly #flusher: Flusher;
  readonly #sweeper: Sweeper;
  readonly #snapshotter: Snapshotter;
  readonly #membership: MembershipChanges;
  readonly #admission: Admission;
  readonly #committedGauge: Gauge;
  readonly #leaderChanges: Counter;
  #roleState: RoleState = { role: "follower", term: 0, leader: undefined };
  #storeInUseBytes: number;
  /** Set while a snapshot takes the place of the state, which must not be read then. */
  #replacing: Deferred<void> | undefined;
  #hasFailed = false;
  #isClosed = false;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    const { machine, log, clock, metrics, logger, transport } = options;
    this.memberId = options.memberId;
    this.machine = machine;
    this.#storeInUseBytes = options.backend.sizeBytes().inUse;
    this.#committedGauge = metrics.gauge("etcd_server_proposals_committed_total");
    this.#leaderChanges = metrics.counter("etcd_server_leader_changes_seen_total");
    // etcd gives a request five seconds and two elections.
    const timeoutMs = 5000 + 2 * options.electionTimeoutMs;
    const tickMs = options.heartbeatIntervalMs / ticksPerHeartbeat;
    this.#node = new RawNode({
      id: options.memberId,
      log: this.#logReader(),
      random: options.random,
      hardState: log.hardState,
      confState: options.confState,
      appliedIndex: machine.appliedIndex,
      removed: machine.members.removedIds(),
      preVote: options.preVote,
      holdCommits: true,
      heartbeatTicks: ticksPerHeartbeat,
      electionTicks: Math.max(ticksPerHeartbeat + 1, Math.round(options.electionTimeoutMs / tickMs)),
    });
    const proposer = options.random.fork("proposals").below(0x1_0000_0000);
    this.#proposals = new ProposalTable({ proposer, clock, timeoutMs, metrics });
    this.#route = new ProposalRoute({
      node: this.#node,
      table: this.#proposals,
      clock,
      electionTimeoutMs: options.electionTimeoutMs,
      isLoneVoter: () => this.#membership.isLoneVoter,
      schedule: () => this.#readyLoop.schedule(),
    });
    this.#readIndex = new ReadIndex({
      node: this.#node,
      clock,
      metrics,
      timeoutMs,
      appliedIndex: () => machine.appliedIndex,
      leadsAlone: () => this.#leadsAlone,
      schedule: () => this.#readyLoop.schedule(),
    });
    this.#flusher = new Flusher({
      backend: options.backend,
      clock,
      logger: logger.child("replica/flusher"),
      onSeal: () => this.#onSeal().index,
      onFlushed: (index) => this.#onFlushed(index),
      onFailed: (error) => this.fail(error),
    });
    this.#sweeper = new Sweeper(
      machine.mvcc,
      clock,
      () => this.#flusher.noteWrites(),
      (error) => this.fail(error),
      () => this.#replacing !== undefined,
    );
    this.#snapshotter = new Snapshotter({
      backend: options.backend,
      snapshots: options.snapshots,
      transport,
      clock,
      logger: logger.child("replica/snapshotter"),
      metrics,
      onSeal: () => this.#onSeal(),
      report: (id, status) => {
        this.#node.reportSnapshot(id, status);
        this.#readyLoop.schedule();
      },
    });
    this.#membership = new MembershipChanges({
      memberId: options.memberId,
      machine,
      node: this.#node,
      transport,
      clock,
      logger: logger.child("replica/membership"),
      timeoutMs,
      isStrict: options.strictReconfigCheck,
      confState: options.confState,
      initialPeers: options.initialPeers,
      nextId: () => this.#proposals.nextId(),
      admit: (command, sizeBytes) => this.#admit(command, sizeBytes),
      awaitOutcome: (id, command, outcome) => outcomeOf((waiter) => this.#route.wait(id, command, outcome, waiter)),
    });
    this.#admission = new Admission({
      memberId: options.memberId,
      log,
      alarms: machine.alarms,
      logger: logger.child("replica/admission"),
      requestBytesMax: options.requestBytesMax,
      quotaBytes: options.quotaBytes,
      storeBytes: () => this.#storeInUseBytes + options.backend.memoryBytes,
      backlog: () => this.#applyLoop.backlog,
      isDiskFull: () => this.#flusher.isDiskFull,
      raiseAlarm: (alarm) => this.proposeInternal({ kind: "alarm", alarm, isRaised: true }),
    });
    this.#applyLoop = new ApplyLoop({
      machine,
      proposals: this.#proposals,
      clock,
      metrics,
      onEvents: options.onEvents,
      onOutcome: (outcome) => this.#onOutcome(outcome),
      applyConfChange: (entry) => this.#membership.apply(entry),
      onEntry: (entry, id) => this.#route.onEntry(entry, id),
      onApplied: (index) => this.#onApplied(index),
      isPaused: () => this.#flusher.isOverfull || this.#replacing !== undefined,
      onFailed: (error) => this.fail(error),
    });
    this.lessor = new Lessor({
      leases: machine.leases,
      clock,
      logger: logger.child("replica/lessor"),
      metrics,
      electionTimeoutMs: options.electionTimeoutMs,
      revoke: (id, term) => this.proposeInternal({ kind: "lease-revoke", id, expiry: { term } }),
      checkpoint: (checkpoints) => this.proposeInternal({ kind: "lease-checkpoint", checkpoints }),
    });
    this.leaderCalls = new LeaderCalls({
      lessor: this.lessor,
      transport,
      clock,
      timeoutMs,
      roleState: () => this.#roleState,
      readBarrier: () => this.readBarrier(),
      promote: (id) => this.#promote(id),
    });
    this.leaderTransfer = new LeaderTransfer({
      memberId: options.memberId,
      node: this.#node,
      clock,
      logger: logger.child("replica/leader-transfer"),
      electionTimeoutMs: options.electionTimeoutMs,
      roleState: () => this.#roleState,
      voters: () => this.#membership.confState.voters,
      schedule: () => this.#readyLoop.schedule(),
    });
    this.#readyLoop = new ReadyLoop({
      node: this.#node,
      log,
      transport,
      clock,
      tickMs,
      beforeReady: () => this.#readIndex.request(),
      onSnapshotMessage: (message) => this.#snapshotter.send(message),
      installSnapshot: (snapshot) => this.#installSnapshot(snapshot),
      onFailed: (error) => this.fail(error),
      onRoleState: (state) => this.#onRoleState(state),
      onCommitted: (entries, commit) => this.#onCommitted(entries, commit),
      onReadStates: (states) => this.#readIndex.onReadStates(states),
      onForwarded: (message) => this.#route.onForwarded(message),
      onRefusals: (refusals) => this.#route.onRefusals(refusals),
    });
    this.peerHandler = this.#createPeerHandler();
  }

  /** The log as raft reads it; a snapshot that could be sent is always the newest state. */
  #logReader(): LogReader {
    const { log } = this.#options;
    return {
      firstIndex: () => log.firstIndex(),
      lastIndex: () => log.lastIndex(),
      term: (index) => log.term(index),
      entries: (low, high, bytesMax) => log.entries(low, high, bytesMax),
      snapshot: () => (this.#replacing === undefined ? this.#snapshotMeta() : undefined),
    };
  }

  #snapshotMeta(): SnapshotMeta {
    const { appliedIndex, appliedTerm } = this.machine;
    return { index: appliedIndex, term: appliedTerm, confState: this.#membership.confState };
  }

  #createPeerHandler(): PeerHandler {
    return {
      onMessage: (message: Message) => {
        if (this.#isClosed) return;
        this.#node.step(message);
        this.#readyLoop.schedule();
      },
      onRequest: (request) => this.leaderCalls.answer(request),
      openSnapshot: () => this.#snapshotter.openIncoming(),
      onSnapshot: (message, file) => this.#onSnapshotArrived(message, file),
      onUnreachable: (id) => {
        if (!this.#isClosed) this.#node.reportUnreachable(id);
      },
      onRemoved: () => this.#options.onRemoved(),
    };
  }

  /** Starts taking part. A member without others leads within a turn. */
  start(): void {
    this.#membership.updatePeers();
    if (this.#membership.isLoneVoter) this.#node.campaign();
    this.#readyLoop.start();
    this.#sweeper.start();
  }

  /** To be wired to the log: a save is durable. */
  onSaved(saveId: number): void {
    this.#readyLoop.onSaved(saveId);
  }

  get roleState(): RoleState {
    return this.#roleState;
  }

  get isLearner(): boolean {
    return this.#membership.confState.learners.includes(this.memberId);
  }

  /** For status answers and membership checks; not cheap. */
  raftStatus(): ReturnType<RawNode["status"]> {
    return this.#node.status();
  }

  get #leadsAlone(): boolean {
    const { role, term } = this.#roleState;
    const isCurrent = role === "leader" && this.machine.appliedTerm === term && !this.#isClosed;
    return isCurrent && this.#membership.isLoneVoter;
  }

  /**
   * Resolves once a read of this member's state is linearizable; undefined when it is right now.
   * @throws ReplicaError `timed-out`, `stopped`; the latter also at once.
   */
  readBarrier(): Promise<void> | undefined {
    this.#assertRunning();
    if (this.#replacing !== undefined) return this.#replacing.promise.then(() => this.readBarrier());
    return this.#readIndex.barrier();
  }

  /**
   * Resolves once this member's own state can be read, however old; undefined when it can right now.
   * @throws ReplicaError `stopped`, at once.
   */
  localBarrier(): Promise<void> | undefined {
    this.#assertRunning();
    return this.#replacing?.promise;
  }

  /**
   * Takes a request of the KV service through the log.
   * @param request The request as it came over the wire, which `command` was decoded from.
   * @throws ReplicaError
   */
  propose(command: WireCommand, request: Uint8Array): Promise<ApplyOutcome> {
    return outcomeOf((waiter) => this.submit(command, request, waiter));
  }

  /** The same for a caller that needs no promise: every write would cost several. */
  submit(command: WireCommand, request: Uint8Array, waiter: OutcomeWaiter): void {
    const id = this.#proposals.nextId();
    this.#propose(id, command, encodeWireCommand(id, command.kind, request), waiter);
  }

  /** The same for a command of the members' own. */
  proposeInternal(command: InternalCommand): Promise<ApplyOutcome> {
    const id = this.#proposals.nextId();
    return outcomeOf((waiter) => this.#propose(id, command, encodeInternalCommand(id, command), waiter));
  }

  #propose(id: ProposalId, command: Command, data: Uint8Array, waiter: OutcomeWaiter): void {
    try {
      this.#admit(command, data.length);
    } catch (error) {
      if (!(error instanceof ReplicaError)) throw error;
      waiter.onFailure(error);
      return;
    }
    this.#route.propose(id, command, data, waiter);
  }

  #admit(command: Command, sizeBytes: number): void {
    this.#assertRunning();
    this.#admission.check(command, sizeBytes);
  }

  /** @throws ReplicaError `no-space` See {@link Admission.checkQuota}. */
  checkQuota(command: Command): void {
    this.#admission.checkQuota(command);
  }

  /** After a failure the state may hold half a command: nobody may see it any more. */
  #assertRunning(): void {
    if (this.#isClosed || this.#hasFailed) throw new ReplicaError("stopped");
  }

  /**
   * Changes who belongs to the cluster. One change is made at a time; a further one waits for it.
   * @throws ReplicaError
   */
  changeMembership(command: MembershipCommand): Promise<ApplyOutcome> {
    return this.#membership.change(command);
  }

  /** Promotes a learner, as leader: nobody else knows how far it is. */
  async #promote(id: bigint): Promise<void> {
    checkLearnerReady(this.#node.status(), id);
    const { result } = await this.changeMembership({ kind: "member-promote", id });
    if (result.kind === "refused") throw result.error;
  }

  #onRoleState(state: RoleState): void {
    const { leader } = this.#roleState;
    this.#roleState = state;
    if (state.leader !== undefined && state.leader !== leader) this.#leaderChanges.add(1);
    this.lessor.onRoleState(state);
    this.#route.onRoleState(state);
    this.#options.onRoleState(state);
  }

  #onCommitted(entries: readonly Entry[], commit: number): void {
    this.#committedGauge.set(commit);
    this.#applyLoop.add(entries);
  }

  #onOutcome(outcome: ApplyOutcome): void {
    this.lessor.onResult(outcome.result);
    if (outcome.result.kind === "compact") this.#sweeper.start();
  }

  #onApplied(index: number): void {
    this.#node.onApplied(index);
    this.lessor.onApplied(this.machine.appliedTerm);
    this.#readIndex.onApplied(index);
    if (this.#membership.isAlone) this.#options.log.forget(index);
    this.#flusher.noteWrites();
    this.#readyLoop.schedule();
  }

  #onSnapshotArrived(message: SnapshotMessage, file: SnapshotFile): void {
    this.#snapshotter.offer(message.snapshot, file);
    if (!this.#isClosed) {
      this.#node.step(message);
      this.#readyLoop.run();
    }
    // Raft decides at once whether it wants it; if it does, the installation has begun.
    if (this.#replacing === undefined) this.#snapshotter.dismiss();
  }

  async #installSnapshot(snapshot: SnapshotMeta): Promise<void> {
    const replacing = createDeferred<void>();
    this.#replacing = replacing;
    if (!mutated("replica/snapshot-keeps-queue")) this.#applyLoop.drop();
    this.#options.onStateReplacing();
    await this.#snapshotter.install(snapshot, () => {
      this.machine.reload();
      const { appliedIndex, appliedTerm } = this.machine;
      assert(
        appliedIndex === snapshot.index && appliedTerm === snapshot.term,
        () => `snapshot ${snapshot.index} of term ${snapshot.term} holds the state of ${appliedIndex}, ${appliedTerm}`,
      );
      this.#membership.adopt(snapshot.confState);
    });
    this.#route.onSnapshot(snapshot);
    this.#replacing = undefined;
    this.#options.onStateReplaced();
    this.#readIndex.onApplied(snapshot.index);
    // The snapshot may hold what its sender had compacted and not swept yet.
    this.#sweeper.start();
    replacing.resolve();
    this.#options.logger.log("info", "installed a snapshot", { index: snapshot.index, term: snapshot.term });
  }

  #onSeal(): SnapshotMeta {
    // Rows of a command that broke off in the middle must never reach the disk: the log has it whole.
    if (this.#hasFailed) throw new ReplicaError("stopped", "the state is not to be trusted any more");
    this.machine.recordPosition();
    return this.#snapshotMeta();
  }

  #onFlushed(index: number): void {
    const { backend, log, catchUpEntries } = this.#options;
    this.#storeInUseBytes = backend.sizeBytes().inUse;
    this.#applyLoop.resume();
    // The last flush, when everything closes, leaves the files to the next life: an end should be quick.
    if (this.#isClosed) return;
    log.release(index - catchUpEntries).catch((error: unknown) => this.fail(error));
  }

  /**
   * Resolves once nothing is left on disk of what a compaction to `revision` removed.
   * @throws ReplicaError `stopped`, `timed-out` when the disk is full: it is compacted, and will go when there is room.
   */
  async waitForSweep(revision: number): Promise<void> {
    await this.#sweeper.waitFor(revision);
    await this.#flusher.flush().catch((error: unknown) => {
      throw fromLateFlush(error);
    });
  }

  /** Something that this member cannot do without has failed. To be wired to the log, too. */
  fail(error: unknown): void {
    if (this.#isClosed || this.#hasFailed) return;
    this.#hasFailed = true;
    // From here on nothing is applied, flushed, read, renewed or revoked.
    this.#applyLoop.close();
    this.#sweeper.close();
    this.lessor.close();
    this.#options.onFailed(error);
  }

  /** Stops taking part, and puts the applied state on disk so that the next start has little to replay. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.lessor.close();
    this.#readyLoop.close();
    this.#applyLoop.close();
    this.#sweeper.close();
    this.#route.close();
    this.#proposals.close();
    this.#readIndex.close();
    await this.#options.transport.close();
    await this.#snapshotter.close();
    await this.#flusher.close();
    if (this.#replacing !== undefined || this.#hasFailed) return;
    await this.#flusher.flush().catch((error: unknown) => {
      // The log has it all; the next start takes a little longer.
      this.#options.logger.log("warn", "the last flush failed", { error: String(error) });
    });
  }
}
