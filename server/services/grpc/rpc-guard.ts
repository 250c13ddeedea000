// What surrounds every RPC of ours: whether this member may answer it, and turning what it throws into what the client
// gets to see.
import type { CallContext } from "nice-grpc-common";
import { isAbortError } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { ReplicaError } from "../../replica/errors.ts";
import { answersLater, isTransportContext, type TransportCallContext } from "../../transport/call-context.ts";
import { type MessageSink, type PushSource, pushTo } from "../../transport/push-source.ts";
import { toServerError } from "./errors.ts";

export interface RpcGuardOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly hasLeader: () => boolean;
  readonly isLearner: () => boolean;
  readonly electionTimeoutMs: number;
}

/** What a learner answers: its own status, reads that may be old, and the snapshot. Range sees to itself. */
const learnerPaths: ReadonlySet<string> = new Set([
  "/etcdserverpb.Maintenance/Status",
  "/etcdserverpb.Maintenance/Snapshot",
  "/etcdserverpb.KV/Range",
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/Watch",
]);

/** Where a handler's answer goes. One of its methods is called, once. */
export interface Reply<Response> {
  answer(response: Response): void;
  fail(error: unknown): void;
}

class CallReply<Response> implements Reply<Response> {
  readonly #context: TransportCallContext;
  readonly #translate: (error: unknown) => unknown;

  constructor(context: TransportCallContext, translate: (error: unknown) => unknown) {
    this.#context = context;
    this.#translate = translate;
  }

  answer(response: Response): void {
    this.#context.answer(response);
  }

  fail(error: unknown): void {
    this.#context.fail(this.#translate(error));
  }
}

export class RpcGuard {
  readonly #options: RpcGuardOptions;
  readonly #logger: Logger;

  constructor(options: RpcGuardOptions) {
    this.#options = options;
    this.#logger = options.logger;
  }

  /** Refuses what this member cannot answer in the role it has. The usual case costs two look-ups. */
  #admit(path: string, context: CallContext): void {
    const { hasLeader, isLearner } = this.#options;
    if (!hasLeader() && wantsLeader(context)) throw new ReplicaError("no-leader");
    if (isLearner() && !learnerPaths.has(path)) throw new ReplicaError("not-for-learners");
  }

  /**
   * A context whose signal also ends when the cluster has been without a leader for three elections, for clients that
   * asked for it: their stream would otherwise hang on a member that is cut off.
   */
  #withLeader(context: CallContext): { readonly context: CallContext; readonly stop: () => void; hasLost(): boolean } {
    if (!wantsLeader(context)) return { context, stop: () => undefined, hasLost: () => false };
    const { clock, hasLeader, electionTimeoutMs } = this.#options;
    const lost = new AbortController();
    let missed = 0;
    const check = (): void => {
      missed = hasLeader() ? 0 : missed + 1;
      if (missed >= 3) lost.abort();
      else timer = clock.setTimer(electionTimeoutMs, check);
    };
    let timer = clock.setTimer(electionTimeoutMs, check);
    const signal = AbortSignal.any([context.signal, lost.signal]);
    return {
      context: Object.create(context, { signal: { value: signal } }) as CallContext,
      stop: () => timer.cancel(),
      hasLost: () => lost.signal.aborted,
    };
  }

  /** A unary method whose errors clients understand. `path` is `/package.Service/Method`. */
  unary<Request, Response>(
    path: string,
    handler: (request: Request, context: CallContext) => Promise<Response>,
  ): (request: Request, context: CallContext) => Promise<Response> {
    const refuse = (error: unknown): Promise<never> => Promise.reject(this.#translate(error));
    return (request, context) => {
      try {
        this.#admit(path, context);
        return handler(request, context).then(undefined, refuse);
      } catch (error) {
        return refuse(error);
      }
    };
  }

  /**
   * The same for methods that are called so often that promises count: the handler answers by a call, within it or
   * later. Our transport takes the answer as it comes; other carriers get a promise.
   */
  called<Request, Response>(
    path: string,
    handler: (request: Request, reply: Reply<Response>) => void,
  ): (request: Request, context: CallContext) => Promise<Response> {
    const run = (request: Request, context: CallContext, reply: Reply<Response>): void => {
      try {
        this.#admit(path, context);
        handler(request, reply);
      } catch (error) {
        reply.fail(error);
      }
    };
    const translate = (error: unknown): unknown => this.#translate(error);
    return (request, context) => {
      if (isTransportContext(context)) {
        run(request, context, new CallReply(context, translate));
        return answersLater as never;
      }
      return new Promise((resolve, reject) =>
        run(request, context, { answer: resolve, fail: (error) => reject(translate(error)) }),
      );
    };
  }

  /** A streaming method whose errors clients understand. It may return a {@link PushSource}. */
  stream<Request, Response>(
    path: string,
    handler: (request: Request, context: CallContext) => AsyncIterable<Response>,
  ): (request: Request, context: CallContext) => AsyncIterable<Response> {
    return (request, context) => {
      const watched = this.#withLeader(context);
      const translate = (error: unknown): unknown =>
        this.#translate(watched.hasLost() ? new ReplicaError("no-leader") : error);
      try {
        this.#admit(path, context);
        return guardStream(handler(request, watched.context), translate, watched.stop);
      } catch (error) {
        watched.stop();
        return failedStream(translate(error));
      }
    };
  }

  #translate(error: unknown): unknown {
    // The transport knows whether the client went away or its deadline passed.
    return isAbortError(error) ? error : toServerError(error, this.#logger);
  }
}

/** The same stream with its errors translated; `onEnd` is called when it is over. */
function guardStream<Response>(
  source: AsyncIterable<Response>,
  translate: (error: unknown) => unknown,
  onEnd: () => void,
): AsyncIterable<Response> {
  const iterable = {
    async *[Symbol.asyncIterator](): AsyncIterator<Response> {
      try {
        yield* source;
      } catch (error) {
        throw translate(error);
      } finally {
        onEnd();
      }
    },
  };
  const push = (source as Partial<PushSource<Response>>)[pushTo];
  if (push === undefined) return iterable;
  const guarded: PushSource<Response> = {
    ...iterable,
    [pushTo](sink: MessageSink<Response>): void {
      push.call(source, {
        write: (message) => sink.write(message),
        end: (error) => {
          onEnd();
          sink.end(error === undefined ? undefined : translate(error));
        },
        get onReady() {
          return sink.onReady;
        },
        set onReady(onReady) {
          sink.onReady = onReady;
        },
      });
    },
  };
  return guarded;
}

// biome-ignore lint/correctness/useYield: it has nothing to give
async function* failedStream(error: unknown): AsyncIterable<never> {
  throw error;
}

function wantsLeader(context: CallContext): boolean {
  return context.metadata.get("hasleader") === "true";
}
