// Calls in etcd's own messages, for tools that show or pass on exactly what a member said. They go the same way as all
// others: a member is picked, time is bounded, reads are repeated, a cluster that is not ours is refused.
import type { LeaseKeepAliveResponse } from "../proto/gen/etcdserverpb/rpc.ts";
import { type Caller, deadlineMs } from "./caller.ts";
import { CallFailure } from "./grpc-status.ts";
import { renewOnce } from "./keep-alive.ts";
import {
  type AnswerWithHeader,
  authMethods,
  clusterMethods,
  kvMethods,
  leaseMethods,
  type Method,
  maintenanceMethods,
  watchMethod,
} from "./methods.ts";
import type { CallOptions } from "./options.ts";
import { toClientError } from "./server-errors.ts";

/** Every call that there is, with the encoders of its messages. */
export const methods = {
  kv: kvMethods,
  lease: leaseMethods,
  cluster: clusterMethods,
  maintenance: maintenanceMethods,
  auth: authMethods,
  watch: watchMethod,
} as const;

/**
 * @example
 * const answer = await client.raw.call(methods.maintenance.status, {});
 * console.log(answer.version, answer.raftIndex);
 */
export class Raw {
  readonly #caller: Caller;
  readonly #deadlineMs: number;

  /** @internal */
  constructor(caller: Caller, defaultDeadlineMs: number) {
    this.#caller = caller;
    this.#deadlineMs = defaultDeadlineMs;
  }

  /** Makes a call with one answer. Keys are in full: there is no namespace here. */
  call<Request, Response extends AnswerWithHeader>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return this.#caller.unary(method, request, options);
  }

  /** Renews a lease once. A lease that there is not is answered with TTL 0. */
  async keepAliveOnce(id: bigint, options: CallOptions = {}): Promise<LeaseKeepAliveResponse> {
    const timeoutMs = deadlineMs(options.deadline, this.#deadlineMs);
    try {
      const { response } = await this.#caller.hold.during(renewOnce(this.#caller, id, timeoutMs, options.signal));
      return response;
    } catch (error) {
      throw error instanceof CallFailure ? toClientError(error, "read", undefined) : error;
    }
  }
}
