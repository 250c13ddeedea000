// A small HTTP/2 client for load: many calls on few connections at as little CPU as JavaScript allows, so that the
// server and not the generator is what gets measured. Everything that one read brings is answered with one write.
// It honours what a server may ask of it (flow control, pings, settings) and takes any surprise as an error.
import { connect, type Socket } from "node:net";
import { HpackDecoder } from "../../../server/transport/hpack-decoder.ts";
import {
  clientPreface,
  frameBytesDefault,
  frameFlag,
  frameHeaderBytes,
  frameType,
  settingId,
} from "../../../server/transport/http2-constants.ts";
import { HeaderWriter } from "./header-writer.ts";

/** Hears what becomes of one stream. */
export interface StreamSink {
  /** Payload `bytes[start..end)`, valid only during the call. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The stream ended: undefined if with grpc-status 0. Not called for streams that the connection's end cut off. */
  onEnd(problem: string | undefined): void;
}

interface OpenStream {
  readonly sink: StreamSink;
  sendWindow: number;
  received: number;
}

const grpcPrefixBytes = 5;
/** Both windows for what servers send: never the limit. They are refilled when half is used. */
const receiveWindowBytes = 0x7fff_ffff;
const windowDefault = 65_535;
const outputBytes = 64 * 1024;
const emptyBytes = Buffer.alloc(0);

/** One for all connections: a read is handled before the next one begins. */
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024);

export class H2Client {
  readonly #socket: Socket;
  readonly #onFailed: (error: Error) => void;
  readonly #headers: HeaderWriter;
  readonly #decoder = new HpackDecoder(1024 * 1024);
  readonly #streams = new Map<number, OpenStream>();
  /** Sends that wait for the server's flow control, in order. */
  readonly #blocked: (() => boolean)[] = [];
  #nextStreamId = 1;
  #sendWindow = windowDefault;
  #streamSendWindow = windowDefault;
  #received = 0;
  #output = Buffer.allocUnsafeSlow(outputBytes);
  #outputEnd = 0;
  /** The beginning of a frame whose rest has not arrived. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  #okTrailers: Buffer = emptyBytes;
  #headersSeen: Buffer = emptyBytes;
  #onSettings: () => void = () => undefined;
  #isClosed = false;

  private constructor(socket: Socket, authority: string, onFailed: (error: Error) => void) {
    this.#socket = socket;
    this.#onFailed = onFailed;
    this.#headers = new HeaderWriter(authority);
  }

  /** Connects and waits for the server's settings. `onFailed` is called at most once, and not before that. */
  static async open(host: string, port: number, onFailed: (error: Error) => void): Promise<H2Client> {
    return await new Promise<H2Client>((resolve, reject) => {
      let isOpen = false;
      const socket = connect({
        host,
        port,
        noDelay: true,
        onread: { buffer: readBuffer, callback: (count) => client.#onRead(count) },
      });
      const client: H2Client = new H2Client(socket, `${host}:${port}`, (error) => {
        if (isOpen) onFailed(error);
        else reject(error);
      });
      client.#onSettings = () => {
        isOpen = true;
        resolve(client);
      };
      socket.on("error", (error) => client.#fail(error));
      socket.on("close", () => client.#fail(new Error("the server closed the connection")));
      socket.on("connect", () => client.#begin());
    });
  }

  #begin(): void {
    const settings = Buffer.alloc(12);
    settings.writeUInt16BE(settingId.enablePush, 0);
    settings.writeUInt16BE(settingId.initialWindowSize, 6);
    settings.writeUInt32BE(receiveWindowBytes, 8);
    clientPreface.copy(this.#output, this.#reserve(clientPreface.length));
    this.#frame(frameType.settings, 0, 0, settings);
    this.#updateWindow(0, receiveWindowBytes - windowDefault);
    this.flush();
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** A unary call: `message` is copied before this returns. Nothing leaves before {@link flush} or the end of a read. */
  call(path: string, message: Buffer, sink: StreamSink): void {
    if (this.#blocked.length > 0 || message.length + grpcPrefixBytes > this.#sendWindow) {
      const copy = Buffer.from(message);
      this.#block(() => this.#tryCall(path, copy, sink));
    } else this.#tryCall(path, message, sink);
  }

  #tryCall(path: string, message: Buffer, sink: StreamSink): boolean {
    if (message.length + grpcPrefixBytes > this.#sendWindow) return false;
    const id = this.open(path, sink);
    this.#writeMessage(id, message, frameFlag.endStream);
    return true;
  }

  /** Opens a stream that messages can be sent on, and returns its id. */
  open(path: string, sink: StreamSink): number {
    const id = this.#nextStreamId;
    this.#nextStreamId += 2;
    this.#streams.set(id, { sink, sendWindow: this.#streamSendWindow, received: 0 });
    this.#frame(frameType.headers, frameFlag.endHeaders, id, this.#headers.blockFor(path));
    return id;
  }

  /** Sends one message on an open stream; it is copied before this returns. */
  send(id: number, message: Buffer): void {
    const trySend = (bytes: Buffer): boolean => {
      const stream = this.#streams.get(id);
      if (stream === undefined) return true;
      const length = bytes.length + grpcPrefixBytes;
      if (length > this.#sendWindow || length > stream.sendWindow) return false;
      stream.sendWindow -= length;
      this.#writeMessage(id, bytes, 0);
      return true;
    };
    if (this.#blocked.length > 0 || !trySend(message)) {
      const copy = Buffer.from(message);
      this.#block(() => trySend(copy));
    }
  }

  #block(attempt: () => boolean): void {
    this.#blocked.push(attempt);
  }

  #unblock(): void {
    while (this.#blocked.length > 0) {
      if (!this.#blocked[0]!()) return;
      this.#blocked.shift();
    }
  }

  #writeMessage(id: number, message: Buffer, flags: number): void {
    const length = grpcPrefixBytes + message.length;
    this.#sendWindow -= length;
    let at = this.#reserve(frameHeaderBytes + length);
    at = this.#putFrameHeader(at, length, frameType.data, flags, id);
    this.#output[at] = 0;
    this.#output.writeUInt32BE(message.length, at + 1);
    this.#output.set(message, at + grpcPrefixBytes);
  }

  #frame(type: number, flags: number, id: number, payload: Buffer): void {
    const at = this.#reserve(frameHeaderBytes + payload.length);
    this.#output.set(payload, this.#putFrameHeader(at, payload.length, type, flags, id));
  }

  #putFrameHeader(at: number, length: number, type: number, flags: number, id: number): number {
    const output = this.#output;
    output[at] = length >>> 16;
    output[at + 1] = length >>> 8;
    output[at + 2] = length;
    output[at + 3] = type;
    output[at + 4] = flags;
    output[at + 5] = id >>> 24;
    output[at + 6] = id >>> 16;
    output[at + 7] = id >>> 8;
    output[at + 8] = id;
    return at + frameHeaderBytes;
  }

  #reserve(count: number): number {
    const at = this.#outputEnd;
    if (at + count > this.#output.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#output.length * 2, at + count));
      this.#output.copy(grown, 0, 0, at);
      this.#output = grown;
    }
    this.#outputEnd = at + count;
    return at;
  }

  /** Writes what has gathered. */
  flush(): void {
    if (this.#outputEnd === 0 || this.#isClosed) return;
    this.#socket.write(this.#output.subarray(0, this.#outputEnd));
    this.#outputEnd = 0;
    // What the kernel did not take at once is still being read from the buffer.
    if (this.#socket.writableLength > 0) this.#output = Buffer.allocUnsafeSlow(outputBytes);
  }

  #onRead(count: number): boolean {
    if (this.#isClosed) return false;
    try {
      this.#readFrames(count);
    } catch (error) {
      this.#fail(error as Error);
      return false;
    }
    this.flush();
    return true;
  }

  #readFrames(count: number): void {
    let at = this.#heldBytes === 0 ? 0 : this.#completeHeld(count);
    while (count - at >= frameHeaderBytes) {
      const next = at + frameHeaderBytes + frameLength(readBuffer, at);
      if (next > count) break;
      this.#dispatch(readBuffer, at, next);
      at = next;
    }
    if (at === count) return;
    this.#held ??= Buffer.allocUnsafeSlow(frameHeaderBytes + frameBytesDefault);
    this.#heldBytes += readBuffer.copy(this.#held, this.#heldBytes, at, count);
  }

  /** Adds to the held frame and handles it if that completes it. Returns where the next frame begins. */
  #completeHeld(count: number): number {
    const held = this.#held!;
    let at = 0;
    for (;;) {
      const isHeader = this.#heldBytes < frameHeaderBytes;
      const wanted = isHeader ? frameHeaderBytes : frameHeaderBytes + frameLength(held, 0);
      const copied = readBuffer.copy(held, this.#heldBytes, at, Math.min(count, at + wanted - this.#heldBytes));
      at += copied;
      this.#heldBytes += copied;
      if (this.#heldBytes < wanted) return count;
      if (isHeader) continue;
      this.#heldBytes = 0;
      this.#dispatch(held, 0, wanted);
      return at;
    }
  }

  #dispatch(bytes: Buffer, at: number, next: number): void {
    const id = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    this.#onFrame(bytes[at + 3]!, bytes[at + 4]!, id, bytes, at + frameHeaderBytes, next);
  }

  #onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case frameType.data:
        this.#onData(flags, id, bytes, start, end);
        return;
      case frameType.headers:
        this.#onHeaders(flags, id, bytes, start, end);
        return;
      case frameType.windowUpdate:
        this.#onWindowUpdate(id, bytes.readUInt32BE(start) & 0x7fff_ffff);
        return;
      case frameType.settings:
        this.#onSettingsFrame(flags, bytes, start, end);
        return;
      case frameType.ping:
        if ((flags & frameFlag.ack) === 0) {
          this.#frame(frameType.ping, frameFlag.ack, 0, Buffer.from(bytes.subarray(start, end)));
        }
        return;
      case frameType.rstStream:
        this.#end(id, `the server reset the stream with code ${bytes.readUInt32BE(start)}`);
        return;
      case frameType.goaway:
        throw new Error(
          `GOAWAY with code ${bytes.readUInt32BE(start + 4)}: ${bytes.toString("latin1", start + 8, end)}`,
        );
      case frameType.continuation:
      case frameType.pushPromise:
        throw new Error(`a frame of type ${type} was not expected`);
      default:
    }
  }

  #onData(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if ((flags & frameFlag.padded) !== 0) throw new Error("padded DATA was not expected");
    this.#received += end - start;
    if (this.#received > receiveWindowBytes / 2) {
      this.#updateWindow(0, this.#received);
      this.#received = 0;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.received += end - start;
    if (stream.received > receiveWindowBytes / 2) {
      this.#updateWindow(id, stream.received);
      stream.received = 0;
    }
    stream.sink.onData(bytes, start, end);
    if ((flags & frameFlag.endStream) !== 0) this.#end(id, "the stream ended without trailers");
  }

  #onHeaders(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if ((flags & (frameFlag.padded | frameFlag.priority)) !== 0 || (flags & frameFlag.endHeaders) === 0) {
      throw new Error(`HEADERS with flags ${flags} were not expected`);
    }
    const isEnd = (flags & frameFlag.endStream) !== 0;
    const seen = isEnd ? this.#okTrailers : this.#headersSeen;
    if (seen.length === end - start && seen.compare(bytes, start, end) === 0) {
      if (isEnd) this.#end(id, undefined);
      return;
    }
    const problem = this.#decodeHeaders(bytes, start, end, isEnd);
    if (isEnd) this.#end(id, problem);
    else if (problem !== undefined) throw new Error(problem);
  }

  /** The problem that a block tells of, if any. A good block that will mean the same again is remembered. */
  #decodeHeaders(bytes: Buffer, start: number, end: number, isEnd: boolean): string | undefined {
    const { fields, changedTable } = this.#decoder.decode(bytes, start, end);
    const fieldOf = (name: string): string | undefined => fields.find((field) => field.name === name)?.value;
    const status = fieldOf(isEnd ? "grpc-status" : ":status");
    const isGood = status === (isEnd ? "0" : "200");
    if (changedTable) {
      this.#okTrailers = emptyBytes;
      this.#headersSeen = emptyBytes;
    } else if (isGood) {
      const copy = Buffer.from(bytes.subarray(start, end));
      if (isEnd) this.#okTrailers = copy;
      else this.#headersSeen = copy;
    }
    if (isGood) return undefined;
    return isEnd ? `grpc-status ${status ?? "missing"}: ${fieldOf("grpc-message") ?? ""}` : `HTTP status ${status}`;
  }

  #end(id: number, problem: string | undefined): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#streams.delete(id);
    stream.sink.onEnd(problem);
  }

  #onWindowUpdate(id: number, increment: number): void {
    if (id === 0) this.#sendWindow += increment;
    else {
      const stream = this.#streams.get(id);
      if (stream !== undefined) stream.sendWindow += increment;
    }
    this.#unblock();
  }

  #onSettingsFrame(flags: number, bytes: Buffer, start: number, end: number): void {
    if ((flags & frameFlag.ack) !== 0) return;
    for (let at = start; at + 6 <= end; at += 6) {
      const value = bytes.readUInt32BE(at + 2);
      if (bytes.readUInt16BE(at) === settingId.headerTableSize && value < 4096) {
        throw new Error(`the server wants a header table of ${value} bytes; this client needs 4096`);
      }
      if (bytes.readUInt16BE(at) !== settingId.initialWindowSize) continue;
      for (const stream of this.#streams.values()) stream.sendWindow += value - this.#streamSendWindow;
      this.#streamSendWindow = value;
    }
    this.#frame(frameType.settings, frameFlag.ack, 0, emptyBytes);
    this.#unblock();
    this.#onSettings();
    this.#onSettings = () => undefined;
  }

  #updateWindow(id: number, increment: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(increment);
    this.#frame(frameType.windowUpdate, 0, id, payload);
  }

  #fail(error: Error): void {
    if (this.#isClosed) return;
    this.close();
    this.#onFailed(error);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }
}

function frameLength(bytes: Buffer, at: number): number {
  const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  if (length > frameBytesDefault) throw new Error(`a frame of ${length} bytes is larger than allowed`);
  return length;
}
