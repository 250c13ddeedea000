// A server and one client of it in the same process, without network or real time: the client writes frames, the server
// reads them at once, and time passes when the test says so.
import type { Clock, Timer } from "../../../server/lib/clock.ts";
import type { ByteSocket } from "../../../server/transport/byte-socket.ts";
import {
  type GrpcServer,
  type GrpcServerOptions,
  GrpcServer as Server,
} from "../../../server/transport/grpc-server.ts";
import { HpackDecoder } from "../../../server/transport/hpack-decoder.ts";
import { frameFlag, frameType } from "../../../server/transport/http2-constants.ts";
import { type Frame, greeting, parseFrames } from "./wire.ts";

export class ManualClock implements Clock {
  #nowMs = 1_000_000;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];
  readonly #turns: (() => void)[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  nextTurn(callback: () => void): void {
    this.#turns.push(callback);
  }

  /** Runs what waits for the next turn, and what that makes wait in turn. */
  runTurns(): void {
    while (this.#turns.length > 0) for (const callback of this.#turns.splice(0)) callback();
  }

  /** Lets time pass, timer by timer. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      this.runTurns();
      const next = this.#timers.reduce<{ atMs: number; callback: () => void } | undefined>(
        (first, timer) => (timer.atMs <= untilMs && (first === undefined || timer.atMs < first.atMs) ? timer : first),
        undefined,
      );
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
    }
    this.#nowMs = untilMs;
    this.runTurns();
  }

  get timerCount(): number {
    return this.#timers.length;
  }
}

type Listeners = {
  data: (chunk: Buffer) => void;
  drain: () => void;
  end: () => void;
  close: () => void;
  error: (e: Error) => void;
};

/** The server's end of the connection. */
export class MemorySocket implements ByteSocket {
  /** Bytes the server wrote and that "the kernel" has taken. */
  readonly taken: Uint8Array[] = [];
  /** Where true, what the server writes stays in the socket. */
  isStuck = false;
  isPaused = false;
  isEnded = false;
  isDestroyed = false;
  writeCount = 0;
  writableLength = 0;
  readonly #stuck: Uint8Array[] = [];
  readonly #listeners: Partial<Listeners> = {};
  #unread: Buffer[] = [];

  on<Event extends keyof Listeners>(event: Event, listener: Listeners[Event]): this {
    (this.#listeners as Record<string, unknown>)[event] = listener;
    return this;
  }

  write(bytes: Uint8Array): boolean {
    if (this.isEnded || this.isDestroyed) return false;
    this.writeCount += 1;
    if (!this.isStuck) {
      // As a kernel would: what was taken belongs to the writer again.
      this.taken.push(Buffer.from(bytes));
      return true;
    }
    this.#stuck.push(bytes);
    this.writableLength += bytes.length;
    return false;
  }

  cork(): void {}

  uncork(): void {}

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.#listeners.close?.();
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    const unread = this.#unread;
    this.#unread = [];
    for (const chunk of unread) this.deliver(chunk);
  }

  /** The client's bytes arrive. */
  deliver(chunk: Buffer): void {
    if (this.isDestroyed) return;
    if (this.isPaused) this.#unread.push(chunk);
    else this.#listeners.data?.(chunk);
  }

  /** The kernel takes all that is stuck. */
  unstick(): void {
    this.isStuck = false;
    this.taken.push(...this.#stuck.splice(0));
    this.writableLength = 0;
    this.#listeners.drain?.();
  }

  /** The client closes its side. */
  clientEnds(): void {
    this.#listeners.end?.();
    this.destroy();
  }
}

export interface Head {
  readonly streamId: number;
  readonly headers: { readonly [name: string]: string };
  readonly endsStream: boolean;
}

/** The client's end: sends bytes, and keeps what the server answered. */
export class MemoryLink {
  readonly clock: ManualClock;
  readonly socket = new MemorySocket();
  readonly server: GrpcServer;
  readonly frames: Frame[] = [];
  /** Header blocks of responses, decoded in order. */
  readonly heads: Head[] = [];
  readonly #decoder = new HpackDecoder(1 << 20);
  #openBlock: { readonly streamId: number; readonly flags: number; block: Buffer } | undefined;
  #rest = Buffer.alloc(0);

  constructor(server: GrpcServer, clock: ManualClock) {
    this.clock = clock;
    this.server = server;
    server.accept(this.socket, { peer: "memory:1", isTls: false, clientCertificate: undefined });
  }

  /** A link to a server of its own that has been greeted. */
  static open(options: GrpcServerOptions, addTo: (server: GrpcServer) => unknown): MemoryLink {
    const clock = new ManualClock();
    const server = new Server({ onError: () => undefined, ...options, clock });
    addTo(server);
    const link = new MemoryLink(server, clock);
    link.send(greeting);
    link.frames.length = 0;
    return link;
  }

  /** Sends bytes in one read, and lets the turn end. */
  send(...pieces: readonly Uint8Array[]): void {
    this.socket.deliver(Buffer.concat(pieces));
    this.turn();
  }

  /** Ends the turn of the event loop and takes in what the server wrote. */
  turn(): void {
    this.clock.runTurns();
    if (this.socket.taken.length === 0) return;
    const { frames, rest } = parseFrames(Buffer.concat([this.#rest, ...this.socket.taken.splice(0)]));
    this.#rest = Buffer.from(rest);
    for (const frame of frames) this.#take(frame);
  }

  /** Lets promises settle, then ends the turn; a few times, since answers may take several. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      await new Promise(setImmediate);
      this.turn();
    }
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    this.turn();
  }

  of(type: number, streamId?: number): Frame[] {
    return this.frames.filter(
      (frame) => frame.type === type && (streamId === undefined || frame.streamId === streamId),
    );
  }

  /** The code of the latest GOAWAY; undefined without one. */
  get goawayCode(): number | undefined {
    return this.of(frameType.goaway).at(-1)?.payload.readUInt32BE(4);
  }

  goawayText(): string | undefined {
    return this.of(frameType.goaway).at(-1)?.payload.toString("latin1", 8);
  }

  /** The code of the latest RST_STREAM on a stream; undefined without one. */
  resetCode(streamId: number): number | undefined {
    return this.of(frameType.rstStream, streamId).at(-1)?.payload.readUInt32BE(0);
  }

  /** The DATA of a stream, put together. */
  body(streamId: number): Buffer {
    return Buffer.concat(this.of(frameType.data, streamId).map(({ payload }) => payload));
  }

  /** All header fields that a stream's response has brought, trailers included. */
  headersOf(streamId: number): { readonly [name: string]: string } {
    return Object.assign({}, ...this.heads.filter((head) => head.streamId === streamId).map(({ headers }) => headers));
  }

  /** `grpc-status` of a stream; undefined before it came. */
  statusOf(streamId: number): number | undefined {
    const status = this.headersOf(streamId)["grpc-status"];
    return status === undefined ? undefined : Number(status);
  }

  #take(frame: Frame): void {
    this.frames.push(frame);
    if (frame.type === frameType.headers) {
      this.#openBlock = { streamId: frame.streamId, flags: frame.flags, block: frame.payload };
    } else if (frame.type === frameType.continuation) {
      this.#openBlock!.block = Buffer.concat([this.#openBlock!.block, frame.payload]);
    } else return;
    if ((frame.flags & frameFlag.endHeaders) === 0) return;
    const { streamId, flags, block } = this.#openBlock!;
    const { fields } = this.#decoder.decode(block, 0, block.length);
    this.heads.push({
      streamId,
      headers: Object.fromEntries(fields.map(({ name, value }) => [name, value])),
      endsStream: (flags & frameFlag.endStream) !== 0,
    });
  }
}
