// Two ways to ask: through the SDK, whose word on what became of a write is taken as it is, and over the bare wire, where
// only what surely was refused counts as refused.
import { type Client, ClientError, methods } from "../../../sdk/index.ts";
import type { WireClient } from "../../conformance/wire-client.ts";
import type { Refusal, Request } from "../../linearizability/operation.ts";
import type { Answer } from "./recorder.ts";
import { fromWire, toWire, type WireRequest } from "./wire.ts";

const refusals: readonly { readonly text: string; readonly reason: Refusal }[] = [
  { text: "requested lease not found", reason: "lease-not-found" },
  { text: "lease already exists", reason: "lease-exists" },
  { text: "required revision has been compacted", reason: "compacted" },
  { text: "required revision is a future revision", reason: "future-revision" },
];

/** Answers of a member by which it refuses before anything is proposed. */
const definite: readonly string[] = ["too many requests", "database space exceeded", "etcdserver: no leader"];

const sdkMethods = {
  "KV/Put": methods.kv.put,
  "KV/Range": methods.kv.range,
  "KV/DeleteRange": methods.kv.deleteRange,
  "KV/Txn": methods.kv.txn,
  "KV/Compact": methods.kv.compact,
  "Lease/LeaseGrant": methods.lease.grant,
  "Lease/LeaseRevoke": methods.lease.revoke,
} as const satisfies Record<WireRequest["method"], unknown>;

export async function askSdk(client: Client, request: Request, deadlineMs: number): Promise<Answer> {
  const { method, message } = toWire(request);
  try {
    const response = await client.raw.call(sdkMethods[method] as never, message as never, { deadline: deadlineMs });
    return { kind: "returned", result: fromWire(request, response as object) };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    const refused = refusals.find(({ text }) => error.message.includes(text));
    if (refused !== undefined) return { kind: "returned", result: { kind: "refused", reason: refused.reason } };
    return { kind: error.outcome === "notApplied" ? "failed" : "unknown" };
  }
}

export async function askWire(client: WireClient, request: Request, deadlineMs: number): Promise<Answer> {
  const { method, message } = toWire(request);
  const answer = await client.call(method, message, { deadlineMs });
  if ("response" in answer) return { kind: "returned", result: fromWire(request, answer.response) };
  const { message: text } = answer.status;
  const refused = refusals.find((refusal) => text.includes(refusal.text));
  if (refused !== undefined) return { kind: "returned", result: { kind: "refused", reason: refused.reason } };
  return { kind: definite.some((known) => text.includes(known)) ? "failed" : "unknown" };
}
