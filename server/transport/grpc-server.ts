// The gRPC server: knows the methods, gives each connection a session, each request an owner, and ends them all when it
// is told to. Sockets come from the front door (or a test); services come as nice-grpc knows them.
import type { CompatServiceDefinition, ServiceImplementation } from "nice-grpc";
import type { ServerMiddleware } from "nice-grpc-common";
import type { Clock, Timer } from "../lib/clock.ts";
import { createDeferred, type Deferred } from "../lib/deferred.ts";
import { type Logger, silentLogger } from "../lib/logger.ts";
import { systemClock } from "../lib/system-clock.ts";
import type { ByteSocket } from "./byte-socket.ts";
import type { ConnectionInfo } from "./call-context.ts";
import type { CallObserver } from "./call-observer.ts";
import { DeadlineWheel } from "./deadline-wheel.ts";
import { FlushQueue } from "./flush-queue.ts";
import type { CallEnvironment } from "./grpc-call.ts";
import { type GrpcImplementation, type GrpcMethod, methodsOf } from "./grpc-method.ts";
import { isGrpcContentType } from "./grpc-request.ts";
import { encodeGrpcMessage, statusCode } from "./grpc-status.ts";
import { H2Connection } from "./h2-connection.ts";
import { H2HttpExchange } from "./h2-http-exchange.ts";
import type { H2Stream, StreamOwner } from "./h2-stream.ts";
import type { HttpHandler } from "./http-handler.ts";
import { defaultKeepalive, type KeepaliveOptions } from "./keepalive.ts";
import { completeLimits, type TransportLimits } from "./limits.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { CompressionQueue } from "./message-compression.ts";
import { withMiddleware } from "./middleware.ts";
import { SlabPool } from "./output-buffer.ts";
import type { RequestHead } from "./request-head.ts";
import { SingleRequestCall } from "./single-request-call.ts";
import { StreamRequestCall } from "./stream-request-call.ts";

export interface GrpcServerOptions {
  /** Those that differ from the defaults of limits.ts. */
  readonly limits?: Partial<TransportLimits>;
  readonly keepalive?: Partial<KeepaliveOptions>;
  readonly observer?: CallObserver;
  /** Compress responses with gzip for clients that accept it. Default: no, as etcd. */
  readonly compressesResponses?: boolean;
  /** Serves requests over HTTP/2 that are not gRPC. Default: they are answered with 415. */
  readonly http?: HttpHandler;
  /** A handler failed with something that is no status. Default: a log line. */
  readonly onError?: (error: unknown, path: string) => void;
  /** Bytes on the wire, called once per read and once per write. */
  readonly onBytes?: (received: number, sent: number) => void;
  readonly logger?: Logger;
  readonly clock?: Clock;
}

/** How often connections are looked after: timeouts, stalls and keepalive are that much late at most. */
const sweepIntervalMs = 1_000;

/** Owner of a stream that was answered at once. */
const nobody: StreamOwner = {
  onData: () => undefined,
  onEnd: () => undefined,
  onAbort: () => undefined,
  onDrain: () => undefined,
  onShutdown: () => undefined,
  onSweep: () => undefined,
};

export function createGrpcServer(options: GrpcServerOptions = {}): GrpcServer {
  return new GrpcServer(options);
}

export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #limits: TransportLimits;
  readonly #keepalive: KeepaliveOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #methods = new Map<string, GrpcMethod>();
  readonly #services = new Set<string>();
  readonly #connections = new Set<H2Connection>();
  readonly #deadlines: DeadlineWheel;
  readonly #slabs = new SlabPool();
  readonly #compression = new CompressionQueue();
  readonly #flushQueue: FlushQueue;
  readonly #receiveBudget: MemoryBudget;
  readonly #sendBudget: MemoryBudget;
  #isSweeping = false;
  #isDraining = false;
  #isClosed = false;
  /** Resolved once the last connection is gone. */
  #empty: Deferred<void> | undefined;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#limits = completeLimits(options.limits ?? {});
    this.#keepalive = { ...defaultKeepalive, ...options.keepalive };
    this.#clock = options.clock ?? systemClock;
    this.#logger = (options.logger ?? silentLogger).child("transport/grpc-server");
    this.#deadlines = new DeadlineWheel(this.#clock);
    this.#flushQueue = new FlushQueue(this.#clock);
    this.#receiveBudget = new MemoryBudget(this.#limits.serverReceiveBufferBytesMax);
    this.#sendBudget = new MemoryBudget(this.#limits.serverSendBufferBytesMax);
  }

  get limits(): TransportLimits {
    return this.#limits;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Bytes of requests and responses that wait in memory, over all connections. */
  get heldBytes(): { readonly received: number; readonly sending: number } {
    return { received: this.#receiveBudget.usedBytes, sending: this.#sendBudget.usedBytes };
  }

  /** Serves a service, as nice-grpc's server would. Throws where one of its methods is served already. */
  add<Service extends CompatServiceDefinition>(
    definition: Service,
    implementation: ServiceImplementation<Service>,
  ): this;
  /** The same, with unary methods that may answer without a promise. */
  add<Service extends CompatServiceDefinition>(definition: Service, implementation: GrpcImplementation<Service>): this;
  add(definition: CompatServiceDefinition, implementation: object): this {
    return this.#add(definition, implementation, []);
  }

  /**
   * Attaches nice-grpc middleware to the service added through the result. Its calls then take the generators' way,
   * which costs a few microseconds each.
   */
  with(...middleware: readonly ServerMiddleware[]): {
    add<Service extends CompatServiceDefinition>(
      definition: Service,
      implementation: ServiceImplementation<Service>,
    ): void;
  } {
    return { add: (definition, implementation) => this.#add(definition, implementation, middleware) };
  }

  /**
   * Serves a connection on which the client speaks HTTP/2. `received` is what was read from it already, to find that
   * out; the preface is part of it or still to come.
   */
  accept(socket: ByteSocket, connection: ConnectionInfo, received?: Buffer): void {
    if (this.#isClosed) {
      socket.destroy();
      return;
    }
    const h2: H2Connection = new H2Connection({
      socket,
      limits: this.#limits,
      keepalive: this.#keepalive,
      clock: this.#clock,
      slabs: this.#slabs,
      flushQueue: this.#flushQueue,
      sendBudget: new MemoryBudget(this.#limits.sendBufferBytesMax, this.#sendBudget),
      onRequest: (stream, head) => this.#onRequest(environment, stream, head),
      onClosed: (reason) => this.#onClosed(h2, connection, reason),
      ...(this.#options.onBytes === undefined ? {} : { onBytes: this.#options.onBytes }),
    });
    const environment: CallEnvironment = {
      connection,
      limits: this.#limits,
      clock: this.#clock,
      deadlines: this.#deadlines,
      output: h2.session.sender.output,
      receiveBudget: new MemoryBudget(this.#limits.receiveBufferBytesMax, this.#receiveBudget),
      observer: this.#options.observer,
      compression: this.#compression,
      compressesResponses: this.#options.compressesResponses ?? false,
      onError: (error, path) => this.#onError(error, path),
    };
    this.#connections.add(h2);
    this.#startSweeping();
    if (this.#isDraining) h2.drain();
    if (received !== undefined) h2.receive(received);
  }

  /**
   * Shuts down gracefully: clients are told to go elsewhere, unary calls under way finish, streaming calls hear it
   * through their signal and may end in order. Resolves when all connections are gone. A client that does not leave is
   * closed when it has had no call for one to two `idleMs` (default: `timeoutMs`), and with its calls after `timeoutMs`.
   */
  async drain(timeoutMs: number, idleMs: number = timeoutMs): Promise<void> {
    this.#isDraining = true;
    for (const connection of [...this.#connections]) connection.drain();
    const timer = this.#clock.setTimer(timeoutMs, () => this.#destroyAll("the time to drain is over"));
    let idleTimer: Timer | undefined;
    // Closed are those that had no call the last time either: who has just been answered must get the answer.
    const closeIdle = (idleBefore: ReadonlySet<H2Connection>): void => {
      const idle = [...this.#connections].filter(({ session }) => session.streams.openCount === 0);
      for (const connection of idle) if (idleBefore.has(connection)) connection.destroy("the client did not leave");
      idleTimer = this.#clock.setTimer(idleMs, () => closeIdle(new Set(idle)));
    };
    closeIdle(new Set());
    await this.#untilEmpty();
    timer.cancel();
    idleTimer?.cancel();
    await this.close();
  }

  /** Closes every connection at once; calls under way are aborted. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#destroyAll("the server was closed");
    await this.#untilEmpty();
    this.#deadlines.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #add(definition: CompatServiceDefinition, implementation: object, middleware: readonly ServerMiddleware[]): this {
    for (const method of methodsOf(definition, implementation)) {
      if (this.#methods.has(method.path)) throw new Error(`${method.path} is served already`);
      const offered = withMiddleware(method, middleware);
      this.#methods.set(method.path, offered);
      this.#services.add(method.service);
      this.#options.observer?.onOffered?.(offered);
    }
    return this;
  }

  #onRequest(environment: CallEnvironment, stream: H2Stream, head: RequestHead): StreamOwner {
    if (!isGrpcContentType(head.contentType)) {
      return this.#serveHttp(environment, stream, head);
    }
    if (head.method !== "POST") {
      stream.sendHeaders(405, [["allow", "POST"]], true);
      return nobody;
    }
    const method = this.#methods.get(head.path);
    if (method === undefined) return this.#refuseMethod(stream, head.path);
    if (method.requestStream) {
      const call = new StreamRequestCall(environment, stream, method, head);
      if (call.begin()) call.start();
      return call;
    }
    const call = new SingleRequestCall(environment, stream, method, head);
    call.begin();
    return call;
  }

  #serveHttp(environment: CallEnvironment, stream: H2Stream, head: RequestHead): StreamOwner {
    const { http } = this.#options;
    if (http === undefined) {
      stream.sendHeaders(415, [], true);
      return nobody;
    }
    const exchange = new H2HttpExchange({ ...environment, handler: http }, stream, head);
    exchange.start();
    return exchange;
  }

  /** The texts are grpc-go's. */
  #refuseMethod(stream: H2Stream, path: string): StreamOwner {
    const slash = path.lastIndexOf("/");
    const service = path.slice(1, slash);
    const name = path.slice(slash + 1);
    let details = `unknown service ${service}`;
    if (slash <= 0) details = `malformed method name: ${JSON.stringify(path)}`;
    else if (this.#services.has(service)) details = `unknown method ${name} for service ${service}`;
    const fields = [
      ["content-type", "application/grpc"],
      ["grpc-status", String(statusCode.unimplemented)],
      ["grpc-message", encodeGrpcMessage(details)],
    ] as const;
    stream.sendHeaders(200, fields, true);
    return nobody;
  }

  #onError(error: unknown, path: string): void {
    if (this.#options.onError !== undefined) this.#options.onError(error, path);
    else this.#logger.log("error", "a handler failed with something that is no status", { path, error });
  }

  #onClosed(h2: H2Connection, connection: ConnectionInfo, reason: string): void {
    this.#connections.delete(h2);
    this.#logger.log("debug", "connection closed", { peer: connection.peer, reason });
    if (this.#connections.size === 0) this.#empty?.resolve();
  }

  #destroyAll(reason: string): void {
    for (const connection of [...this.#connections]) connection.destroy(reason);
  }

  async #untilEmpty(): Promise<void> {
    if (this.#connections.size === 0) return;
    this.#empty ??= createDeferred();
    await this.#empty.promise;
    this.#empty = undefined;
  }

  #startSweeping(): void {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    this.#clock.setTimer(sweepIntervalMs, () => {
      this.#isSweeping = false;
      const nowMs = this.#clock.nowMs();
      for (const connection of [...this.#connections]) connection.session.sweep(nowMs);
      if (this.#connections.size > 0) this.#startSweeping();
    });
  }
}
