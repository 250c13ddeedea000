// The replica's transport over sockets: one link to each other member.
import type { ConnectionOptions } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Metrics } from "../lib/metrics.ts";
import type { Random } from "../lib/random.ts";
import type { SnapshotFile } from "../log/snapshot-store.ts";
import type { Message, SnapshotMessage } from "../raft/message.ts";
import { ReplicaError } from "../replica/errors.ts";
import type { PeerAddress, PeerRequest, PeerResponse, Transport } from "../replica/transport.ts";
import { PeerLink } from "./peer-link.ts";
import { sendSnapshot } from "./snapshot-stream.ts";

export interface PeerTransportOptions {
  readonly clusterId: bigint;
  readonly ownId: bigint;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** For `https` URLs of other members. */
  readonly tls?: () => ConnectionOptions;
  /** Where this member is found, as the others are to be told. */
  readonly ownPeerUrls: () => readonly string[];
  readonly onUnreachable: (id: bigint) => void;
  readonly onRemoved: () => void;
}

const dialTimeoutMs = 3000;
/** Callers that this member does not know, and still has a way to. A cluster has fewer members than that. */
const strangersMax = 16;

export class PeerTransport implements Transport {
  readonly #options: PeerTransportOptions;
  readonly #links = new Map<bigint, PeerLink>();
  /** Those of the links that lead to callers {@link PeerTransport.setPeers} did not name, oldest first. */
  readonly #strangers = new Set<bigint>();
  #isClosed = false;

  constructor(options: PeerTransportOptions) {
    this.#options = options;
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.#isClosed) return;
    const ids = new Set(peers.map(({ id }) => id));
    for (const [id, link] of this.#links) {
      if (ids.has(id)) this.#strangers.delete(id);
      if (ids.has(id) || this.#strangers.has(id)) continue;
      link.close();
      this.#links.delete(id);
    }
    for (const { id, peerUrls } of peers) {
      const link = this.#links.get(id);
      if (link !== undefined && link.peerUrls.join() === peerUrls.join()) continue;
      link?.close();
      this.#links.set(id, this.#createLink(id, peerUrls));
    }
  }

  /**
   * A member has called. If it was added while this one was behind, it is not among the peers yet, but may lead: without
   * an answer it would never learn what this member lacks, and this member never who leads.
   */
  meet({ id, peerUrls }: PeerAddress): void {
    if (this.#isClosed || id === this.#options.ownId || this.#links.has(id) || peerUrls.length === 0) return;
    for (const oldest of this.#strangers) {
      if (this.#strangers.size < strangersMax) break;
      this.#links.get(oldest)?.close();
      this.#links.delete(oldest);
      this.#strangers.delete(oldest);
    }
    this.#strangers.add(id);
    this.#links.set(id, this.#createLink(id, peerUrls));
  }

  #createLink(peerId: bigint, peerUrls: readonly string[]): PeerLink {
    const { onUnreachable, random } = this.#options;
    return new PeerLink({
      ...this.#options,
      peerId,
      peerUrls,
      random: random.fork(`link ${peerId}`),
      timeoutMs: dialTimeoutMs,
      onUnreachable: () => onUnreachable(peerId),
    });
  }

  send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const first = messages[0] as Message;
    // Nearly always all of them go to one member, or one to each of two.
    if (messages.every(({ to }) => to === first.to)) {
      this.#links.get(first.to)?.send(messages);
      return;
    }
    const byMember = new Map<bigint, Message[]>();
    for (const message of messages) {
      const list = byMember.get(message.to);
      if (list === undefined) byMember.set(message.to, [message]);
      else list.push(message);
    }
    for (const [id, list] of byMember) this.#links.get(id)?.send(list);
  }

  async call(to: bigint, request: PeerRequest): Promise<PeerResponse> {
    const link = this.#links.get(to);
    if (link === undefined) throw new ReplicaError("no-leader", "no such member");
    return link.call(request);
  }

  async sendSnapshot(message: SnapshotMessage, file: SnapshotFile): Promise<void> {
    const link = this.#links.get(message.to);
    if (link === undefined) throw new ReplicaError("no-leader", "no such member");
    await sendSnapshot(await link.open("snapshot"), message, file, this.#options.clock);
  }

  connectedMs(id: bigint): number | undefined {
    return this.#links.get(id)?.connectedMs;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    this.#strangers.clear();
  }
}
