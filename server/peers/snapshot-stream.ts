// Moves a snapshot over a connection of its own, so that it never stands in the way of a heartbeat.
//
//   after the greeting:  length 4, the snapshot message; then pieces, each length 4 + bytes; length 0 at the end
//   the answer:          one line, "stored" or why not
import type { Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import type { SnapshotFile, SnapshotWriter } from "../log/snapshot-store.ts";
import type { SnapshotMessage } from "../raft/message.ts";
import { ByteReader, ByteWriter, PeerProtocolError } from "./byte-buffer.ts";
import type { Dialled } from "./dial.ts";
import { readLine } from "./line-reader.ts";
import { readMessage, writeMessage } from "./message-codec.ts";

const pieceBytes = 128 * 1024;
const messageBytesMax = 1024 * 1024;
/** A transfer that stands still for this long is given up. */
const stallMs = 30_000;
/** The receiver checks the whole file before it answers. */
const answerMs = 120_000;

/** @throws PeerProtocolError when the other side did not store it. */
export async function sendSnapshot(
  { socket, answer }: Dialled,
  message: SnapshotMessage,
  file: SnapshotFile,
  clock: Clock,
): Promise<void> {
  try {
    if (answer.kind !== "welcome") throw new PeerProtocolError(`snapshot refused: ${JSON.stringify(answer)}`);
    const writer = new ByteWriter();
    writer.uint32(0);
    writeMessage(writer, message);
    writer.patchUint32(0, writer.length - 4);
    await write(socket, writer.take(), clock);
    for await (const piece of file.raw(pieceBytes)) {
      await write(socket, lengthOf(piece.length), clock);
      await write(socket, piece, clock);
    }
    await write(socket, lengthOf(0), clock);
    const { text } = await readLine(socket, clock, 4096, answerMs);
    if (text !== "stored") throw new PeerProtocolError(`snapshot refused: ${text}`);
  } finally {
    socket.destroy();
  }
}

/** Resolves when the bytes are on their way, so that memory holds one piece and not the snapshot. */
function write(socket: Socket, bytes: Uint8Array, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(stallMs, () => reject(new PeerProtocolError("the transfer of a snapshot stalled")));
    socket.write(bytes, (error) => {
      timer.cancel();
      if (error) reject(new PeerProtocolError(`the transfer of a snapshot broke: ${error.message}`, { cause: error }));
      else resolve();
    });
  });
}

function lengthOf(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(length);
  return bytes;
}

export interface SnapshotReceiver {
  /** Where the snapshot goes; undefined when none can be taken now. */
  open(message: SnapshotMessage): SnapshotWriter | undefined;
  onSnapshot(message: SnapshotMessage, file: SnapshotFile): void;
}

/** Takes a snapshot from a connection whose greeting is over. Always ends the connection. */
export async function receiveSnapshot(
  socket: Socket,
  received: Buffer,
  clock: Clock,
  receiver: SnapshotReceiver,
): Promise<void> {
  const reader = new StreamReader(socket, received, clock);
  let writer: SnapshotWriter | undefined;
  try {
    const message = readMessage(new ByteReader(await reader.take(await reader.takeLength(messageBytesMax))));
    if (message.type !== "snapshot") throw new PeerProtocolError(`a ${message.type} message in place of a snapshot`);
    writer = receiver.open(message);
    if (writer === undefined) throw new PeerProtocolError("busy");
    for (;;) {
      const length = await reader.takeLength(pieceBytes);
      if (length === 0) break;
      await writer.addRaw(await reader.take(length));
    }
    const finishing = writer;
    writer = undefined;
    const file = await finishing.finishRaw();
    socket.end("stored\n");
    receiver.onSnapshot(message, file);
  } catch (error) {
    await writer?.abort();
    socket.end(`${String((error as Error).message).replaceAll("\n", " ")}\n`);
    throw error;
  }
}

/** Reads exact numbers of bytes from a socket, no faster than they are taken. */
class StreamReader {
  readonly #socket: Socket;
  readonly #clock: Clock;
  #buffered: Buffer;
  #onProgress: () => void = () => undefined;
  #failure: Error | undefined;

  constructor(socket: Socket, received: Buffer, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    this.#buffered = received;
    socket.on("data", (chunk: Buffer) => {
      this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
      socket.pause();
      this.#onProgress();
    });
    const onEnd = (error?: Error): void => {
      this.#failure ??= new PeerProtocolError("the snapshot's connection ended early", { cause: error });
      this.#onProgress();
    };
    socket.on("error", onEnd);
    socket.on("end", () => onEnd());
    socket.on("close", () => onEnd());
  }

  async takeLength(max: number): Promise<number> {
    const length = (await this.take(4)).readUInt32LE(0);
    if (length > max) throw new PeerProtocolError(`a piece of ${length} bytes`);
    return length;
  }

  async take(count: number): Promise<Buffer> {
    while (this.#buffered.length < count) {
      if (this.#failure !== undefined) throw this.#failure;
      await this.#more();
    }
    const bytes = this.#buffered.subarray(0, count);
    this.#buffered = this.#buffered.subarray(count);
    return bytes;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(stallMs, () => {
        this.#failure ??= new PeerProtocolError("the transfer of a snapshot stalled");
        this.#onProgress();
      });
      this.#onProgress = () => {
        timer.cancel();
        resolve();
      };
      this.#socket.resume();
    });
  }
}
