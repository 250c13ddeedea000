// Every watch of a client on one gRPC stream. Keeps that stream up: when it breaks, or its member cannot serve, opens
// another one wherever a member is to be had and lets each watch ask again from where it stands. Knows nothing of
// buffers, values or history.
import {
  type WatchCreateRequest,
  WatchRequest,
  type WatchRequest as WatchRequestType,
  WatchResponse,
} from "../proto/gen/etcdserverpb/rpc.ts";
import type { Event } from "../proto/gen/mvccpb/kv.ts";
import { monotonicMs, sleep } from "./abort.ts";
import type { Caller } from "./caller.ts";
import type { StreamCall } from "./connection.ts";
import type { Ready } from "./endpoint-pool.ts";
import { ClientError, GuardError } from "./errors.ts";
import { CallFailure, grpcStatus, streamEnded } from "./grpc-status.ts";
import { type Header, toHeader } from "./key-value.ts";
import type { Logger } from "./logger.ts";
import { watchMethod } from "./methods.ts";
import { backoffMs } from "./retry.ts";
import { isTokenRefused, isTransient, toClientError } from "./server-errors.ts";

/** A watch as the stream sees it. */
export interface MuxWatcher {
  /** What to ask for: from where the watch stands now. */
  createRequest(): Omit<WatchCreateRequest, "watchId" | "fragment">;
  /** The member watches from now on. `revision` is the store's there. */
  onCreated(revision: bigint): void;
  /** The stream broke. The watch stays attached and is asked for its position again when there is another one. */
  onInterrupted(): void;
  /** Events of whole revisions, in the order received. */
  onEvents(events: readonly Event[], header: Header): void;
  /** Every event up to and including the header's revision was received. */
  onProgress(header: Header): void;
  /** The member has forgotten what the watch asks for. It is not attached any more. */
  onCompacted(compactRevision: bigint): void;
  /** The watch cannot go on. It is not attached any more. */
  onFailed(error: ClientError): void;
}

interface Attached {
  readonly watcher: MuxWatcher;
  isCreated: boolean;
  /** When the present stream was asked for it. */
  askedMs: number;
  /** Events of a revision that comes in several responses, until its last one. */
  fragments: Event[];
}

interface OpenStream {
  readonly call: StreamCall;
  readonly ready: Ready;
  readonly token: string | undefined;
}

const restartBackoff = { firstMs: 50, maxMs: 1000 };
/** Broadcasts (answers to a progress request) carry this id. */
const everyWatch = -1n;

export class WatchMux {
  readonly #caller: Caller;
  readonly #logger: Logger;
  readonly #connectTimeoutMs: number;
  readonly #confirmMs: number;
  #confirmTimer: NodeJS.Timeout | undefined;
  readonly #closing = new AbortController();
  readonly #attached = new Map<bigint, Attached>();
  readonly #ids = new Map<MuxWatcher, bigint>();
  #stream: OpenStream | undefined;
  #isRunning = false;
  #failures = 0;
  /** Never reused, so that what is still under way for a cancelled watch cannot reach a new one. 0 would let the server choose. */
  #nextId = 1n;

  constructor(caller: Caller, logger: Logger, times: { connectTimeoutMs: number; confirmMs: number }) {
    this.#caller = caller;
    this.#logger = logger;
    this.#connectTimeoutMs = times.connectTimeoutMs;
    this.#confirmMs = times.confirmMs;
  }

  /** URL of the member that the stream is on. */
  get endpoint(): string | undefined {
    return this.#stream?.ready.endpoint.address.url;
  }

  /** Starts receiving for `watcher`, from where it says it stands. */
  attach(watcher: MuxWatcher): void {
    if (this.#closing.signal.aborted || this.#ids.has(watcher)) return;
    const id = this.#nextId++;
    this.#ids.set(watcher, id);
    const attached: Attached = { watcher, isCreated: false, askedMs: 0, fragments: [] };
    this.#attached.set(id, attached);
    if (this.#stream !== undefined) this.#sendCreate(id, attached);
    else this.#run();
  }

  /** Stops receiving for `watcher`. Nothing is delivered to it from here on. */
  detach(watcher: MuxWatcher): void {
    const id = this.#ids.get(watcher);
    if (id === undefined) return;
    this.#forget(id, watcher);
    this.#send({ $case: "cancelRequest", value: { watchId: id } });
    if (this.#attached.size === 0) this.#endStream();
  }

  /** Asks the member how far the stream has come; the answer, if all its watches are up to date, is a progress. */
  requestProgress(): void {
    this.#send({ $case: "progressRequest", value: {} });
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#confirmTimer);
    this.#endStream();
    this.#attached.clear();
    this.#ids.clear();
  }

  #forget(id: bigint, watcher: MuxWatcher): void {
    this.#attached.delete(id);
    this.#ids.delete(watcher);
  }

  #endStream(): void {
    this.#stream?.call.cancel();
    this.#stream = undefined;
  }

  #send(requestUnion: NonNullable<WatchRequestType["requestUnion"]>): void {
    this.#stream?.call.write(WatchRequest.encode({ requestUnion }).finish());
  }

  #sendCreate(watchId: bigint, attached: Attached): void {
    attached.isCreated = false;
    attached.askedMs = monotonicMs();
    attached.fragments = [];
    // Fragments keep one huge revision from exceeding the size of a message.
    const value = { ...attached.watcher.createRequest(), watchId, fragment: true };
    this.#send({ $case: "createRequest", value });
    this.#expectCreated();
  }

  /** A member that takes watches and never confirms them looks alive and is not: it is left. */
  #expectCreated(): void {
    if (this.#confirmTimer !== undefined) return;
    const stream = this.#stream;
    this.#confirmTimer = setTimeout(() => {
      this.#confirmTimer = undefined;
      const waiting = [...this.#attached.values()].filter((attached) => !attached.isCreated);
      if (waiting.length === 0 || this.#stream === undefined) return;
      const oldestMs = monotonicMs() - Math.min(...waiting.map((attached) => attached.askedMs));
      if (this.#stream !== stream || oldestMs < this.#confirmMs) return this.#expectCreated();
      const text = `a watch was not confirmed within ${Math.round(oldestMs)} ms`;
      this.#restart(this.#stream, new CallFailure(grpcStatus.unavailable, text, "answered"));
    }, this.#confirmMs);
    this.#confirmTimer.unref();
  }

  /** Opens the stream, unless that is under way. */
  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#openStream().finally(() => {
      this.#isRunning = false;
      if (this.#stream === undefined && this.#attached.size > 0 && !this.#closing.signal.aborted) this.#run();
    });
  }

  async #openStream(): Promise<void> {
    const { signal } = this.#closing;
    if (this.#failures > 0) await sleep(backoffMs(restartBackoff, this.#failures), signal);
    if (this.#attached.size === 0 || signal.aborted) return;
    try {
      const ready = this.#caller.pool.ready ?? (await this.#caller.pool.acquire(this.#connectTimeoutMs, signal));
      const { metadata, token } = await this.#caller.metadata({ signal });
      if (this.#attached.size === 0 || signal.aborted) return;
      // A member that is cut off from the others must say so instead of being silent for ever.
      const call = ready.connection.stream(
        watchMethod.path,
        { ...metadata, hasleader: "true" },
        {
          onMessage: (message) => this.#onMessage(message, stream),
          onEnd: (failure) => this.#onEnd(failure ?? streamEnded(), stream),
        },
      );
      const stream: OpenStream = { call, ready, token };
      this.#stream = stream;
      for (const [id, attached] of this.#attached) this.#sendCreate(id, attached);
    } catch (error) {
      this.#onOpenFailed(error);
    }
  }

  #onOpenFailed(error: unknown): void {
    if (this.#closing.signal.aborted) return;
    this.#failures += 1;
    if (error instanceof CallFailure) return;
    // No token to be had, or no member of the right cluster: waiting would hide it.
    const isFinal = error instanceof GuardError || (error instanceof ClientError && !error.retryable);
    if (isFinal) this.#failAll(error as ClientError);
    else if (!(error instanceof ClientError)) throw error;
  }

  #onEnd(failure: CallFailure, stream: OpenStream): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    if (this.#closing.signal.aborted) return;
    this.#interrupted();
    this.#failures += 1;
    const endpoint = stream.ready.endpoint;
    this.#logger.info(
      { endpoint: endpoint.address.url, reason: failure.message },
      "watch stream ended, opening another",
    );
    if (isTokenRefused(failure)) this.#caller.refuseToken(stream.token);
    else if (failure.progress === "answered") {
      const error = toClientError(failure, "read", endpoint.address.url);
      if (!error.retryable && failure.status !== grpcStatus.canceled && failure.status !== grpcStatus.unknown) {
        this.#failAll(error);
        return;
      }
      if (endpoint.connection !== undefined) this.#caller.pool.fail(endpoint, failure);
    }
    this.#run();
  }

  #interrupted(): void {
    for (const { watcher } of [...this.#attached.values()]) watcher.onInterrupted();
  }

  #failAll(error: ClientError): void {
    const watchers = [...this.#ids.keys()];
    this.#attached.clear();
    this.#ids.clear();
    this.#endStream();
    for (const watcher of watchers) watcher.onFailed(error);
  }

  #onMessage(message: Uint8Array, stream: OpenStream): void {
    if (this.#stream !== stream) return;
    const response = WatchResponse.decode(message);
    const { endpoint } = stream.ready;
    try {
      this.#caller.guards.check(response.header, endpoint.address.url, 0n, "notApplied");
    } catch (error) {
      if (!(error instanceof GuardError)) throw error;
      // Not our cluster any more: leave this member, and let the pool say whether there is another.
      this.#endStream();
      this.#interrupted();
      this.#failures += 1;
      this.#caller.pool.fail(endpoint, error);
      this.#run();
      return;
    }
    if (response.watchId === everyWatch && !response.created && !response.canceled) {
      for (const attached of this.#attached.values()) this.#onProgress(attached, response);
      return;
    }
    const attached = this.#attached.get(response.watchId);
    // Cancelled by us meanwhile, or refused at creation, which etcd answers under the broadcast id.
    if (attached === undefined) this.#onUnknown(response, stream);
    else if (response.canceled) this.#onCanceled(response.watchId, attached, response, stream);
    else if (response.created) this.#onCreated(attached, response);
    else if (response.events.length > 0 || attached.fragments.length > 0) this.#onEvents(attached, response);
    else this.#onProgress(attached, response);
  }

  #onCreated(attached: Attached, response: WatchResponse): void {
    attached.isCreated = true;
    this.#failures = 0;
    attached.watcher.onCreated(response.header?.revision ?? 0n);
  }

  #onEvents(attached: Attached, response: WatchResponse): void {
    attached.fragments.push(...response.events);
    if (response.fragment) return;
    const events = attached.fragments;
    attached.fragments = [];
    attached.watcher.onEvents(events, toHeader(response.header));
  }

  #onProgress(attached: Attached, response: WatchResponse): void {
    if (attached.isCreated && response.header !== undefined) attached.watcher.onProgress(response.header);
  }

  #onCanceled(id: bigint, attached: Attached, response: WatchResponse, stream: OpenStream): void {
    const { watcher } = attached;
    if (response.compactRevision > 0n) {
      this.#forget(id, watcher);
      watcher.onCompacted(response.compactRevision);
      return;
    }
    const failure = failureOf(response.cancelReason);
    if (isTokenRefused(failure) || isTransient(failure)) {
      this.#restart(stream, failure);
      return;
    }
    this.#forget(id, watcher);
    watcher.onFailed(toClientError(failure, "read", stream.ready.endpoint.address.url));
  }

  /** A creation that failed is answered without saying which; creations are answered in order, so it is the oldest. */
  #onUnknown(response: WatchResponse, stream: OpenStream): void {
    if (!(response.created && response.canceled)) return;
    for (const [id, attached] of this.#attached) {
      if (attached.isCreated) continue;
      this.#onCanceled(id, attached, response, stream);
      return;
    }
  }

  #restart(stream: OpenStream, failure: CallFailure): void {
    stream.call.cancel();
    this.#onEnd(failure, stream);
  }
}

/** etcd puts a gRPC error as text into the reason: `rpc error: code = PermissionDenied desc = …`. */
function failureOf(reason: string): CallFailure {
  const text = /desc = (.*)$/s.exec(reason)?.[1] ?? reason;
  const code = /code = (\w+)/.exec(reason)?.[1] ?? "";
  const status = grpcStatus[(code.charAt(0).toLowerCase() + code.slice(1)) as keyof typeof grpcStatus];
  return new CallFailure(
    status ?? grpcStatus.unknown,
    text === "" ? "the member cancelled the watch" : text,
    "answered",
  );
}
