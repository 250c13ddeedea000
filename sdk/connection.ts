// One HTTP/2 connection to one member, and gRPC calls on it. The only file that opens sockets. It knows nothing of
// retries, of other members or of what the messages mean; it says how far a failed call came, which the rest builds on.
//
// Built on node:http2 itself: what must be known here (was the stream refused, did any byte arrive, may the process
// end) is out of reach behind a general gRPC client. See DESIGN.md.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { monotonicMs, onAbort, timerMsMax } from "./abort.ts";
import type { Address } from "./address.ts";
import { FrameReader, frameMessage } from "./framing.ts";
import { CallFailure, grpcStatus, SilenceFailure, statusOfHttp } from "./grpc-status.ts";
import type { TlsOptions } from "./options.ts";

export interface ConnectionOptions {
  readonly tls: TlsOptions | undefined;
  readonly connectTimeoutMs: number;
  /** Silence, while calls are open, after which the member is asked for a sign of life. */
  readonly probeAfterMs: number;
  /** Silence after which the connection is taken for dead. */
  readonly deadAfterMs: number;
  readonly messageBytesMax: number;
}

export type Metadata = { readonly [name: string]: string };

export interface UnaryOptions {
  readonly metadata?: Metadata;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What happens on a call. After `onEnd` nothing more comes; without a failure the call ended well. */
export interface StreamHandlers {
  onMessage(message: Uint8Array): void;
  onEnd(failure: CallFailure | undefined): void;
}

/** A call in both directions that stays open. */
export interface StreamCall {
  /** Sends a message; does nothing once the call has ended. */
  write(message: Uint8Array): void;
  /** Says that no more messages will be sent. */
  endWriting(): void;
  /** Stops receiving until `resume`; what the window still lets through arrives nevertheless. */
  pause(): void;
  resume(): void;
  /** Ends the call from this side; `onEnd` is not called any more. */
  cancel(): void;
}

export const userAgent = "quorate-sdk/0.1.0";
const probePath = "/grpc.health.v1.Health/Check";
const windowBytes = 4 * 1024 * 1024;
const none = new Uint8Array(0);

export class Connection {
  readonly address: Address;
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #onClose: (cause: CallFailure) => void;
  #openCalls = 0;
  readonly #streams = new Set<Call>();
  /** Highest stream id that the server will still process, once it has said goodbye. */
  #goawayLastId: number | undefined;
  #destroyCause: CallFailure | undefined;
  #isReported = false;
  #watchdog: NodeJS.Timeout | undefined;
  #bytesSeen = 0;
  #heardMs = monotonicMs();
  #tickMs = 0;
  #isProbing = false;

  private constructor(
    address: Address,
    session: ClientHttp2Session,
    socket: Socket,
    options: ConnectionOptions,
    onClose: (cause: CallFailure) => void,
  ) {
    this.address = address;
    this.#session = session;
    this.#socket = socket;
    this.#options = options;
    this.#onClose = onClose;
    session.on("error", (error) => this.#noteCause(error));
    session.on("goaway", (_code, lastStreamId) => {
      this.#goawayLastId = Math.min(lastStreamId, this.#goawayLastId ?? lastStreamId);
      this.#noteCause(new Error("the member is closing the connection"));
      this.#report();
    });
    session.on("close", () => this.#report());
  }

  /**
   * Connects and waits for the server's HTTP/2 settings, so that what answers is known to speak HTTP/2.
   * `onClose` is called once when no new call may be made on it. Rejects with a {@link CallFailure}.
   */
  static open(
    address: Address,
    options: ConnectionOptions,
    onClose: (cause: CallFailure) => void,
    signal?: AbortSignal,
  ): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = openSocket(address, options.tls);
      // Nothing keeps the process alive by itself; whoever waits for an answer holds it (hold.ts).
      socket.unref();
      const session = connectHttp2(`${address.isTls ? "https" : "http"}://${address.authority}`, {
        createConnection: () => socket,
        settings: { enablePush: false, initialWindowSize: windowBytes },
        maxSessionMemory: 1024,
      });
      let stopListening = (): void => undefined;
      const settle = (): void => {
        clearTimeout(timer);
        stopListening();
        session.removeListener("error", fail);
        session.removeListener("close", onClosed);
        session.removeListener("remoteSettings", onSettings);
        socket.removeListener("error", fail);
      };
      const fail = (cause: Error): void => {
        settle();
        session.on("error", () => undefined);
        socket.on("error", () => undefined);
        session.destroy();
        socket.destroy();
        const text = `cannot connect to ${address.url}: ${cause.message}`;
        reject(new CallFailure(grpcStatus.unavailable, text, "unsent", cause));
      };
      const onClosed = (): void => fail(new Error("closed by the other side"));
      const onSettings = (): void => {
        settle();
        session.setLocalWindowSize(windowBytes * 4);
        resolve(new Connection(address, session, socket, options, onClose));
      };
      const onTimeout = (): void => fail(new Error(`no answer within ${options.connectTimeoutMs} ms`));
      const timer = setTimeout(onTimeout, Math.min(options.connectTimeoutMs, timerMsMax));
      timer.unref();
      session.on("error", fail);
      session.on("close", onClosed);
      session.on("remoteSettings", onSettings);
      socket.on("error", fail);
      stopListening = onAbort(signal, () => fail(new Error("given up")));
    });
  }

  /** False once the other side said goodbye or the connection broke: calls in flight may still end well, new ones fail. */
  get isUsable(): boolean {
    return !this.#session.closed && !this.#session.destroyed && this.#goawayLastId === undefined;
  }

  /** One request, one response. Rejects with a {@link CallFailure}. */
  unary(path: string, message: Uint8Array, options: UnaryOptions): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      let response: Uint8Array | undefined;
      let stopListening = (): void => undefined;
      const onMessage = (received: Uint8Array): void => {
        response = received;
      };
      const onEnd = (failure: CallFailure | undefined): void => {
        clearTimeout(timer);
        stopListening();
        if (failure !== undefined) reject(failure);
        else if (response !== undefined) resolve(response);
        else reject(new CallFailure(grpcStatus.internal, "the answer holds no message", "sent"));
      };
      const call = this.#start(path, options.metadata, options.timeoutMs, { onMessage, onEnd });
      const onTimeout = (): void => {
        const text = `no answer within ${Math.round(options.timeoutMs)} ms`;
        call.abandon(new CallFailure(grpcStatus.deadlineExceeded, text, "sent"));
      };
      const timer = setTimeout(onTimeout, Math.min(options.timeoutMs, timerMsMax));
      timer.unref();
      stopListening = onAbort(options.signal, () => {
        call.abandon(new CallFailure(grpcStatus.canceled, "given up by the caller", "sent"));
      });
      call.end(message);
    });
  }

  /** A call that stays open in both directions, without a deadline. */
  stream(path: string, metadata: Metadata, handlers: StreamHandlers): StreamCall {
    const call = this.#start(path, metadata, undefined, {
      onMessage: handlers.onMessage,
      onEnd: (failure) => {
        this.#streams.delete(call);
        handlers.onEnd(failure);
      },
    });
    this.#streams.add(call);
    return {
      write: (message) => call.write(message),
      endWriting: () => call.endWriting(),
      pause: () => call.pause(),
      resume: () => call.resume(),
      cancel: () => {
        this.#streams.delete(call);
        call.cancel();
      },
    };
  }

  /** Breaks the connection; every open call fails with `cause`. */
  destroy(cause: CallFailure): void {
    this.#destroyCause ??= cause;
    this.#session.destroy();
    this.#socket.destroy();
  }

  /** Takes no new calls and closes when those that are open have ended. Streams are ended now, so that they go elsewhere. */
  retire(cause: CallFailure): void {
    this.#isReported = true;
    this.#destroyCause ??= cause;
    this.#session.close();
    for (const call of [...this.#streams]) call.abandon(cause);
  }

  /** Closes for good. Open calls fail. */
  close(): void {
    this.#isReported = true;
    this.destroy(new CallFailure(grpcStatus.canceled, "the client was closed", "sent"));
  }

  #noteCause(error: Error): void {
    const text = `connection to ${this.address.url} lost: ${error.message}`;
    this.#destroyCause ??= new CallFailure(grpcStatus.unavailable, text, "sent", error);
  }

  #report(): void {
    if (this.#isReported) return;
    this.#isReported = true;
    this.#noteCause(new Error("closed by the other side"));
    this.#onClose(this.#destroyCause!);
  }

  #start(path: string, metadata: Metadata | undefined, timeoutMs: number | undefined, handlers: StreamHandlers): Call {
    const headers: OutgoingHttpHeaders = {
      ":method": "POST",
      ":path": path,
      te: "trailers",
      "content-type": "application/grpc",
      "user-agent": userAgent,
      ...metadata,
    };
    if (timeoutMs !== undefined) headers["grpc-timeout"] = grpcTimeout(timeoutMs);
    let stream: ClientHttp2Stream | undefined;
    let cause: unknown;
    try {
      stream = this.isUsable ? this.#session.request(headers) : undefined;
    } catch (error) {
      // The session closed between the check and the request: nothing was sent.
      cause = error;
    }
    const onReleased = (): void => {
      if (stream !== undefined) this.#callEnded();
    };
    const call = new Call(stream, this.#options.messageBytesMax, handlers, onReleased);
    if (stream === undefined) {
      queueMicrotask(() => {
        const text = `the connection to ${this.address.url} is closed`;
        call.abandon(new CallFailure(grpcStatus.unavailable, text, "unsent", cause ?? this.#destroyCause));
      });
      return call;
    }
    this.#callStarted();
    call.attach((error) => this.#failureOf(stream, error));
    return call;
  }

  /** What a stream that ended without a status means. */
  #failureOf(stream: ClientHttp2Stream, error: Error | undefined): CallFailure {
    const isRefused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
    // After GOAWAY the server promises to have ignored every stream above the id that it named (RFC 9113, 6.8).
    const isBeyondGoaway = this.#goawayLastId !== undefined && (stream.id ?? Infinity) > this.#goawayLastId;
    const progress = isRefused || isBeyondGoaway || stream.id === undefined ? "unsent" : "sent";
    const cause = this.#destroyCause ?? error;
    if (isRefused) return new CallFailure(grpcStatus.unavailable, "the member refused the call", progress, cause);
    if (cause instanceof CallFailure) return new CallFailure(cause.status, cause.message, progress, cause);
    const why = error?.message ?? `stream closed with HTTP/2 code ${stream.rstCode}`;
    return new CallFailure(grpcStatus.unavailable, `call to ${this.address.url} broken off: ${why}`, progress, cause);
  }

  #callStarted(): void {
    this.#openCalls += 1;
    if (this.#watchdog !== undefined) return;
    // Silence counts only while somebody waits for something.
    this.#heardMs = monotonicMs();
    this.#tickMs = this.#heardMs;
    this.#watchdog = setInterval(() => this.#watch(), Math.min(250, this.#options.probeAfterMs / 4));
    this.#watchdog.unref();
  }

  #callEnded(): void {
    this.#openCalls -= 1;
    if (this.#openCalls > 0 || this.#watchdog === undefined) return;
    clearInterval(this.#watchdog);
    this.#watchdog = undefined;
  }

  /** Half-open connections never report an error: only silence gives them away. */
  #watch(): void {
    const now = monotonicMs();
    const lateMs = now - this.#tickMs;
    this.#tickMs = now;
    const bytesRead = this.#socket.bytesRead;
    // After a stall of our own event loop the answers may lie unread in the socket: that silence is our own.
    if (bytesRead !== this.#bytesSeen || lateMs > this.#options.probeAfterMs) {
      this.#bytesSeen = bytesRead;
      this.#heardMs = now;
      return;
    }
    const silentMs = now - this.#heardMs;
    if (silentMs >= this.#options.deadAfterMs) {
      const text = `connection to ${this.address.url} lost: not a byte for ${Math.round(silentMs)} ms`;
      this.destroy(new SilenceFailure(text));
    } else if (silentMs >= this.#options.probeAfterMs && !this.#isProbing) {
      this.#isProbing = true;
      // A call rather than an HTTP/2 ping: etcd ends connections that ping more often than every 5 s.
      this.unary(probePath, none, { timeoutMs: this.#options.deadAfterMs })
        .catch(() => undefined) // Whatever it says, that bytes came is what counts, and those are counted above.
        .finally(() => {
          this.#isProbing = false;
        });
    }
  }
}

/** One call on one stream: frames in, one end out, whichever of status, error or giving up comes first. */
class Call {
  readonly #stream: ClientHttp2Stream | undefined;
  readonly #reader: FrameReader;
  readonly #handlers: StreamHandlers;
  readonly #onReleased: () => void;
  #isEnded = false;

  constructor(
    stream: ClientHttp2Stream | undefined,
    messageBytesMax: number,
    handlers: StreamHandlers,
    onReleased: () => void,
  ) {
    this.#stream = stream;
    this.#reader = new FrameReader(messageBytesMax);
    this.#handlers = handlers;
    this.#onReleased = onReleased;
  }

  attach(failureOf: (error: Error | undefined) => CallFailure): void {
    const stream = this.#stream!;
    let headers: IncomingHttpHeaders | undefined;
    let trailers: IncomingHttpHeaders | undefined;
    let error: Error | undefined;
    stream.on("response", (received) => {
      headers = received;
    });
    stream.on("trailers", (received) => {
      trailers = received;
    });
    stream.on("data", (chunk: Buffer) => {
      if (this.#isEnded) return;
      try {
        this.#reader.push(chunk, this.#deliver);
      } catch (broken) {
        if (!(broken instanceof CallFailure)) throw broken;
        this.abandon(broken);
      }
    });
    stream.on("end", () => {
      const status = trailers?.["grpc-status"] ?? headers?.["grpc-status"];
      if (status !== undefined) this.#finish(answered(Number(status), trailers, headers));
    });
    stream.on("error", (broken) => {
      error = broken;
    });
    stream.on("close", () => {
      // The ordinary end came before; an error that nobody sees must not be paid for.
      if (this.#isEnded) return;
      const httpStatus = Number(headers?.[":status"] ?? 200);
      if (httpStatus === 200) this.#finish(failureOf(error));
      else this.#finish(new CallFailure(statusOfHttp(httpStatus), `HTTP status ${httpStatus}`, "sent"));
    });
  }

  write(message: Uint8Array): void {
    if (!this.#isEnded) this.#stream?.write(frameMessage(message));
  }

  end(message: Uint8Array): void {
    if (!this.#isEnded) this.#stream?.end(frameMessage(message));
  }

  endWriting(): void {
    if (!this.#isEnded) this.#stream?.end();
  }

  pause(): void {
    if (!this.#isEnded) this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  /** Ends the call from this side and reports `failure` as its end. */
  abandon(failure: CallFailure): void {
    if (this.#isEnded) return;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    this.#finish(failure);
  }

  /** Ends the call from this side, silently. */
  cancel(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    this.#onReleased();
  }

  readonly #deliver = (message: Uint8Array): void => {
    // A chunk may hold several messages, and what one of them does may end the call.
    if (!this.#isEnded) this.#handlers.onMessage(message);
  };

  #finish(failure: CallFailure | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#onReleased();
    this.#handlers.onEnd(failure);
  }
}

function answered(
  status: number,
  trailers: IncomingHttpHeaders | undefined,
  headers: IncomingHttpHeaders | undefined,
): CallFailure | undefined {
  if (status === grpcStatus.ok) return undefined;
  const message = trailers?.["grpc-message"] ?? headers?.["grpc-message"] ?? "";
  return new CallFailure(status, percentDecoded(String(message)), "answered");
}

/** gRPC percent-encodes messages; one that is not valid is shown as it came. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** gRPC allows eight digits and a unit. */
function grpcTimeout(timeoutMs: number): string {
  const ms = Math.max(1, Math.ceil(timeoutMs));
  return ms <= 99_999_999 ? `${ms}m` : `${Math.min(99_999_999, Math.ceil(ms / 1000))}S`;
}

function openSocket(address: Address, tls: TlsOptions | undefined): Socket {
  if (!address.isTls) return connectTcp({ ...address.target, noDelay: true });
  const serverName = tls?.serverName ?? ("host" in address.target ? hostName(address.target.host) : undefined);
  return connectTls({
    ...address.target,
    ALPNProtocols: ["h2"],
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(tls?.ca === undefined ? {} : { ca: Array.isArray(tls.ca) ? tls.ca.map(pem) : pem(tls.ca as string) }),
    ...(tls?.cert === undefined ? {} : { cert: pem(tls.cert) }),
    ...(tls?.key === undefined ? {} : { key: pem(tls.key) }),
    ...(tls?.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
    rejectUnauthorized: tls?.rejectUnauthorized ?? true,
  }).setNoDelay(true);
}

const pem = (text: string | Uint8Array): string | Buffer => (typeof text === "string" ? text : Buffer.from(text));

/** SNI takes names, not addresses. */
const hostName = (host: string): string | undefined => (/^[\d.]+$|:/.test(host) ? undefined : host);
