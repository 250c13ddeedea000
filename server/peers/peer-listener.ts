// Where other members come in: checks who calls and whether it is for us, then hands on what they bring.
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Counter, Metrics } from "../lib/metrics.ts";
import type { PeerAddress, PeerHandler } from "../replica/transport.ts";
import type { Member } from "../state/cluster/member-codec.ts";
import { verifyClient } from "../transport/client-verifier.ts";
import { handshakeFault } from "../transport/handshake-fault.ts";
import { parseListenUrl, resolveListenHost } from "../transport/listen-url.ts";
import type { TlsContext } from "../transport/tls-context.ts";
import { ByteReader } from "./byte-buffer.ts";
import { FramedSocket } from "./framed-socket.ts";
import { decodeHello, encodeHelloAnswer, type Hello, type HelloAnswer, helloBytesMax } from "./hello.ts";
import { readLine } from "./line-reader.ts";
import { readMessage, readRequest, writeResponse } from "./message-codec.ts";
import { receiveSnapshot } from "./snapshot-stream.ts";

export interface PeerListenerOptions {
  readonly clusterId: bigint;
  readonly ownId: bigint;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly handler: PeerHandler;
  readonly members: () => readonly Member[];
  readonly wasRemoved: (id: bigint) => boolean;
  /** A member was let in; it says where it is found, in case nobody else has. */
  readonly onCaller: (caller: PeerAddress) => void;
  /** Needed for `https` URLs. */
  readonly tls?: TlsContext;
}

const greetingMs = 5000;
/** Connections that may be open; members need two each. */
const connectionsMax = 1000;

export class PeerListener {
  readonly #options: PeerListenerOptions;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #received = new Map<bigint, Counter>();

  constructor(options: PeerListenerOptions) {
    this.#options = options;
  }

  /** Starts to listen; returns the URL with the port that was taken. */
  async listen(url: string): Promise<string> {
    const { isTls, target } = parseListenUrl(url);
    const server = createServer({ noDelay: true, keepAlive: true }, this.#acceptor(isTls));
    const address =
      target.kind === "unix"
        ? { path: target.path }
        : { host: await resolveListenHost(target.host), port: target.port };
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(address, () => {
        server.off("error", reject);
        resolve();
      });
    });
    this.#servers.push(server);
    const bound = server.address();
    return typeof bound === "object" && bound !== null ? url.replace(/:\d+\/?$/, `:${bound.port}`) : url;
  }

  #acceptor(isTls: boolean): (socket: Socket) => void {
    if (!isTls) return (socket) => this.#accept(socket, socket);
    const { tls } = this.#options;
    if (tls === undefined) throw new Error("an https URL for peers needs a certificate and a key");
    const server = createTlsServer({
      ...tls.secureOptions,
      handshakeTimeout: greetingMs,
      requestCert: tls.rules.isCertificateRequired,
      // The verifier decides, as on the client port.
      rejectUnauthorized: false,
    });
    tls.onChange((secureOptions) => server.setSecureContext(secureOptions));
    server.on("secureConnection", (socket) => {
      const verdict = verifyClient(socket, tls.rules);
      if (verdict.kind === "rejected") this.#reject(socket, verdict.reason);
      else this.#greet(socket);
    });
    server.on("tlsClientError", (error, socket) => this.#reject(socket, handshakeFault(error)));
    return (socket) => this.#accept(socket, undefined, server);
  }

  #accept(socket: Socket, plain: Socket | undefined, tlsServer?: ReturnType<typeof createTlsServer>): void {
    if (this.#sockets.size >= connectionsMax) {
      this.#reject(socket, "too many connections");
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    // Whoever holds the socket hears of its end through close.
    socket.on("error", () => undefined);
    if (plain === undefined) tlsServer?.emit("connection", socket);
    else this.#greet(plain);
  }

  #greet(socket: Socket): void {
    this.#answerGreeting(socket).catch((error: unknown) => this.#reject(socket, String((error as Error).message)));
  }

  async #answerGreeting(socket: Socket): Promise<void> {
    const { clock, clusterId, members } = this.#options;
    socket.on("error", () => undefined);
    const { text, rest } = await readLine(socket, clock, helloBytesMax, greetingMs);
    const hello = decodeHello(text);
    const answer = this.#answerTo(hello);
    if (answer.kind !== "welcome" || hello === undefined) {
      socket.end(encodeHelloAnswer(answer));
      return;
    }
    if (hello.purpose === "members") {
      socket.end(encodeHelloAnswer({ kind: "members", clusterId, members: members() }));
      return;
    }
    socket.write(encodeHelloAnswer(answer));
    this.#options.onCaller({ id: hello.from, peerUrls: hello.peerUrls });
    if (hello.purpose === "stream") this.#serveStream(socket, rest, hello);
    else await this.#serveSnapshot(socket, rest);
  }

  #answerTo(hello: Hello | undefined): HelloAnswer {
    if (hello === undefined) return { kind: "refused", reason: "unknown-version" };
    if (hello.purpose === "members") return { kind: "welcome" };
    if (hello.clusterId !== this.#options.clusterId) return { kind: "refused", reason: "cluster-mismatch" };
    if (hello.to !== this.#options.ownId) return { kind: "refused", reason: "wrong-member" };
    // A caller that is not known yet is let in: this member may be the one that is behind.
    if (this.#options.wasRemoved(hello.from)) return { kind: "refused", reason: "removed" };
    return { kind: "welcome" };
  }

  #serveStream(socket: Socket, rest: Buffer, { from }: Hello): void {
    const { handler, logger, wasRemoved, ownId } = this.#options;
    const received = this.#receivedFrom(from);
    const framed: FramedSocket = new FramedSocket(socket, rest, {
      onFrame: (kind, payload) => {
        received.add(payload.length);
        // Removed while the connection stood: the next greeting tells it why.
        if (wasRemoved(from)) framed.close(new Error("the member was removed"));
        else if (kind === "ping") framed.send("pong", () => undefined);
        else if (kind === "request") this.#answerRequest(framed, payload);
        else if (kind === "messages") {
          const reader = new ByteReader(payload);
          while (reader.hasMore) {
            const message = readMessage(reader);
            if (message.from === from && message.to === ownId) handler.onMessage(message);
          }
        }
      },
      onClosed: (reason) => {
        if (reason !== undefined)
          logger.log("warn", "a member's connection failed", { peer: from.toString(16), reason: reason.message });
      },
    });
  }

  #receivedFrom(from: bigint): Counter {
    let counter = this.#received.get(from);
    if (counter === undefined) {
      counter = this.#options.metrics.counter("etcd_network_peer_received_bytes_total", { From: from.toString(16) });
      this.#received.set(from, counter);
    }
    return counter;
  }

  #answerRequest(framed: FramedSocket, payload: Buffer): void {
    const reader = new ByteReader(payload);
    const id = reader.uint32();
    this.#options.handler.onRequest(readRequest(reader)).then(
      (response) =>
        framed.send("response", (writer) => {
          writer.uint32(id);
          writeResponse(writer, response);
        }),
      (error: unknown) => {
        this.#options.logger.log("error", "a member's question failed", { error: String(error) });
        framed.close();
      },
    );
  }

  async #serveSnapshot(socket: Socket, rest: Buffer): Promise<void> {
    const { clock, handler } = this.#options;
    await receiveSnapshot(socket, rest, clock, {
      open: (message) => handler.openSnapshot(message),
      onSnapshot: (message, file) => handler.onSnapshot(message, file),
    });
  }

  #reject(socket: Socket, reason: string): void {
    this.#options.logger.log("warn", "rejected a member's connection", { remote: socket.remoteAddress, reason });
    socket.on("error", () => undefined);
    socket.destroy();
  }

  async close(): Promise<void> {
    const closed = this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }
}
