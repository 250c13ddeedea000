// Binds an HTTP/2 session to its socket: reads at a bounded pace, writes once per turn, stops reading while the client
// does not read, and closes both together. What is on the wire is the session's business.
import type { Clock } from "../lib/clock.ts";
import type { ByteSocket } from "./byte-socket.ts";
import type { Flushable, FlushQueue } from "./flush-queue.ts";
import { H2Session, type H2SessionOptions } from "./h2-session.ts";
import type { TransportLimits } from "./limits.ts";

export interface H2ConnectionOptions extends Omit<H2SessionOptions, "requestFlush" | "onFinished"> {
  readonly socket: ByteSocket;
  readonly flushQueue: FlushQueue;
  /** The socket is closed; `reason` is for the log. Called once. */
  readonly onClosed: (reason: string) => void;
  readonly onBytes?: (received: number, sent: number) => void;
}

/** A client gets this long to read our last words, and to close its side, before the socket is destroyed. */
const lingerMs = { orderly: 10_000, broken: 1_000 } as const;

/** What a request weighs among the bytes of a turn, beside its own: its handler takes longer than reading it does. */
const requestBytes = 384;

export class H2Connection implements Flushable {
  readonly session: H2Session;
  readonly #socket: ByteSocket;
  readonly #clock: Clock;
  readonly #limits: TransportLimits;
  readonly #onClosed: (reason: string) => void;
  readonly #onBytes: ((received: number, sent: number) => void) | undefined;
  #bytesThisTurn = 0;
  /** Why reading is paused; it goes on when no reason is left. */
  #waitsForTurn = false;
  #waitsForDrain = false;
  #endReason = "closed by the client";
  #isClosed = false;

  constructor(options: H2ConnectionOptions) {
    this.#socket = options.socket;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#onClosed = options.onClosed;
    this.#onBytes = options.onBytes;
    this.session = new H2Session({
      ...options,
      requestFlush: () => options.flushQueue.add(this),
      onFinished: (reason, isOrderly) => this.#onFinished(reason, isOrderly),
    });
    const { socket } = options;
    socket.on("data", (chunk) => this.receive(chunk));
    socket.on("drain", () => this.#onSocketDrain());
    socket.on("end", () => this.session.onDisconnected(this.#endReason));
    socket.on("error", (error) => {
      this.#endReason = error.message;
    });
    socket.on("close", () => this.#onSocketClose());
  }

  /** Takes in bytes that arrived on the socket. */
  receive(chunk: Buffer): void {
    this.#onBytes?.(chunk.length, 0);
    const { streams } = this.session;
    const requestsBefore = streams.openedCount;
    this.session.receive(chunk);
    this.#bytesThisTurn += chunk.length + (streams.openedCount - requestsBefore) * requestBytes;
    // Counted without asking where a turn ends: a pause too many costs little.
    if (this.#bytesThisTurn < this.#limits.readBytesPerTurnMax || this.#waitsForTurn) return;
    this.#waitsForTurn = true;
    this.#socket.pause();
    this.#clock.nextTurn(() => {
      this.#waitsForTurn = false;
      this.#bytesThisTurn = 0;
      this.#maybeResume();
    });
  }

  flush(): void {
    const { sender } = this.session;
    if (!this.#isClosed) sender.output.flush(this.#write);
    const isBacklogged = this.#socket.writableLength >= this.#limits.socketBacklogBytesMax;
    if (isBacklogged && !this.#waitsForDrain) {
      this.#waitsForDrain = true;
      this.#socket.pause();
    }
    sender.onFlush(isBacklogged);
    if (this.session.isFinished && sender.output.waitingBytes === 0) this.#socket.end();
  }

  /** Begins a graceful shutdown. */
  drain(): void {
    this.session.drain();
  }

  /** Closes at once, without a word. */
  destroy(reason: string): void {
    this.#endReason = reason;
    this.#socket.destroy();
  }

  readonly #write = (pieces: readonly Uint8Array[]): boolean => {
    const socket = this.#socket;
    let sent = 0;
    if (pieces.length === 1) {
      sent = pieces[0]!.length;
      socket.write(pieces[0]!);
    } else {
      socket.cork();
      for (const piece of pieces) {
        sent += piece.length;
        socket.write(piece);
      }
      socket.uncork();
    }
    this.#onBytes?.(0, sent);
    return socket.writableLength === 0;
  };

  #onSocketDrain(): void {
    this.#waitsForDrain = false;
    this.#maybeResume();
    this.session.sender.onFlush(false);
  }

  #maybeResume(): void {
    if (!this.#waitsForTurn && !this.#waitsForDrain && !this.#isClosed) this.#socket.resume();
  }

  /** The session said its last word, which the flush at the end of this turn sends. */
  #onFinished(reason: string, isOrderly: boolean): void {
    this.#endReason = reason;
    this.#clock.setTimer(isOrderly ? lingerMs.orderly : lingerMs.broken, () => this.#socket.destroy());
  }

  #onSocketClose(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.session.onDisconnected(this.#endReason);
    this.#onClosed(this.#endReason);
  }
}
