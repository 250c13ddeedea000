// The narrow door for whoever wants to see every call: refuse it before its handler runs, count it when it is over.
import type { TransportCallContext } from "./call-context.ts";
import type { GrpcMethod } from "./grpc-method.ts";
import type { GrpcStatus } from "./grpc-status.ts";

/** All members are called synchronously on the call's way, so they must be quick, and only `beforeCall` may throw. */
export interface CallObserver {
  /** The method is offered from now on. */
  readonly onOffered?: (method: GrpcMethod) => void;
  /** A client has called the method; its request may still be on its way. */
  readonly onStart?: (method: GrpcMethod) => void;
  /** Before the handler. What it throws ends the call as if the handler had thrown it. */
  readonly beforeCall?: (method: GrpcMethod, context: TransportCallContext) => void;
  /** Once per call, when its status is known, whether or not the client will hear it. Also for refused calls. */
  readonly afterCall?: (method: GrpcMethod, status: GrpcStatus, durationSeconds: number) => void;
  /** A whole message came in or went out; `sizeBytes` is what it takes on the wire without its prefix. */
  readonly onMessage?: (method: GrpcMethod, direction: "received" | "sent", sizeBytes: number) => void;
}
