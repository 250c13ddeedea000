// A look inside a node, for metrics, for the cluster service's answers and for tests. Not for decisions.
import type { ProgressState } from "./progress.ts";
import type { RaftState } from "./raft-state.ts";
import type { ConfState, MemberId, Role } from "./types.ts";

export type ProgressStatus = {
  readonly id: MemberId;
  readonly state: ProgressState;
  readonly match: number;
  readonly next: number;
  readonly pendingSnapshot: number;
  readonly inflightMessages: number;
  readonly inflightBytes: number;
  /** Ticks since the member was last heard. 0 for the leader itself. */
  readonly silentTicks: number;
};

export type Status = {
  readonly id: MemberId;
  readonly role: Role;
  readonly term: number;
  readonly vote: MemberId | undefined;
  readonly leader: MemberId | undefined;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly durable: number;
  readonly commit: number;
  readonly applied: number;
  readonly confState: ConfState;
  /** The index of a snapshot that is being installed here. */
  readonly pendingSnapshot: number | undefined;
  /** The member leadership is being handed to. Leader only. */
  readonly transferee: MemberId | undefined;
  /** Bytes that count against `uncommittedBytesMax`. 0 unless leader. */
  readonly uncommittedBytes: number;
  /** Reads of this member and, on a leader, of its followers that wait for an answer. */
  readonly waitingReads: number;
  readonly ignoredMessages: number;
  /** One per member, sorted by id. Empty unless leader. */
  readonly progress: readonly ProgressStatus[];
};

export function statusOf(raft: RaftState): Status {
  const { log, leadership, tracker } = raft;
  const leads = leadership !== undefined;
  return {
    id: raft.id,
    role: raft.role,
    term: raft.term,
    vote: raft.vote,
    leader: raft.leader,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    lastTerm: log.lastTerm,
    durable: log.durable,
    commit: log.committed,
    applied: log.applied,
    confState: tracker.confState,
    pendingSnapshot: log.pendingSnapshot?.index,
    transferee: leadership?.transferee,
    uncommittedBytes: leadership?.uncommittedBytes ?? 0,
    waitingReads: leads ? raft.reads.length : raft.localReads.openCount,
    ignoredMessages: raft.ignoredMessages,
    progress: !leads
      ? []
      : tracker.members.map((progress) => ({
          id: progress.id,
          state: progress.state,
          match: progress.match,
          next: progress.next,
          pendingSnapshot: progress.pendingSnapshot,
          inflightMessages: progress.inflights.count,
          inflightBytes: progress.inflights.bytes,
          silentTicks: progress.id === raft.id ? 0 : raft.nowTicks - progress.contactTicks,
        })),
  };
}
