// Several members: the leader dies, members freeze and come back, and the client goes on without a wrong answer.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Client, ClientError, connect } from "../../sdk/index.ts";
import { type ServerUnderTest, targets } from "../support/server-under-test.ts";
import { pause, until } from "./harness.ts";

const args = ["--heartbeat-interval", "20", "--election-timeout", "200"];

for (const target of targets().filter(({ canCluster }) => canCluster)) {
  describe(`three members of ${target.name}`, () => {
    let servers: readonly ServerUnderTest[] = [];
    const clients: Client[] = [];
    const client = async (options: Partial<Parameters<typeof connect>[0] & object> = {}): Promise<Client> => {
      const made = await connect({
        endpoints: servers.map((server) => server.endpoint),
        electionTimeout: "200ms",
        connectTimeout: "20s",
        ...options,
      });
      clients.push(made);
      return made;
    };
    before(async () => {
      servers = await target.startCluster(3, { args });
    });
    after(async () => {
      await Promise.all(clients.map((made) => made.close({ release: false })));
      await Promise.all(servers.map((server) => server.dispose()));
    });

    /** The member that leads now. */
    async function leader(): Promise<ServerUnderTest> {
      for (;;) {
        for (const server of servers) {
          try {
            await using single = await connect({ endpoints: server.endpoint, connectTimeout: "300ms" });
            const { leaderId, header } = await single.maintenance.status({ deadline: "1s" });
            if (leaderId === header.memberId) return server;
          } catch {
            // A member that is down is not the leader.
          }
        }
        await pause(50);
      }
    }

    test("the leader dies under writes, a watch and a lease; nothing acknowledged is lost or doubled", async () => {
      const writer = await client();
      const watcher = await client();
      const lease = await writer.lease.open({ ttl: "10s" });
      await writer.kv.put("held", "x", { leaseId: lease.id });
      await using watch = watcher.watch({ prefix: "w/" });
      await watch.ready;
      const events: [string, bigint][] = [];
      const following = (async () => {
        for await (const batch of watch) {
          for (const event of batch.events) events.push([event.key, event.modRevision]);
        }
      })();
      const outcomes = new Map<string, string>();
      let isOver = false;
      const writing = Promise.all(
        Array.from({ length: 4 }, async (_, worker) => {
          for (let index = 0; !isOver; index++) {
            const key = `w/${worker}/${index}`;
            try {
              await writer.kv.put(key, "x", { deadline: "5s" });
              outcomes.set(key, "applied");
            } catch (error) {
              assert(error instanceof ClientError, String(error));
              outcomes.set(key, error.outcome);
            }
            await pause(5);
          }
        }),
      );
      await pause(300);
      const first = await leader();
      await first.kill();
      await pause(1500);
      await first.start();
      const second = await leader();
      second.pause();
      await pause(1500);
      second.resume();
      await pause(500);
      isOver = true;
      await writing;
      const { items } = await writer.kv.list({ prefix: "w/" });
      const versions = new Map(items.map((item) => [item.key, item.version]));
      const counts: { [outcome: string]: number } = {};
      for (const [key, outcome] of outcomes) {
        counts[outcome] = (counts[outcome] ?? 0) + 1;
        const version = versions.get(key) ?? 0n;
        assert(version <= 1n, `${key} was written ${version} times`);
        if (outcome === "applied") assert.equal(version, 1n, `${key} was acknowledged`);
        if (outcome === "notApplied") assert.equal(version, 0n, `${key} was said not to be applied`);
      }
      console.log(`# outcomes ${JSON.stringify(counts)}`);
      const newest = items.reduce((max, item) => (item.modRevision > max ? item.modRevision : max), 0n);
      await until("the watch has come to the end", () => watch.revision >= newest);
      await watch.close();
      await following;
      assert.deepEqual(
        events,
        items.map((item) => [item.key, item.modRevision] as [string, bigint]).sort((a, b) => Number(a[1] - b[1])),
      );
      assert.deepEqual([lease.state, lease.lost], ["held", undefined]);
      assert.equal((await watcher.kv.get("held"))?.leaseId, lease.id);
    });

    test("reads that go from member to member never go back", async () => {
      const rotating = await client({ balance: "rotate" });
      const writer = await client();
      let isOver = false;
      const writing = (async () => {
        for (let value = 1; !isOver; value++) await writer.kv.put("monotone", String(value));
      })();
      let last = 0;
      for (let round = 0; round < 300; round++) {
        const value = Number((await rotating.kv.get("monotone", { serializable: round % 2 === 0 }))?.value ?? 0);
        assert(value >= last, `${value} after ${last}`);
        last = value;
      }
      isOver = true;
      await writing;
      assert(last > 0);
    });

    test("the endpoints can be learned from the cluster", async () => {
      const single = await client({ endpoints: servers[0]!.endpoint });
      const urls = await single.refreshEndpoints();
      assert.deepEqual([...urls].sort(), servers.map((server) => server.endpoint).sort());
      assert.equal((await single.cluster.list()).members.length, 3);
    });
  });
}
