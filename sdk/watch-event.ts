// What a watch yields, and how it is made from what the wire carries.
import { type Event, Event_EventType, type KeyValue as WireKeyValue } from "../proto/gen/mvccpb/kv.ts";
import { bytes, type Codec } from "./codec.ts";
import { CodecError } from "./errors.ts";
import { type Header, type KeyValue, toKeyInfo, toKeyValue } from "./key-value.ts";
import { keyText } from "./keys.ts";
import type { BatchKind, RawBatch } from "./watch-buffer.ts";

/**
 * A group of events that belong together: whole revisions, in ascending order. What a txn changed is never split over
 * batches.
 * - `snapshot`: the state of the range at `revision`, as puts; the first batch of a watch with `snapshot`;
 * - `delta`: what happened, event by event;
 * - `resync`: the watch was interrupted and the server has forgotten what happened meanwhile. The events lead from the
 *   state last reported to the state at `revision`; steps in between are left out, and deletes carry `revision`;
 * - `progress`: nothing happened up to `revision`; only with the option of that name.
 */
export interface WatchBatch<T> {
  readonly kind: BatchKind;
  /** Every event up to and including this revision is in this batch or an earlier one. Never goes back. */
  readonly revision: bigint;
  readonly events: readonly WatchEvent<T>[];
  /**
   * True when the puts are the whole state of the range: any other key that is believed to exist is gone. Always so for
   * a snapshot; for a resync only when the watch had no base to compare with, because its own start was compacted.
   */
  readonly isWhole: boolean;
  /** What the member put above the newest of the events; `undefined` for a snapshot or resync, which is read. */
  readonly header: Header | undefined;
}

interface EventBase {
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** Revision of the change. */
  readonly modRevision: bigint;
}

/** The key was written. */
export interface PutEvent<T> extends EventBase {
  readonly type: "put";
  readonly kv: KeyValue<T>;
  /** True when this put created the key. */
  readonly isCreate: boolean;
  /** The version before: only with `previous`, and only where it is known. */
  readonly previous: KeyValue<T> | undefined;
}

/** The key was deleted, or its lease ended. */
export interface DeleteEvent<T> extends EventBase {
  readonly type: "delete";
  readonly previous: KeyValue<T> | undefined;
}

/** The key was written, with a value that the watch's codec does not accept. The watch goes on. */
export interface InvalidEvent extends EventBase {
  readonly type: "invalid";
  readonly kv: KeyValue<Uint8Array>;
  readonly error: CodecError;
}

export type WatchEvent<T> = PutEvent<T> | DeleteEvent<T> | InvalidEvent;

export async function toWatchBatch<T>(
  raw: RawBatch,
  codec: Codec<T, never>,
  namespaceLength: number,
): Promise<WatchBatch<T>> {
  const { kind, revision, isWhole, header } = raw;
  const events = await Promise.all(raw.events.map((event) => toWatchEvent(event, codec, namespaceLength)));
  return { kind, revision, events, isWhole, header };
}

async function toWatchEvent<T>(event: Event, codec: Codec<T, never>, namespaceLength: number): Promise<WatchEvent<T>> {
  const wire = event.kv!;
  const keyBytes = Uint8Array.from(wire.key.subarray(namespaceLength));
  const base = { key: keyText(keyBytes), keyBytes, modRevision: wire.modRevision };
  const previous = event.prevKv === undefined ? undefined : await decoded(event.prevKv, codec, namespaceLength);
  const known = previous instanceof CodecError ? undefined : previous;
  if (event.type === Event_EventType.DELETE) return { ...base, type: "delete", previous: known };
  const kv = await decoded(wire, codec, namespaceLength);
  if (kv instanceof CodecError) {
    const raw = { ...toKeyInfo(wire, namespaceLength), value: bytes.decode(wire.value) as Uint8Array };
    return { ...base, type: "invalid", kv: raw, error: kv };
  }
  return { ...base, type: "put", kv, isCreate: wire.createRevision === wire.modRevision, previous: known };
}

/** The decoded version, or the codec's refusal as a value: one bad value must not end a watch. */
async function decoded<T>(
  wire: WireKeyValue,
  codec: Codec<T, never>,
  namespaceLength: number,
): Promise<KeyValue<T> | CodecError> {
  try {
    return await toKeyValue(wire, { codec, namespaceLength });
  } catch (error) {
    if (error instanceof CodecError) return error;
    throw error;
  }
}
