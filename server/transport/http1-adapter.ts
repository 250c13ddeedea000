// HTTP/1.1 by node:http: turns its requests and responses into those of http-handler.ts. Sockets are handed in by the
// front door; the server never listens, so node:http does not look after its connections, and this adapter does.

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../lib/clock.ts";
import type { ConnectionInfo } from "./call-context.ts";
import { CallAborted } from "./grpc-status.ts";
import { type HttpHandler, type HttpRequest, type HttpResponse, respond } from "./http-handler.ts";
import type { TransportLimits } from "./limits.ts";

/** An HTTP/1.1 request that asks to become something else (a websocket). `head` are bytes read beyond it. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface Http1AdapterOptions {
  readonly handler: HttpHandler;
  readonly limits: TransportLimits;
  readonly clock: Clock;
  readonly onError: (error: unknown, path: string) => void;
  /** Default: such requests are served as if they had not asked. */
  readonly onUpgrade?: UpgradeHandler;
}

/** From one response to the complete headers of the next request, however slowly they come. */
const keepAliveTimeoutMs = 120_000;
const sweepIntervalMs = 1_000;
const timeoutResponse = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

interface Exchange {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  readonly startedAtMs: number;
  readonly controller: AbortController;
  isStreaming: boolean;
}

interface Connection {
  readonly info: ConnectionInfo;
  /** Requests under way; more than one where the client sends them without waiting. */
  readonly exchanges: Set<Exchange>;
  /** Since when there is none, and how long that may last. */
  idleSinceMs: number;
  idleMsMax: number;
}

export class Http1Adapter {
  readonly #options: Http1AdapterOptions;
  readonly #server: Server;
  readonly #connections = new Map<Duplex, Connection>();
  #timer: Timer | undefined;
  #isDraining = false;

  constructor(options: Http1AdapterOptions) {
    this.#options = options;
    const { limits, onUpgrade } = options;
    const serverOptions = { maxHeaderSize: limits.headerListBytesMax, keepAliveTimeout: keepAliveTimeoutMs };
    this.#server = createServer(serverOptions, (message, response) => {
      this.#serve(message, response).catch((error: unknown) => {
        options.onError(error, message.url ?? "");
        response.destroy();
      });
    });
    if (onUpgrade === undefined) return;
    this.#server.on("upgrade", (message, socket, head) => {
      // Whatever it becomes, it is not ours to look after any more.
      this.#connections.delete(socket);
      onUpgrade(message, socket, head);
    });
  }

  /** Serves a connection; what was read from it has been put back. */
  accept(socket: Duplex, info: ConnectionInfo): void {
    const { clock, limits } = this.#options;
    this.#connections.set(socket, {
      info,
      exchanges: new Set(),
      idleSinceMs: clock.nowMs(),
      idleMsMax: limits.incompleteFrameTimeoutMs,
    });
    socket.once("close", () => this.#connections.delete(socket));
    this.#startSweeping();
    this.#server.emit("connection", socket);
  }

  /** Finishes what is under way, ends streams, and closes connections as they fall idle. */
  drain(): void {
    this.#isDraining = true;
    for (const [socket, { exchanges }] of [...this.#connections]) {
      if (exchanges.size === 0) socket.destroy();
      for (const { controller, isStreaming } of exchanges) {
        if (isStreaming) controller.abort(new CallAborted("shutdown"));
      }
    }
  }

  /** Closes every connection. */
  close(): void {
    this.#isDraining = true;
    this.#timer?.cancel();
    for (const socket of [...this.#connections.keys()]) socket.destroy();
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const { handler, onError, clock } = this.#options;
    const connection = this.#connections.get(message.socket)!;
    const exchange: Exchange = {
      message,
      response,
      startedAtMs: clock.nowMs(),
      controller: new AbortController(),
      isStreaming: false,
    };
    connection.exchanges.add(exchange);
    response.on("close", () => {
      connection.exchanges.delete(exchange);
      connection.idleSinceMs = clock.nowMs();
      connection.idleMsMax = keepAliveTimeoutMs;
      if (!response.writableFinished) exchange.controller.abort(new CallAborted("disconnected"));
    });
    const result = await respond(handler, toRequest(exchange, connection.info), onError);
    if (response.destroyed || response.headersSent) return;
    try {
      await this.#send(exchange, result);
    } catch (error) {
      if (!exchange.controller.signal.aborted) onError(error, message.url ?? "");
      response.destroy();
    }
    // A body that nobody read would be taken for the next request.
    if (!message.complete) response.once("finish", () => message.destroy());
  }

  async #send(exchange: Exchange, result: HttpResponse): Promise<void> {
    const { message, response } = exchange;
    const { body } = result;
    if (this.#isDraining) response.setHeader("connection", "close");
    if (body === undefined || typeof body === "string" || body instanceof Uint8Array) {
      const bytes = body === undefined ? Buffer.alloc(0) : typeof body === "string" ? Buffer.from(body) : body;
      const length = result.status === 204 || result.status < 200 ? {} : { "content-length": String(bytes.length) };
      response.writeHead(result.status, { ...result.headers, ...length });
      response.end(message.method === "HEAD" ? undefined : bytes);
      return;
    }
    exchange.isStreaming = true;
    response.writeHead(result.status, result.headers);
    // Whoever waits for a stream wants to know that it has begun.
    response.flushHeaders();
    for await (const chunk of body) {
      if (response.destroyed) return;
      if (!response.write(chunk)) await Promise.race([once(response, "drain"), once(response, "close")]);
    }
    response.end();
  }

  #startSweeping(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#options.clock.setTimer(sweepIntervalMs, () => {
      this.#timer = undefined;
      const nowMs = this.#options.clock.nowMs();
      for (const [socket, connection] of [...this.#connections]) this.#sweep(socket, connection, nowMs);
      if (this.#connections.size > 0) this.#startSweeping();
    });
  }

  /** Ends a connection that sends headers or a body too slowly, or nothing for too long. */
  #sweep(socket: Duplex, { exchanges, idleSinceMs, idleMsMax }: Connection, nowMs: number): void {
    if (exchanges.size === 0) {
      if (nowMs - idleSinceMs < idleMsMax) return;
      // Only a connection that has never asked anything is worth an explanation.
      if (idleMsMax === keepAliveTimeoutMs) socket.destroy();
      else socket.end(timeoutResponse, () => socket.destroy());
      return;
    }
    for (const { message, response, startedAtMs, isStreaming } of exchanges) {
      const isLate = !message.complete && nowMs - startedAtMs >= this.#options.limits.requestTimeoutMs;
      // Where the response is a stream, the request may be one too.
      if (!isLate || isStreaming) continue;
      if (response.headersSent) message.destroy();
      else {
        response.once("finish", () => message.destroy());
        response.writeHead(408, { connection: "close", "content-length": "0" }).end();
      }
    }
  }
}

function toRequest({ message, controller }: Exchange, connection: ConnectionInfo): HttpRequest {
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return {
    method: message.method ?? "",
    target: message.url ?? "",
    host: message.headers.host ?? "",
    headers,
    protocol: "HTTP/1.1",
    connection,
    signal: controller.signal,
    body: message as AsyncIterable<Buffer>,
  };
}
