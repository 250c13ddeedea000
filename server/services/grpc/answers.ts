// Answers of the hot methods. They write themselves where they are sent from: no buffer of their own, and no copy but
// the one of the value. Other carriers than our transport get the same bytes in a buffer.
import {
  putBytes,
  putVarint,
  putVarint64,
  varint64BytesMax,
  varintBytesMax,
  varintLength,
} from "../../lib/wire-put.ts";
import type { PutResult, TxnResult } from "../../state/outcome.ts";
import type { RangeResult } from "../../state/range-read.ts";
import { EncodedMessage } from "../../transport/encoded-message.ts";
import type { FastMethodHooks } from "../../transport/grpc-method.ts";
import type { EventsMessage } from "../../watch/watch-stream.ts";
import type { Header } from "./header.ts";

/** A response that can write itself. */
export interface WireAnswer {
  /** Never below what {@link WireAnswer.writeTo} writes. */
  readonly sizeBytesMax: number;
  /** Writes the message from `at` on, where there is room for it, and returns where it ends. */
  writeTo(target: Uint8Array, at: number): number;
}

/** What the services of the hot methods answer. */
export type Answer = WireAnswer | EncodedMessage;

/** An answer as bytes, for carriers that know nothing of these. */
export function encodeAnswer(answer: Answer): Uint8Array {
  if (answer instanceof EncodedMessage) return answer.toBytes();
  const bytes = Buffer.allocUnsafe(answer.sizeBytesMax);
  return bytes.subarray(0, answer.writeTo(bytes, 0));
}

/** The hooks of a method that answers with these. */
export const answerHooks: Required<Omit<FastMethodHooks<never, WireAnswer>, "requestDecode">> = {
  responseSizeBytes: (answer) => answer.sizeBytesMax,
  responseEncodeInto: (answer, target, start) => answer.writeTo(target, start),
};

/** Tag and length in front of a field of bytes. */
const fieldBytesMax = 1 + varintBytesMax;

function putField(target: Uint8Array, at: number, tag: number, bytes: Uint8Array): number {
  target[at] = tag;
  return putBytes(target, putVarint(target, at + 1, bytes.length), bytes);
}

/** PutResponse, and others that are a header and a previous version at most. */
export class PutAnswer implements WireAnswer {
  readonly sizeBytesMax: number;
  readonly #header: Header;
  readonly #result: PutResult;

  constructor(header: Header, result: PutResult) {
    this.#header = header;
    this.#result = result;
    const { previous } = result;
    this.sizeBytesMax = header.sizeBytesMax + (previous === undefined ? 0 : fieldBytesMax + previous.length);
  }

  writeTo(target: Uint8Array, at: number): number {
    const { revision, previous } = this.#result;
    const end = this.#header.writeTo(target, at, revision);
    return previous === undefined ? end : putField(target, end, 0x12, previous);
  }
}

/** TxnResponse of a txn that did nothing but put. What others did is written by convert.ts. */
export class PutTxnAnswer implements WireAnswer {
  readonly sizeBytesMax: number;
  readonly #header: Header;
  readonly #result: TxnResult;

  /** @param result Whose results are all of puts, without previous versions. */
  constructor(header: Header, result: TxnResult) {
    this.#header = header;
    this.#result = result;
    this.sizeBytesMax = header.sizeBytesMax + 2 + result.results.length * (7 + varintBytesMax);
  }

  writeTo(target: Uint8Array, at: number): number {
    const { revision, succeeded, results } = this.#result;
    let end = this.#header.writeTo(target, at, revision);
    if (succeeded) {
      target[end++] = 0x10;
      target[end++] = 1;
    }
    // Each is a ResponseOp with a PutResponse with a header with the revision, and all lengths are below 128.
    for (let i = 0; i < results.length; i++) {
      const { revision: putRevision } = results[i] as PutResult;
      const length = varintLength(putRevision);
      target[end] = 0x1a;
      target[end + 1] = length + 5;
      target[end + 2] = 0x12;
      target[end + 3] = length + 3;
      target[end + 4] = 0x0a;
      target[end + 5] = length + 1;
      target[end + 6] = 0x18;
      end = putVarint(target, end + 7, putRevision);
    }
    return end;
  }
}

/** RangeResponse. */
export class RangeAnswer implements WireAnswer {
  readonly sizeBytesMax: number;
  readonly #header: Header;
  readonly #result: RangeResult;

  constructor(header: Header, result: RangeResult) {
    this.#header = header;
    this.#result = result;
    let bytes = header.sizeBytesMax + 2 + 1 + varintBytesMax;
    for (const keyValue of result.keyValues) bytes += keyValue.length + fieldBytesMax;
    this.sizeBytesMax = bytes;
  }

  writeTo(target: Uint8Array, at: number): number {
    const { revision, keyValues, hasMore, count } = this.#result;
    let end = this.#header.writeTo(target, at, revision);
    for (const keyValue of keyValues) end = putField(target, end, 0x12, keyValue);
    if (hasMore) {
      target[end++] = 0x18;
      target[end++] = 1;
    }
    if (count > 0) {
      target[end++] = 0x20;
      end = putVarint(target, end, count);
    }
    return end;
  }
}

/** LeaseKeepAliveResponse. `revision` is that of the time of the question. */
export class KeepAliveAnswer implements WireAnswer {
  readonly sizeBytesMax: number;
  readonly #header: Header;
  readonly #revision: number;
  readonly #id: bigint;
  readonly #ttlSeconds: number;

  constructor(header: Header, revision: number, id: bigint, ttlSeconds: number) {
    this.#header = header;
    this.#revision = revision;
    this.#id = id;
    this.#ttlSeconds = ttlSeconds;
    this.sizeBytesMax = header.sizeBytesMax + 1 + varint64BytesMax + 1 + varintBytesMax;
  }

  writeTo(target: Uint8Array, at: number): number {
    let end = this.#header.writeTo(target, at, this.#revision);
    if (this.#id !== 0n) {
      target[end++] = 0x10;
      end = putVarint64(target, end, this.#id);
    }
    if (this.#ttlSeconds > 0) {
      target[end++] = 0x18;
      end = putVarint(target, end, this.#ttlSeconds);
    }
    return end;
  }
}

/** WatchResponse with some of a message's events: those from index `from` to before `to`. */
export class EventsAnswer implements WireAnswer {
  readonly sizeBytesMax: number;
  readonly #header: Header;
  readonly #message: EventsMessage;
  readonly #from: number;
  readonly #to: number;
  readonly #isFragment: boolean;

  constructor(header: Header, message: EventsMessage, from: number, to: number, isFragment: boolean) {
    this.#header = header;
    this.#message = message;
    this.#from = from;
    this.#to = to;
    this.#isFragment = isFragment;
    let bytes = header.sizeBytesMax + 1 + varint64BytesMax + 2;
    for (let i = from; i < to; i++) bytes += (message.events[i] as Uint8Array).length + fieldBytesMax;
    this.sizeBytesMax = bytes;
  }

  writeTo(target: Uint8Array, at: number): number {
    const { revision, watchId, events } = this.#message;
    let end = this.#header.writeTo(target, at, revision);
    if (watchId !== 0n) {
      target[end++] = 0x10;
      end = putVarint64(target, end, watchId);
    }
    if (this.#isFragment) {
      target[end++] = 0x38;
      target[end++] = 1;
    }
    for (let i = this.#from; i < this.#to; i++) end = putField(target, end, 0x5a, events[i] as Uint8Array);
    return end;
  }
}
