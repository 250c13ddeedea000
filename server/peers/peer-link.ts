// The way to one other member: a connection that is made again whenever it breaks, and what is sent over it. Each
// member makes its own connections; what it hears comes in through the listener.
import type { Timer } from "../lib/clock.ts";
import { createDeferred, type Deferred } from "../lib/deferred.ts";
import type { Logger } from "../lib/logger.ts";
import type { Counter, Metrics } from "../lib/metrics.ts";
import type { Random } from "../lib/random.ts";
import type { Message } from "../raft/message.ts";
import { ReplicaError } from "../replica/errors.ts";
import type { PeerRequest, PeerResponse } from "../replica/transport.ts";
import { ByteReader } from "./byte-buffer.ts";
import { type Dialled, type DialOptions, dial } from "./dial.ts";
import { FramedSocket } from "./framed-socket.ts";
import type { HelloPurpose } from "./hello.ts";
import { readResponse, writeMessage, writeRequest } from "./message-codec.ts";

export interface PeerLinkOptions extends DialOptions {
  readonly clusterId: bigint;
  readonly ownId: bigint;
  readonly peerId: bigint;
  readonly peerUrls: readonly string[];
  /** Where this member is found. */
  readonly ownPeerUrls: () => readonly string[];
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly onUnreachable: () => void;
  /** The other member says that this one was removed from the cluster. */
  readonly onRemoved: () => void;
}

const retryMinMs = 20;
const retryMaxMs = 1000;
const pingMs = 1000;
/** Without a sign of life for this long a connection is given up: the other end may be gone without a word. */
const silenceMaxMs = 5000;
const requestTimeoutMs = 5000;
/** Failures of different kinds that are logged between two connections. */
const reportsMax = 16;

type LinkState =
  | { readonly kind: "connecting" }
  | { readonly kind: "connected"; readonly socket: FramedSocket; readonly sinceMs: number }
  | { readonly kind: "closed" };

export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #sentBytes: Counter;
  readonly #failures: Counter;
  #state: LinkState = { kind: "connecting" };
  #urlIndex = 0;
  #retryMs = retryMinMs;
  /** Failures that were logged since the last connection: the same one is told of once. */
  readonly #reported = new Set<string>();
  #timer: Timer | undefined;
  #lastHeardMs = 0;
  #lastRequestId = 0;
  readonly #requests = new Map<number, Deferred<PeerResponse>>();

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    const labels = { To: options.peerId.toString(16) };
    this.#sentBytes = options.metrics.counter("etcd_network_peer_sent_bytes_total", labels);
    this.#failures = options.metrics.counter("etcd_network_peer_sent_failures_total", labels);
    this.#connect();
  }

  get peerUrls(): readonly string[] {
    return this.#options.peerUrls;
  }

  /** How long the connection has stood without a break; undefined when there is none. */
  get connectedMs(): number | undefined {
    return this.#state.kind === "connected" ? this.#options.clock.nowMs() - this.#state.sinceMs : undefined;
  }

  /** Sends messages, or drops them when there is no way. */
  send(messages: readonly Message[]): void {
    if (this.#state.kind !== "connected") {
      this.#options.onUnreachable();
      return;
    }
    const isSent = this.#state.socket.send("messages", (writer) => {
      for (const message of messages) writeMessage(writer, message);
      this.#sentBytes.add(writer.length);
    });
    if (isSent) return;
    this.#failures.add(1);
    this.#options.onUnreachable();
  }

  /** @throws ReplicaError `no-leader` when there is no way to the member, or it broke before the answer. */
  call(request: PeerRequest): Promise<PeerResponse> {
    const { state, id } = { state: this.#state, id: ++this.#lastRequestId };
    const answer = createDeferred<PeerResponse>();
    if (state.kind !== "connected") {
      answer.reject(new ReplicaError("no-leader", "the member cannot be reached"));
      return answer.promise;
    }
    this.#requests.set(id, answer);
    const timer = this.#options.clock.setTimer(requestTimeoutMs, () => {
      this.#requests.delete(id);
      answer.reject(new ReplicaError("timed-out"));
    });
    state.socket.send("request", (writer) => {
      writer.uint32(id);
      writeRequest(writer, request);
    });
    return answer.promise.finally(() => timer.cancel());
  }

  /** A connection of its own for something else than messages. */
  open(purpose: HelloPurpose): Promise<Dialled> {
    return this.#dial(purpose, this.#url);
  }

  /** The one that works, or that is to be tried next. */
  get #url(): string {
    const { peerUrls } = this.#options;
    return peerUrls[this.#urlIndex % Math.max(1, peerUrls.length)] ?? "";
  }

  #dial(purpose: HelloPurpose, url: string): Promise<Dialled> {
    const { clusterId, ownId: from, peerId: to } = this.#options;
    return dial(url, { purpose, clusterId, from, to, peerUrls: this.#options.ownPeerUrls() }, this.#options);
  }

  #connect(): void {
    const url = this.#url;
    this.#dial("stream", url).then(
      (dialled) => this.#onDialled(url, dialled),
      (error: unknown) => this.#onFailed(url, String((error as Error).message)),
    );
  }

  #onDialled(url: string, { socket, answer, rest }: Dialled): void {
    if (this.#state.kind === "closed") {
      socket.destroy();
      return;
    }
    if (answer.kind !== "welcome") {
      socket.destroy();
      const reason = answer.kind === "refused" ? answer.reason : "an answer to another question";
      if (reason === "removed") this.#options.onRemoved();
      this.#onFailed(url, `refused: ${reason}`);
      return;
    }
    const { clock, logger, peerId } = this.#options;
    logger.log("info", "connected to a member", { peer: peerId.toString(16), url });
    this.#retryMs = retryMinMs;
    this.#reported.clear();
    this.#lastHeardMs = clock.nowMs();
    const framed: FramedSocket = new FramedSocket(socket, rest, {
      onFrame: (kind, payload) => {
        this.#lastHeardMs = clock.nowMs();
        if (kind === "response") this.#onResponse(payload);
      },
      onClosed: (reason) => this.#onClosed(framed, url, reason),
    });
    this.#state = { kind: "connected", socket: framed, sinceMs: clock.nowMs() };
    this.#schedulePing();
  }

  #onResponse(payload: Buffer): void {
    const reader = new ByteReader(payload);
    const id = reader.uint32();
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    request?.resolve(readResponse(reader));
  }

  #schedulePing(): void {
    this.#timer = this.#options.clock.setTimer(pingMs, () => {
      if (this.#state.kind !== "connected") return;
      const { socket } = this.#state;
      if (this.#options.clock.nowMs() - this.#lastHeardMs > silenceMaxMs) {
        socket.close(new Error(`no sign of life for ${silenceMaxMs} ms`));
        return;
      }
      socket.send("ping", () => undefined);
      this.#schedulePing();
    });
  }

  #onClosed(socket: FramedSocket, url: string, reason: Error | undefined): void {
    if (this.#state.kind !== "connected" || this.#state.socket !== socket) return;
    this.#state = { kind: "connecting" };
    this.#failRequests();
    this.#onFailed(url, reason?.message ?? "the connection was closed");
  }

  #failRequests(): void {
    for (const request of this.#requests.values()) {
      request.reject(new ReplicaError("no-leader", "the connection broke before the answer"));
    }
    this.#requests.clear();
  }

  #onFailed(url: string, reason: string): void {
    if (this.#state.kind === "closed") return;
    const { clock, logger, random, peerId } = this.#options;
    const report = `${url} ${reason}`;
    if (!this.#reported.has(report) && this.#reported.size < reportsMax) {
      this.#reported.add(report);
      logger.log("warn", "a member cannot be reached", { peer: peerId.toString(16), url, reason });
    }
    this.#urlIndex++;
    this.#options.onUnreachable();
    // Members that lost the same peer must not come back to it in step.
    const delayMs = this.#retryMs * (0.5 + random.next());
    this.#retryMs = Math.min(retryMaxMs, this.#retryMs * 2);
    this.#timer?.cancel();
    this.#timer = clock.setTimer(delayMs, () => this.#connect());
  }

  close(): void {
    const { kind } = this.#state;
    const socket = this.#state.kind === "connected" ? this.#state.socket : undefined;
    if (kind === "closed") return;
    this.#state = { kind: "closed" };
    this.#timer?.cancel();
    socket?.close();
    this.#failRequests();
  }
}
