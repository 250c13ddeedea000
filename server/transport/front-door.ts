// Where clients come in: listens on URLs, speaks TLS where they say so, finds out what each client speaks and hands the
// connection to the gRPC server or to HTTP/1.1. It knows no service and no route.
import { rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import { type Logger, silentLogger } from "../lib/logger.ts";
import { systemClock } from "../lib/system-clock.ts";
import type { ClientCertificate, ConnectionInfo } from "./call-context.ts";
import { verifyClient } from "./client-verifier.ts";
import type { GrpcServer } from "./grpc-server.ts";
import { handshakeFault } from "./handshake-fault.ts";
import { HandshakeGate } from "./handshake-gate.ts";
import type { HttpHandler } from "./http-handler.ts";
import { Http1Adapter, type UpgradeHandler } from "./http1-adapter.ts";
import { hostPort, type ListenAddress, parseListenUrl, resolveListenHost } from "./listen-url.ts";
import { type Protocol, sniffProtocol } from "./protocol-sniffer.ts";
import type { TlsContext } from "./tls-context.ts";

export interface FrontDoorOptions {
  readonly grpc: GrpcServer;
  /** Serves HTTP/1.1. Give the same handler to the gRPC server for HTTP/2. Default: HTTP/1.1 is turned away. */
  readonly http?: HttpHandler;
  readonly onUpgrade?: UpgradeHandler;
  /** Needed for `https` and `unixs`. */
  readonly tls?: TlsContext;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly onError?: (error: unknown, path: string) => void;
  /** A connection was turned away; for counting. The log has the details. */
  readonly onRejected?: (kind: Rejection) => void;
}

/** Why a connection is turned away. */
export type Rejection =
  /** There are too many, of connections or of unfinished handshakes. */
  | "limit"
  /** The TLS handshake failed or was not finished. */
  | "handshake"
  /** The client's certificate is missing, not trusted, revoked or of a name that is not allowed. */
  | "certificate"
  /** It speaks something that is not served here, or nothing. */
  | "protocol";

/** What may come in through a listener: etcd's --listen-client-http-urls keeps the two apart. */
export type Serves = "all" | "grpc" | "http";

export interface Listener {
  /** The URL with the port that was taken. */
  readonly url: string;
  /** Undefined on a unix socket. */
  readonly port: number | undefined;
}

/** Connections that the kernel keeps for us until they are accepted. */
const listenBacklog = 1024;

export function createFrontDoor(options: FrontDoorOptions): FrontDoor {
  return new FrontDoor(options);
}

export class FrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #http: Http1Adapter | undefined;
  readonly #gate: HandshakeGate;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** Those of them of which it is not known yet what they speak. */
  readonly #undecided = new Set<Socket>();
  #isClosed = false;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = (options.logger ?? silentLogger).child("transport/front-door");
    const { limits } = options.grpc;
    this.#gate = new HandshakeGate(limits.handshakesMax, limits.handshakesPerAddressMax);
    if (options.http === undefined) return;
    this.#http = new Http1Adapter({
      handler: options.http,
      limits,
      clock: this.#clock,
      onError: options.onError ?? ((error, path) => this.#logger.log("error", "a request failed", { path, error })),
      ...(options.onUpgrade === undefined ? {} : { onUpgrade: options.onUpgrade }),
    });
  }

  /** Connections that are open, whatever they speak. */
  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** TLS handshakes that have begun and not ended. */
  get handshakeCount(): number {
    return this.#gate.total;
  }

  /** Starts to listen. Rejects where the URL is none of ours, needs TLS that is not configured, or is taken. */
  async listen(url: string, serves: Serves = "all"): Promise<Listener> {
    const address = parseListenUrl(url);
    const server = createServer({ noDelay: true, keepAlive: true }, this.#acceptor(address, serves));
    await bind(server, address);
    if (this.#isClosed) {
      server.close();
      throw new Error("the front door was closed");
    }
    this.#servers.push(server);
    server.on("error", (error) => this.#logger.log("error", "listening failed", { url, error }));
    const bound = server.address();
    const port = typeof bound === "object" && bound !== null ? bound.port : undefined;
    const taken = port === undefined ? url : url.replace(/:\d+\/?$/, `:${port}`);
    this.#logger.log("info", "listening", { url: taken });
    return { url: taken, port };
  }

  /**
   * Stops listening, lets calls under way finish for `timeoutMs` and closes what is left; HTTP/2 connections that have had
   * no call for one to two `idleMs` (default: `timeoutMs`) are closed before.
   */
  async drain(timeoutMs: number, idleMs: number = timeoutMs): Promise<void> {
    this.#isClosed = true;
    const closed = this.#stopListening();
    this.#http?.drain();
    for (const socket of [...this.#undecided]) socket.destroy();
    this.#gate.closeAll();
    const timer = this.#clock.setTimer(timeoutMs, () => this.#destroyAll());
    await this.#options.grpc.drain(timeoutMs, idleMs);
    await closed;
    timer.cancel();
    await this.close();
  }

  /** Closes everything at once. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const closed = this.#stopListening();
    this.#http?.close();
    this.#destroyAll();
    await this.#options.grpc.close();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Resolves when all listeners and all their connections are closed. */
  async #stopListening(): Promise<void> {
    const servers = this.#servers.splice(0);
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #destroyAll(): void {
    for (const socket of [...this.#sockets]) socket.destroy();
  }

  /** What is done with each connection of a listener. */
  #acceptor({ isTls }: ListenAddress, serves: Serves): (socket: Socket) => void {
    if (!isTls) {
      return (socket) => {
        if (this.#admit(socket)) this.#sniff(socket, infoOf(socket, false, undefined), serves);
      };
    }
    const startTls = this.#tlsStarter(serves);
    return (socket) => {
      if (!this.#admit(socket)) return;
      if (this.#gate.enter(socket)) startTls(socket);
      else this.#reject(socket, "limit", "too many unfinished TLS handshakes");
    };
  }

  /** Counts the connection in, if there is room for it. */
  #admit(socket: Socket): boolean {
    if (this.#isClosed || this.#sockets.size >= this.#options.grpc.limits.connectionsMax) {
      this.#reject(socket, "limit", "too many connections");
      return false;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    // An error is followed by close, which whoever holds the socket then hears.
    socket.on("error", () => undefined);
    return true;
  }

  #tlsStarter(serves: Serves): (socket: Socket) => void {
    const { tls, grpc } = this.#options;
    if (tls === undefined) throw new Error("an https or unixs URL needs a certificate and a key");
    const server = createTlsServer({
      ...tls.secureOptions,
      ALPNProtocols: serves === "http" ? ["http/1.1"] : serves === "grpc" ? ["h2"] : ["h2", "http/1.1"],
      handshakeTimeout: grpc.limits.handshakeTimeoutMs,
      requestCert: tls.rules.isCertificateRequired,
      // The verifier decides, so that one rule holds everywhere and its reason is logged.
      rejectUnauthorized: false,
    });
    tls.onChange((secureOptions) => server.setSecureContext(secureOptions));
    server.on("secureConnection", (socket) => {
      this.#gate.leave(socket.remoteAddress, socket.remotePort);
      this.#onSecure(socket, serves);
    });
    server.on("tlsClientError", (error, socket) => this.#reject(socket, "handshake", handshakeFault(error)));
    return (socket) => server.emit("connection", socket);
  }

  #onSecure(socket: TLSSocket, serves: Serves): void {
    const verdict = verifyClient(socket, this.#options.tls!.rules);
    if (verdict.kind === "rejected") {
      this.#reject(socket, "certificate", verdict.reason);
      return;
    }
    const info = infoOf(socket, true, verdict.certificate);
    if (socket.alpnProtocol === "h2") this.#serve("h2", socket, info, serves, undefined);
    else if (socket.alpnProtocol === "http/1.1") this.#serve("http/1.1", socket, info, serves, undefined);
    else this.#sniff(socket, info, serves);
  }

  #sniff(socket: Socket, info: ConnectionInfo, serves: Serves): void {
    const options = { clock: this.#clock, timeoutMs: this.#options.grpc.limits.handshakeTimeoutMs };
    const onDecided = (protocol: Protocol, received: Buffer): void => {
      this.#undecided.delete(socket);
      this.#serve(protocol, socket, info, serves, received);
    };
    const onGiveUp = (reason: string): void => {
      this.#undecided.delete(socket);
      this.#reject(socket, "protocol", reason);
    };
    this.#undecided.add(socket);
    sniffProtocol(socket, options, onDecided, onGiveUp);
  }

  #serve(protocol: Protocol, socket: Socket, info: ConnectionInfo, serves: Serves, received: Buffer | undefined): void {
    if (protocol === "h2" && serves !== "http") {
      this.#options.grpc.accept(socket, info, received);
      socket.resume();
    } else if (protocol === "http/1.1" && serves !== "grpc" && this.#http !== undefined) {
      if (received !== undefined) socket.unshift(received);
      this.#http.accept(socket, info);
      socket.resume();
    } else if (protocol === "tls") this.#reject(socket, "protocol", "a TLS handshake on a port without TLS");
    else if (protocol === "unknown") this.#reject(socket, "protocol", "neither HTTP/2 nor HTTP/1.1");
    else this.#reject(socket, "protocol", `${protocol} is not served here`);
  }

  #reject(socket: Socket, kind: Rejection, reason: string): void {
    this.#options.onRejected?.(kind);
    const peer = peerOf(socket);
    this.#logger.log("warn", "rejected connection", { peer, reason });
    // A socket may fail while it is being closed; that is the end of it all the same.
    socket.on("error", () => undefined);
    socket.destroy();
  }
}

async function bind(server: Server, { target }: ListenAddress): Promise<void> {
  if (target.kind === "tcp") {
    const host = await resolveListenHost(target.host);
    await listening(server, { host, port: target.port, backlog: listenBacklog });
    return;
  }
  try {
    await listening(server, { path: target.path, backlog: listenBacklog });
  } catch (error) {
    // A file left by a process that is gone does not keep us out; one that somebody listens on does.
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || (await isAnswered(target.path))) throw error;
    await rm(target.path);
    await listening(server, { path: target.path, backlog: listenBacklog });
  }
}

function listening(
  server: Server,
  options: { path?: string; host?: string; port?: number; backlog: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Whether anybody accepts connections on a unix socket. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

function infoOf(socket: Socket, isTls: boolean, clientCertificate: ClientCertificate | undefined): ConnectionInfo {
  return { peer: peerOf(socket), isTls, clientCertificate };
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return remoteAddress === undefined || remotePort === undefined ? "unknown" : hostPort(remoteAddress, remotePort);
}
