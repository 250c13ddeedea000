// A host for one RawNode in memory: it does with each Ready what a real one does, but step by step, so that a test
// decides when a save becomes durable, when an entry is applied and what a crash leaves behind. Not a network: messages
// pile up in `outgoing`.
import assert from "node:assert/strict";
import { createRandom, type Random } from "../../server/lib/random.ts";
import { membersOf } from "../../server/raft/conf-change.ts";
import { decodeConfChange } from "../../server/raft/conf-change-codec.ts";
import type { RaftOptions } from "../../server/raft/config.ts";
import { MemoryLog } from "../../server/raft/memory-log.ts";
import type { Message } from "../../server/raft/message.ts";
import { RawNode } from "../../server/raft/raw-node.ts";
import type { ForwardRefusal, ReadState, Ready, Save } from "../../server/raft/ready.ts";
import {
  type Entry,
  emptyConfState,
  type MemberId,
  noEntryId,
  type RoleState,
  type SnapshotMeta,
} from "../../server/raft/types.ts";

/** What a member has applied: up to where, and what follows from it. Survives as far as it was flushed. */
export type AppliedState = SnapshotMeta & {
  /** Members that were removed for good. A change that would bring one back is void. */
  readonly removed: readonly MemberId[];
};

/** Called as things happen, for checkers. */
export type HostObserver = {
  onReady?(host: Host, ready: Ready): void;
  /** Before a message goes out. */
  onSend?(host: Host, message: Message): void;
  onApply?(host: Host, entry: Entry, after: AppliedState): void;
};

export type HostOptions = {
  readonly id: MemberId;
  /** What the cluster starts from, for one of its first members; nothing for one that is to join. */
  readonly bootstrap?: SnapshotMeta | undefined;
  readonly seed?: number;
  readonly raft?: Partial<RaftOptions>;
  readonly observer?: HostObserver;
};

export class Host {
  readonly id: MemberId;
  readonly #options: HostOptions;
  readonly #random: Random;
  /** What is durable. The node reads its log from here. */
  disk = new MemoryLog();
  /** What is applied, and what of it would survive a crash. */
  applied: AppliedState;
  flushed: AppliedState;
  /** Handed out, not durable yet; oldest first. */
  saves: Save[] = [];
  /** Handed out, not applied yet. */
  toApply: Entry[] = [];
  outgoing: Message[] = [];
  readStates: ReadState[] = [];
  refusals: ForwardRefusal[] = [];
  roleStates: RoleState[] = [];
  /** Everything applied in this life or a former one, in order; a snapshot leaves a hole. */
  readonly history: Entry[] = [];
  /** Counts the lives of the process. */
  life = 0;
  #node: RawNode | undefined;

  constructor(options: HostOptions) {
    this.id = options.id;
    this.#options = options;
    this.#random = createRandom((options.seed ?? 1) + Number(options.id & 0xffffn));
    const { bootstrap } = options;
    this.applied = { ...(bootstrap ?? { ...noEntryId, confState: emptyConfState }), removed: [] };
    this.flushed = this.applied;
    if (bootstrap !== undefined) {
      this.disk.install(bootstrap);
      this.disk.hardState = { term: bootstrap.term, vote: undefined, commit: bootstrap.index };
    }
    this.start();
  }

  get isUp(): boolean {
    return this.#node !== undefined;
  }

  get node(): RawNode {
    assert(this.#node !== undefined, `member ${this.id} is down`);
    return this.#node;
  }

  /** Starts the process from what is on disk. */
  start(): void {
    assert(this.#node === undefined, `member ${this.id} is up already`);
    this.life++;
    this.applied = this.flushed;
    this.disk.offerSnapshot(this.applied);
    this.#node = new RawNode({
      ...this.#options.raft,
      id: this.id,
      log: this.disk,
      random: this.#random.fork(`life ${this.life}`),
      hardState: this.disk.hardState,
      confState: this.applied.confState,
      appliedIndex: this.applied.index,
      removed: this.applied.removed,
    });
  }

  /**
   * Ends the process. Of the saves under way, `keep` of them make it to the disk whole, and of the one after that the
   * hard state, the snapshot and `keepEntries` entries, unless `keepEntries` is negative.
   */
  crash(keep = 0, keepEntries = -1): void {
    for (const save of this.saves.slice(0, keep)) this.#write(save);
    const torn = this.saves[keep];
    if (torn !== undefined && keepEntries >= 0) this.#write({ ...torn, entries: torn.entries.slice(0, keepEntries) });
    this.#node = undefined;
    this.saves = [];
    this.toApply = [];
    this.outgoing = [];
    this.readStates = [];
    this.refusals = [];
  }

  /** Takes all that is ready and sorts it into the queues. */
  collect(): void {
    while (this.node.hasReady()) {
      const ready = this.node.ready();
      this.#options.observer?.onReady?.(this, ready);
      if (ready.roleState !== undefined) this.roleStates.push(ready.roleState);
      this.#send(ready.messages);
      if (ready.save !== undefined) this.saves.push(ready.save);
      this.toApply.push(...ready.committed);
      this.readStates.push(...ready.readStates);
      this.refusals.push(...ready.refusals);
    }
  }

  /** Makes the oldest `count` saves durable and reports them with one call, as a group commit does. */
  completeSaves(count = this.saves.length): void {
    const done = this.saves.splice(0, count);
    for (const save of done) this.#write(save);
    const newest = done.at(-1);
    if (newest === undefined) return;
    for (const save of done) this.#send(save.messagesAfter);
    this.node.onSaved(newest.id);
  }

  /** Applies the next `count` entries. */
  applyNext(count = this.toApply.length): void {
    for (const entry of this.toApply.splice(0, count)) {
      assert.equal(entry.index, this.applied.index + 1, `member ${this.id} applies out of order`);
      const { index, term } = entry;
      this.applied = {
        ...this.applied,
        ...(entry.kind === "conf-change" && this.#applyConfChange(entry)),
        index,
        term,
      };
      this.history.push(entry);
      this.#options.observer?.onApply?.(this, entry, this.applied);
      this.node.onApplied(entry.index);
    }
    this.disk.offerSnapshot(this.applied);
  }

  #applyConfChange(entry: Entry): Pick<AppliedState, "confState" | "removed"> {
    const { confState: before, removed } = this.applied;
    const steps = decodeConfChange(entry.data)?.steps ?? [];
    if (steps.some(({ kind, id }) => kind !== "remove" && removed.includes(id))) return this.applied;
    const confState = this.node.applyConfChange(entry);
    const gone = membersOf(before).filter((id) => !membersOf(confState).includes(id));
    return { confState, removed: [...removed, ...gone] };
  }

  /** The applied state as it is now survives a crash. */
  flush(): void {
    this.flushed = this.applied;
  }

  /** Drops the log up to `index`; the state that stands for it is flushed first. */
  compact(index = this.applied.index): void {
    this.flush();
    this.disk.compactTo(index);
  }

  /** Saves, applies and collects until nothing is left to do but to deliver messages. */
  settle(): void {
    this.collect();
    while (this.saves.length > 0 || this.toApply.length > 0) {
      this.completeSaves();
      this.applyNext();
      this.collect();
    }
  }

  #write(save: Save): void {
    if (save.snapshot !== undefined) {
      // Entries handed out before are part of the snapshot. The switch is atomic: state and log change together.
      const { snapshot } = save;
      this.toApply = this.toApply.filter((entry) => entry.index > snapshot.index);
      this.applied = { removed: [], ...snapshot };
      this.flushed = this.applied;
    }
    this.disk.save(save);
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) this.#options.observer?.onSend?.(this, message);
    this.outgoing.push(...messages);
  }
}
