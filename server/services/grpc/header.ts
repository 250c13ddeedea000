// The header of every answer: which cluster and member gave it, at which revision and term.
import type { ResponseHeader } from "../../../proto/gen/etcdserverpb/rpc.ts";
import { putShort, putVarint, varintBytesMax } from "../../lib/wire-put.ts";
import { WireWriter } from "../../lib/wire-writer.ts";

/** Where the changing parts come from. */
export interface HeaderSource {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly raftTerm: () => number;
  readonly revision: () => number;
}

export class Header {
  readonly #source: HeaderSource;
  /** cluster_id and member_id in wire form; they never change. */
  readonly #ids: Uint8Array;

  constructor(source: HeaderSource) {
    this.#source = source;
    const writer = new WireWriter(32);
    writer.int64Field(2, source.memberId);
    writer.int64Field(1, source.clusterId);
    this.#ids = writer.finish();
  }

  /** Revision of the store now. */
  get currentRevision(): number {
    return this.#source.revision();
  }

  /** The header as an object. No revision leaves the field out, as the services do that have none. */
  fields(revision: number = this.#source.revision()): ResponseHeader {
    return {
      clusterId: this.#source.clusterId,
      memberId: this.#source.memberId,
      revision: BigInt(revision),
      raftTerm: BigInt(this.#source.raftTerm()),
    };
  }

  /** Room that {@link Header.writeTo} may need. */
  get sizeBytesMax(): number {
    return 2 + this.#ids.length + 2 * (1 + varintBytesMax);
  }

  /** Writes the header as field 1 of a message, forwards, and returns where it ends. */
  writeTo(target: Uint8Array, at: number, revision: number): number {
    let end = putShort(target, at + 2, this.#ids);
    if (revision !== 0) {
      target[end++] = 0x18;
      end = putVarint(target, end, revision);
    }
    const raftTerm = this.#source.raftTerm();
    if (raftTerm !== 0) {
      target[end++] = 0x20;
      end = putVarint(target, end, raftTerm);
    }
    target[at] = 0x0a;
    // A header takes some 40 bytes at most, so its length is one byte.
    target[at + 1] = end - at - 2;
    return end;
  }

  /** Writes the header as field 1 of a message, backwards, where every response has it. */
  write(writer: WireWriter, revision: number): void {
    const before = writer.length;
    writer.uintField(4, this.#source.raftTerm());
    writer.uintField(3, revision);
    writer.raw(this.#ids);
    writer.header(1, writer.length - before);
  }
}
