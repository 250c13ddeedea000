// SIGTERM to a real member: what is under way finishes, streams end with GOAWAY and UNAVAILABLE, and the SDK's watches
// go on elsewhere, or after a restart, without an event missing or seen twice.
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { credentials, Client as GrpcClient, status } from "@grpc/grpc-js";
import { PutRequest, PutResponse, WatchCreateRequest, WatchRequest } from "../../proto/gen/etcdserverpb/rpc.ts";
import { type Client, connect, type Watch } from "../../sdk/index.ts";
import { pause, until } from "../sdk/harness.ts";
import type { ServerUnderTest } from "../support/server-under-test.ts";
import { startCluster, startMember } from "./support/member.ts";
import { grpcMessage } from "./support/wire.ts";

/** A member that is slow to answer is not left for another one. */
const patience = { connectTimeout: "30s", liveness: { probeAfter: "15s", deadAfter: "30s" } } as const;

/** A client that repeats nothing and has one connection. */
function bareClient(endpoint: string): { put(key: string): Promise<PutResponse>; close(): void } {
  const client = new GrpcClient(endpoint.replace("http://", ""), credentials.createInsecure(), {
    "grpc.enable_retries": 0,
    "grpc.use_local_subchannel_pool": 1,
  });
  return {
    put: (key) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          "/etcdserverpb.KV/Put",
          (request: PutRequest) => Buffer.from(PutRequest.encode(request).finish()),
          (bytes) => PutResponse.decode(bytes),
          PutRequest.create({ key: Buffer.from(key), value: Buffer.alloc(1000, "v") }),
          (error, response) => (error === null ? resolve(response!) : reject(error)),
        );
      }),
    close: () => client.close(),
  };
}

/**
 * Puts `count` keys over several connections, and asks the member to end when the first is answered. Returns how many
 * were done; the others, if there may be any, were told that the leader changed.
 */
async function putWhileStopping(member: ServerUnderTest, count: number, handsOver = false): Promise<number> {
  const clients = Array.from({ length: 4 }, () => bareClient(member.endpoint));
  await Promise.all(clients.map((client, index) => client.put(`connected ${index}`)));
  const puts = Array.from({ length: count }, (_, index) => clients[index % clients.length]!.put(`k${index}`));
  const stopped = Promise.race(puts).then(() => member.kill("SIGTERM"));
  const results = await Promise.allSettled(puts);
  await stopped;
  for (const client of clients) client.close();
  const faults = results.flatMap((result) => (result.status === "rejected" ? [String(result.reason)] : []));
  // A leader that hands over cannot say of what is on its way to the next one; etcd's does not, either.
  const unexpected = faults.filter((fault) => !handsOver || !fault.endsWith("UNAVAILABLE: etcdserver: leader changed"));
  assert.deepEqual([...new Set(unexpected)], [], `${unexpected.length} of ${count} puts under way did not finish`);
  return count - faults.length;
}

/** Every put that was acknowledged is there. */
async function assertHas(endpoint: string, acknowledged: number): Promise<void> {
  await using client = await connect({ endpoints: endpoint });
  const found = await client.kv.count({ prefix: "k" });
  assert(found >= acknowledged, `${found} of ${acknowledged}`);
}

test("drain: unary calls under way finish, on a member that is alone", async () => {
  await using member = await startMember();
  assert.equal(await putWhileStopping(member, 300), 300);
  await member.start();
  await assertHas(member.endpoint, 300);
});

test("drain: unary calls under way finish on a leader, which hands over, and on a follower", async (t) => {
  // Another election under way would leave puts without an answer that this test does not mean.
  const args = ["--heartbeat-interval", "300", "--election-timeout", "3000"];
  const members = await startCluster(t, { size: 3, args: () => args });
  for (const role of ["leader", "follower"] as const) {
    const member = await memberThatIs(role, members);
    const acknowledged = await putWhileStopping(member, 300, role === "leader");
    t.diagnostic(`${role}: ${acknowledged} of 300 were done`);
    await member.start();
    await assertHas(member.endpoint, acknowledged);
    await using client = await connect({ endpoints: member.endpoint });
    await client.kv.delete({ prefix: "k" });
  }
});

async function memberThatIs(
  role: "leader" | "follower",
  members: readonly ServerUnderTest[],
): Promise<ServerUnderTest> {
  for (;;) {
    for (const member of members) {
      await using client = await connect({ endpoints: member.endpoint });
      const { leaderId, header } = await client.maintenance.status();
      if (leaderId !== 0n && (leaderId === header.memberId) === (role === "leader")) return member;
    }
  }
}

test("drain: a watch ends with UNAVAILABLE, its connection with GOAWAY", async () => {
  await using member = await startMember();
  const session = connectHttp2(member.endpoint);
  const goaways: number[] = [];
  session.on("goaway", (code) => goaways.push(code));
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": "/etcdserverpb.Watch/Watch",
    "content-type": "application/grpc",
    te: "trailers",
  });
  let trailers: { readonly [name: string]: unknown } = {};
  stream.on("trailers", (received) => {
    trailers = received;
  });
  const created = new Promise((resolve) => stream.once("data", resolve));
  const closed = new Promise((resolve) => session.once("close", resolve));
  const requestUnion = { $case: "createRequest", value: WatchCreateRequest.create({ key: Buffer.from("k") }) } as const;
  stream.write(grpcMessage(Buffer.from(WatchRequest.encode({ requestUnion }).finish())));
  await created;
  await member.kill("SIGTERM");
  await closed;
  assert.equal(Number(trailers["grpc-status"]), status.UNAVAILABLE, JSON.stringify(trailers));
  assert(goaways.length > 0);
  assert(goaways.every((code) => code === 0));
});

/** What a watch saw: revisions by key, in the order that they came. */
class Seen {
  readonly revisions = new Map<string, bigint>();
  #last = 0n;

  async follow(watch: Watch): Promise<void> {
    for await (const { kind, events } of watch) {
      assert.equal(kind, "delta");
      for (const { key, modRevision } of events) {
        assert(modRevision > this.#last, `${modRevision} after ${this.#last}: twice, or out of order`);
        this.#last = modRevision;
        this.revisions.set(key, modRevision);
      }
    }
  }
}

/** Puts keys that were never there, one after the other, whatever happens to the members; stops when told to. */
async function write(client: Client, mayStop: () => boolean): Promise<ReadonlyMap<string, bigint>> {
  const acknowledged = new Map<string, bigint>();
  for (let index = 0; !mayStop(); index++) {
    const key = `w/${index}`;
    await client.kv.put(key, "v").then(
      ({ header }) => acknowledged.set(key, header.revision),
      // Whether it was written is not known here; the watch must agree with the store.
      () => pause(10),
    );
  }
  return acknowledged;
}

/** The watch has seen every put that there is, and those that were acknowledged under the revision they were told. */
async function assertSawAll(client: Client, seen: Seen, acknowledged: ReadonlyMap<string, bigint>): Promise<void> {
  const stored = await client.kv.keys({ prefix: "w/" });
  await until("the watch has caught up", () => seen.revisions.size >= stored.length);
  assert.deepEqual(
    new Map([...seen.revisions].sort()),
    new Map(stored.map(({ key, modRevision }) => [key, modRevision] as const).sort()),
  );
  for (const [key, revision] of acknowledged) assert.equal(seen.revisions.get(key), revision, key);
  assert(acknowledged.size > 0);
}

test("drain: members restart one after the other, watches go on elsewhere and miss nothing", async (t) => {
  const members = await startCluster(t, { size: 3 });
  const endpoints = members.map(({ endpoint }) => endpoint);
  await using writer = await connect({ endpoints, balance: "rotate" });
  // Each watch is at another member.
  const clients = await Promise.all(
    endpoints.map(async (own, index) => {
      const client = await connect({ ...patience, endpoints: own, balance: "ordered" });
      client.setEndpoints([...endpoints.slice(index), ...endpoints.slice(0, index)]);
      return client;
    }),
  );
  const watches = clients.map((client) => client.watch({ prefix: "w/" }));
  const seen = watches.map(() => new Seen());
  const following = watches.map((watch, index) => seen[index]!.follow(watch));
  await Promise.all(watches.map((watch) => watch.ready));
  assert.deepEqual(
    clients.map((client) => client.inspect().watchEndpoint),
    endpoints,
  );
  let isOver = false;
  const writing = write(writer, () => isOver);
  for (const [index, member] of members.entries()) {
    const before = seen[index]!.revisions.size;
    await until("events come", () => seen[index]!.revisions.size > before + 5);
    await member.stop();
    const after = seen[index]!.revisions.size;
    await until("events come from elsewhere", () => seen[index]!.revisions.size > after + 5);
    assert.notEqual(clients[index]!.inspect().watchEndpoint, member.endpoint);
    await member.start();
  }
  isOver = true;
  const acknowledged = await writing;
  t.diagnostic(`${acknowledged.size} puts acknowledged`);
  for (const record of seen) await assertSawAll(writer, record, acknowledged);
  await Promise.all(clients.map((client) => client.close()));
  await Promise.allSettled(following);
});

test("drain: a member that is alone restarts, and its watches go on where they were", async (t) => {
  await using member = await startMember();
  await using writer = await connect({ endpoints: member.endpoint });
  await using client = await connect({ endpoints: member.endpoint });
  const watch = client.watch({ prefix: "w/" });
  const seen = new Seen();
  const following = seen.follow(watch);
  await watch.ready;
  let isOver = false;
  const writing = write(writer, () => isOver);
  for (let round = 0; round < 3; round++) {
    const before = seen.revisions.size;
    await until("events come", () => seen.revisions.size > before + 5);
    await member.restart();
  }
  const before = seen.revisions.size;
  await until("events come again", () => seen.revisions.size > before + 5);
  isOver = true;
  const acknowledged = await writing;
  t.diagnostic(`${acknowledged.size} puts acknowledged`);
  await assertSawAll(writer, seen, acknowledged);
  await watch.close();
  await following;
});
