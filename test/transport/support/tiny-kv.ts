// Just enough of an etcd for its clients to talk to: keys in a map, watches of single keys, leases that never expire.
// Only for tests of how calls travel; the real services have tests of their own.
import {
  KVDefinition,
  LeaseDefinition,
  type LeaseKeepAliveRequest,
  WatchDefinition,
  type WatchRequest,
  type WatchResponse,
} from "../../../proto/gen/etcdserverpb/rpc.ts";
import { Event_EventType, type KeyValue } from "../../../proto/gen/mvccpb/kv.ts";
import type { GrpcServer } from "../../../server/transport/grpc-server.ts";

type Notify = (kv: KeyValue) => void;

export function addTinyKv(server: GrpcServer): void {
  const keys = new Map<string, KeyValue>();
  const watchers = new Set<Notify>();
  let revision = 1n;
  const header = () => ({ clusterId: 1n, memberId: 1n, revision, raftTerm: 1n });
  const { put, range } = KVDefinition.methods;
  server.add(
    { ...KVDefinition, methods: { put, range } },
    {
      async put({ key, value, lease }) {
        revision += 1n;
        const name = Buffer.from(key).toString("latin1");
        const before = keys.get(name);
        const kv: KeyValue = {
          key,
          value,
          lease,
          createRevision: before?.createRevision ?? revision,
          modRevision: revision,
          version: (before?.version ?? 0n) + 1n,
        };
        keys.set(name, kv);
        for (const notify of watchers) notify(kv);
        return { header: header() };
      },
      async range({ key }) {
        const kv = keys.get(Buffer.from(key).toString("latin1"));
        return { header: header(), kvs: kv === undefined ? [] : [kv], count: kv === undefined ? 0n : 1n };
      },
    },
  );
  server.add(WatchDefinition, {
    async *watch(requests: AsyncIterable<WatchRequest>, { signal }) {
      const queue: Partial<WatchResponse>[] = [];
      let wake = (): void => undefined;
      const say = (response: Partial<WatchResponse>): void => {
        queue.push({ header: header(), ...response });
        wake();
      };
      const mine: Notify[] = [];
      let isEnded = false;
      const reading = (async () => {
        for await (const { requestUnion } of requests) {
          if (requestUnion?.$case === "cancelRequest") say({ watchId: requestUnion.value.watchId, canceled: true });
          if (requestUnion?.$case !== "createRequest") continue;
          const watchId = BigInt(mine.length);
          const wanted = Buffer.from(requestUnion.value.key);
          const notify: Notify = (kv) => {
            if (wanted.equals(kv.key)) say({ watchId, events: [{ type: Event_EventType.PUT, kv, prevKv: undefined }] });
          };
          mine.push(notify);
          watchers.add(notify);
          say({ watchId, created: true });
        }
      })().finally(() => {
        isEnded = true;
        wake();
      });
      reading.catch(() => undefined);
      signal.addEventListener("abort", () => wake());
      try {
        while (!signal.aborted) {
          const next = queue.shift();
          if (next !== undefined) yield next;
          else if (isEnded) return;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        for (const notify of mine) watchers.delete(notify);
      }
    },
  });
  const { leaseGrant, leaseKeepAlive } = LeaseDefinition.methods;
  server.add(
    { ...LeaseDefinition, methods: { leaseGrant, leaseKeepAlive } },
    {
      async leaseGrant({ ID, TTL }) {
        return { header: header(), ID: ID === 0n ? 77n : ID, TTL };
      },
      async *leaseKeepAlive(requests: AsyncIterable<LeaseKeepAliveRequest>) {
        for await (const { ID } of requests) yield { header: header(), ID, TTL: 10n };
      },
    },
  );
}
