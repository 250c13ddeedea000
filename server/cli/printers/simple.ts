// `-w simple`: for people and for shell scripts.
import type { wire, wireKv } from "../../../sdk/index.ts";
import type { EndpointHealth, Views } from "./answer.ts";
import { goDuration, goSize, hexBytes, leaseId } from "./go-text.ts";
import { permissionText } from "./permission-text.ts";

const lineEnd = Buffer.from("\n");

const join = (parts: readonly (string | Uint8Array)[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));

/** Bytes as they are, or as hexadecimal, and the end of a line. */
const line = (bytes: Uint8Array, isHex: boolean): Uint8Array =>
  isHex ? Buffer.from(`${hexBytes(bytes)}\n`) : Buffer.concat([bytes, lineEnd]);

const keyAndValue = ({ key, value }: wireKv.KeyValue, isHex: boolean): Uint8Array =>
  join([line(key, isHex), line(value, isHex)]);

const rangeText = (response: wire.RangeResponse, isHex: boolean, isValueOnly = false): Uint8Array =>
  join(response.kvs.map((kv) => (isValueOnly ? line(kv.value, isHex) : keyAndValue(kv, isHex))));

const putText = ({ prevKv }: wire.PutResponse, isHex: boolean): Uint8Array =>
  join(["OK\n", ...(prevKv === undefined ? [] : [keyAndValue(prevKv, isHex)])]);

const deleteText = ({ deleted, prevKvs }: wire.DeleteRangeResponse, isHex: boolean): Uint8Array =>
  join([`${deleted}\n`, ...prevKvs.map((kv) => keyAndValue(kv, isHex))]);

function txnText(response: wire.TxnResponse, isHex: boolean): Uint8Array {
  const parts: (string | Uint8Array)[] = [response.succeeded ? "SUCCESS\n" : "FAILURE\n"];
  for (const { response: one } of response.responses) {
    parts.push("\n");
    if (one?.$case === "responsePut") parts.push(putText(one.value, isHex));
    if (one?.$case === "responseRange") parts.push(rangeText(one.value, isHex));
    if (one?.$case === "responseDeleteRange") parts.push(deleteText(one.value, isHex));
    if (one?.$case === "responseTxn") parts.push(txnText(one.value, isHex));
  }
  return join(parts);
}

function eventText({ type, kv, prevKv }: wireKv.Event, isHex: boolean): Uint8Array {
  const parts: (string | Uint8Array)[] = [type === 1 ? "DELETE\n" : "PUT\n"];
  if (prevKv !== undefined) parts.push(keyAndValue(prevKv, isHex));
  if (kv !== undefined) parts.push(keyAndValue(kv, isHex));
  return join(parts);
}

function timeToLiveText({
  response,
  withKeys,
}: {
  response: wire.LeaseTimeToLiveResponse;
  withKeys: boolean;
}): Uint8Array {
  const id = leaseId(response.ID);
  if (response.grantedTTL === 0n && response.TTL === -1n) return Buffer.from(`lease ${id} already expired\n`);
  const start = `lease ${id} granted with TTL(${response.grantedTTL}s), remaining(${response.TTL}s)`;
  if (!withKeys) return Buffer.from(`${start}\n`);
  const keys = response.keys.flatMap((key, index) => (index === 0 ? [key] : [Buffer.from(" "), key]));
  return join([`${start}, attached keys([`, ...keys, "])\n"]);
}

const memberLine = ({ ID, name, peerURLs, clientURLs, isLearner }: wire.Member): string =>
  [
    ID.toString(16),
    name === "" ? "unstarted" : "started",
    name,
    peerURLs.join(","),
    clientURLs.join(","),
    isLearner,
  ].join(", ");

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join("");

export const simpleViews: Views = {
  get: ({ response, isValueOnly }, isHex) => rangeText(response, isHex, isValueOnly),
  put: ({ response }, isHex) => putText(response, isHex),
  del: ({ response }, isHex) => deleteText(response, isHex),
  txn: ({ response }, isHex) => txnText(response, isHex),
  watch: ({ response }, isHex) => join(response.events.map((event) => eventText(event, isHex))),
  "lease-grant": ({ response }) => `lease ${leaseId(response.ID)} granted with TTL(${response.TTL}s)\n`,
  "lease-revoke": ({ id }) => `lease ${leaseId(id)} revoked\n`,
  "lease-keep-alive": ({ response }) => `lease ${leaseId(response.ID)} keepalived with TTL(${response.TTL})\n`,
  "lease-time-to-live": timeToLiveText,
  "lease-list": ({ response: { leases } }) =>
    lines([`found ${leases.length} leases`, ...leases.map(({ ID }) => leaseId(ID))]),
  "member-list": ({ response }) => lines(response.members.map(memberLine)),
  "member-add": ({ text }) => text,
  "member-change": ({ text }) => text,
  "endpoint-status": ({ list }) => lines(list.map((entry) => statusCells(entry).join(", "))),
  "endpoint-health": ({ list }) => lines(list.map(healthLine)),
  "endpoint-hash": ({ list }) => lines(list.map(({ endpoint, hash }) => `${endpoint}, ${hash.hash}`)),
  alarm: ({ response }) =>
    lines(response.alarms.map(({ memberID, alarm }) => `memberID:${memberID} alarm:${alarmName(alarm)} `)),
  "auth-status": ({ response }) =>
    lines([`Authentication Status: ${response.enabled}`, `AuthRevision: ${response.authRevision}`]),
  "user-get": ({ response, user }) =>
    lines([`User: ${user}`, `Roles:${response.roles.map((role) => ` ${role}`).join("")}`]),
  "user-list": ({ response }) => lines(response.users),
  "role-get": ({ response, role }) => permissionText(role, response.perm),
  "role-list": ({ response }) => lines(response.roles),
  done: ({ text }) => text,
};

const alarmNames = ["NONE", "NOSPACE", "CORRUPT"];
export const alarmName = (alarm: number): string => alarmNames[alarm] ?? String(alarm);

/** The columns of `endpoint status`, in the simple form and in the table. */
export const statusCells = ({ endpoint, status }: { endpoint: string; status: wire.StatusResponse }): string[] => [
  endpoint,
  (status.header?.memberId ?? 0n).toString(16),
  status.version,
  goSize(Number(status.dbSize)),
  String(status.leader === status.header?.memberId),
  String(status.isLearner),
  String(status.raftTerm),
  String(status.raftIndex),
  String(status.raftAppliedIndex),
  status.errors.join(", "),
];

const healthLine = ({ endpoint, isHealthy, tookNanoseconds, error }: EndpointHealth): string =>
  isHealthy
    ? `${endpoint} is healthy: successfully committed proposal: took = ${goDuration(tookNanoseconds)}`
    : `${endpoint} is unhealthy: failed to commit proposal: ${error}`;
