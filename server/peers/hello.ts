// The first words on a connection between members: who calls whom, for which cluster and what for. One line of JSON
// each way, so that a person with a terminal can see what a port is.
import type { Member } from "../state/cluster/member-codec.ts";
import { PeerProtocolError } from "./byte-buffer.ts";

export const helloBytesMax = 16 * 1024;
export const protocolVersion = 1;

/**
 * - `stream`: messages and questions, for as long as both live.
 * - `snapshot`: one snapshot.
 * - `members`: who belongs to the cluster; asked by one that is about to join, which has no id yet.
 */
export type HelloPurpose = "stream" | "snapshot" | "members";

export interface Hello {
  readonly purpose: HelloPurpose;
  /** 0n where it is not known yet. */
  readonly clusterId: bigint;
  readonly from: bigint;
  readonly to: bigint;
  /** Where the caller itself is found: the one it calls may not know it yet, and must answer. None when unknown. */
  readonly peerUrls: readonly string[];
}

/**
 * - `cluster-mismatch`, `wrong-member`: the address belongs to another cluster, or to another member of this one.
 * - `removed`: the caller was removed from the cluster for good.
 * - `busy`: another snapshot is being received.
 */
export type HelloRefusal = "cluster-mismatch" | "wrong-member" | "removed" | "busy" | "unknown-version";

export type HelloAnswer =
  | { readonly kind: "welcome" }
  | { readonly kind: "members"; readonly clusterId: bigint; readonly members: readonly Member[] }
  | { readonly kind: "refused"; readonly reason: HelloRefusal };

const protocolName = "quorate-peer";

export function encodeHello(hello: Hello): string {
  const { purpose, clusterId, from, to, peerUrls } = hello;
  const ids = { clusterId: hex(clusterId), from: hex(from), to: hex(to) };
  return `${JSON.stringify({ protocol: protocolName, version: protocolVersion, purpose, ...ids, peerUrls })}\n`;
}

/**
 * Undefined for another version of the protocol.
 * @throws PeerProtocolError
 */
export function decodeHello(line: string): Hello | undefined {
  const parsed = parseObject(line);
  if (parsed["protocol"] !== protocolName) throw new PeerProtocolError("not a member of a Quorate cluster");
  if (parsed["version"] !== protocolVersion) return undefined;
  const purpose = parsed["purpose"];
  if (purpose !== "stream" && purpose !== "snapshot" && purpose !== "members") {
    throw new PeerProtocolError(`a connection for ${String(purpose)}`);
  }
  return {
    purpose,
    clusterId: unhex(parsed["clusterId"]),
    from: unhex(parsed["from"]),
    to: unhex(parsed["to"]),
    peerUrls: textsOf(parsed["peerUrls"]),
  };
}

export function encodeHelloAnswer(answer: HelloAnswer): string {
  if (answer.kind !== "members") return `${JSON.stringify(answer)}\n`;
  const members = answer.members.map((member) => ({ ...member, id: hex(member.id) }));
  return `${JSON.stringify({ kind: "members", clusterId: hex(answer.clusterId), members })}\n`;
}

/** @throws PeerProtocolError */
export function decodeHelloAnswer(line: string): HelloAnswer {
  const parsed = parseObject(line);
  if (parsed["kind"] === "welcome") return { kind: "welcome" };
  if (parsed["kind"] === "refused") return { kind: "refused", reason: String(parsed["reason"]) as HelloRefusal };
  if (parsed["kind"] !== "members" || !Array.isArray(parsed["members"])) {
    throw new PeerProtocolError("an answer of unknown kind");
  }
  const members = parsed["members"].map((item: unknown) => {
    const member = item as { readonly [K in keyof Member]: unknown };
    return {
      id: unhex(member.id),
      name: String(member.name),
      peerUrls: (member.peerUrls as unknown[]).map(String),
      clientUrls: (member.clientUrls as unknown[]).map(String),
      isLearner: member.isLearner === true,
    };
  });
  return { kind: "members", clusterId: unhex(parsed["clusterId"]), members };
}

function parseObject(line: string): { readonly [name: string]: unknown } {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === "object" && parsed !== null) return parsed as { readonly [name: string]: unknown };
  } catch (cause) {
    throw new PeerProtocolError("not a line of JSON", { cause });
  }
  throw new PeerProtocolError("not a JSON object");
}

function hex(id: bigint): string {
  return id.toString(16);
}

function unhex(value: unknown): bigint {
  if (typeof value !== "string" || !/^[0-9a-f]{1,16}$/.test(value)) throw new PeerProtocolError(`id ${String(value)}`);
  return BigInt(`0x${value}`);
}

function textsOf(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item): item is string => typeof item === "string");
}
