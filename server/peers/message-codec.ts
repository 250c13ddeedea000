// Raft's messages, and the questions members ask each other, to and from bytes. Each type of message is a list of
// fields, and each kind of field has one writer and one reader; the compiler refuses a type without a list.
import type { Message, MessageType, Proposal, ProposalRefusal } from "../raft/message.ts";
import type { ConfState, Entry, EntryId, EntryKind, SnapshotMeta } from "../raft/types.ts";
import type { PeerRequest, PeerResponse } from "../replica/transport.ts";
import { type ByteReader, type ByteWriter, PeerProtocolError } from "./byte-buffer.ts";

/** Entries or proposals that one message may hold. */
const listLengthMax = 1_000_000;

interface FieldKind<T> {
  write(writer: ByteWriter, value: T): void;
  read(reader: ByteReader): T;
}

const number: FieldKind<number> = {
  write: (writer, value) => writer.number(value),
  read: (reader) => reader.number(),
};
const boolean: FieldKind<boolean> = {
  write: (writer, value) => writer.boolean(value),
  read: (reader) => reader.boolean(),
};
const entryId: FieldKind<EntryId> = {
  write: (writer, { index, term }) => {
    writer.number(index);
    writer.number(term);
  },
  read: (reader) => ({ index: reader.number(), term: reader.number() }),
};

const entryKinds: readonly EntryKind[] = ["normal", "conf-change", "no-op"];

function kindOf<T>(kinds: readonly T[], code: number): T {
  const kind = kinds[code];
  if (kind === undefined) throw new PeerProtocolError(`unknown code ${code}`);
  return kind;
}

function listOf<T>(item: FieldKind<T>): FieldKind<readonly T[]> {
  return {
    write: (writer, values) => {
      writer.uint32(values.length);
      for (const value of values) item.write(writer, value);
    },
    read: (reader) => {
      const length = reader.uint32();
      if (length > listLengthMax) throw new PeerProtocolError(`a list of ${length}`);
      const values: T[] = [];
      for (let i = 0; i < length; i++) values.push(item.read(reader));
      return values;
    },
  };
}

const entry: FieldKind<Entry> = {
  write: (writer, { term, index, kind, data }) => {
    writer.number(term);
    writer.number(index);
    writer.byte(entryKinds.indexOf(kind));
    writer.bytes(data);
  },
  read: (reader) => ({
    term: reader.number(),
    index: reader.number(),
    kind: kindOf(entryKinds, reader.byte()),
    data: reader.bytes(),
  }),
};

const proposal: FieldKind<Proposal> = {
  write: (writer, { kind, data }) => {
    writer.byte(entryKinds.indexOf(kind));
    writer.bytes(data);
  },
  read: (reader) => {
    const kind = kindOf(entryKinds, reader.byte());
    if (kind === "no-op") throw new PeerProtocolError("a proposal of a no-op");
    return { kind, data: reader.bytes() };
  },
};

const ids = listOf<bigint>({
  write: (writer, value) => writer.id(value),
  read: (reader) => reader.id(),
});

const confState: FieldKind<ConfState> = {
  write: (writer, value) => {
    ids.write(writer, value.voters);
    ids.write(writer, value.votersOutgoing);
    ids.write(writer, value.learners);
    ids.write(writer, value.learnersNext);
    writer.boolean(value.autoLeave);
  },
  read: (reader) => ({
    voters: ids.read(reader),
    votersOutgoing: ids.read(reader),
    learners: ids.read(reader),
    learnersNext: ids.read(reader),
    autoLeave: reader.boolean(),
  }),
};

const snapshotMeta: FieldKind<SnapshotMeta> = {
  write: (writer, { index, term, confState: value }) => {
    writer.number(index);
    writer.number(term);
    confState.write(writer, value);
  },
  read: (reader) => ({ index: reader.number(), term: reader.number(), confState: confState.read(reader) }),
};

const refusals: readonly ProposalRefusal[] = [
  "no-leader",
  "not-leader",
  "leader-transfer",
  "uncommitted-full",
  "conf-change-in-flight",
  "leader-not-ready",
  "conf-change-invalid",
];
const refusal: FieldKind<ProposalRefusal> = {
  write: (writer, value) => writer.byte(refusals.indexOf(value)),
  read: (reader) => kindOf(refusals, reader.byte()),
};

type FieldsOf<M> = { readonly [K in Exclude<keyof M, "type" | "from" | "to" | "term">]: FieldKind<M[K]> };
type Layouts = { readonly [T in MessageType]: FieldsOf<Extract<Message, { type: T }>> };

const layouts: Layouts = {
  append: { previous: entryId, commit: number, entries: listOf(entry) },
  "append-accepted": { index: number, commit: number },
  "append-rejected": { index: number, hint: entryId },
  heartbeat: { commit: number, round: number },
  "heartbeat-response": { round: number, commit: number },
  snapshot: { snapshot: snapshotMeta },
  "vote-request": { last: entryId, transfer: boolean },
  "vote-response": { granted: boolean, committed: entryId },
  "pre-vote-request": { last: entryId },
  "pre-vote-response": { granted: boolean, committed: entryId },
  "timeout-now": {},
  propose: { session: number, sequence: number, proposals: listOf(proposal) },
  "propose-refused": { session: number, sequence: number, count: number, reason: refusal },
  "read-request": { session: number, id: number },
  "read-response": { session: number, id: number, index: number },
  "newer-term": {},
};

// Positions are on the wire between members of different versions: append, never reorder.
const messageTypes = Object.keys(layouts) as MessageType[];
/** By the type's position: its fields, in order. */
const fieldsByType: readonly (readonly (readonly [string, FieldKind<unknown>])[])[] = messageTypes.map(
  (type) => Object.entries(layouts[type]) as [string, FieldKind<unknown>][],
);

export function writeMessage(writer: ByteWriter, message: Message): void {
  const code = messageTypes.indexOf(message.type);
  writer.byte(code);
  writer.id(message.from);
  writer.id(message.to);
  writer.number(message.term);
  const values = message as unknown as { readonly [name: string]: unknown };
  for (const [name, field] of fieldsByType[code] ?? []) field.write(writer, values[name]);
}

/** Byte fields are views of what is read. */
export function readMessage(reader: ByteReader): Message {
  const code = reader.byte();
  const type = kindOf(messageTypes, code);
  const message: { [name: string]: unknown } = { type, from: reader.id(), to: reader.id(), term: reader.number() };
  for (const [name, field] of fieldsByType[code] ?? []) message[name] = field.read(reader);
  return message as unknown as Message;
}

const requestKinds: readonly PeerRequest["kind"][] = ["lease-renew", "lease-time-to-live", "member-promote"];

export function writeRequest(writer: ByteWriter, request: PeerRequest): void {
  writer.byte(requestKinds.indexOf(request.kind));
  writer.id(request.id);
}

export function readRequest(reader: ByteReader): PeerRequest {
  const kind = kindOf(requestKinds, reader.byte());
  // Leases have signed ids, members unsigned ones.
  return { kind, id: kind === "member-promote" ? reader.id() : reader.signedId() };
}

const responseKinds: readonly PeerResponse["kind"][] = ["lease-renewed", "lease-time", "done", "failed"];

export function writeResponse(writer: ByteWriter, response: PeerResponse): void {
  writer.byte(responseKinds.indexOf(response.kind));
  if (response.kind === "lease-renewed") writer.number(response.ttlSeconds);
  else if (response.kind === "lease-time") {
    writer.number(response.grantedTtlSeconds);
    writer.number(response.remainingSeconds);
  } else if (response.kind === "failed") writer.text(response.code);
}

export function readResponse(reader: ByteReader): PeerResponse {
  const kind = kindOf(responseKinds, reader.byte());
  switch (kind) {
    case "lease-renewed":
      return { kind, ttlSeconds: reader.number() };
    case "lease-time":
      return { kind, grantedTtlSeconds: reader.number(), remainingSeconds: reader.number() };
    case "done":
      return { kind };
    case "failed":
      return { kind, code: reader.text() };
  }
}
