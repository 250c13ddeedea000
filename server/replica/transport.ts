// How members reach each other, as the replica sees it: messages that may get lost, questions that get an answer or
// fail, and snapshots that arrive whole or not at all. peers/ does it over sockets, the simulator in memory, and a
// member without others needs none.
import type { SnapshotFile, SnapshotWriter } from "../log/snapshot-store.ts";
import type { Message, SnapshotMessage } from "../raft/message.ts";
import type { ReplicaErrorCode } from "./errors.ts";

/** Where a member listens for the others. */
export interface PeerAddress {
  readonly id: bigint;
  readonly peerUrls: readonly string[];
}

/** A question to another member, most of them to the leader. */
export type PeerRequest =
  | { readonly kind: "lease-renew"; readonly id: bigint }
  | { readonly kind: "lease-time-to-live"; readonly id: bigint }
  | { readonly kind: "member-promote"; readonly id: bigint };

export type PeerResponse =
  /** `ttlSeconds` is 0 when there is no such lease. */
  | { readonly kind: "lease-renewed"; readonly ttlSeconds: number }
  /** `grantedTtlSeconds` is 0 when there is no such lease. */
  | { readonly kind: "lease-time"; readonly grantedTtlSeconds: number; readonly remainingSeconds: number }
  | { readonly kind: "done" }
  /** The other member could not do it, for a reason of its own or of the state. */
  | { readonly kind: "failed"; readonly code: string };

export interface Transport {
  /** Takes messages to send, in order. They may get lost, and are never waited for. */
  send(messages: readonly Message[]): void;
  /** Says who the others are now. Connections to those that are gone are closed. */
  setPeers(peers: readonly PeerAddress[]): void;
  /**
   * Asks another member.
   * @throws ReplicaError `no-leader` when it cannot be reached, `timed-out`
   */
  call(to: bigint, request: PeerRequest): Promise<PeerResponse>;
  /** Moves a snapshot to `message.to`, followed by the message itself. Resolves when the other side has it whole. */
  sendSnapshot(message: SnapshotMessage, file: SnapshotFile): Promise<void>;
  /** How long a member has been connected without a break, in milliseconds; undefined when it is not. */
  connectedMs(id: bigint): number | undefined;
  /** Twice is fine. */
  close(): Promise<void>;
}

/** What a transport brings in; the replica's side of it. */
export interface PeerHandler {
  onMessage(message: Message): void;
  /** Answers a question of another member. Never rejects. */
  onRequest(request: PeerRequest): Promise<PeerResponse>;
  /** Where a snapshot that is about to arrive is to be written. Undefined when none is wanted now. */
  openSnapshot(message: SnapshotMessage): SnapshotWriter | undefined;
  /** A snapshot arrived whole and undamaged, and is the replica's to dispose of. */
  onSnapshot(message: SnapshotMessage, file: SnapshotFile): void;
  /** Messages to this member do not get through at the moment. */
  onUnreachable(id: bigint): void;
  /** A member of the cluster says that this one was removed from it. */
  onRemoved(): void;
}

/** For a member that has no others to talk to. */
export const noTransport: Transport = {
  send: () => undefined,
  setPeers: () => undefined,
  call: async (): Promise<PeerResponse> => ({ kind: "failed", code: "no-leader" satisfies ReplicaErrorCode }),
  sendSnapshot: async () => undefined,
  connectedMs: () => undefined,
  close: async () => undefined,
};
