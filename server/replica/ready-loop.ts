// Drives raft: takes what it has ready and sees that each part gets done in the order its contract asks for. What may
// leave at once leaves at once; what promises durability leaves after the save it depends on; committed entries go to
// the apply loop. One turn of the event loop's requests become one save.
import type { Clock, Timer } from "../lib/clock.ts";
import type { LogStore } from "../log/log-store.ts";
import type { Message, ProposeMessage, SnapshotMessage } from "../raft/message.ts";
import { queuePromise } from "../raft/promises.ts";
import type { RawNode } from "../raft/raw-node.ts";
import type { ForwardRefusal, ReadState, Save } from "../raft/ready.ts";
import type { Entry, RoleState, SnapshotMeta } from "../raft/types.ts";
import type { Transport } from "./transport.ts";

export interface ReadyLoopOptions {
  readonly node: RawNode;
  readonly log: Pick<LogStore, "save">;
  readonly transport: Transport;
  readonly clock: Clock;
  /** One tick of raft's time, in milliseconds. */
  readonly tickMs: number;
  /** Called before a turn's output is taken: the last moment to put something into it. */
  readonly beforeReady: () => void;
  /** A member is to get a snapshot instead of entries. */
  readonly onSnapshotMessage: (message: SnapshotMessage) => void;
  /** A snapshot is to replace state and log. Resolves when the state is replaced; the log follows. */
  readonly installSnapshot: (snapshot: SnapshotMeta) => Promise<void>;
  /** The installation failed; the process must stop. */
  readonly onFailed: (error: unknown) => void;
  readonly onRoleState: (state: RoleState) => void;
  readonly onCommitted: (entries: readonly Entry[], commit: number) => void;
  readonly onReadStates: (states: readonly ReadState[]) => void;
  /** Proposals leave for the leader. */
  readonly onForwarded: (message: ProposeMessage) => void;
  readonly onRefusals: (refusals: readonly ForwardRefusal[]) => void;
}

/**
 * How long a commit index may wait for an append to travel with, for members whose clients wait for nothing. Under load
 * the next append is quicker.
 */
const commitDelayMs = 1;

export class ReadyLoop {
  readonly #options: ReadyLoopOptions;
  /** Messages that wait for their save, oldest first. */
  readonly #promises: { readonly saveId: number; readonly messages: readonly Message[] }[] = [];
  /** Saves that wait for a snapshot before them to be installed. */
  #heldSaves: Save[] | undefined;
  #isScheduled = false;
  #timer: Timer | undefined;
  #commitTimer: Timer | undefined;
  #isClosed = false;

  constructor(options: ReadyLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#options.clock.setTimer(this.#options.tickMs, () => this.#onTick());
    this.run();
  }

  #onTick(): void {
    if (this.#isClosed) return;
    this.#options.node.tick();
    this.#timer = this.#options.clock.setTimer(this.#options.tickMs, () => this.#onTick());
    this.run();
  }

  /** Runs once the input of this turn is in: many proposals share one save, many reads one round trip. */
  schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#isScheduled = false;
      this.run();
    });
  }

  /** To be called with the id of a save that is durable. */
  onSaved(saveId: number): void {
    if (this.#isClosed) return;
    const due: Message[] = [];
    while ((this.#promises[0]?.saveId ?? Number.POSITIVE_INFINITY) <= saveId) {
      for (const message of this.#promises.shift()?.messages ?? []) queuePromise(due, message);
    }
    if (due.length > 0) this.#send(due);
    this.#options.node.onSaved(saveId);
    this.run();
  }

  run(): void {
    const { node } = this.#options;
    if (this.#isClosed) return;
    this.#options.beforeReady();
    while (node.hasReady()) {
      const { roleState, messages, save, committed, commit, readStates, refusals } = node.ready();
      if (roleState !== undefined) this.#options.onRoleState(roleState);
      if (messages.length > 0) this.#send(messages);
      if (save !== undefined) this.#save(save);
      if (committed.length > 0) this.#options.onCommitted(committed, commit);
      if (readStates.length > 0) this.#options.onReadStates(readStates);
      if (refusals.length > 0) this.#options.onRefusals(refusals);
    }
    if (this.#commitTimer === undefined) this.#watchHeldCommit();
  }

  /** Sees that members hear of a commit index even if nothing else is sent to them. */
  #watchHeldCommit(): void {
    const { node, clock } = this.#options;
    const held = node.heldCommit;
    if (held === undefined) return;
    this.#commitTimer = clock.setTimer(commitDelayMs, () => {
      this.#commitTimer = undefined;
      if (this.#isClosed) return;
      node.announceCommit(held);
      this.run();
    });
  }

  #send(messages: readonly Message[]): void {
    const { transport, onSnapshotMessage, onForwarded } = this.#options;
    for (const message of messages) if (message.type === "propose") onForwarded(message);
    if (!messages.some(({ type }) => type === "snapshot")) {
      transport.send(messages);
      return;
    }
    transport.send(messages.filter(({ type }) => type !== "snapshot"));
    for (const message of messages) if (message.type === "snapshot") onSnapshotMessage(message);
  }

  /** Saves stay in order: while a snapshot is being installed, those that come after it wait. */
  #save(save: Save): void {
    if (save.messagesAfter.length > 0) this.#promises.push({ saveId: save.id, messages: save.messagesAfter });
    if (this.#heldSaves !== undefined) this.#heldSaves.push(save);
    else if (save.snapshot === undefined) this.#options.log.save(save);
    else this.#install(save, save.snapshot);
  }

  #install(save: Save, snapshot: SnapshotMeta): void {
    this.#heldSaves = [];
    this.#options.installSnapshot(snapshot).then(
      () => {
        if (this.#isClosed) return;
        const held = this.#heldSaves ?? [];
        this.#heldSaves = undefined;
        this.#options.log.save(save);
        for (const later of held) this.#save(later);
      },
      (error: unknown) => this.#options.onFailed(error),
    );
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#commitTimer?.cancel();
  }
}
