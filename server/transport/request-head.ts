// What a request's header list says, checked against RFC 9113 section 8: pseudo-header fields complete, single and in
// front, nothing that belongs to HTTP/1.1. It is built once per distinct header block and shared by every request that
// repeats it, so nothing in it may change.
import { type HeaderField, headerToken } from "./header-field.ts";

export class RequestHead {
  readonly method: string;
  readonly scheme: string;
  readonly path: string;
  /** `:authority`, else `host`, else empty. */
  readonly authority: string;
  /** Empty where absent. */
  readonly contentType: string;
  /** -1 where absent. */
  readonly contentLength: number;
  /** All fields but the pseudo-header ones. */
  readonly fields: readonly HeaderField[];
  /** Kept by the layer above: what it worked out from this head. Undefined until then. */
  derived: unknown = undefined;

  private constructor(parts: HeadParts) {
    this.method = parts.method ?? "";
    this.scheme = parts.scheme ?? "";
    this.path = parts.path ?? "";
    this.authority = parts.authority ?? parts.host ?? "";
    this.contentType = parts.contentType ?? "";
    this.contentLength = parts.contentLength;
    this.fields = parts.regular;
  }

  /** The head, or why the request is malformed (RFC 9113 section 8.1.1: a stream error). */
  static from(fields: readonly HeaderField[]): RequestHead | string {
    const parts: HeadParts = { regular: [], contentLength: -1 };
    for (const field of fields) {
      const problem = field.isValid ? addField(parts, field) : `invalid header field ${JSON.stringify(field.name)}`;
      if (problem !== undefined) return problem;
    }
    if (parts.method === undefined) return "no :method";
    if (parts.method === "CONNECT") return "CONNECT is not served";
    if (parts.scheme === undefined) return "no :scheme";
    if (parts.path === undefined) return "no :path";
    if (!parts.path.startsWith("/") && !(parts.path === "*" && parts.method === "OPTIONS")) return "invalid :path";
    return new RequestHead(parts);
  }
}

/** Trailers of a request carry nothing for us; they must only be well formed. Returns what is wrong with them. */
export function trailerProblem(fields: readonly HeaderField[]): string | undefined {
  for (const field of fields) {
    if (!field.isValid || field.name.startsWith(":")) return `invalid trailer field ${JSON.stringify(field.name)}`;
  }
  return undefined;
}

interface HeadParts {
  method?: string;
  scheme?: string;
  path?: string;
  authority?: string;
  host?: string;
  contentType?: string;
  contentLength: number;
  readonly regular: HeaderField[];
}

/** Takes one valid field in, or says why the list is malformed. */
function addField(parts: HeadParts, field: HeaderField): string | undefined {
  switch (field.token) {
    case headerToken.method:
    case headerToken.scheme:
    case headerToken.path:
    case headerToken.authority: {
      const slot = field.name.slice(1) as "method" | "scheme" | "path" | "authority";
      if (parts.regular.length > 0) return `${field.name} after a regular field`;
      if (parts[slot] !== undefined) return `${field.name} twice`;
      parts[slot] = field.value;
      return undefined;
    }
    case headerToken.host:
      parts.host = field.value;
      break;
    case headerToken.contentType:
      parts.contentType ??= field.value;
      break;
    case headerToken.contentLength: {
      const length = /^\d{1,15}$/.test(field.value) ? Number(field.value) : -1;
      if (length === -1 || (parts.contentLength !== -1 && parts.contentLength !== length)) {
        return "invalid content-length";
      }
      parts.contentLength = length;
      break;
    }
    default:
      break;
  }
  parts.regular.push(field);
  return undefined;
}
