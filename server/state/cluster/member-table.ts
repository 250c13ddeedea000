// The members of the cluster, as the replicated state has them: the one source of truth for membership.
import { crc32, crc32OfByteString } from "../../lib/crc32.ts";
import type { Backend } from "../../storage/backend.ts";
import { CorruptRecordError } from "../errors.ts";
import { checkKeyRow, encodeKeyRow } from "../key-row.ts";
import { decodeMember, encodeMember, type Member } from "./member-codec.ts";

const crcBytes = 4;

export class MemberTable {
  readonly #backend: Backend;
  readonly #members = new Map<bigint, Member>();
  /** Ids of members that were removed. */
  readonly #removed = new Set<bigint>();

  constructor(backend: Backend) {
    this.#backend = backend;
    this.reload();
  }

  /** Takes up what the tables hold: at the start, and when a snapshot has replaced them. */
  reload(): void {
    this.#members.clear();
    this.#removed.clear();
    for (const { key, value } of this.#backend.scan("removedMembers", "", undefined)) {
      checkKeyRow("removedMembers", key, value);
      this.#removed.add(idOfKey(key));
    }
    for (const { key, value } of this.#backend.scan("members", "", undefined)) {
      const row = Buffer.from(value);
      const body = row.subarray(crcBytes);
      if (row.length < crcBytes || row.readUInt32BE(0) !== crc32(body, 0, body.length, crc32OfByteString(key))) {
        throw new CorruptRecordError("members", key);
      }
      const member = decodeMember(body);
      this.#members.set(member.id, member);
    }
  }

  get(id: bigint): Member | undefined {
    return this.#members.get(id);
  }

  /** All members, ordered by id. */
  list(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  wasRemoved(id: bigint): boolean {
    return this.#removed.has(id);
  }

  /** Ids that never come back. */
  removedIds(): readonly bigint[] {
    return [...this.#removed];
  }

  /** Removes a member that is there, for good. */
  remove(id: bigint): void {
    this.#members.delete(id);
    this.#removed.add(id);
    const key = memberKeyOf(id);
    this.#backend.remove("members", key);
    this.#backend.set("removedMembers", key, encodeKeyRow(key));
  }

  set(member: Member): void {
    this.#members.set(member.id, member);
    const key = memberKeyOf(member.id);
    const body = encodeMember(member);
    const row = Buffer.allocUnsafe(crcBytes + body.length);
    row.writeUInt32BE(crc32(body, 0, body.length, crc32OfByteString(key)), 0);
    row.set(body, crcBytes);
    this.#backend.set("members", key, row);
  }
}

function memberKeyOf(id: bigint): string {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(id);
  return bytes.toString("latin1");
}

function idOfKey(key: string): bigint {
  return Buffer.from(key, "latin1").readBigUInt64BE();
}
