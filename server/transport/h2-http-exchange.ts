// One plain HTTP request over HTTP/2: the owner of its stream, handing it to the HttpHandler and the response back.
import type { Clock } from "../lib/clock.ts";
import type { ConnectionInfo } from "./call-context.ts";
import { CallAborted } from "./grpc-status.ts";
import type { AbortCause, H2Stream, StreamOwner } from "./h2-stream.ts";
import { type HttpHandler, type HttpRequest, type HttpResponse, respond, textResponse } from "./http-handler.ts";
import { errorCode } from "./http2-constants.ts";
import type { TransportLimits } from "./limits.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import type { CompressionQueue } from "./message-compression.ts";
import type { RequestHead } from "./request-head.ts";
import { RequestQueue } from "./request-queue.ts";

export interface HttpExchangeOptions {
  readonly handler: HttpHandler;
  readonly connection: ConnectionInfo;
  readonly limits: TransportLimits;
  readonly clock: Clock;
  readonly receiveBudget: MemoryBudget;
  readonly compression: CompressionQueue;
  readonly onError: (error: unknown, path: string) => void;
}

export class H2HttpExchange implements StreamOwner {
  readonly #options: HttpExchangeOptions;
  readonly #stream: H2Stream;
  readonly #head: RequestHead;
  readonly #body: RequestQueue;
  readonly #controller = new AbortController();
  #hasResponded = false;
  #isOver = false;
  #waitingSinceMs: number | undefined = undefined;
  #wake: (() => void) | undefined = undefined;

  constructor(options: HttpExchangeOptions, stream: H2Stream, head: RequestHead) {
    this.#options = options;
    this.#stream = stream;
    this.#head = head;
    this.#body = new RequestQueue({
      receiveBudget: options.receiveBudget,
      compression: options.compression,
      // Of no concern here: nothing is decompressed.
      messageBytesMax: options.limits.receiveMessageBytesMax,
      encoding: "identity",
      decode: (bytes, start, end) => bytes.subarray(start, end),
      onTaken: (bytes) => stream.consumed(bytes),
      onFault: () => this.#end(textResponse(400, "unreadable body")),
    });
  }

  start(): void {
    this.#stream.isBusy = true;
    const done = (): void => this.#stream.onHandlerDone();
    this.#run().then(done, (error: unknown) => {
      this.#fail(error);
      done();
    });
  }

  onData(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    if (end > start && !this.#body.push(false, bytes, start, end)) {
      this.#end(textResponse(503, "too many request bytes wait to be served"));
    } else if (isLast) this.#body.end();
  }

  onEnd(): void {
    this.#body.end();
  }

  onAbort(cause: AbortCause): void {
    this.#close(new CallAborted(cause === "protocol" ? "refused" : cause));
  }

  onDrain(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  onShutdown(): void {
    // A response that is under way as a stream has no end of its own; others finish.
    if (this.#hasResponded) this.#controller.abort(new CallAborted("shutdown"));
  }

  onSweep(nowMs: number): void {
    if (this.#hasResponded || !this.#stream.isReceiving) return;
    this.#waitingSinceMs ??= nowMs;
    if (nowMs - this.#waitingSinceMs >= this.#options.limits.requestTimeoutMs) {
      this.#end(textResponse(408, "the request was not complete in time"));
    }
  }

  async #run(): Promise<void> {
    const { handler, onError } = this.#options;
    const response = await respond(handler, this.#request(), onError);
    if (this.#isOver) return;
    const { body } = response;
    if (body === undefined || typeof body === "string" || body instanceof Uint8Array) {
      this.#end(response);
      return;
    }
    this.#sendHead(response, undefined);
    for await (const chunk of body) {
      if (this.#isOver) return;
      this.#send(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
      if (this.#stream.waitingBytes > 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
    if (!this.#isOver) this.#finish();
  }

  /** The body of a response broke off: so does the stream. */
  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#options.onError(error, this.#head.path);
    this.#stream.reset(errorCode.internalError);
    this.#close(undefined);
  }

  #request(): HttpRequest {
    const { method, path, authority, fields } = this.#head;
    const headers = new Map<string, string>();
    for (const { name, value } of fields) {
      const before = headers.get(name);
      headers.set(name, before === undefined ? value : `${before}, ${value}`);
    }
    return {
      method,
      target: path,
      host: authority,
      headers,
      protocol: "HTTP/2",
      connection: this.#options.connection,
      signal: this.#controller.signal,
      body: this.#body as AsyncIterable<unknown> as AsyncIterable<Uint8Array>,
    };
  }

  /** Sends a response whose body is all there. */
  #end(response: HttpResponse): void {
    if (this.#isOver || this.#hasResponded) return;
    const body = typeof response.body === "string" ? Buffer.from(response.body) : (response.body as Uint8Array);
    const isBodiless = body === undefined || body.length === 0 || this.#head.method === "HEAD";
    this.#sendHead(response, body?.length ?? 0, isBodiless);
    if (isBodiless) this.#close(undefined);
    else {
      this.#send(body);
      if (!this.#isOver) this.#finish();
    }
  }

  #sendHead(response: HttpResponse, bodyBytes: number | undefined, endsStream = false): void {
    this.#hasResponded = true;
    const fields = Object.entries(response.headers ?? {});
    if (bodyBytes !== undefined && response.status >= 200 && response.status !== 204) {
      fields.push(["content-length", String(bodyBytes)]);
    }
    fields.push(["date", new Date(this.#options.clock.wallMs()).toUTCString()]);
    this.#stream.sendHeaders(response.status, fields, endsStream);
  }

  #send(bytes: Uint8Array): void {
    if (this.#stream.send([bytes])) return;
    this.#stream.reset(errorCode.enhanceYourCalm);
    this.#close(undefined);
  }

  #finish(): void {
    this.#close(undefined);
    this.#stream.end("bare");
  }

  /** Nothing more will be sent or read by this exchange. */
  #close(error: CallAborted | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body.close(error);
    if (error !== undefined) this.#controller.abort(error);
    this.onDrain();
  }
}
