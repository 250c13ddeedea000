// The end of a run, when all faults are over: do all members hold the same, and is it what happened?
import type { MemberListResponse, RangeResponse } from "../../proto/gen/etcdserverpb/rpc.ts";
import { WatchCreateRequest, type WatchResponse } from "../../proto/gen/etcdserverpb/rpc.ts";
import { drawKeyValue } from "../linearizability/draw.ts";
import type { KeyValue } from "../linearizability/operation.ts";
import { isSameKeyValue } from "../linearizability/same-result.ts";
import { type Cluster, type ClusterMember, pause } from "./cluster/cluster.ts";
import { takeSome } from "./workload/take-some.ts";
import type { Truth } from "./workload/truth.ts";
import { toKeyValue, toWatchedChange } from "./workload/wire.ts";

const deadlineMs = 10_000;
const exact = { ignoresRevisions: false };

/** What one member holds. */
interface Holding {
  readonly revision: number;
  readonly keyValues: readonly KeyValue[];
  readonly leases: readonly string[];
  readonly members: string;
  /** Every version since the last compaction. */
  readonly history: readonly string[];
}

/** What is wrong; nothing when all is well. Nobody may write meanwhile. */
export async function audit(cluster: Cluster, truth: Truth, compactRevision: number): Promise<readonly string[]> {
  const problems: string[] = [];
  await untilLevel(cluster);
  const holdings = new Map<string, Holding>();
  for (const member of cluster.members) holdings.set(member.name, await holdingOf(member, compactRevision));
  const [first, ...others] = [...holdings];
  for (const [name, holding] of others) {
    for (const part of ["revision", "keyValues", "leases", "members", "history"] as const) {
      const [expected, found] = [first![1][part], holding[part]].map((value) => JSON.stringify(value, withBigints));
      if (expected !== found)
        problems.push(`${part} of ${first![0]} and ${name} differ: ${firstDifference(expected!, found!)}`);
    }
  }
  problems.push(...againstTruth(first![1], truth));
  return problems;
}

const withBigints = (_: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);

function firstDifference(a: string, b: string): string {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  const from = Math.max(0, at - 60);
  return `...${a.slice(from, at + 60)}... and ...${b.slice(from, at + 60)}...`;
}

/** Waits until all members have applied the same. */
async function untilLevel(cluster: Cluster): Promise<void> {
  const endMs = performance.now() + 30_000;
  for (;;) {
    const statuses = await Promise.all(cluster.members.map((member) => cluster.statusOf(member)));
    const applied = new Set(statuses.map((status) => status?.appliedIndex));
    if (applied.size === 1 && !applied.has(undefined)) return;
    if (performance.now() > endMs) throw new Error(`members do not come level: ${[...applied].join(", ")}`);
    await pause(100);
  }
}

async function call(member: ClusterMember, method: string, request: object): Promise<object> {
  const answer = await member.wire.call(method, request, { deadlineMs });
  if ("response" in answer) return answer.response;
  throw new Error(`${member.name} answers ${method} with ${answer.status.message}`);
}

/** All of it is asked of the member alone: what another member has is no answer. */
async function holdingOf(member: ClusterMember, compactRevision: number): Promise<Holding> {
  const range = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), serializable: true };
  const { header, kvs } = (await call(member, "KV/Range", range)) as RangeResponse;
  const listed = (await call(member, "Lease/LeaseLeases", {})) as {
    readonly leases: readonly { readonly ID: bigint }[];
  };
  const leases: string[] = [];
  for (const { ID } of [...listed.leases].sort((a, b) => (a.ID < b.ID ? -1 : 1))) {
    const info = (await call(member, "Lease/LeaseTimeToLive", { ID, keys: true })) as LeaseInfo;
    leases.push(`${ID} of ${info.grantedTTL}: ${info.keys.map((key) => Buffer.from(key).toString("latin1")).join()}`);
  }
  const list = (await call(member, "Cluster/MemberList", { linearizable: false })) as MemberListResponse;
  const members = list.members
    .map((m) => `${m.ID} ${m.name} ${m.peerURLs} ${m.clientURLs} ${m.isLearner}`)
    .sort()
    .join();
  const revision = Number(header?.revision ?? 0n);
  const history = await historyOf(member, compactRevision + 1, revision);
  return { revision, keyValues: kvs.map(toKeyValue), leases, members, history };
}

interface LeaseInfo {
  readonly grantedTTL: bigint;
  readonly keys: readonly Uint8Array[];
}

/** Everything that happened from one revision to another, as this member's store has it. */
async function historyOf(member: ClusterMember, from: number, to: number): Promise<readonly string[]> {
  const history: string[] = [];
  if (from > to) return history;
  const stream = member.wire.open("Watch/Watch");
  const range = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), startRevision: BigInt(from) };
  stream.send({ requestUnion: { $case: "createRequest", value: WatchCreateRequest.fromPartial(range) } });
  for (let seen = 0; seen < to; ) {
    const responses = await takeSome<WatchResponse>(stream, deadlineMs);
    if (responses.length === 0) throw new Error(`${member.name} tells its history up to ${seen} of ${to} only`);
    for (const { canceled, cancelReason, events } of responses) {
      if (canceled) throw new Error(`${member.name} does not tell its history from ${from}: ${cancelReason}`);
      for (const event of events) {
        const { kind, keyValue } = toWatchedChange(event);
        history.push(`${kind} ${drawKeyValue(keyValue)}`);
        seen = keyValue.modRevision;
      }
    }
  }
  stream.cancel();
  return history;
}

/** The keys that there are against the ones that there should be. */
function againstTruth({ revision, keyValues }: Holding, truth: Truth): readonly string[] {
  const problems: string[] = [];
  const known = truth.completeTo;
  if (known !== revision) problems.push(`watches tell of everything up to ${known}, and the store is at ${revision}`);
  const expected = new Map<string, KeyValue>();
  for (let at = 2; at <= known; at++) {
    for (const { kind, keyValue } of truth.changes.get(at)?.changes ?? []) {
      if (kind === "put") expected.set(keyValue.key, keyValue);
      else expected.delete(keyValue.key);
    }
  }
  for (const found of keyValues) {
    const wanted = expected.get(found.key);
    expected.delete(found.key);
    if (!isSameKeyValue(found, wanted, exact))
      problems.push(
        `the store has ${drawKeyValue(found)}, and what happened is ${wanted === undefined ? "nothing" : drawKeyValue(wanted)}`,
      );
  }
  for (const missing of expected.values()) problems.push(`the store has lost ${drawKeyValue(missing)}`);
  return problems;
}
