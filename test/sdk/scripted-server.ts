// A gRPC server on a real socket that answers exactly what a test tells it to, to meet the client with what real servers
// seldom do on demand: refused streams, foreign clusters, leases that are gone, answers in pieces.
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { type ResponseHeader, StatusResponse } from "../../proto/gen/etcdserverpb/rpc.ts";

/** One call as the server sees it. */
export class ScriptedCall {
  readonly path: string;
  readonly stream: ServerHttp2Stream;
  readonly metadata: { readonly [name: string]: unknown };
  #buffered: Buffer = Buffer.alloc(0);

  constructor(path: string, stream: ServerHttp2Stream, metadata: { readonly [name: string]: unknown }) {
    this.path = path;
    this.stream = stream;
    this.metadata = metadata;
  }

  /** Calls `onMessage` for each message of the client. */
  receive(onMessage: (message: Uint8Array) => void): void {
    this.stream.on("data", (chunk: Buffer) => {
      this.#buffered = Buffer.concat([this.#buffered, chunk]);
      while (this.#buffered.length >= 5) {
        const length = this.#buffered.readUInt32BE(1);
        if (this.#buffered.length < 5 + length) return;
        const message = this.#buffered.subarray(5, 5 + length);
        this.#buffered = this.#buffered.subarray(5 + length);
        onMessage(message);
      }
    });
  }

  /** Sends a message. */
  send(message: Uint8Array): void {
    if (this.stream.destroyed) return;
    if (!this.stream.headersSent) {
      this.stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      this.stream.on("wantTrailers", () => this.stream.sendTrailers(this.#trailers));
    }
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    this.stream.write(frame);
  }

  #trailers: { [name: string]: string } = { "grpc-status": "0" };

  /** Ends the call with a status. */
  end(status = 0, message = ""): void {
    if (this.stream.destroyed) return;
    this.#trailers = { "grpc-status": String(status), "grpc-message": encodeURIComponent(message) };
    if (this.stream.headersSent) this.stream.end();
    else
      this.stream.respond(
        { ":status": 200, "content-type": "application/grpc", ...this.#trailers },
        { endStream: true },
      );
  }

  /** Answers a unary call. */
  answer(message: Uint8Array): void {
    this.send(message);
    this.end();
  }

  /** Resets the stream with an HTTP/2 error code. */
  reset(code: number): void {
    this.stream.close(code);
  }
}

export type Script = (call: ScriptedCall, message: Uint8Array) => void;

export class ScriptedServer implements AsyncDisposable {
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #scripts = new Map<string, Script>();
  /** Paths of the calls that arrived, in order; probes left out. */
  readonly calls: string[] = [];
  clusterId = 7n;
  memberId = 1n;
  revision = 100n;

  readonly #scheme: "http" | "https";

  private constructor(tls: { readonly key: string; readonly cert: string } | undefined) {
    this.#scheme = tls === undefined ? "http" : "https";
    this.#server = tls === undefined ? createServer() : createSecureServer(tls);
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
      session.on("error", () => undefined);
    });
    this.#server.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      const path = String(headers[":path"]);
      const call = new ScriptedCall(path, stream, headers);
      if (!path.startsWith("/grpc.health")) this.calls.push(path);
      const script = this.#scripts.get(path);
      call.receive((message) => (script === undefined ? call.end(12, `no script for ${path}`) : script(call, message)));
    });
    this.on("/etcdserverpb.Maintenance/Status", (call) => call.answer(this.status()));
    this.on("/grpc.health.v1.Health/Check", (call) => call.answer(Buffer.from([8, 1])));
  }

  /** On a free port of 127.0.0.1, or on a Unix socket. */
  static async start(
    options: { readonly path?: string; readonly tls?: { readonly key: string; readonly cert: string } } = {},
  ): Promise<ScriptedServer> {
    const server = new ScriptedServer(options.tls);
    await new Promise<void>((resolve) => {
      if (options.path === undefined) server.#server.listen(0, "127.0.0.1", () => resolve());
      else server.#server.listen(options.path, () => resolve());
    });
    return server;
  }

  get endpoint(): string {
    const address = this.#server.address() as AddressInfo | string;
    return typeof address === "string" ? `unix://${address}` : `${this.#scheme}://127.0.0.1:${address.port}`;
  }

  get header(): ResponseHeader {
    return { clusterId: this.clusterId, memberId: this.memberId, revision: this.revision, raftTerm: 1n };
  }

  status(): Uint8Array {
    return StatusResponse.encode(StatusResponse.fromPartial({ header: this.header, version: "3.5.0" })).finish();
  }

  /** What to do with calls to `path`, for each message that the client sends. */
  on(path: string, script: Script): void {
    this.#scripts.set(path, script);
  }

  /** Sends GOAWAY on every connection, promising to process nothing above `lastStreamId`. */
  goaway(code: number, lastStreamId: number): void {
    for (const session of this.#sessions) session.goaway(code, lastStreamId);
  }

  /** Breaks every connection off. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
  }

  get connections(): number {
    return this.#sessions.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }
}
