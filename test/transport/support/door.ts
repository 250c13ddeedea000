// A front door with the echo service and a few pages behind it, and a logger that remembers what was said.
import type { LogFields, Logger, LogLevel } from "../../../server/lib/logger.ts";
import { systemClock } from "../../../server/lib/system-clock.ts";
import {
  createFrontDoor,
  type FrontDoor,
  type Listener,
  type Rejection,
  type Serves,
} from "../../../server/transport/front-door.ts";
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from "../../../server/transport/grpc-server.ts";
import { HttpError, type HttpHandler, readBody } from "../../../server/transport/http-handler.ts";
import { TlsContext, type TlsOptions } from "../../../server/transport/tls-context.ts";
import { createEchoService, createJournal, EchoDefinition, type EchoJournal } from "./echo-service.ts";

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

export interface MemoryLogger extends Logger {
  readonly lines: LogLine[];
  /** Resolves with the first line for which `matches` holds, said already or still to come. */
  until(matches: (line: LogLine) => boolean): Promise<LogLine>;
}

export function createMemoryLogger(): MemoryLogger {
  const lines: LogLine[] = [];
  let waiting: { readonly matches: (line: LogLine) => boolean; readonly resolve: (line: LogLine) => void }[] = [];
  const logger: MemoryLogger = {
    lines,
    log(level, message, fields = {}) {
      const line = { level, message, fields };
      lines.push(line);
      for (const waiter of waiting) if (waiter.matches(line)) waiter.resolve(line);
      waiting = waiting.filter((waiter) => !waiter.matches(line));
    },
    child: () => logger,
    until(matches) {
      const said = lines.find(matches);
      return said === undefined ? new Promise((resolve) => waiting.push({ matches, resolve })) : Promise.resolve(said);
    },
  };
  return logger;
}

/** `/page` a text, `/echo` the request back, `/stream` numbers, `/wait` until aborted, `/fail` an error. */
export function createPages(journal: EchoJournal): HttpHandler {
  return async (request) => {
    switch (request.target.split("?")[0]) {
      case "/page":
        return {
          status: 200,
          headers: { "content-type": "text/plain", "x-protocol": request.protocol },
          body: "a page\n",
        };
      case "/echo": {
        const body = await readBody(request, 100_000);
        const names = [...request.headers.keys()].filter((name) => name.startsWith("x-"));
        const { method, target, host, connection } = request;
        const seen = { method, target, host, isTls: connection.isTls, names, body: body.toString() };
        return { status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(seen) };
      }
      case "/large":
        return { status: 200, body: Buffer.alloc(3_000_000, "L") };
      case "/empty":
        return { status: 204 };
      case "/stream":
        return { status: 200, body: numbers(Number(new URLSearchParams(request.target.split("?")[1]).get("count"))) };
      case "/wait":
        return { status: 200, body: untilAborted(request.signal, journal) };
      case "/teapot":
        throw new HttpError(418, "short and stout");
      case "/fail":
        throw new Error("secret internals");
      default:
        return { status: 404, body: "404 page not found\n" };
    }
  };
}

async function* numbers(count: number): AsyncIterable<string> {
  for (let i = 0; i < count; i++) yield `${i}\n`;
}

async function* untilAborted(signal: AbortSignal, journal: EchoJournal): AsyncIterable<string> {
  yield "waiting\n";
  journal.note("http waiting");
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  journal.note("http aborted");
  yield "done\n";
}

export interface OpenDoor {
  readonly door: FrontDoor;
  readonly grpc: GrpcServer;
  readonly journal: EchoJournal;
  readonly logger: MemoryLogger;
  readonly errors: unknown[];
  /** Connections turned away, by kind. */
  readonly rejections: Rejection[];
  readonly tls: TlsContext | undefined;
  listen(url: string, serves?: Serves): Promise<Listener>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function openDoor(options: GrpcServerOptions & { readonly tlsOptions?: TlsOptions } = {}): OpenDoor {
  const journal = createJournal();
  const logger = createMemoryLogger();
  const errors: unknown[] = [];
  const rejections: Rejection[] = [];
  const onRejected = (kind: Rejection): void => {
    rejections.push(kind);
  };
  const onError = (error: unknown): void => {
    errors.push(error);
  };
  const http = createPages(journal);
  const grpc = createGrpcServer({ http, onError, ...options }).add(EchoDefinition, createEchoService(journal));
  const tls = options.tlsOptions === undefined ? undefined : new TlsContext(options.tlsOptions, systemClock, logger);
  const door = createFrontDoor({ grpc, http, logger, onError, onRejected, ...(tls === undefined ? {} : { tls }) });
  return {
    door,
    grpc,
    journal,
    logger,
    errors,
    rejections,
    tls,
    listen: (url, serves) => door.listen(url, serves),
    async [Symbol.asyncDispose]() {
      tls?.close();
      await door.close();
    },
  };
}
