// The replica's transport over the simulated network: messages that arrive, or do not, and a way to ask another member
// something. It lives as long as its process.
import type { Random } from "../../server/lib/random.ts";
import type { SnapshotFile, SnapshotWriter } from "../../server/log/snapshot-store.ts";
import { ByteReader, ByteWriter } from "../../server/peers/byte-buffer.ts";
import { readMessage, writeMessage } from "../../server/peers/message-codec.ts";
import type { Message, SnapshotMessage } from "../../server/raft/message.ts";
import { ReplicaError } from "../../server/replica/errors.ts";
import type { PeerAddress, PeerHandler, PeerRequest, PeerResponse, Transport } from "../../server/replica/transport.ts";
import type { Network } from "./network.ts";
import type { Probe } from "./probes.ts";
import type { SimProcess } from "./sim-process.ts";

/** A member that runs, as others reach it. */
export interface Endpoint {
  readonly process: SimProcess;
  readonly handler: PeerHandler;
  /** When its process began. */
  readonly startedMs: number;
  /** Resolves when its process is gone. */
  readonly ended: Promise<void>;
  readonly transport: SimTransport;
  /** Whether it knows that a member was removed for good. */
  wasRemoved(id: bigint): boolean;
}

export interface SimTransportOptions {
  readonly ownId: bigint;
  readonly process: SimProcess;
  readonly startedMs: number;
  readonly ended: Promise<void>;
  readonly network: Network;
  readonly random: Random;
  readonly isEncoded: boolean;
  readonly nowMs: () => number;
  readonly handler: () => PeerHandler;
  /** The member of that id, if it runs. */
  readonly endpoint: (id: bigint) => Endpoint | undefined;
  readonly onSend: (message: Message) => void;
  readonly onSnapshotsUnderWay: (change: number) => void;
  readonly note: (probe: Probe) => void;
}

const timeoutMs = 5000;
const pieceBytes = 2048;

export class SimTransport implements Transport {
  readonly #options: SimTransportOptions;
  readonly #peers = new Set<bigint>();
  /** Callers that are no peers yet, as in PeerTransport. */
  readonly #strangers = new Set<bigint>();
  #isClosed = false;

  constructor(options: SimTransportOptions) {
    this.#options = options;
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.#peers.clear();
    for (const { id } of peers) this.#peers.add(id);
  }

  send(messages: readonly Message[]): void {
    if (this.#isClosed) return;
    for (const message of messages) if (this.#knows(message.to)) this.#sendOne(message);
  }

  #knows(id: bigint): boolean {
    return this.#peers.has(id) || this.#strangers.has(id);
  }

  /** As in PeerTransport. */
  meet(id: bigint): void {
    if (this.#peers.has(id) || this.#strangers.has(id)) return;
    this.#options.note("answered a member that it did not know");
    this.#strangers.add(id);
  }

  #sendOne(message: Message): void {
    const { network, random, handler, ownId: from, onSend } = this.#options;
    onSend(message);
    const { to } = message;
    const receiver = this.#options.endpoint(to);
    const arrivals = receiver === undefined ? [] : network.fate(from, to);
    // A connection that broke is noticed now and then; one that only seems to work is not.
    if (arrivals.length === 0 && random.below(3) === 0) handler().onUnreachable(to);
    if (receiver === undefined) return;
    for (const delayMs of arrivals) {
      const copy = this.#options.isEncoded ? recode(message) : message;
      receiver.process.input(delayMs, () => this.#deliver(receiver, copy));
    }
  }

  #deliver(receiver: Endpoint, message: Message): void {
    const { network, random, ownId, process, handler, note } = this.#options;
    if (network.isCut(ownId, message.to)) return;
    if (receiver.wasRemoved(ownId) && random.below(4) === 0) {
      note("removed member told");
      process.input(network.delayMs(), () => handler().onRemoved());
      return;
    }
    receiver.transport.meet(ownId);
    receiver.handler.onMessage(message);
  }

  call(to: bigint, request: PeerRequest): Promise<PeerResponse> {
    return this.#ask(to, (receiver) => receiver.handler.onRequest(request));
  }

  /** Has `work` done in another member's process. Its answer may get lost. */
  #ask<T>(to: bigint, work: (receiver: Endpoint) => Promise<T>): Promise<T> {
    const { network, process, ownId, random } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = process.clock.setTimer(timeoutMs, () => reject(new ReplicaError("timed-out")));
      const receiver = this.#knows(to) ? this.#options.endpoint(to) : undefined;
      const isReachable = receiver !== undefined && !network.isCut(ownId, to) && !network.isCut(to, ownId);
      if (!isReachable) {
        if (random.below(3) > 0) process.input(network.delayMs(), () => reject(new ReplicaError("no-leader")));
        return;
      }
      const reply = (settle: () => void): void => {
        if (network.isCut(to, ownId)) return;
        process.input(network.delayMs(), () => {
          timer.cancel();
          settle();
        });
      };
      receiver.process.input(network.delayMs(), () => {
        work(receiver).then(
          (value) => reply(() => resolve(value)),
          (error: unknown) => reply(() => reject(error as Error)),
        );
      });
    });
  }

  async sendSnapshot(message: SnapshotMessage, file: SnapshotFile): Promise<void> {
    const { onSnapshotsUnderWay, ended } = this.#options;
    onSnapshotsUnderWay(1);
    try {
      await Promise.race([this.#sendSnapshot(message, file), ended]);
    } finally {
      onSnapshotsUnderWay(-1);
    }
  }

  async #sendSnapshot(message: SnapshotMessage, file: SnapshotFile): Promise<void> {
    const { random, note, ended } = this.#options;
    const { to } = message;
    let writer: SnapshotWriter | undefined;
    let opened: Endpoint | undefined;
    // One that is being finished is the receiver's: that nothing more comes makes no difference to it.
    const takeWriter = (): SnapshotWriter | undefined => {
      const taken = writer;
      writer = undefined;
      return taken;
    };
    try {
      await this.#ask(to, async (receiver) => {
        writer = receiver.handler.openSnapshot(message);
        opened = receiver;
        if (writer === undefined) throw new Error("busy");
        void ended.then(() => giveUp(receiver, takeWriter, 1));
      });
      const target = (): SnapshotWriter => {
        if (this.#options.endpoint(to) !== opened) throw new Error("the connection broke");
        return writer as SnapshotWriter;
      };
      // One in some transfers is damaged, however long they are: a large snapshot has to arrive some day.
      let untilDamage = random.below(8) === 0 ? random.below(Math.ceil(file.sizeBytes / pieceBytes)) : -1;
      for await (const piece of file.raw(pieceBytes)) {
        const copy = Buffer.from(piece);
        if (untilDamage-- === 0) {
          note("snapshot damaged on its way");
          copy[random.below(copy.length)]! ^= 1 << random.below(8);
        }
        await this.#ask(to, async () => target().addRaw(copy));
      }
      await this.#ask(to, async (receiver) => {
        const finishing = target();
        takeWriter();
        receiver.handler.onSnapshot(recode(message) as SnapshotMessage, await finishing.finishRaw());
      });
    } catch (error) {
      giveUp(opened, takeWriter, timeoutMs);
      throw error;
    }
  }

  connectedMs(id: bigint): number | undefined {
    const { network, ownId, startedMs, nowMs } = this.#options;
    const other = this.#options.endpoint(id);
    const brokenMs = network.brokenMs(ownId, id);
    if (other === undefined || brokenMs === undefined || !this.#knows(id)) return undefined;
    return nowMs() - Math.max(brokenMs, startedMs, other.startedMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

/** The receiver notices that nothing more comes. */
function giveUp(receiver: Endpoint | undefined, takeWriter: () => SnapshotWriter | undefined, afterMs: number): void {
  receiver?.process.input(afterMs, () => {
    takeWriter()
      ?.abort()
      .catch(() => undefined);
  });
}

/** What the other side reads of a message. */
function recode(message: Message): Message {
  const writer = new ByteWriter();
  writeMessage(writer, message);
  return readMessage(new ByteReader(Buffer.from(writer.take())));
}
