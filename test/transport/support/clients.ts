// Small clients that tests share: HTTP/1.1 and HTTP/2 requests by Node's own modules, and bare sockets.
import { request as httpRequest } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** One HTTP/1.1 request on a connection of its own. */
export function http1(url: string, ask: Ask = {}, options: ConnectionOptions = {}): Promise<Answer> {
  const send = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      { method: ask.method ?? "GET", headers: { ...ask.headers }, agent: false, ...options } as object,
      (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          body += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(ask.body);
  });
}

/** One request on an HTTP/2 session. */
export function http2On(session: ClientHttp2Session, path: string, ask: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": path, ":method": ask.method ?? "GET", ...ask.headers });
    let headers: IncomingHttpHeaders = {};
    let body = "";
    stream.setEncoding("utf8");
    stream.on("response", (received) => {
      headers = received;
    });
    stream.on("data", (chunk: string) => {
      body += chunk;
    });
    stream.on("end", () => resolve({ status: Number(headers[":status"]), headers, body }));
    stream.on("error", reject);
    stream.end(ask.body);
  });
}

/** One HTTP/2 request on a connection of its own. */
export async function http2(url: string, ask: Ask = {}, options: ConnectionOptions = {}): Promise<Answer> {
  const { origin, pathname, search } = new URL(url);
  const session = connectHttp2(origin, options);
  try {
    return await new Promise<Answer>((resolve, reject) => {
      session.on("error", reject);
      session.on("close", () => reject(new Error("the session was closed")));
      http2On(session, pathname + search, ask).then(resolve, reject);
    });
  } finally {
    session.close();
  }
}

/** A bare connection that remembers all it receives. */
export class BareSocket {
  readonly socket: Socket;
  /** Everything received so far. */
  received = Buffer.alloc(0);
  isClosed = false;
  readonly #closed: Promise<void>;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    // A reset is a way to be closed; what matters to tests is that it was.
    socket.on("error", () => undefined);
    this.#closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.isClosed = true;
        resolve();
      });
    });
  }

  static async connect(port: number): Promise<BareSocket> {
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new BareSocket(socket);
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Resolves when the server has closed the connection. */
  closed(): Promise<void> {
    return this.#closed;
  }

  destroy(): void {
    this.socket.destroy();
  }
}
