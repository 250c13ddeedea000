// A service definition and its implementation, turned into what a call needs: one flat record per method. Definitions
// may come in the three forms that nice-grpc takes (ts-proto's, grpc-js's, its own), and may carry the fast hooks below.

import type { CompatServiceDefinition, ServiceImplementation } from "nice-grpc";
import type { CallContext } from "nice-grpc-common";
import { EncodedMessage } from "./encoded-message.ts";

/**
 * Optional members of a method definition that spare copies. Other carriers ignore them, so such a definition still
 * works with nice-grpc; `requestDeserialize` and `responseSerialize` must therefore do the same job.
 */
export interface FastMethodHooks<Request, Response> {
  /**
   * Reads a request from `bytes[start..end)`. The bytes stay as they are for as long as they are kept, but keeping any
   * of them keeps the whole read of up to 64 KiB alive: copy what is to live long.
   */
  readonly requestDecode?: (bytes: Buffer, start: number, end: number) => Request;
  /** The size of a response, or an upper bound that is not far off. */
  readonly responseSizeBytes?: (response: Response) => number;
  /** Writes a response to `target` from `start` on, and returns where it ends. Both of these or none. */
  readonly responseEncodeInto?: (response: Response, target: Buffer, start: number) => number;
}

/** How one call kind is named in metrics. */
export type GrpcCallKind = "unary" | "client_stream" | "server_stream" | "bidi_stream";

// biome-ignore lint/suspicious/noExplicitAny: messages of any type pass through here; the definition pairs them up
type Any = any;

export interface GrpcMethod {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly service: string;
  readonly name: string;
  readonly kind: GrpcCallKind;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly options: { idempotencyLevel?: "IDEMPOTENT" | "NO_SIDE_EFFECTS" };
  readonly decode: (bytes: Buffer, start: number, end: number) => Any;
  readonly serialize: (response: Any) => Uint8Array | EncodedMessage;
  /** Both or neither. */
  readonly sizeBytes: ((response: Any) => number) | undefined;
  readonly encodeInto: ((response: Any, target: Buffer, start: number) => number) | undefined;
  /** The service's own function: (request or requests, context) => response, its promise, or responses. */
  readonly handler: (request: Any, context: Any) => Any;
}

/** nice-grpc's implementation type, or one whose unary methods also answer without a promise. */
export type GrpcImplementation<Service extends CompatServiceDefinition> = {
  [Method in keyof ServiceImplementation<Service>]: ServiceImplementation<Service>[Method] extends (
    request: infer Request,
    context: CallContext,
  ) => Promise<infer Response>
    ? (request: Request, context: CallContext) => Response | Promise<Response>
    : ServiceImplementation<Service>[Method];
};

export function methodsOf(definition: CompatServiceDefinition, implementation: object): GrpcMethod[] {
  const handlers = implementation as { readonly [key: string]: unknown };
  const isTsProto = "fullName" in definition && "methods" in definition;
  const entries: [string, Any][] = Object.entries(isTsProto ? (definition.methods as object) : definition);
  return entries.map(([key, method]) => {
    const handler = handlers[key];
    const path: string = isTsProto ? `/${definition.fullName}/${method.name}` : method.path;
    if (typeof handler !== "function") throw new TypeError(`no implementation of ${path}: ${key} is not a function`);
    return {
      ...describe(path, method),
      ...(isTsProto ? tsProtoCodec(method) : serializerCodec(method)),
      sizeBytes: method.responseEncodeInto === undefined ? undefined : method.responseSizeBytes,
      encodeInto: method.responseSizeBytes === undefined ? undefined : method.responseEncodeInto,
      handler: handler.bind(implementation) as GrpcMethod["handler"],
    };
  });
}

function describe(path: string, method: Any) {
  const slash = path.lastIndexOf("/");
  const kinds: readonly GrpcCallKind[] = ["unary", "server_stream", "client_stream", "bidi_stream"];
  return {
    path,
    service: path.slice(1, slash),
    name: path.slice(slash + 1),
    kind: kinds[(method.requestStream ? 2 : 0) + (method.responseStream ? 1 : 0)]!,
    requestStream: method.requestStream as boolean,
    responseStream: method.responseStream as boolean,
    options: method.options ?? {},
  };
}

type Codec = Pick<GrpcMethod, "decode" | "serialize">;

/** ts-proto's generic definitions. Responses may be partial, as with nice-grpc: `fromPartial` fills them up. */
function tsProtoCodec({ requestType, responseType }: Any): Codec {
  const complete = responseType.fromPartial;
  return {
    decode: (bytes, start, end) => requestType.decode(bytes.subarray(start, end)),
    serialize: (response) => {
      if (response instanceof EncodedMessage) return response;
      return responseType.encode(complete === undefined ? response : complete(response)).finish();
    },
  };
}

/** grpc-js's and nice-grpc's own definitions. */
function serializerCodec(method: Any): Codec {
  return {
    decode: method.requestDecode ?? ((bytes, start, end) => method.requestDeserialize(bytes.subarray(start, end))),
    serialize: (response) => (response instanceof EncodedMessage ? response : method.responseSerialize(response)),
  };
}
