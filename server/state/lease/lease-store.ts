// The replicated half of leases: which exist, how long they live, which keys hang on them. It has no clock: when a
// lease ends is the leader's business (replica/lessor.ts), and reaches this store as a command like any other.
//
//   lease row (table leases):  granted seconds 8, remaining seconds at the last checkpoint 8, crc 4
//   key row (table leaseKeys): the row's key says it all
import { assert } from "../../lib/assert.ts";
import { type ByteString, uint48FromByteString, uint48ToByteString } from "../../lib/byte-string.ts";
import { crc32, crc32OfByteString } from "../../lib/crc32.ts";
import type { Backend } from "../../storage/backend.ts";
import { CorruptRecordError } from "../errors.ts";
import { checkKeyRow, encodeKeyRow } from "../key-row.ts";
import type { KeySpace } from "../mvcc/key-space.ts";

/** Longest TTL that may be granted, as in etcd. */
export const leaseTtlSecondsMax = 9_000_000_000;

export interface Lease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** What was left when the leader last said so; the full TTL until it does. A new leader counts from here. */
  readonly remainingTtlSeconds: number;
}

const leaseRowBytes = 20;
const leaseRowCrcAt = 16;

export class LeaseStore {
  readonly #backend: Backend;
  readonly #keySpace: KeySpace;
  readonly #leases = new Map<bigint, Lease>();

  constructor(backend: Backend, keySpace: KeySpace) {
    this.#backend = backend;
    this.#keySpace = keySpace;
    this.reload();
  }

  /** Takes up what the table holds: at the start, and when a snapshot has replaced it. */
  reload(): void {
    this.#leases.clear();
    for (const { key, value } of this.#backend.scan("leases", "", undefined)) {
      const lease = decodeLeaseRow(key, value);
      this.#leases.set(lease.id, lease);
    }
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  has(id: bigint): boolean {
    return this.#leases.has(id);
  }

  /** All leases, in the order they were granted or loaded. */
  list(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  get size(): number {
    return this.#leases.size;
  }

  grant(id: bigint, ttlSeconds: number): Lease {
    assert(!this.#leases.has(id), () => `lease ${id} was granted twice`);
    const lease = { id, ttlSeconds, remainingTtlSeconds: ttlSeconds };
    this.#leases.set(id, lease);
    this.#backend.insert("leases", leaseKeyOf(id), encodeLeaseRow(lease));
    return lease;
  }

  /** Forgets a lease. Its keys must have been detached. */
  remove(id: bigint): void {
    assert(this.#leases.delete(id), () => `lease ${id} does not exist`);
    this.#backend.remove("leases", leaseKeyOf(id));
  }

  checkpoint(id: bigint, remainingTtlSeconds: number): void {
    const lease = this.#leases.get(id);
    // The lease may have gone between the leader's proposal and now.
    if (lease === undefined) return;
    const updated = { ...lease, remainingTtlSeconds };
    this.#leases.set(id, updated);
    this.#backend.replace("leases", leaseKeyOf(id), encodeLeaseRow(updated));
  }

  /** Attaches a key that is attached to no lease now. */
  attach(id: bigint, key: ByteString): void {
    const rowKey = this.#keyRowOf(id, key);
    this.#backend.insert("leaseKeys", rowKey, encodeKeyRow(rowKey));
  }

  /** Detaches a key that is attached to this lease. */
  detach(id: bigint, key: ByteString): void {
    this.#backend.remove("leaseKeys", this.#keyRowOf(id, key));
  }

  /** Keys attached to a lease, in byte order. */
  keysOf(id: bigint): ByteString[] {
    const from = leaseKeyOf(id);
    const keys: ByteString[] = [];
    let hasLongKeys = false;
    for (const row of this.#backend.scan("leaseKeys", from, `${from}\xff\xff\xff\xff\xff\xff\xff`)) {
      checkKeyRow("leaseKeys", row.key, row.value);
      const prefix = uint48FromByteString(row.key, 8);
      if (prefix !== 0) hasLongKeys = true;
      keys.push((prefix === 0 ? "" : this.#keySpace.expand(prefix)) + row.key.slice(14));
    }
    // Rows are ordered by prefix number first, which is the keys' order only as long as there is one prefix.
    return hasLongKeys ? keys.sort((a, b) => (a < b ? -1 : 1)) : keys;
  }

  #keyRowOf(id: bigint, key: ByteString): ByteString {
    const location = this.#keySpace.find(key);
    assert(location !== undefined, () => `a key attached to lease ${id} has no place in the tables`);
    return leaseKeyOf(id) + uint48ToByteString(location.prefix) + location.rest;
  }
}

function leaseKeyOf(id: bigint): ByteString {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(id);
  return bytes.toString("latin1");
}

function encodeLeaseRow(lease: Lease): Uint8Array {
  const row = Buffer.allocUnsafe(leaseRowBytes);
  row.writeBigUInt64BE(BigInt(lease.ttlSeconds), 0);
  row.writeBigUInt64BE(BigInt(lease.remainingTtlSeconds), 8);
  row.writeUInt32BE(crc32(row, 0, leaseRowCrcAt, crc32OfByteString(leaseKeyOf(lease.id))), leaseRowCrcAt);
  return row;
}

function decodeLeaseRow(key: ByteString, bytes: Uint8Array): Lease {
  const row = Buffer.from(bytes);
  if (row.length !== leaseRowBytes) throw new CorruptRecordError("leases", key);
  if (row.readUInt32BE(leaseRowCrcAt) !== crc32(row, 0, leaseRowCrcAt, crc32OfByteString(key))) {
    throw new CorruptRecordError("leases", key);
  }
  return {
    id: Buffer.from(key, "latin1").readBigInt64BE(),
    ttlSeconds: Number(row.readBigUInt64BE(0)),
    remainingTtlSeconds: Number(row.readBigUInt64BE(8)),
  };
}
