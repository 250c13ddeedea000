// Makes one unary call: picks a member, bounds the time, repeats what may be repeated, checks what came back, and turns
// failures into the errors of errors.ts. The rules of repetition are here and nowhere else:
// - what provably was not processed may go to another member, be it a read or a write;
// - a read whose answer was lost may be repeated, with backoff and within the budget;
// - a write whose answer was lost is never repeated.
import { monotonicMs, sleep } from "./abort.ts";
import type { Metadata } from "./connection.ts";
import { callChannel } from "./diagnostics.ts";
import { toMs } from "./duration.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EndpointPool, Ready } from "./endpoint-pool.ts";
import { ClientError, DeadlineError, GuardError, InvalidArgumentError, type Outcome } from "./errors.ts";
import { CallFailure, grpcStatus } from "./grpc-status.ts";
import type { Guards } from "./guards.ts";
import type { Hold } from "./hold.ts";
import type { AnswerWithHeader, Method } from "./methods.ts";
import type { CallOptions } from "./options.ts";
import { type Backoff, backoffMs, type RetryBudget } from "./retry.ts";
import {
  abortError,
  type CallKind,
  closedError,
  isTokenRefused,
  isTransient,
  isUnprocessed,
  toClientError,
} from "./server-errors.ts";

/** Where the auth token comes from, for clients that have credentials. */
export interface TokenSource {
  /** The token to send, waiting for the first one; empty while the cluster does not authenticate anybody. */
  current(options: CallOptions): Promise<string>;
  /** Forgets `token` because a member refused it. */
  refuse(token: string): void;
}

export interface CallerOptions {
  readonly pool: EndpointPool;
  readonly guards: Guards;
  readonly hold: Hold;
  readonly budget: RetryBudget;
  readonly backoff: Backoff;
  readonly attemptsMax: number;
  readonly deadlineMs: number;
  readonly connectTimeoutMs: number;
}

export interface UnaryPolicy {
  /** The answer must not be older than what this client has seen. Not for answers from a member's local state. */
  readonly isLinearizable?: boolean;
  /** Send no token: the call that fetches one. */
  readonly isAnonymous?: boolean;
  /** A txn that only reads may be repeated like any read. */
  readonly kind?: CallKind;
}

export class Caller {
  readonly #options: CallerOptions;
  readonly #tokens: TokenSource | undefined;

  constructor(options: CallerOptions, tokens?: TokenSource) {
    this.#options = options;
    this.#tokens = tokens;
  }

  /** The same caller, sending a token with each call. */
  withTokens(tokens: TokenSource): Caller {
    return new Caller(this.#options, tokens);
  }

  get guards(): Guards {
    return this.#options.guards;
  }

  get pool(): EndpointPool {
    return this.#options.pool;
  }

  get hold(): Hold {
    return this.#options.hold;
  }

  get backoff(): Backoff {
    return this.#options.backoff;
  }

  /** Headers for a stream: the token, if there are credentials. */
  async metadata(options: CallOptions): Promise<{ readonly metadata: Metadata; readonly token: string | undefined }> {
    const token = await this.#tokens?.current(options);
    return { metadata: withToken(token), token };
  }

  /** A member refused `token`: the next call fetches another. */
  refuseToken(token: string | undefined): void {
    if (token !== undefined) this.#tokens?.refuse(token);
  }

  /** Makes the call. Rejects with a {@link ClientError} and nothing else. */
  async unary<Request, Response extends AnswerWithHeader>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
    policy: UnaryPolicy = {},
  ): Promise<Response> {
    const call = new UnaryCall(this.#options, method, request, options, policy, this.#tokens);
    return this.#options.hold.during(call.run());
  }
}

/** One call with its repetitions. */
class UnaryCall<Request, Response extends AnswerWithHeader> {
  readonly #caller: CallerOptions;
  readonly #method: Method<Request, Response>;
  readonly #message: Uint8Array;
  readonly #options: CallOptions;
  readonly #policy: UnaryPolicy;
  readonly #kind: CallKind;
  readonly #tokens: TokenSource | undefined;
  readonly #startMs = monotonicMs();
  readonly #endMs: number;
  #attempts = 0;
  #endpoint: Endpoint | undefined;
  #hasNewToken = false;

  constructor(
    caller: CallerOptions,
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions,
    policy: UnaryPolicy,
    tokens: TokenSource | undefined,
  ) {
    this.#caller = caller;
    this.#method = method;
    this.#message = encodeRequest(method, request);
    this.#options = options;
    this.#policy = policy;
    this.#kind = policy.kind ?? method.kind;
    this.#tokens = policy.isAnonymous ? undefined : tokens;
    this.#endMs = this.#startMs + deadlineMs(options.deadline, caller.deadlineMs);
  }

  async run(): Promise<Response> {
    let error: ClientError | undefined;
    try {
      for (;;) {
        const answer = await this.#attempt();
        if (answer instanceof CallFailure || answer instanceof GuardError) await this.#mayRepeat(answer);
        else return answer;
      }
    } catch (failure) {
      error = failure as ClientError;
      throw error;
    } finally {
      if (callChannel.hasSubscribers) {
        callChannel.publish({
          method: this.#method.path,
          endpoint: this.#endpoint?.address.url,
          durationMs: monotonicMs() - this.#startMs,
          attempts: this.#attempts,
          error,
        });
      }
    }
  }

  /** One try: the answer, or why there is none that can be used. */
  async #attempt(): Promise<Response | CallFailure | GuardError> {
    const { pool, guards } = this.#caller;
    const { signal } = this.#options;
    this.#throwIfOver();
    const ready = pool.ready ?? (await this.#reach());
    const token = await this.#tokens?.current({ signal, deadline: Math.max(1, this.#endMs - monotonicMs()) });
    this.#throwIfOver();
    try {
      this.#endpoint = ready.endpoint;
      this.#attempts += 1;
      const revisionMin = this.#policy.isLinearizable ? guards.revision : 0n;
      const bytes = await ready.connection.unary(this.#method.path, this.#message, {
        metadata: withToken(token),
        timeoutMs: Math.max(1, this.#endMs - monotonicMs()),
        signal,
      });
      const outcome = this.#kind === "write" ? "applied" : "notApplied";
      const response = this.#decode(bytes, outcome);
      guards.check(response.header, ready.endpoint.address.url, revisionMin, outcome);
      pool.succeed(ready.endpoint);
      this.#caller.budget.earn();
      return response;
    } catch (failure) {
      if (failure instanceof GuardError) {
        if (this.#endpoint !== undefined) pool.fail(this.#endpoint, failure);
        return failure;
      }
      if (!(failure instanceof CallFailure)) throw failure;
      if (token !== undefined && isTokenRefused(failure)) this.#tokens?.refuse(token);
      return failure;
    }
  }

  /** Waits for a member. That wait has its own repetitions, so its failure is the call's. */
  async #reach(): Promise<Ready> {
    const { pool, connectTimeoutMs } = this.#caller;
    try {
      return await pool.acquire(Math.min(connectTimeoutMs, this.#endMs - monotonicMs()), this.#options.signal);
    } catch (failure) {
      throw failure instanceof CallFailure ? this.#errorOf(failure) : failure;
    }
  }

  #decode(bytes: Uint8Array, outcome: Outcome): Response {
    try {
      return this.#method.response.decode(bytes);
    } catch (cause) {
      const endpoint = this.#endpoint?.address.url;
      throw new ClientError("INTERNAL", "the answer is not a message of the expected type", {
        cause,
        outcome,
        endpoint,
      });
    }
  }

  /** Returns when the call may be made once more; throws what the caller gets when it may not. */
  async #mayRepeat(failure: CallFailure | GuardError): Promise<void> {
    const { pool, budget, attemptsMax, backoff } = this.#caller;
    if (failure instanceof GuardError) {
      // A read is asked elsewhere. A write has happened where it should not have: that must be told.
      if (this.#kind === "write" || this.#attempts >= attemptsMax || pool.endpoints.length === 1) throw failure;
      return;
    }
    const isTokenNews = isTokenRefused(failure) && this.#tokens !== undefined && !this.#hasNewToken;
    if (isTokenNews) {
      this.#hasNewToken = true;
      return;
    }
    const endpoint = this.#endpoint;
    const isElsewhere = isUnprocessed(failure);
    const isAgain = this.#kind === "read" && isTransient(failure);
    if (endpoint?.connection !== undefined && (isElsewhere || isTransient(failure)) && !this.#isOver()) {
      // The connection is in order but the member cannot serve: others are better for the moment.
      pool.fail(endpoint, failure);
    }
    const isAllowed = (isElsewhere || isAgain) && this.#attempts < attemptsMax && !this.#isOver();
    // What never left burdens nobody when it is sent over the next connection.
    const isFree = failure.progress === "unsent" && endpoint?.connection === undefined;
    if (!isAllowed || !(isFree || budget.spend())) throw this.#errorOf(failure);
    if (!isElsewhere) await sleep(backoffMs(backoff, this.#attempts), this.#options.signal);
  }

  #isOver(): boolean {
    return this.#caller.pool.isClosed || this.#options.signal?.aborted === true || monotonicMs() >= this.#endMs;
  }

  /** Before anything of this try was sent: whatever ends it here, nothing was applied. */
  #throwIfOver(): void {
    if (this.#caller.pool.isClosed) throw closedError("the client");
    const { signal } = this.#options;
    if (signal?.aborted) throw abortError(signal, "notApplied");
    if (monotonicMs() >= this.#endMs) throw new DeadlineError("the deadline passed before the call could be made");
  }

  #errorOf(failure: CallFailure): ClientError {
    const url = this.#endpoint?.address.url;
    const error = toClientError(failure, this.#kind, url);
    const { signal } = this.#options;
    if (failure.progress === "answered" || failure.status !== grpcStatus.canceled) return error;
    return signal?.aborted ? abortError(signal, error.outcome, url) : closedError("the client", error.outcome);
  }
}

/** Encoding fails only for numbers that the wire has no room for. */
function encodeRequest<Request>(method: Method<Request, unknown>, request: Request): Uint8Array {
  try {
    return method.request.encode(request).finish();
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidArgumentError(`${method.path}: ${text}`, { cause });
  }
}

const noMetadata: Metadata = {};
const withToken = (token: string | undefined): Metadata => (token ? { token } : noMetadata);

/** Milliseconds from now until a deadline that is a duration or a moment of the wall clock. */
export function deadlineMs(deadline: CallOptions["deadline"], defaultMs: number): number {
  if (deadline === undefined) return defaultMs;
  return deadline instanceof Date ? deadline.getTime() - Date.now() : toMs(deadline, "deadline");
}
