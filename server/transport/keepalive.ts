// Pings in both directions, by the rules of grpc-go as etcd sets them. Inwards: a client may ping every so often, and
// hardly at all while it has no stream; the third ping too soon ends the connection. Outwards: a connection on which
// nothing was heard for long is pinged and closed if even that is not answered.

export interface KeepaliveOptions {
  /** Least time between two pings of a client. etcd: --grpc-keepalive-min-time, 5 s. */
  readonly clientPingIntervalMinMs: number;
  /** Whether a client may ping that often while it has no stream. etcd: no. */
  readonly permitWithoutStream: boolean;
  /** A connection silent for this long is pinged. etcd: --grpc-keepalive-interval, 2 h. 0 is never. */
  readonly serverPingAfterMs: number;
  /** Time for the answer. etcd: --grpc-keepalive-timeout, 20 s. */
  readonly serverPingTimeoutMs: number;
}

export const defaultKeepalive: KeepaliveOptions = {
  clientPingIntervalMinMs: 5_000,
  permitWithoutStream: false,
  serverPingAfterMs: 2 * 3600_000,
  serverPingTimeoutMs: 20_000,
};

/** Pings that may come too soon before the connection ends: grpc-go's maxPingStrikes. */
const strikesMax = 2;
/** Without a stream, a ping is expected no sooner than this: grpc-go's defaultPingTimeout. */
const intervalWithoutStreamMs = 2 * 3600_000;

export class Keepalive {
  readonly #options: KeepaliveOptions;
  #strikes = 0;
  #lastPingMs = Number.NEGATIVE_INFINITY;
  #heardAtMs: number;
  #pingedAtMs: number | undefined;
  /** Set by whoever sends HEADERS or DATA: a client may ping after it got something, to measure the path. */
  hasSent = false;

  constructor(options: KeepaliveOptions, nowMs: number) {
    this.#options = options;
    this.#heardAtMs = nowMs;
  }

  /** A ping of the client. False where it was one too many. */
  onPing(nowMs: number, hasStreams: boolean): boolean {
    const previousMs = this.#lastPingMs;
    this.#lastPingMs = nowMs;
    if (this.hasSent) {
      this.hasSent = false;
      this.#strikes = 0;
      return true;
    }
    const lenient = hasStreams || this.#options.permitWithoutStream;
    const intervalMs = lenient ? this.#options.clientPingIntervalMinMs : intervalWithoutStreamMs;
    if (previousMs + intervalMs > nowMs) this.#strikes += 1;
    return this.#strikes <= strikesMax;
  }

  /** Anything came from the client. */
  onHeard(nowMs: number): void {
    this.#heardAtMs = nowMs;
    this.#pingedAtMs = undefined;
  }

  /** What is due: a ping, giving the connection up, or nothing. */
  due(nowMs: number): "ping" | "give-up" | undefined {
    if (this.#pingedAtMs !== undefined) {
      return nowMs - this.#pingedAtMs >= this.#options.serverPingTimeoutMs ? "give-up" : undefined;
    }
    if (this.#options.serverPingAfterMs === 0 || nowMs - this.#heardAtMs < this.#options.serverPingAfterMs) {
      return undefined;
    }
    this.#pingedAtMs = nowMs;
    return "ping";
  }
}
