// One member as this client knows it: its address, the connection to it when there is one, and how it has behaved.
import { monotonicMs } from "./abort.ts";
import type { Address } from "./address.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import { connectionChannel } from "./diagnostics.ts";
import { GuardError } from "./errors.ts";
import { CallFailure, grpcStatus, SilenceFailure } from "./grpc-status.ts";
import { backoffMs } from "./retry.ts";

/** What a member says of itself when a connection to it opens; unknown where it keeps that to authorized users. */
export interface MemberIdentity {
  readonly memberId: bigint;
  readonly version: string;
  readonly isLearner: boolean;
}

/** Asks a freshly connected member who it is. Throws {@link GuardError} for one that must not be used. */
export type Handshake = (connection: Connection) => Promise<MemberIdentity | undefined>;

/** Backoff between attempts on one member. Short at the top, since a lease may depend on the only member there is. */
const backoff = { firstMs: 100, maxMs: 1000 };
/** A member that was refused by a guard is looked at again after this time; an operator may have put it right. */
const refusedMs = 5000;
/**
 * A member that is silent again and again may be overloaded rather than gone. Giving it up as fast each time would add to
 * its load, so each silence in a row doubles the patience, up to this factor.
 */
const patienceMax = 4;
/** A connection that lived longer than this ends the row. */
const steadyMs = 30_000;

export class Endpoint {
  readonly address: Address;
  readonly #options: ConnectionOptions;
  readonly #handshake: Handshake;
  readonly #onClosed: (endpoint: Endpoint) => void;
  #connection: Connection | undefined;
  #opening: Promise<Connection> | undefined;
  #failures = 0;
  #retryAtMs = 0;
  #lastFailure: Error | undefined;
  #identity: MemberIdentity | undefined;
  #patience = 1;
  #openedMs = 0;
  readonly #closing = new AbortController();

  constructor(
    address: Address,
    options: ConnectionOptions,
    handshake: Handshake,
    onClosed: (endpoint: Endpoint) => void,
  ) {
    this.address = address;
    this.#options = options;
    this.#handshake = handshake;
    this.#onClosed = onClosed;
  }

  /** The connection that new calls may use, if there is one. */
  get connection(): Connection | undefined {
    return this.#connection?.isUsable ? this.#connection : undefined;
  }

  get identity(): MemberIdentity | undefined {
    return this.#identity;
  }

  get failures(): number {
    return this.#failures;
  }

  get lastFailure(): Error | undefined {
    return this.#lastFailure;
  }

  /** When this member may be tried again, on the monotonic clock; in the past for one in good health. */
  get retryAtMs(): number {
    return this.#retryAtMs;
  }

  /** Set when a guard refused the member: it is alive, but it is not ours. */
  get refusal(): GuardError | undefined {
    return this.#lastFailure instanceof GuardError ? this.#lastFailure : undefined;
  }

  /** The open connection, or a new one. Concurrent callers share the attempt. */
  open(): Promise<Connection> {
    const connection = this.connection;
    if (connection !== undefined) return Promise.resolve(connection);
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #connect(): Promise<Connection> {
    let connection: Connection | undefined;
    try {
      // It may close before it was handed over; the handshake then fails.
      const onClose = (cause: CallFailure): void => {
        if (connection !== undefined && this.#connection === connection) this.#lost(cause);
      };
      const options = { ...this.#options, deadAfterMs: this.#options.deadAfterMs * this.#patience };
      connection = await Connection.open(this.address, options, onClose, this.#closing.signal);
      this.#openedMs = monotonicMs();
      this.#identity = (await this.#handshake(connection)) ?? this.#identity;
      if (this.#closing.signal.aborted) throw new CallFailure(grpcStatus.canceled, "the client was closed", "unsent");
    } catch (error) {
      connection?.close();
      this.fail(error as Error);
      this.#publish(error instanceof GuardError ? "refused" : "failed", error as Error);
      throw error;
    }
    if (this.refusal !== undefined) this.#lastFailure = undefined;
    this.#connection = connection;
    this.#publish("open", undefined);
    return connection;
  }

  #lost(cause: CallFailure): void {
    this.#connection = undefined;
    if (this.#closing.signal.aborted) return;
    const isSteady = monotonicMs() - this.#openedMs > steadyMs;
    if (isSteady) this.#patience = 1;
    if (cause instanceof SilenceFailure) this.#patience = Math.min(patienceMax, this.#patience * 2);
    this.fail(cause);
    this.#publish("closed", cause);
    this.#onClosed(this);
  }

  /** A call to it ended well. */
  succeed(): void {
    this.#failures = 0;
    this.#retryAtMs = 0;
    this.#lastFailure = undefined;
  }

  /** A call or connection to it failed through no fault of the request. */
  fail(error: Error): void {
    this.#failures += 1;
    this.#lastFailure = error;
    const waitMs = error instanceof GuardError ? refusedMs : backoffMs(backoff, this.#failures);
    this.#retryAtMs = monotonicMs() + waitMs;
    if (error instanceof GuardError) this.drop(error);
  }

  /** Gives the connection up; calls in flight on it fail. */
  drop(cause: Error): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.destroy(new CallFailure(grpcStatus.unavailable, cause.message, "sent", cause));
  }

  /** It is not on the list any more: calls under way may end, nothing new begins. */
  retire(): void {
    this.#closing.abort();
    const text = `${this.address.url} is not an endpoint any more`;
    this.#connection?.retire(new CallFailure(grpcStatus.unavailable, text, "sent"));
    this.#connection = undefined;
  }

  close(): void {
    this.#closing.abort();
    this.#connection?.close();
    this.#connection = undefined;
  }

  #publish(event: "open" | "closed" | "failed" | "refused", error: Error | undefined): void {
    if (connectionChannel.hasSubscribers) connectionChannel.publish({ event, endpoint: this.address.url, error });
  }
}
