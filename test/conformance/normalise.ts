// Turns requests of the table into what is sent, and responses into what is compared: everything that a server answers,
// with only that taken out or made relative which differs between two honest servers (ids they choose, where the
// revision started, seconds that passed). Unset and zero fields are left out; whether a header is there is not.
import { createHash } from "node:crypto";
import type { LeaseTimeToLiveResponse } from "../../proto/gen/etcdserverpb/rpc.ts";
import type { KeyValue } from "../../proto/gen/mvccpb/kv.ts";
import type { Status } from "./wire-client.ts";

/** What one case knows while it runs. */
export interface Context {
  /** Store revision when the case began, or at its last rebase. */
  base: bigint;
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** Ids that the server chose, by the case's name for them. */
  readonly chosen: Map<string, bigint>;
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Fields in which cases write text for bytes. */
const bytesFields = new Set(["key", "rangeEnd", "value"]);
const revisionFields = new Set(["createRevision", "modRevision", "compactRevision", "hashRevision"]);
const idFields = new Set(["ID", "lease"]);
/** Longer bytes are shown by their beginning, length and digest. */
const bytesShownMax = 160;

const itemsShownMax = 20;

const codeNames = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];

export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** Fills in a request: relative revisions, chosen ids, text for bytes. */
export function resolveRequest(value: unknown, context: Context, field = ""): unknown {
  if (typeof value === "string") return bytesFields.has(field) ? Uint8Array.from(Buffer.from(value, "latin1")) : value;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((item) => resolveRequest(item, context, field));
  if ("$rev" in value) return context.base + BigInt(value.$rev as number);
  if ("$id" in value) {
    const chosen = context.chosen.get(value.$id as string);
    if (chosen === undefined) throw new Error(`the case uses an id that no step chose: ${String(value.$id)}`);
    return chosen;
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolveRequest(item, context, key)]));
}

/** Printable characters as they are, other bytes as \xNN. */
export function bytesText(data: Uint8Array): string {
  if (data.length > bytesShownMax)
    return `${bytesText(data.subarray(0, 12))}... <${data.length} bytes, sha256 ${sha256(data).slice(0, 16)}>`;
  return [...data]
    .map((byte) => {
      if (byte === 0x5c) return "\\\\";
      return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
}

const relative = (revision: bigint, context: Context): string => {
  const offset = revision - context.base;
  return offset < 0n ? `${offset}` : `+${offset}`;
};

function idText(value: bigint, context: Context): Json {
  for (const [name, chosen] of context.chosen) if (chosen === value) return `$${name}`;
  return `${value}`;
}

/** "+3" for a full header at that revision; what is missing or foreign in it is said. */
function headerText(header: { [key: string]: unknown }, context: Context): string {
  const { clusterId, memberId, revision, raftTerm } = header as {
    clusterId: bigint;
    memberId: bigint;
    revision: bigint;
    raftTerm: bigint;
  };
  const text = revision === 0n ? "0" : relative(revision, context);
  if (clusterId === 0n && memberId === 0n && raftTerm === 0n) return `${text} bare`;
  const strange: string[] = [];
  if (clusterId !== context.clusterId) strange.push(clusterId === 0n ? "no cluster" : "other cluster");
  if (memberId !== context.memberId) strange.push(memberId === 0n ? "no member" : "other member");
  if (raftTerm === 0n) strange.push("no term");
  return [text, ...strange].join(" ");
}

/** Time left is granted, or a little less: a slow machine may lose seconds between two calls, and no more is forgiven. */
function timeLeftText(ttl: bigint, granted: bigint): Json {
  if (ttl <= 0n || ttl > granted || granted - ttl > 5n) return `${ttl}`;
  return ttl === granted ? "granted" : "a little below granted";
}

const isZero = (value: unknown): boolean =>
  value === undefined ||
  value === 0n ||
  value === 0 ||
  value === "" ||
  value === false ||
  ((value instanceof Uint8Array || Array.isArray(value)) && value.length === 0);

/** The fields of a key-value pair that are set, in one line: "key=value c+1 m+2 v2 l7". */
export function kvText(kv: KeyValue, context: Context): string {
  const { key, value, createRevision, modRevision, version, lease } = kv;
  const parts = [value.length === 0 ? bytesText(key) : `${bytesText(key)}=${bytesText(value)}`];
  if (createRevision !== 0n) parts.push(`c${relative(createRevision, context)}`);
  if (modRevision !== 0n) parts.push(`m${relative(modRevision, context)}`);
  if (version !== 0n) parts.push(`v${version}`);
  if (lease !== 0n) parts.push(`l${String(idText(lease, context))}`);
  return parts.join(" ");
}

const isKeyValue = (message: object): message is KeyValue => "createRevision" in message && "version" in message;

/** Long lists by their first and last item and a digest of all. */
function shortened(list: readonly Json[]): Json {
  if (list.length <= itemsShownMax) return list;
  const [first = null, last = null] = [list[0], list[list.length - 1]];
  return { items: list.length, first, last, sha256: sha256(JSON.stringify(list)).slice(0, 16) };
}

function normaliseField(field: string, value: unknown, context: Context): Json {
  if (typeof value === "bigint") {
    if (revisionFields.has(field)) return relative(value, context);
    if (idFields.has(field)) return idText(value, context);
    return Number.isSafeInteger(Number(value)) ? Number(value) : `${value}`;
  }
  if (value instanceof Uint8Array) return bytesText(value);
  if (Array.isArray(value)) return shortened(value.map((item) => normaliseField(field, item, context)));
  if (typeof value === "object" && value !== null) {
    if (field === "header") return headerText(value as { [key: string]: unknown }, context);
    return isKeyValue(value) ? kvText(value, context) : normaliseMessage(value, context);
  }
  return value as Json;
}

const isTimeToLive = (message: object): message is LeaseTimeToLiveResponse => "grantedTTL" in message;

function normaliseMessage(message: object, context: Context): Json {
  const result: { [key: string]: Json } = {};
  for (const [field, value] of Object.entries(message)) {
    if (isZero(value)) continue;
    // A oneof: { $case, value } becomes one field of the case's name.
    if (typeof value === "object" && value !== null && "$case" in value)
      result[value.$case as string] = normaliseField(value.$case as string, value.value, context);
    else result[field] = normaliseField(field, value, context);
  }
  if (isTimeToLive(message)) {
    result["TTL"] = timeLeftText(message.TTL, message.grantedTTL);
    // etcd keeps a lease's keys in a hash map and lists them in no order.
    const keys = [...message.keys].sort(Buffer.compare);
    if (keys.length > 0) result["keys"] = normaliseField("keys", keys, context);
  }
  return result;
}

const portless = (url: Json): Json => (typeof url === "string" ? url.replace(/:\d+$/, ":PORT") : url);

/** What else is taken out of single methods' responses. */
const perMethod: { readonly [method: string]: (message: Json, context: Context) => Json } = {
  "/etcdserverpb.Maintenance/Status": (message, context) => {
    const { leader, dbSize, dbSizeInUse, raftIndex, raftAppliedIndex, raftTerm, version, ...rest } = message as {
      readonly [key: string]: Json;
    };
    const positive = (value: Json | undefined): Json => (Number(value) > 0 ? "positive" : (value ?? 0));
    return {
      ...rest,
      version: String(version).replace(/^3\.\d+\.\d+.*$/, "3.x.y"),
      leader: String(leader) === String(context.memberId) ? "self" : String(leader),
      dbSize: positive(dbSize),
      dbSizeInUse: positive(dbSizeInUse),
      raftIndex: positive(raftIndex),
      raftAppliedIndex: positive(raftAppliedIndex),
      raftTerm: positive(raftTerm),
    };
  },
  "/etcdserverpb.Cluster/MemberList": (message, context) => {
    const { members, ...rest } = message as { readonly [key: string]: Json };
    return {
      ...rest,
      members: (members as readonly { readonly [key: string]: Json }[]).map(
        ({ ID, peerURLs, clientURLs, ...member }) => ({
          ID: ID === String(context.memberId) ? "self" : (ID ?? null),
          ...member,
          peerURLs: ((peerURLs ?? []) as readonly Json[]).map(portless),
          clientURLs: ((clientURLs ?? []) as readonly Json[]).map(portless),
        }),
      ),
    };
  },
};

const answerCharactersMax = 4000;

/** @param path full method path, "/etcdserverpb.KV/Range" */
export function normaliseResponse(path: string, response: object, context: Context): Json {
  const message = normaliseMessage(response, context);
  const answer = perMethod[path]?.(message, context) ?? message;
  const text = JSON.stringify(answer);
  if (text.length <= answerCharactersMax) return answer;
  return { begins: text.slice(0, 300), characters: text.length, sha256: sha256(text).slice(0, 16) };
}

export const statusText = (status: Status): string =>
  `${codeNames[status.code] ?? `code ${status.code}`}: ${status.message}`;

/** A case's data as JSON, for digests and for people: bytes as text, 64-bit numbers as decimals. */
export function toJson(value: unknown): Json {
  if (typeof value === "bigint") return `${value}`;
  if (value instanceof Uint8Array) return bytesText(value);
  if (typeof value === "string") return value.length > bytesShownMax ? bytesText(Buffer.from(value, "latin1")) : value;
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
  return value as Json;
}
