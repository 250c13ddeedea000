// Definitions of the services whose messages we read and write ourselves: requests arrive decoded by our own codec,
// together with the bytes they came as; responses leave as bytes or write themselves. They are ordinary nice-grpc
// definitions, so that any server that carries nice-grpc services carries these.
import type { MethodDefinition } from "nice-grpc";
import {
  KVDefinition,
  LeaseDefinition,
  LeaseKeepAliveRequest,
  WatchDefinition,
  WatchRequest,
} from "../../../proto/gen/etcdserverpb/rpc.ts";
import { WireReader } from "../../lib/wire-reader.ts";
import { decodeCompaction, decodeDeleteRange, decodePut, decodeRange, decodeTxn } from "../../state/request-codec.ts";
import type { FastMethodHooks } from "../../transport/grpc-method.ts";
import { type Answer, answerHooks, encodeAnswer } from "./answers.ts";

/** A request and the bytes it was decoded from. */
export interface WireRequest<Operation> {
  readonly operation: Operation;
  readonly bytes: Uint8Array;
}

const passBytes = (bytes: Uint8Array): Uint8Array => bytes;

/** Decodes requests with `decode`; the client side of the definition, which is never used, passes bytes through. */
function wireMethod<Operation, ResponseStream extends boolean>(
  path: string,
  responseStream: ResponseStream,
  decode: (reader: WireReader) => Operation,
): MethodDefinition<Uint8Array, WireRequest<Operation>, Uint8Array, Uint8Array, false, ResponseStream> {
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: passBytes,
    requestDeserialize: (bytes) => ({ operation: decode(new WireReader(bytes)), bytes }),
    responseSerialize: passBytes,
    responseDeserialize: passBytes,
    options: {},
  };
}

/** The same for methods that answer with what writes itself. */
function answerMethod<Operation>(
  path: string,
  decode: (reader: WireReader) => Operation,
): MethodDefinition<Uint8Array, WireRequest<Operation>, Answer, Uint8Array, false, false> & typeof answerHooks {
  return { ...wireMethod(path, false, decode), ...answerHooks, responseSerialize: encodeAnswer };
}

const kvPath = `/${KVDefinition.fullName}/`;

export const kvWireDefinition = {
  range: answerMethod(`${kvPath}Range`, decodeRange),
  rangeStream: wireMethod(`${kvPath}RangeStream`, true, decodeRange),
  put: answerMethod(`${kvPath}Put`, decodePut),
  deleteRange: wireMethod(`${kvPath}DeleteRange`, false, decodeDeleteRange),
  txn: answerMethod(`${kvPath}Txn`, (reader) => decodeTxn(reader)),
  compact: answerMethod(`${kvPath}Compact`, decodeCompaction),
};

export const watchWireDefinition = {
  watch: {
    path: `/${WatchDefinition.fullName}/Watch`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (request: WatchRequest) => WatchRequest.encode(request).finish(),
    requestDeserialize: (bytes: Uint8Array) => WatchRequest.decode(bytes),
    responseSerialize: encodeAnswer,
    responseDeserialize: passBytes,
    options: {},
    ...answerHooks,
  } satisfies MethodDefinition<WatchRequest, WatchRequest, Answer, Uint8Array, true, true> & typeof answerHooks,
};

/** The id of the lease that a LeaseKeepAliveRequest names. */
function decodeKeepAlive(bytes: Uint8Array, start = 0, end: number = bytes.length): bigint {
  const reader = new WireReader(bytes, start, end);
  let id = 0n;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 8) id = reader.readInt64AsBigint();
    else reader.skip(tag);
  }
  return id;
}

export const keepAliveWireDefinition = {
  leaseKeepAlive: {
    path: `/${LeaseDefinition.fullName}/LeaseKeepAlive`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (ID: bigint) => LeaseKeepAliveRequest.encode({ ID }).finish(),
    requestDeserialize: (bytes: Uint8Array) => decodeKeepAlive(bytes),
    requestDecode: decodeKeepAlive,
    responseSerialize: encodeAnswer,
    responseDeserialize: passBytes,
    options: {},
    ...answerHooks,
  } satisfies MethodDefinition<bigint, bigint, Answer, Uint8Array, true, true> &
    typeof answerHooks &
    Pick<FastMethodHooks<bigint, Answer>, "requestDecode">,
};

const { leaseKeepAlive: _, ...otherLeaseMethods } = LeaseDefinition.methods;

/** The Lease service without its keepalives. */
export const leaseDefinition = { ...LeaseDefinition, methods: otherLeaseMethods };
