// Keeps every lease of a client alive over one shared stream. Sends at a third of the TTL with jitter; a keepalive that
// fails or is not answered soon is sent again at once through another member; an answer that is merely late still counts,
// from when its keepalive was sent. Each turn looks at the clocks first, so that a lease which ran out during a stall of
// the event loop is lost before an answer from the socket can revive it.
import { LeaseKeepAliveRequest, LeaseKeepAliveResponse } from "../proto/gen/etcdserverpb/rpc.ts";
import { monotonicMs, sleep, timerMsMax } from "./abort.ts";
import type { Caller } from "./caller.ts";
import type { StreamCall } from "./connection.ts";
import { leaseChannel } from "./diagnostics.ts";
import type { Ready } from "./endpoint-pool.ts";
import { ClientError, GuardError } from "./errors.ts";
import { CallFailure, grpcStatus, streamEnded } from "./grpc-status.ts";
import type { LeaseHandle } from "./lease-handle.ts";
import type { Logger } from "./logger.ts";
import { leaseMethods } from "./methods.ts";
import { backoffMs } from "./retry.ts";
import { isTokenRefused, isTransient } from "./server-errors.ts";

interface Kept {
  readonly lease: LeaseHandle;
  /** When the next keepalive is due. */
  nextMs: number;
  /** When the one that is under way was sent. */
  sentMs: number | undefined;
}

interface OpenStream {
  readonly call: StreamCall;
  readonly ready: Ready;
  readonly token: string | undefined;
}

/** A stream that was silent for too long: nothing more is sent on it, but what was sent may still be answered. */
interface FadingStream {
  readonly stream: OpenStream;
  /** When the keepalives that it owes an answer to were sent, by lease. */
  readonly sentMs: Map<bigint, number>;
}

const reopenBackoff = { firstMs: 50, maxMs: 500 };
const reachTimeoutMs = 1000;
/** Lateness of a timer that counts as a stall of the event loop. */
const stallMs = 100;

export class KeepAlive {
  readonly #caller: Caller;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  readonly #kept = new Map<bigint, Kept>();
  #stream: OpenStream | undefined;
  /** One at most: a second one that fades takes its place. */
  #fading: FadingStream | undefined;
  #isOpening = false;
  /** Failures in a row. The first one is followed by an immediate try, the others by growing pauses. */
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #plannedMs = 0;

  constructor(caller: Caller, logger: Logger) {
    this.#caller = caller;
    this.#logger = logger;
  }

  get leases(): readonly LeaseHandle[] {
    return [...this.#kept.values()].map(({ lease }) => lease);
  }

  /** Starts keeping `lease` alive. `isDue` sends the first keepalive at once. */
  add(lease: LeaseHandle, isDue = false): void {
    this.#kept.set(lease.id, { lease, nextMs: isDue ? 0 : nextDueMs(lease, monotonicMs()), sentMs: undefined });
    this.#schedule();
  }

  remove(lease: LeaseHandle): void {
    if (this.#kept.get(lease.id)?.lease !== lease) return;
    this.#kept.delete(lease.id);
    if (this.#kept.size === 0) this.#endStream();
  }

  renewSoon(lease: LeaseHandle): void {
    const kept = this.#kept.get(lease.id);
    if (kept === undefined) return;
    kept.nextMs = 0;
    this.#schedule();
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#timer);
    this.#endStream();
    this.#kept.clear();
  }

  #endStream(): void {
    this.#stream?.call.cancel();
    this.#stream = undefined;
    this.#fading?.stream.call.cancel();
    this.#fading = undefined;
  }

  /** Arms the one timer for whatever comes first: a keepalive that is due, or an answer that is overdue. */
  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#kept.size === 0 || this.#closing.signal.aborted) return;
    const isOpening = this.#isOpening;
    const times = [...this.#kept.values()].map((kept) =>
      kept.sentMs === undefined ? (isOpening ? Infinity : kept.nextMs) : kept.sentMs + answerTimeoutMs(kept.lease),
    );
    const now = monotonicMs();
    this.#plannedMs = Math.max(now, Math.min(...times));
    if (this.#plannedMs === Infinity) return;
    this.#timer = setTimeout(() => this.#turn(), Math.min(timerMsMax, Math.ceil(this.#plannedMs - now)));
    this.#timer.unref();
  }

  #turn(): void {
    const now = this.#checkClocks();
    this.#noteStall(now);
    const overdue = [...this.#kept.values()].filter(
      (kept) => kept.sentMs !== undefined && now >= kept.sentMs + answerTimeoutMs(kept.lease),
    );
    if (overdue.length > 0 && this.#stream !== undefined) {
      const text = `a keepalive was not answered within ${Math.round(now - overdue[0]!.sentMs!)} ms`;
      const silent = this.#stream;
      this.#fade(silent);
      this.#onFailure(new CallFailure(grpcStatus.unavailable, text, "sent"), silent);
    } else if (this.#stream === undefined) this.#open();
    else for (const kept of this.#kept.values()) this.#sendIfDue(kept, this.#stream, now);
    this.#schedule();
  }

  /** First of all, on every turn: what has run out is lost, whatever else may come. */
  #checkClocks(): number {
    const now = monotonicMs();
    for (const { lease } of [...this.#kept.values()]) lease.check(now);
    return now;
  }

  #noteStall(now: number): void {
    const lateMs = now - this.#plannedMs;
    if (lateMs < stallMs) return;
    if (leaseChannel.hasSubscribers) leaseChannel.publish({ event: "stall", leaseId: undefined, ms: lateMs });
    this.#logger.warn({ ms: Math.round(lateMs) }, "the event loop stood still: leases depend on it");
  }

  #sendIfDue(kept: Kept, stream: OpenStream, now: number): void {
    if (kept.sentMs !== undefined || kept.nextMs > now) return;
    // Before the write: time that passes until the bytes leave counts against us, never for us.
    kept.sentMs = monotonicMs();
    stream.call.write(LeaseKeepAliveRequest.encode({ ID: kept.lease.id }).finish());
  }

  #open(): void {
    if (this.#isOpening || this.#kept.size === 0) return;
    this.#isOpening = true;
    void this.#openStream().finally(() => {
      this.#isOpening = false;
      if (this.#stream === undefined) this.#schedule();
      else this.#turn();
    });
  }

  async #openStream(): Promise<void> {
    const { signal } = this.#closing;
    if (this.#failures > 1) await sleep(backoffMs(reopenBackoff, this.#failures - 1), signal);
    try {
      const ready = this.#caller.pool.ready ?? (await this.#caller.pool.acquire(reachTimeoutMs, signal));
      const { metadata, token } = await this.#caller.metadata({ signal });
      if (this.#kept.size === 0 || signal.aborted) return;
      const call = ready.connection.stream(
        leaseMethods.keepAlive.path,
        { ...metadata, hasleader: "true" },
        {
          onMessage: (message) => this.#onMessage(message, stream),
          onEnd: (failure) => this.#onEnd(failure ?? streamEnded(), stream),
        },
      );
      const stream: OpenStream = { call, ready, token };
      this.#stream = stream;
    } catch (error) {
      if (signal.aborted) return;
      this.#failures += 1;
      this.#markAllLate();
      if (error instanceof GuardError) this.#loseAll(error);
      else if (!(error instanceof CallFailure) && !(error instanceof ClientError)) throw error;
      this.#logger.warn({ reason: error.message }, "no member to keep leases alive with");
    }
  }

  #markAllLate(): void {
    for (const { lease } of [...this.#kept.values()]) lease.markLate();
  }

  #loseAll(error: GuardError): void {
    for (const { lease } of [...this.#kept.values()]) lease.markLost("guard", error.message, error);
  }

  /**
   * Turns away from a stream without closing it. With a slow quorum every member answers late: who closed each stream
   * that is late, and asked anew, would lose its leases to a cluster that renews them.
   */
  #fade(stream: OpenStream): void {
    const sentMs = new Map<bigint, number>();
    for (const kept of this.#kept.values()) if (kept.sentMs !== undefined) sentMs.set(kept.lease.id, kept.sentMs);
    this.#fading?.stream.call.cancel();
    this.#fading = { stream, sentMs };
    this.#stream = undefined;
  }

  #onEnd(failure: CallFailure, stream: OpenStream): void {
    if (this.#fading?.stream === stream) this.#fading = undefined;
    if (this.#stream === stream) this.#onFailure(failure, stream);
  }

  /** The stream broke or went silent: what was under way is sent again at once, through another member if there is one. */
  #onFailure(failure: CallFailure, stream: OpenStream): void {
    this.#checkClocks();
    if (this.#stream === stream) {
      stream.call.cancel();
      this.#stream = undefined;
    }
    if (this.#closing.signal.aborted) return;
    this.#failures += 1;
    const { endpoint } = stream.ready;
    this.#logger.warn({ endpoint: endpoint.address.url, reason: failure.message }, "keepalive stream failed");
    if (isTokenRefused(failure)) this.#caller.refuseToken(stream.token);
    else if (endpoint.connection !== undefined && isTransient(failure)) this.#caller.pool.fail(endpoint, failure);
    for (const kept of this.#kept.values()) {
      if (kept.sentMs === undefined) continue;
      kept.sentMs = undefined;
      kept.nextMs = 0;
      kept.lease.markLate();
    }
    this.#schedule();
  }

  #onMessage(message: Uint8Array, stream: OpenStream): void {
    const fading = this.#fading?.stream === stream ? this.#fading : undefined;
    if (this.#stream !== stream && fading === undefined) return;
    this.#checkClocks();
    const response = LeaseKeepAliveResponse.decode(message);
    const { endpoint } = stream.ready;
    try {
      this.#caller.guards.check(response.header, endpoint.address.url, 0n, "notApplied");
    } catch (error) {
      if (!(error instanceof GuardError)) throw error;
      this.#endStream();
      this.#caller.pool.fail(endpoint, error);
      this.#loseAll(error);
      return;
    }
    const kept = this.#kept.get(response.ID);
    const sentMs = fading === undefined ? kept?.sentMs : fading.sentMs.get(response.ID);
    if (kept === undefined || sentMs === undefined) return;
    this.#failures = 0;
    const { lease } = kept;
    if (fading === undefined) kept.sentMs = undefined;
    else fading.sentMs.delete(response.ID);
    if (response.TTL <= 0n) {
      lease.markLost("notFound", "the server does not know it: it has expired or was revoked");
      return;
    }
    lease.renewed({ ttlMs: Number(response.TTL) * 1000, sentMs });
    // The one that was sent again elsewhere, or is about to be, is still on its way to a later deadline.
    if (fading === undefined) kept.nextMs = nextDueMs(lease, sentMs);
    this.#schedule();
  }
}

/** A third of the TTL after the last one, drawn a little earlier so that clients do not move in step. */
const nextDueMs = (lease: LeaseHandle, sentMs: number): number =>
  sentMs + (lease.ttlMs / 3) * (0.8 + Math.random() * 0.2);

/** Short enough that another member can still answer before the deadline. */
const answerTimeoutMs = (lease: LeaseHandle): number => Math.min(2000, Math.max(300, lease.ttlMs / 6));

/** Sends one keepalive for a lease that nobody here keeps: the answer (TTL 0: no such lease), and when it was sent. */
export async function renewOnce(
  caller: Caller,
  id: bigint,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly response: LeaseKeepAliveResponse; readonly sentMs: number }> {
  const ready = caller.pool.ready ?? (await caller.pool.acquire(timeoutMs, signal));
  const { metadata } = await caller.metadata({ signal });
  const waiting = new AbortController();
  let call: StreamCall | undefined;
  try {
    return await new Promise((resolve, reject) => {
      let sentMs = 0;
      call = ready.connection.stream(leaseMethods.keepAlive.path, metadata, {
        onMessage: (message) => {
          const response = LeaseKeepAliveResponse.decode(message);
          try {
            caller.guards.check(response.header, ready.endpoint.address.url, 0n, "notApplied");
            resolve({ response, sentMs });
          } catch (error) {
            reject(error);
          }
        },
        onEnd: (failure) => reject(failure ?? streamEnded()),
      });
      sentMs = monotonicMs();
      call.write(LeaseKeepAliveRequest.encode({ ID: id }).finish());
      const combined = signal === undefined ? waiting.signal : AbortSignal.any([waiting.signal, signal]);
      void sleep(timeoutMs, combined).then(() => {
        const status = signal?.aborted ? grpcStatus.canceled : grpcStatus.deadlineExceeded;
        reject(new CallFailure(status, "the keepalive was not answered", "sent"));
      });
    });
  } finally {
    waiting.abort();
    call?.cancel();
  }
}
