// What a replica is made of and set to, and the kinds of commands it takes.
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { Random } from "../lib/random.ts";
import type { LogStore } from "../log/log-store.ts";
import type { SnapshotStore } from "../log/snapshot-store.ts";
import type { ConfState, RoleState } from "../raft/types.ts";
import type { Command, MembershipCommand } from "../state/command.ts";
import type { EventBatch } from "../state/mvcc/events.ts";
import type { StateMachine } from "../state/state-machine.ts";
import type { Backend } from "../storage/backend.ts";
import type { PeerAddress, Transport } from "./transport.ts";

export interface ReplicaOptions {
  readonly memberId: bigint;
  /** The membership as of the applied index. */
  readonly confState: ConfState;
  /** Where to find other members before the state says who they are: a new one starts with nothing. */
  readonly initialPeers: readonly PeerAddress[];
  readonly machine: StateMachine;
  readonly backend: Backend;
  readonly log: LogStore;
  readonly snapshots: SnapshotStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  /** Largest command that is taken, in bytes. */
  readonly requestBytesMax: number;
  /** Bytes that the store may use; 0 or less for no limit. */
  readonly quotaBytes: number;
  /** Entries kept in the log behind the last flush, for followers that fall behind. */
  readonly catchUpEntries: number;
  /** Refuse changes of membership that could cost the quorum. */
  readonly strictReconfigCheck: boolean;
  /** Ask whether an election can be won before starting one. */
  readonly preVote: boolean;
  /** Called with every batch of changes, in order, before whoever made them is answered. */
  readonly onEvents: (batch: EventBatch) => void;
  readonly onRoleState: (state: RoleState) => void;
  /** Called before and after a snapshot takes the place of the state. */
  readonly onStateReplacing: () => void;
  readonly onStateReplaced: () => void;
  /** Called once when this member was removed from its cluster; it should stop. */
  readonly onRemoved: () => void;
  /** Called once when this member cannot go on; the process must stop. */
  readonly onFailed: (error: unknown) => void;
}

/** Commands whose request is logged as it came over the wire. */
export type WireCommand = Extract<Command, { kind: "put" | "delete-range" | "txn" | "compact" }>;
export type InternalCommand = Exclude<Command, WireCommand | MembershipCommand>;
