// Ids of members and clusters, made as etcd makes them, so that whoever computes them elsewhere gets the same.
import { createHash } from "node:crypto";

/**
 * Id of a member: the first 8 bytes of SHA-1 over its sorted peer URLs and the cluster's token, and for one that joins
 * a running cluster the time it was added.
 */
export function memberIdOf(peerUrls: readonly string[], clusterToken: string, addedAtSeconds?: number): bigint {
  const time = addedAtSeconds === undefined ? "" : String(addedAtSeconds);
  return firstEightBytes(Buffer.from([...peerUrls].sort().join("") + clusterToken + time));
}

/** Id of a cluster: the first 8 bytes of SHA-1 over the sorted ids of its first members. */
export function clusterIdOf(memberIds: readonly bigint[]): bigint {
  const sorted = [...memberIds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const bytes = Buffer.alloc(sorted.length * 8);
  for (const [index, id] of sorted.entries()) bytes.writeBigUInt64BE(id, index * 8);
  return firstEightBytes(bytes);
}

function firstEightBytes(input: Uint8Array): bigint {
  return createHash("sha1").update(input).digest().readBigUInt64BE(0);
}
