// The plain values raft speaks in: entries, hard state, membership, snapshots, roles. All of them are readonly and are
// shared freely: an entry that was handed out is never changed. No wire format here; codecs convert at the edge.

/** A member of the cluster. Zero names nobody. */
export type MemberId = bigint;

/** What an entry is for. Raft makes `no-op` entries itself, one at the start of each term; the host skips them. */
export type EntryKind = "normal" | "conf-change" | "no-op";

/** One slot of the log. `index` starts at 1 and has no gaps; `term` never falls from one entry to the next. */
export type Entry = {
  readonly term: number;
  readonly index: number;
  readonly kind: EntryKind;
  /** For `normal` the host's bytes; for `conf-change` see conf-change-codec.ts; empty for `no-op`. */
  readonly data: Uint8Array;
};

/**
 * Names an entry. Two logs that hold the same id hold the same entry and the same entries before it (Raft §5.3, Log
 * Matching). `{ index: 0, term: 0 }` is the place before the first entry.
 */
export type EntryId = { readonly index: number; readonly term: number };

/** What a member must not forget across a crash (Raft figure 2, "persistent state"), and the commit index it knew. */
export type HardState = {
  readonly term: number;
  /** The member that got this member's vote in `term`. */
  readonly vote: MemberId | undefined;
  /** A lower bound of what is committed. */
  readonly commit: number;
};

/**
 * Who belongs to the cluster, as of some applied index. Every list is sorted and without doubles.
 *
 * While `votersOutgoing` is not empty the configuration is *joint*: every decision needs a majority of `voters` and a
 * majority of `votersOutgoing` (Raft §6, dissertation §4.3).
 */
export type ConfState = {
  readonly voters: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  /** Receive the log, do not vote and are not counted. Disjoint from both voter lists. */
  readonly learners: readonly MemberId[];
  /** Outgoing voters that turn into learners when the joint configuration is left. */
  readonly learnersNext: readonly MemberId[];
  /** The leader leaves the joint configuration by itself as soon as it may. */
  readonly autoLeave: boolean;
};

/** A snapshot as raft sees it: the state after applying `index`. Its contents never pass through raft. */
export type SnapshotMeta = EntryId & { readonly confState: ConfState };

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/** What is known about leadership. It is volatile: nothing of it is saved. */
export type RoleState = { readonly role: Role; readonly term: number; readonly leader: MemberId | undefined };

export const noEntryId: EntryId = { index: 0, term: 0 };

export const emptyConfState: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export const emptyHardState: HardState = { term: 0, vote: undefined, commit: 0 };

export const noBytes: Uint8Array = new Uint8Array(0);

/** What an entry counts for in every limit in bytes: its data and a flat share for the rest, so that empty ones count. */
export function entrySizeBytes(entry: { readonly data: Uint8Array }): number {
  return entry.data.length + entryOverheadBytes;
}

/** About what term, index, kind and framing take on the wire and on disk. */
export const entryOverheadBytes = 24;
