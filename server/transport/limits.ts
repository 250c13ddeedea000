// Every limit of the transport in one place, with what happens at it. DESIGN.md has the same table with the attack
// that each limit answers. All of them are per connection unless their text says otherwise.

export interface TransportLimits {
  /** Connections at once on one front door. One more is closed as soon as it is accepted. */
  readonly connectionsMax: number;
  /** TLS handshakes that may be unfinished at once, in total and from one address. One more is closed. */
  readonly handshakesMax: number;
  readonly handshakesPerAddressMax: number;
  /** Time from accepting to the end of the TLS handshake, and again to the client preface or the first HTTP/1.1 byte. */
  readonly handshakeTimeoutMs: number;

  /**
   * Streams at once (announced as SETTINGS_MAX_CONCURRENT_STREAMS), counting those that the peer has reset while their
   * handlers still run. One more is refused with REFUSED_STREAM.
   */
  readonly streamsMax: number;
  /** Request message after decompression. Larger: RESOURCE_EXHAUSTED, as soon as its length is known. */
  readonly receiveMessageBytesMax: number;
  /** Response message. Larger: RESOURCE_EXHAUSTED. */
  readonly sendMessageBytesMax: number;

  /** Decoded header list, as RFC 9113 section 6.5.2 counts it (announced). Larger: the request is answered with 431. */
  readonly headerListBytesMax: number;
  /** Encoded header block over HEADERS and CONTINUATION. Larger: GOAWAY ENHANCE_YOUR_CALM. */
  readonly headerBlockBytesMax: number;
  /** CONTINUATION frames of one block. More: GOAWAY ENHANCE_YOUR_CALM. */
  readonly continuationFramesMax: number;

  /** What a client may send on one stream before a handler has taken it (announced as the initial window). */
  readonly streamWindowBytes: number;
  /** What a client may have under way on the whole connection. */
  readonly connectionWindowBytes: number;
  /**
   * Request bytes held for the connection: parts of messages, and messages that no handler has taken yet. The call
   * whose bytes would go over it ends with RESOURCE_EXHAUSTED.
   */
  readonly receiveBufferBytesMax: number;
  /**
   * Response bytes that wait for the client's flow control. While more than this waits, a further response ends with
   * RESOURCE_EXHAUSTED instead; streaming handlers are held back long before. A single response may be larger.
   */
  readonly sendBufferBytesMax: number;
  /** The sums of the two above over all connections of a server. */
  readonly serverReceiveBufferBytesMax: number;
  readonly serverSendBufferBytesMax: number;
  /** Bytes handed to a socket that the kernel has not taken: above it nothing more is read or sent until it drains. */
  readonly socketBacklogBytesMax: number;
  /** Bytes read from one connection before others get their turn; each request counts as some hundred bytes more. */
  readonly readBytesPerTurnMax: number;

  /** A frame, or a header block, that was begun must be complete within this time. Else: GOAWAY, close. */
  readonly incompleteFrameTimeoutMs: number;
  /** A call that needs one request message must have it within this time. Else: DEADLINE_EXCEEDED. */
  readonly requestTimeoutMs: number;
  /** Response bytes wait, and the client has taken none for this time: the stream is reset, or the connection closed. */
  readonly sendStallTimeoutMs: number;

  /**
   * Events that cost us and bring an honest client little: resets, malformed requests, SETTINGS, PRIORITY, pings, empty
   * DATA, window updates beyond what our data and the client's streams explain. Resets of streams that have been open
   * for a while, or are closed already, count a tenth. `nuisanceBurst` may come at once, `nuisancePerSecond` are
   * forgiven. More: GOAWAY ENHANCE_YOUR_CALM, close.
   */
  readonly nuisanceBurst: number;
  readonly nuisancePerSecond: number;
}

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

/** `limits` over the defaults, with budgets that hold at least a few of the largest messages allowed. */
export function completeLimits(limits: Partial<TransportLimits>): TransportLimits {
  const complete = { ...defaultLimits, ...limits };
  const receivable = 4 * complete.receiveMessageBytesMax;
  return {
    ...complete,
    receiveBufferBytesMax: limits.receiveBufferBytesMax ?? Math.max(complete.receiveBufferBytesMax, receivable),
    serverReceiveBufferBytesMax:
      limits.serverReceiveBufferBytesMax ?? Math.max(complete.serverReceiveBufferBytesMax, 2 * receivable),
  };
}

export const defaultLimits: TransportLimits = {
  connectionsMax: 20_000,
  handshakesMax: 2_000,
  handshakesPerAddressMax: 500,
  handshakeTimeoutMs: 10_000,
  streamsMax: 10_000,
  // etcd: --max-request-bytes (1.5 MiB) and 512 KiB for what surrounds a request.
  receiveMessageBytesMax: 2 * mebibyte,
  sendMessageBytesMax: 0x7fff_ffff,
  headerListBytesMax: 64 * kibibyte,
  headerBlockBytesMax: 64 * kibibyte,
  continuationFramesMax: 16,
  streamWindowBytes: 256 * kibibyte,
  connectionWindowBytes: mebibyte,
  receiveBufferBytesMax: 64 * mebibyte,
  sendBufferBytesMax: 64 * mebibyte,
  serverReceiveBufferBytesMax: 512 * mebibyte,
  serverSendBufferBytesMax: 512 * mebibyte,
  socketBacklogBytesMax: 256 * kibibyte,
  readBytesPerTurnMax: 256 * kibibyte,
  incompleteFrameTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  sendStallTimeoutMs: 120_000,
  nuisanceBurst: 2_000,
  nuisancePerSecond: 500,
};
