// The requests that the loads send, and a quick look into the answers. Bodies come from the generated code; what is
// written or read once per call at full speed is done by hand.
import { PutRequest, RangeRequest, WatchRequest } from "../../../proto/gen/etcdserverpb/rpc.ts";
import { WireReader } from "../../../server/lib/wire-reader.ts";
import type { KeyChoice } from "./load-spec.ts";

export const keyPrefix = "bench/key/";
/** The key after all that start with {@link keyPrefix}. */
export const keyPrefixEnd = "bench/key0";
const digitCount = 12;
export const valueBytes = 256;

export const paths = {
  put: "/etcdserverpb.KV/Put",
  range: "/etcdserverpb.KV/Range",
  txn: "/etcdserverpb.KV/Txn",
  leaseGrant: "/etcdserverpb.Lease/LeaseGrant",
  leaseKeepAlive: "/etcdserverpb.Lease/LeaseKeepAlive",
  watch: "/etcdserverpb.Watch/Watch",
  status: "/etcdserverpb.Maintenance/Status",
} as const;

/** Twenty-two bytes that end in twelve digits. */
export const keyText = (number: number): string => keyPrefix + String(number).padStart(digitCount, "0");

export function putMessage(key: string): Buffer {
  const value = Buffer.alloc(valueBytes, "v");
  return Buffer.from(PutRequest.encode(PutRequest.fromPartial({ key: Buffer.from(key), value })).finish());
}

export function rangeMessage(options: {
  readonly key: string;
  readonly rangeEnd?: string;
  readonly serializable?: boolean;
}): Buffer {
  const { key, rangeEnd = "", serializable = false } = options;
  const request = RangeRequest.fromPartial({ key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd), serializable });
  return Buffer.from(RangeRequest.encode(request).finish());
}

export function watchMessage(key: string, rangeEnd = ""): Buffer {
  const request = WatchRequest.fromPartial({
    requestUnion: { $case: "createRequest", value: { key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd) } },
  });
  return Buffer.from(WatchRequest.encode(request).finish());
}

/** Where in a message with a key of {@link keyText} the key's digits are. */
export function digitsIn(message: Buffer): number {
  const at = message.indexOf(keyPrefix);
  if (at === -1) throw new Error("the message holds no key");
  return at + keyPrefix.length;
}

/** Writes a number below 10^12 as twelve digits. */
export function putDigits(bytes: Buffer, at: number, number: number): void {
  let rest = number;
  for (let i = at + digitCount - 1; i >= at; i--) {
    bytes[i] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

/** Chooses keys by number; undefined once there are no more. Seeded, so that both servers get the same ones. */
export function keyChooser(choice: KeyChoice, seed: number): () => number | undefined {
  switch (choice.kind) {
    case "constant":
      return () => 0;
    case "sequential": {
      let next = 0;
      return () => (next < choice.count ? next++ : undefined);
    }
    case "random": {
      // xorshift32; good enough to spread keys, and cheap.
      let state = seed >>> 0 || 1;
      return () => {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        return (state >>> 0) % choice.count;
      };
    }
  }
}

/**
 * The txn of the compare-and-put load: puts if the key's mod revision is still `modRevision`, 0 for a key that is not
 * there. Written by hand because its length changes with the revision.
 */
export class CompareAndPut {
  readonly #key: Buffer;
  /** The success list with its one put; it never changes. */
  readonly #success: Buffer;
  readonly #bytes: Buffer;

  constructor(key: string) {
    this.#key = Buffer.from(key);
    const put = putMessage(key);
    const operation = Buffer.concat([Buffer.from([0x12, ...varint(put.length)]), put]);
    this.#success = Buffer.concat([Buffer.from([0x12, ...varint(operation.length)]), operation]);
    this.#bytes = Buffer.alloc(this.#key.length + this.#success.length + 32);
  }

  /** Valid until the next call. */
  message(modRevision: number): Buffer {
    const bytes = this.#bytes;
    const revision = varint(modRevision);
    const compareBytes = 2 + 2 + this.#key.length + 1 + revision.length;
    let at = 0;
    bytes[at++] = 0x0a;
    bytes[at++] = compareBytes;
    // target MOD; the result EQUAL is zero and left out.
    bytes[at++] = 0x10;
    bytes[at++] = 2;
    bytes[at++] = 0x1a;
    bytes[at++] = this.#key.length;
    at += this.#key.copy(bytes, at);
    bytes[at++] = 0x30;
    for (const byte of revision) bytes[at++] = byte;
    at += this.#success.copy(bytes, at);
    return bytes.subarray(0, at);
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}

/** Revision and success of a TxnResponse. */
export function readTxnResponse(bytes: Buffer, start: number, end: number): { revision: number; succeeded: boolean } {
  const reader = new WireReader(bytes, start, end);
  let revision = 0;
  let succeeded = false;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 10) revision = readHeaderRevision(reader);
    else if (tag === 16) succeeded = reader.readBool();
    else reader.skip(tag);
  }
  return { revision, succeeded };
}

function readHeaderRevision(reader: WireReader): number {
  const headerEnd = reader.readLength() + reader.position;
  let revision = 0;
  while (reader.position < headerEnd) {
    const tag = reader.readTag();
    if (tag === 24) revision = reader.readInt64();
    else reader.skip(tag);
  }
  return revision;
}

/** The TTL that a LeaseKeepAliveResponse grants; 0 when the lease is gone. */
export function readKeepAliveTtl(bytes: Buffer, start: number, end: number): number {
  const reader = new WireReader(bytes, start, end);
  let ttl = 0;
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 24) ttl = reader.readInt64();
    else reader.skip(tag);
  }
  return ttl;
}

/** What a WatchResponse is: that a watcher was made, that it ended, or the first four bytes of each event's value. */
export interface WatchAnswer {
  isCreated: boolean;
  isCanceled: boolean;
  readonly marks: number[];
}

/** Reads into `answer`, which is emptied first. */
export function readWatchResponse(bytes: Buffer, start: number, end: number, answer: WatchAnswer): void {
  answer.isCreated = false;
  answer.isCanceled = false;
  answer.marks.length = 0;
  const reader = new WireReader(bytes, start, end);
  while (reader.hasMore) {
    const tag = reader.readTag();
    if (tag === 24) answer.isCreated = reader.readBool();
    else if (tag === 32) answer.isCanceled = reader.readBool();
    else if (tag === 90) answer.marks.push(readEventMark(reader));
    else reader.skip(tag);
  }
}

/** Event: kv = 2. */
function readEventMark(reader: WireReader): number {
  const end = reader.readLength() + reader.position;
  let mark = -1;
  while (reader.position < end) {
    const tag = reader.readTag();
    if (tag === 18) mark = readValueMark(reader);
    else reader.skip(tag);
  }
  return mark;
}

/** KeyValue: value = 5. */
function readValueMark(reader: WireReader): number {
  const end = reader.readLength() + reader.position;
  let mark = -1;
  while (reader.position < end) {
    const tag = reader.readTag();
    if (tag !== 42) {
      reader.skip(tag);
      continue;
    }
    const length = reader.readLength();
    if (length >= 4) mark = reader.bytes.readUInt32BE(reader.position);
    reader.position += length;
  }
  return mark;
}
