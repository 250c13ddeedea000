// Commands as the log keeps them. Requests of the KV service are logged exactly as they came over the wire, behind a
// small envelope: what was parsed once is neither encoded again nor can it come out differently on another member.
//
//   envelope := format 1 (= 1), kind 1, proposer 4, sequence 4, body
//
// `proposer` and `sequence` name the proposal, so that the member whose client waits recognises its own command when
// it comes to be applied. This format is on disk: kinds keep their numbers, new ones are added.
import {
  AlarmCommand,
  LeaseCheckpointCommand,
  LeaseGrantCommand,
  LeaseRevokeCommand,
  MemberChangeCommand,
  MemberPublishCommand,
} from "../../proto/gen/quoratepb/command.ts";
import { assert } from "../lib/assert.ts";
import { WireReader } from "../lib/wire-reader.ts";
import type { AlarmType, Command } from "./command.ts";
import { decodeCompaction, decodeDeleteRange, decodePut, decodeTxn } from "./request-codec.ts";

/** Who proposed a command, and which of its proposals it is. Unique while anybody may wait for the answer. */
export interface ProposalId {
  /** 32 random bits that a process draws when it starts. */
  readonly proposer: number;
  readonly sequence: number;
}

export interface CommandEnvelope {
  readonly id: ProposalId;
  readonly command: Command;
}

const format = 1;
const headerBytes = 10;

const kindNumbers = {
  put: 1,
  "delete-range": 2,
  txn: 3,
  compact: 4,
  "lease-grant": 5,
  "lease-revoke": 6,
  "lease-checkpoint": 7,
  "member-publish": 8,
  alarm: 9,
  "member-add": 10,
  "member-remove": 11,
  "member-update": 12,
  "member-promote": 13,
} as const satisfies { readonly [K in Command["kind"]]: number };

/** Numbers of etcdserverpb.AlarmType. */
const alarmNumbers: { readonly [T in AlarmType]: number } = { "no-space": 1, corrupt: 2 };

type WireCommandKind = "put" | "delete-range" | "txn" | "compact";

/** Envelope around a request of the KV service as it came over the wire. */
export function encodeWireCommand(id: ProposalId, kind: WireCommandKind, request: Uint8Array): Buffer {
  return encodeEnvelope(id, kind, request);
}

/** Envelope around a command that the members themselves make. */
export function encodeInternalCommand(id: ProposalId, command: Exclude<Command, { kind: WireCommandKind }>): Buffer {
  return encodeEnvelope(id, command.kind, encodeInternalBody(command));
}

function encodeEnvelope(id: ProposalId, kind: Command["kind"], body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(headerBytes + body.length);
  bytes[0] = format;
  bytes[1] = kindNumbers[kind];
  bytes.writeUInt32LE(id.proposer, 2);
  bytes.writeUInt32LE(id.sequence, 6);
  bytes.set(body, headerBytes);
  return bytes;
}

function encodeInternalBody(command: Exclude<Command, { kind: WireCommandKind }>): Uint8Array {
  switch (command.kind) {
    case "lease-grant":
      return LeaseGrantCommand.encode({ id: command.id, ttlSeconds: BigInt(command.ttlSeconds) }).finish();
    case "lease-revoke":
      return LeaseRevokeCommand.encode({ id: command.id, expiryTerm: BigInt(command.expiry?.term ?? 0) }).finish();
    case "lease-checkpoint":
      return LeaseCheckpointCommand.encode({
        checkpoints: command.checkpoints.map(({ id, remainingTtlSeconds }) => ({
          id,
          remainingTtlSeconds: BigInt(remainingTtlSeconds),
        })),
      }).finish();
    case "member-publish": {
      const { id, name, clientUrls } = command.member;
      return MemberPublishCommand.encode({ id, name, clientUrls: [...clientUrls] }).finish();
    }
    case "member-add":
      return encodeMemberChange({ ...command.member, peerUrls: command.member.peerUrls }, command.learnersMax);
    case "member-update":
      return encodeMemberChange(command, 0);
    case "member-remove":
    case "member-promote":
      return encodeMemberChange({ id: command.id }, 0);
    case "alarm": {
      const { isRaised, alarm } = command;
      return AlarmCommand.encode({ isRaised, memberId: alarm.memberId, type: alarmNumbers[alarm.type] }).finish();
    }
  }
}

/** The proposal that an entry of the log carries, without decoding its command. */
export function proposalIdOf(data: Uint8Array): ProposalId {
  const bytes = asBuffer(data);
  return { proposer: bytes.readUInt32LE(2), sequence: bytes.readUInt32LE(6) };
}

/**
 * Decodes an entry of the log. The command's byte fields are views of `data`.
 * An entry that this version does not know stops the process: skipping it would make members differ.
 */
export function decodeEnvelope(data: Uint8Array): CommandEnvelope {
  const bytes = asBuffer(data);
  assert(bytes.length >= headerBytes && bytes[0] === format, () => `log entry of unknown format ${bytes[0]}`);
  return { id: proposalIdOf(bytes), command: decodeBody(bytes[1] as number, bytes) };
}

function decodeBody(kindNumber: number, bytes: Buffer): Command {
  const reader = new WireReader(bytes, headerBytes);
  switch (kindNumber) {
    case kindNumbers.put:
      return decodePut(reader);
    case kindNumbers["delete-range"]:
      return decodeDeleteRange(reader);
    case kindNumbers.txn:
      return decodeTxn(reader);
    case kindNumbers.compact:
      return decodeCompaction(reader);
    default:
      return decodeInternalBody(kindNumber, bytes.subarray(headerBytes));
  }
}

function decodeInternalBody(kindNumber: number, body: Uint8Array): Command {
  switch (kindNumber) {
    case kindNumbers["lease-grant"]: {
      const { id, ttlSeconds } = LeaseGrantCommand.decode(body);
      return { kind: "lease-grant", id, ttlSeconds: Number(ttlSeconds) };
    }
    case kindNumbers["lease-revoke"]: {
      const { id, expiryTerm } = LeaseRevokeCommand.decode(body);
      return { kind: "lease-revoke", id, expiry: expiryTerm === 0n ? undefined : { term: Number(expiryTerm) } };
    }
    case kindNumbers["lease-checkpoint"]: {
      const { checkpoints } = LeaseCheckpointCommand.decode(body);
      return {
        kind: "lease-checkpoint",
        checkpoints: checkpoints.map(({ id, remainingTtlSeconds }) => ({
          id,
          remainingTtlSeconds: Number(remainingTtlSeconds),
        })),
      };
    }
    case kindNumbers["member-publish"]: {
      const { id, name, clientUrls } = MemberPublishCommand.decode(body);
      return { kind: "member-publish", member: { id, name, clientUrls } };
    }
    case kindNumbers["member-add"]:
    case kindNumbers["member-update"]:
    case kindNumbers["member-remove"]:
    case kindNumbers["member-promote"]:
      return decodeMemberChange(kindNumber, body);
    case kindNumbers.alarm: {
      const { isRaised, memberId, type } = AlarmCommand.decode(body);
      return {
        kind: "alarm",
        isRaised,
        alarm: { memberId, type: type === alarmNumbers.corrupt ? "corrupt" : "no-space" },
      };
    }
    default:
      assert(false, `log entry of unknown kind ${kindNumber}; it was written by a newer version`);
  }
}

function encodeMemberChange(
  member: { readonly id: bigint; readonly peerUrls?: readonly string[]; readonly isLearner?: boolean },
  learnersMax: number,
): Uint8Array {
  const { id, peerUrls = [], isLearner = false } = member;
  return MemberChangeCommand.encode({
    member: { id, name: "", peerUrls: [...peerUrls], clientUrls: [], isLearner },
    learnersMax,
  }).finish();
}

function decodeMemberChange(kindNumber: number, body: Uint8Array): Command {
  const { member, learnersMax } = MemberChangeCommand.decode(body);
  assert(member !== undefined, "a membership change without a member");
  const { id, peerUrls, isLearner } = member;
  if (kindNumber === kindNumbers["member-add"]) {
    return { kind: "member-add", member: { id, peerUrls, isLearner }, learnersMax };
  }
  if (kindNumber === kindNumbers["member-update"]) return { kind: "member-update", id, peerUrls };
  return { kind: kindNumber === kindNumbers["member-remove"] ? "member-remove" : "member-promote", id };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
