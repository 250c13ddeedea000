// Plain HTTP as the rest of the server sees it, whichever version of the protocol carried it: one function from request
// to response. http1-adapter.ts and h2-http-exchange.ts are the two carriers.
import type { ConnectionInfo } from "./call-context.ts";

export interface HttpRequest {
  /** Upper case. */
  readonly method: string;
  /** Path and query as the client sent them, starting with `/` (or `*`). */
  readonly target: string;
  /** `Host` or `:authority`; empty where the client named none. */
  readonly host: string;
  /** By lower-case name; fields that came several times are joined with a comma. */
  readonly headers: ReadonlyMap<string, string>;
  readonly protocol: "HTTP/1.1" | "HTTP/2";
  readonly connection: ConnectionInfo;
  /** Aborted when the client is gone, or when the server shuts down and the response is a stream. */
  readonly signal: AbortSignal;
  /** The body, as it comes in. To be read once; {@link readBody} does so. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names. `content-length` and `date` are added by the carrier. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Strings are sent as UTF-8. An iterable is asked for more only when the client has taken what was sent. */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array>;
}

/** A handler that throws is answered for with 500; an {@link HttpError} with its own status. */
export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

/** A request that is answered with a status and a line of text. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const bodyBytesMaxDefault = 4 * 1024 * 1024;

/** The whole body. Throws {@link HttpError} 413 as soon as it is larger than `bytesMax`. */
export async function readBody(request: HttpRequest, bytesMax: number = bodyBytesMaxDefault): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of request.body) {
    sizeBytes += chunk.length;
    if (sizeBytes > bytesMax) throw new HttpError(413, `request body larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Runs `handler` and turns whatever it throws into a response. */
export async function respond(
  handler: HttpHandler,
  request: HttpRequest,
  onError: (error: unknown, path: string) => void,
): Promise<HttpResponse> {
  try {
    return await handler(request);
  } catch (error) {
    if (error instanceof HttpError) return textResponse(error.status, error.message);
    if (!request.signal.aborted) onError(error, request.target);
    return textResponse(500, "internal server error");
  }
}

export function textResponse(status: number, text: string): HttpResponse {
  return { status, headers: { "content-type": "text/plain; charset=utf-8" }, body: `${text}\n` };
}
