// `-w json`: a member's answer with the names that etcd's messages have. As in Go, what is zero or empty is left out.
import type { wire, wireKv } from "../../../sdk/index.ts";
import type { Views } from "./answer.ts";
import { type GoJson, goDuration, goJson } from "./go-text.ts";

type Fields = { readonly [name: string]: GoJson | undefined };

const isEmpty = (value: GoJson | undefined): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === "" ||
  value === 0 ||
  value === 0n ||
  ((value instanceof Uint8Array || Array.isArray(value)) && value.length === 0);

/** Without the fields that are zero or empty. */
const compact = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));

const header = (from: wire.ResponseHeader | undefined): Fields | undefined =>
  from === undefined
    ? undefined
    : compact({
        cluster_id: from.clusterId,
        member_id: from.memberId,
        revision: from.revision,
        raft_term: from.raftTerm,
      });

const keyValue = (kv: wireKv.KeyValue | undefined): Fields | undefined =>
  kv === undefined
    ? undefined
    : compact({
        key: kv.key,
        create_revision: kv.createRevision,
        mod_revision: kv.modRevision,
        version: kv.version,
        value: kv.value,
        lease: kv.lease,
      });

const keyValues = (kvs: readonly wireKv.KeyValue[]): readonly Fields[] => kvs.map((kv) => keyValue(kv)!);

const range = (response: wire.RangeResponse): Fields =>
  compact({
    header: header(response.header),
    kvs: keyValues(response.kvs),
    more: response.more,
    count: response.count,
  });

const put = (response: wire.PutResponse): Fields =>
  compact({ header: header(response.header), prev_kv: keyValue(response.prevKv) });

const deleted = (response: wire.DeleteRangeResponse): Fields =>
  compact({
    header: header(response.header),
    deleted: response.deleted,
    prev_kvs: keyValues(response.prevKvs),
  });

const txn = (response: wire.TxnResponse): Fields =>
  compact({
    header: header(response.header),
    succeeded: response.succeeded,
    responses: response.responses.map((one) => ({ Response: oneOfTxn(one) })),
  });

function oneOfTxn({ response }: wire.ResponseOp): GoJson {
  switch (response?.$case) {
    case "responseRange":
      return { response_range: range(response.value) };
    case "responsePut":
      return { response_put: put(response.value) };
    case "responseDeleteRange":
      return { response_delete_range: deleted(response.value) };
    case "responseTxn":
      return { response_txn: txn(response.value) };
    case undefined:
      return null;
  }
}

const event = ({ type, kv, prevKv }: wireKv.Event): Fields =>
  compact({ type, kv: keyValue(kv), prev_kv: keyValue(prevKv) });

const watch = (response: wire.WatchResponse): Fields => ({
  Header: header(response.header),
  Events: response.events.length === 0 ? null : response.events.map(event),
  CompactRevision: response.compactRevision,
  Canceled: response.canceled,
  Created: response.created,
});

const member = ({ ID, name, peerURLs, clientURLs, isLearner }: wire.Member): Fields =>
  compact({ ID, name, peerURLs, clientURLs, isLearner });

const hexId = (id: bigint): string => id.toString(16);

/** With --hex, ids are text. That the last name ends in capitals here is etcdctl's own slip, which readers rely on. */
const membersInHex = (response: wire.MemberListResponse): Fields => ({
  header: compact({
    cluster_id: hexId(response.header?.clusterId ?? 0n),
    member_id: hexId(response.header?.memberId ?? 0n),
    raft_term: response.header?.raftTerm,
  }),
  members: response.members.map(({ ID, name, peerURLs, clientURLs, isLearner }) =>
    compact({ ID: hexId(ID), name, peerURLs, clientURLS: clientURLs, isLearner }),
  ),
});

const members = (response: { header: wire.ResponseHeader | undefined; members: readonly wire.Member[] }): Fields =>
  compact({ header: header(response.header), members: response.members.map(member) });

const status = (response: wire.StatusResponse): Fields =>
  compact({
    header: header(response.header),
    version: response.version,
    dbSize: response.dbSize,
    leader: response.leader,
    raftIndex: response.raftIndex,
    raftTerm: response.raftTerm,
    raftAppliedIndex: response.raftAppliedIndex,
    errors: response.errors,
    dbSizeInUse: response.dbSizeInUse,
    isLearner: response.isLearner,
  });

const alarms = (response: wire.AlarmResponse): Fields =>
  compact({
    header: header(response.header),
    alarms: response.alarms.map(({ memberID, alarm }) => compact({ memberID, alarm })),
  });

const line = (value: GoJson): string => `${goJson(value)}\n`;

export const jsonViews: Views = {
  get: ({ response }) => line(range(response)),
  put: ({ response }) => line(put(response)),
  del: ({ response }) => line(deleted(response)),
  txn: ({ response }) => line(txn(response)),
  watch: ({ response }) => line(watch(response)),
  "lease-grant": ({ response }) =>
    line({ ...header(response.header), ID: response.ID, TTL: response.TTL, Error: response.error }),
  "lease-revoke": ({ response }) => line(compact({ header: header(response.header) })),
  "lease-keep-alive": ({ response }) => line({ ...header(response.header), ID: response.ID, TTL: response.TTL }),
  "lease-time-to-live": ({ response }) =>
    line({
      ...header(response.header),
      id: response.ID,
      ttl: response.TTL,
      "granted-ttl": response.grantedTTL,
      keys: response.keys.length === 0 ? null : response.keys,
    }),
  "lease-list": ({ response }) =>
    line({ ...header(response.header), leases: response.leases.map(({ ID }) => ({ id: ID })) }),
  "member-list": ({ response }, isHex) => line(isHex ? membersInHex(response) : members(response)),
  "member-add": ({ response }) =>
    line(
      compact({
        header: header(response.header),
        member: response.member === undefined ? undefined : member(response.member),
        members: response.members.map(member),
      }),
    ),
  "member-change": ({ response }) => line(members(response)),
  "endpoint-status": ({ list }) =>
    line(list.map((entry) => ({ Endpoint: entry.endpoint, Status: status(entry.status) }))),
  "endpoint-health": ({ list }) =>
    line(
      list.map(({ endpoint, isHealthy, tookNanoseconds, error }) => ({
        endpoint,
        health: isHealthy,
        took: goDuration(tookNanoseconds),
        ...(error === "" ? {} : { error }),
      })),
    ),
  "endpoint-hash": ({ list }) =>
    line(
      list.map(({ endpoint, hash }) => ({
        Endpoint: endpoint,
        HashKV: compact({
          header: header(hash.header),
          hash: hash.hash,
          compact_revision: hash.compactRevision,
        }),
      })),
    ),
  alarm: ({ response }) => line(alarms(response)),
  "auth-status": ({ response }) =>
    line(
      compact({
        header: header(response.header),
        enabled: response.enabled,
        authRevision: response.authRevision,
      }),
    ),
  "user-get": ({ response }) => line(compact({ header: header(response.header), roles: response.roles })),
  "user-list": ({ response }) => line(compact({ header: header(response.header), users: response.users })),
  "role-get": ({ response }) =>
    line(
      compact({
        header: header(response.header),
        perm: response.perm.map(({ permType, key, rangeEnd }) => compact({ permType, key, range_end: rangeEnd })),
      }),
    ),
  "role-list": ({ response }) => line(compact({ header: header(response.header), roles: response.roles })),
  done: ({ response }) => line(compact({ header: header(response.header) })),
};
