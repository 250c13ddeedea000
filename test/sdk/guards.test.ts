// Members that must not be believed: of another cluster, or with data older than what this client has seen.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import {
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  PutResponse,
  RangeResponse,
} from "../../proto/gen/etcdserverpb/rpc.ts";
import { type Client, connect, GuardError } from "../../sdk/index.ts";
import { eachTarget, rejection, until } from "./harness.ts";
import { ScriptedServer } from "./scripted-server.ts";

eachTarget((world) => {
  test("a member whose data was wiped is refused, by reads and by watches", async () => {
    const client = await world.connect();
    const key = `${world.prefix()}k`;
    for (let index = 0; index < 10; index++) await client.kv.put(key, String(index));
    await using watch = client.watch(key);
    await watch.ready;
    await world.server.stop();
    rmSync(world.server.dataDir, { recursive: true });
    await world.server.start();
    const watchError = await rejection(watch.next());
    const readError = await rejection(client.kv.get(key));
    for (const error of [watchError, readError]) {
      assert(error instanceof GuardError, String(error));
      assert(["REVISION_REGRESSED", "CLUSTER_MISMATCH"].includes(error.code), error.code);
    }
    // A new client takes the new data for what it is.
    const fresh = await world.connect();
    assert.equal(await fresh.kv.get(key), undefined);
  });
});

function answering(server: ScriptedServer): void {
  server.on("/etcdserverpb.KV/Range", (call) =>
    call.answer(RangeResponse.encode(RangeResponse.fromPartial({ header: server.header })).finish()),
  );
  server.on("/etcdserverpb.KV/Put", (call) =>
    call.answer(PutResponse.encode(PutResponse.fromPartial({ header: server.header })).finish()),
  );
  server.on("/etcdserverpb.Lease/LeaseGrant", (call) =>
    call.answer(
      LeaseGrantResponse.encode(LeaseGrantResponse.fromPartial({ header: server.header, ID: 5n, TTL: 60n })).finish(),
    ),
  );
}

async function withServers(
  body: (
    first: ScriptedServer,
    second: ScriptedServer,
    connectTo: (...servers: ScriptedServer[]) => Promise<Client>,
  ) => Promise<void>,
): Promise<void> {
  await using first = await ScriptedServer.start();
  await using second = await ScriptedServer.start();
  for (const server of [first, second]) answering(server);
  const clients: Client[] = [];
  try {
    await body(first, second, async (...servers) => {
      const client = await connect({
        endpoints: servers.map((server) => server.endpoint),
        balance: "ordered",
        connectTimeout: "10s",
      });
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) await client.close({ release: false });
  }
}

test("a member of another cluster is not used, while there is one of ours and when there is none", () =>
  withServers(async (ours, foreign, connectTo) => {
    foreign.clusterId = 8n;
    const client = await connectTo(ours, foreign);
    ours.on("/etcdserverpb.KV/Range", (call) => call.end(14, "etcdserver: no leader"));
    await rejection(client.kv.get("a"));
    assert.equal(foreign.calls.filter((path) => path.includes("KV")).length, 0);
    answering(ours);
    assert.equal(await client.kv.get("a"), undefined);
    // The address of ours now leads to the other cluster: a read is refused, nothing else is left.
    ours.clusterId = 8n;
    const error = await rejection(client.kv.get("a"));
    assert(error instanceof GuardError);
    assert.deepEqual([error.code, error.outcome, error.retryable], ["CLUSTER_MISMATCH", "notApplied", false]);
    await until("the client gives up", () => client.status === "lost");
    assert((await rejection(client.kv.put("a", "1"))) instanceof GuardError);
  }));

test("an answer that is older than what was seen is asked elsewhere; a write is told to have gone wrong", () =>
  withServers(async (stale, current, connectTo) => {
    current.revision = 500n;
    stale.revision = 500n;
    const client = await connectTo(stale, current);
    assert.equal(await client.kv.get("a"), undefined);
    stale.revision = 400n;
    assert.equal(await client.kv.get("a"), undefined);
    assert.equal(current.calls.filter((path) => path.endsWith("Range")).length, 1);
    assert.equal(client.revision, 500n);
    current.revision = 300n;
    const error = await rejection(client.kv.put("a", "1"));
    assert(error instanceof GuardError);
    assert.deepEqual([error.code, error.outcome], ["REVISION_REGRESSED", "applied"]);
  }));

test("a serializable read never goes back behind what was seen: it is asked again properly", () =>
  withServers(async (server, _, connectTo) => {
    const client = await connectTo(server);
    await client.kv.put("a", "1");
    const requests: boolean[] = [];
    server.on("/etcdserverpb.KV/Range", (call, message) => {
      const isSerializable = Buffer.from(message).includes(Buffer.from([0x38, 1]));
      requests.push(isSerializable);
      const header = { ...server.header, revision: isSerializable ? 50n : 100n };
      call.answer(RangeResponse.encode(RangeResponse.fromPartial({ header })).finish());
    });
    await client.kv.get("a", { serializable: true });
    assert.deepEqual(requests, [true, false]);
  }));

test("a lease is lost for good when a keepalive is answered by another cluster", () =>
  withServers(async (server, _, connectTo) => {
    const client = await connectTo(server);
    server.on("/etcdserverpb.Lease/LeaseKeepAlive", (call) => {
      const header = { ...server.header, clusterId: 9n };
      call.send(LeaseKeepAliveResponse.encode({ header, ID: 5n, TTL: 60n }).finish());
    });
    server.on("/etcdserverpb.Lease/LeaseGrant", (call) =>
      call.answer(
        LeaseGrantResponse.encode(LeaseGrantResponse.fromPartial({ header: server.header, ID: 5n, TTL: 12n })).finish(),
      ),
    );
    const lease = await client.lease.open({ ttl: "12s" });
    await until("it is lost", () => lease.state === "lost");
    assert.equal(lease.lost?.reason, "guard");
    assert(lease.lost?.cause instanceof GuardError);
    assert(lease.signal.aborted);
  }));
