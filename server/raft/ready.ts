// The contract between raft and its host: what `RawNode.ready()` hands out and what the host owes for it. Raft does no
// I/O; all it wants from the world is in here. DESIGN.md tells the whole turn as a story.
import type { Message, ProposalRefusal } from "./message.ts";
import type { Entry, HardState, RoleState, SnapshotMeta } from "./types.ts";

/**
 * What must become durable, as one unit. Saves are numbered and the host completes them in order; it need not wait for
 * one before it asks for the next `Ready`, and one sync may complete many.
 *
 * After a crash the log must hold the saves that were reported, in full, and of later ones a prefix in this order: hard
 * state, then snapshot, then entries one by one. An entry must never survive without the hard state of its save: with
 * it goes the term it was accepted in, and the knowledge which membership changes before it were committed.
 */
export type Save = {
  /** Hand this to `onSaved` when this save and all earlier ones are durable. */
  readonly id: number;
  /**
   * Replaces the former one. Its `commit` speaks of entries of earlier saves only: should a crash cut off `entries`, what
   * they were to overwrite must not pass for committed.
   */
  readonly hardState: HardState;
  /**
   * A snapshot to install, its contents being the ones that came with the snapshot message of this index and term. The
   * switch must be atomic and replaces state and log: afterwards `firstIndex` is `snapshot.index + 1`, and no entry
   * is left. Entries that were handed out for applying before go first or not at all. `onSaved` stands for
   * `onApplied(snapshot.index)` too. Never together with entries.
   */
  readonly snapshot: SnapshotMeta | undefined;
  /**
   * To be appended. When the first index is not one after the log's last, the log is cut before it first: what is
   * there and further on was never committed.
   */
  readonly entries: readonly Entry[];
  /** Promises made in view of this save: must not leave before it is durable. In order. */
  readonly messagesAfter: readonly Message[];
};

/** The end of a `readIndex()`. */
export type ReadState =
  /** The read is current once `index` is applied here. */
  | { readonly kind: "confirmed"; readonly id: number; readonly index: number }
  /** Leadership moved meanwhile. Nothing is known; ask again, with a new id. */
  | { readonly kind: "dropped"; readonly id: number };

/** Proposals that this member forwarded and the leader refused: numbers `sequence` up to `sequence + count - 1`. */
export type ForwardRefusal = { readonly sequence: number; readonly count: number; readonly reason: ProposalRefusal };

/** One turn's output. Every part must be dealt with; the next `ready()` never repeats it. */
export type Ready = {
  /** When role, term or leader changed since the last one. */
  readonly roleState: RoleState | undefined;
  /** May leave at once, before anything of this `Ready` is saved. In order. */
  readonly messages: readonly Message[];
  readonly save: Save | undefined;
  /**
   * Committed and durable here; to be applied in order, followed by `onApplied`. A `conf-change` entry is applied by
   * `applyConfChange` before `onApplied` reaches it.
   */
  readonly committed: readonly Entry[];
  /** The newest commit index known. Saves carry it; the host may also keep it lazily to replay more after a restart. */
  readonly commit: number;
  readonly readStates: readonly ReadState[];
  readonly refusals: readonly ForwardRefusal[];
};
