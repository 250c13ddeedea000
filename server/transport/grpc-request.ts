// What a request's header fields mean to gRPC (the PROTOCOL-HTTP2 document of grpc): is it a gRPC request at all, until
// when may it take, how are its messages encoded. Worked out once per distinct head and kept with it.
import { headerToken } from "./header-field.ts";
import type { RequestHead } from "./request-head.ts";

export interface GrpcRequest {
  /** Time the client gives the call. Undefined where it gives no limit. */
  readonly timeoutMs: number | undefined;
  /** A `grpc-timeout` that is not one. */
  readonly invalidTimeout: string | undefined;
  /** `grpc-encoding`: how messages with the compressed flag are compressed. */
  readonly encoding: string;
  readonly acceptsGzip: boolean;
}

/** `application/grpc`, alone or followed by `+format` or `;parameter`. */
export function isGrpcContentType(contentType: string): boolean {
  if (!contentType.startsWith("application/grpc")) return false;
  const next = contentType[16];
  return next === undefined || next === "+" || next === ";";
}

export function grpcRequestOf(head: RequestHead): GrpcRequest {
  return (head.derived ??= derive(head)) as GrpcRequest;
}

function derive(head: RequestHead): GrpcRequest {
  let timeoutMs: number | undefined;
  let invalidTimeout: string | undefined;
  let encoding = "identity";
  let acceptsGzip = false;
  for (const { token, value } of head.fields) {
    if (token === headerToken.grpcTimeout) {
      timeoutMs = parseTimeoutMs(value);
      if (timeoutMs === undefined) invalidTimeout = value;
    } else if (token === headerToken.grpcEncoding) encoding = value;
    else if (token === headerToken.grpcAcceptEncoding) {
      acceptsGzip = value.split(",").some((name) => name.trim() === "gzip");
    }
  }
  return { timeoutMs, invalidTimeout, encoding, acceptsGzip };
}

const unitMs: { readonly [unit: string]: number } = { H: 3600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** At most eight digits and a unit. */
function parseTimeoutMs(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * unitMs[match[2]!]!;
}
