// Requests that cannot be served, as statuses. The texts are grpc-go's, which etcd's clients and their users know.
import { type GrpcStatus, statusCode } from "./grpc-status.ts";
import type { AssemblyFault } from "./message-assembler.ts";

export const missingRequest: GrpcStatus = {
  code: statusCode.internal,
  details: "cardinality violation: received no request message from non-client-streaming RPC",
};

export const secondRequest: GrpcStatus = {
  code: statusCode.internal,
  details: "cardinality violation: received multiple request messages for non-client-streaming RPC",
};

export const truncatedRequest: GrpcStatus = { code: statusCode.internal, details: "unexpected EOF" };

export const noReceiveMemory: GrpcStatus = {
  code: statusCode.resourceExhausted,
  details: "too many request bytes wait to be served",
};

export function assemblyFaultStatus(fault: AssemblyFault, messageBytesMax: number): GrpcStatus {
  switch (fault.kind) {
    case "too-large":
      return {
        code: statusCode.resourceExhausted,
        details: `grpc: received message larger than max (${fault.sizeBytes} vs. ${messageBytesMax})`,
      };
    case "bad-flag":
      return { code: statusCode.internal, details: `grpc: received unexpected payload format ${fault.flag}` };
    case "no-memory":
      return noReceiveMemory;
  }
}

export function undecodableRequest(error: unknown): GrpcStatus {
  const text = error instanceof Error ? error.message : String(error);
  return { code: statusCode.internal, details: `grpc: error unmarshalling request: ${text}` };
}
