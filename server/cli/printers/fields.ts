// `-w fields`: one `"Name" : value` a line, strings quoted as Go does.
import type { wire, wireKv } from "../../../sdk/index.ts";
import type { Views } from "./answer.ts";
import { goDuration, goQuote } from "./go-text.ts";
import { alarmName } from "./simple.ts";

type Value = Uint8Array | string | number | bigint | boolean;

/** Bytes and text are quoted, all else is printed plainly. */
const field = (name: string, value: Value): string =>
  `"${name}" : ${typeof value === "string" || value instanceof Uint8Array ? goQuote(value) : value}\n`;

const header = (from: { readonly header?: wire.ResponseHeader | undefined } | undefined): string =>
  [
    field("ClusterID", from?.header?.clusterId ?? 0n),
    field("MemberID", from?.header?.memberId ?? 0n),
    field("Revision", from?.header?.revision ?? 0n),
    field("RaftTerm", from?.header?.raftTerm ?? 0n),
  ].join("");

const keyValue = (prefix: string, kv: wireKv.KeyValue): string =>
  [
    field(`${prefix}Key`, kv.key),
    field(`${prefix}CreateRevision`, kv.createRevision),
    field(`${prefix}ModRevision`, kv.modRevision),
    field(`${prefix}Version`, kv.version),
    field(`${prefix}Value`, kv.value),
    field(`${prefix}Lease`, kv.lease),
  ].join("");

const range = (response: wire.RangeResponse): string =>
  [
    header(response),
    ...response.kvs.map((kv) => keyValue("", kv)),
    field("More", response.more),
    field("Count", response.count),
  ].join("");

const put = (response: wire.PutResponse): string =>
  header(response) + (response.prevKv === undefined ? "" : keyValue("Prev", response.prevKv));

const deleted = (response: wire.DeleteRangeResponse): string =>
  [header(response), field("Deleted", response.deleted), ...response.prevKvs.map((kv) => keyValue("Prev", kv))].join(
    "",
  );

const txn = (response: wire.TxnResponse): string =>
  [header(response), field("Succeeded", response.succeeded), ...response.responses.map(oneOfTxn)].join("");

function oneOfTxn({ response }: wire.ResponseOp): string {
  switch (response?.$case) {
    case "responseRange":
      return range(response.value);
    case "responsePut":
      return put(response.value);
    case "responseDeleteRange":
      return deleted(response.value);
    case "responseTxn":
      return txn(response.value);
    case undefined:
      return '"Unknown" : ""\n';
  }
}

const event = ({ type, kv, prevKv }: wireKv.Event): string =>
  [
    `"Type" : ${type === 1 ? "DELETE" : "PUT"}\n`,
    prevKv === undefined ? "" : keyValue("Prev", prevKv),
    kv === undefined ? "" : keyValue("", kv),
  ].join("");

const leaseTimes = (response: wire.LeaseKeepAliveResponse | wire.LeaseGrantResponse): string =>
  header(response) + field("ID", response.ID) + field("TTL", response.TTL);

const member = ({ ID, name, peerURLs, clientURLs, isLearner }: wire.Member): string =>
  [
    field("ID", ID),
    field("Name", name),
    ...peerURLs.map((url) => field("PeerURL", url)),
    ...clientURLs.map((url) => field("ClientURL", url)),
    field("IsLearner", isLearner),
    "\n",
  ].join("");

const permissionTypes = ["READ", "WRITE", "READWRITE"];

export const fieldsViews: Views = {
  get: ({ response }) => range(response),
  put: ({ response }) => put(response),
  del: ({ response }) => deleted(response),
  txn: ({ response }) => txn(response),
  watch: ({ response }) => header(response) + response.events.map(event).join(""),
  "lease-grant": ({ response }) => leaseTimes(response),
  "lease-revoke": ({ response }) => header(response),
  "lease-keep-alive": ({ response }) => leaseTimes(response),
  "lease-time-to-live": ({ response }) =>
    [
      header(response),
      field("ID", response.ID),
      field("TTL", response.TTL),
      field("GrantedTTL", response.grantedTTL),
      ...response.keys.map((key) => field("Key", key)),
    ].join(""),
  "lease-list": ({ response }) => header(response) + response.leases.map(({ ID }) => field("ID", ID)).join(""),
  "member-list": ({ response }) => header(response) + response.members.map(member).join(""),
  "endpoint-status": ({ list }) =>
    list
      .map(({ endpoint, status }) =>
        [
          header(status),
          field("Version", status.version),
          field("DBSize", status.dbSize),
          field("Leader", status.leader),
          field("IsLearner", status.isLearner),
          field("RaftIndex", status.raftIndex),
          field("RaftTerm", status.raftTerm),
          field("RaftAppliedIndex", status.raftAppliedIndex),
          `"Errors" : [${status.errors.map((error) => goQuote(error)).join(" ")}]\n`,
          field("Endpoint", endpoint),
          "\n",
        ].join(""),
      )
      .join(""),
  "endpoint-health": ({ list }) =>
    list
      .map(({ endpoint, isHealthy, tookNanoseconds, error }) =>
        [
          field("Endpoint", endpoint),
          field("Health", isHealthy),
          `"Took" : ${goDuration(tookNanoseconds)}\n`,
          `"Error" : ${error}\n`,
          "\n",
        ].join(""),
      )
      .join(""),
  "endpoint-hash": ({ list }) =>
    list
      .map(({ endpoint, hash }) => [header(hash), field("Endpoint", endpoint), field("Hash", hash.hash), "\n"].join(""))
      .join(""),
  alarm: ({ response }) =>
    header(response) +
    response.alarms
      .map(({ memberID, alarm }) => `${field("MemberID", memberID)}"AlarmType" : ${alarmName(alarm)}\n\n`)
      .join(""),
  "role-get": ({ response }) =>
    header(response) +
    response.perm
      .map(({ permType, key, rangeEnd }) =>
        [
          `"PermType" :  ${permissionTypes[permType] ?? permType}\n`,
          field("Key", key),
          field("RangeEnd", rangeEnd),
        ].join(""),
      )
      .join(""),
  "role-list": ({ response }) => header(response) + response.roles.map((role) => field("Roles", role)).join(""),
  done: ({ response }) => header(response),
};
