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

    /** Repeats what an election in between, which may come at any time, makes fail. */
    async function persistently<T>(call: () => Promise<T>): Promise<T> {
      const endMs = performance.now() + 60_000;
      for (;;) {
        try {
          return await call();
        } catch (error) {
          if (!(error instanceof ClientError) || performance.now() > endMs) throw error;
          await pause(50);
        }
      }
    }

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
      const lease = await persistently(() => writer.lease.open({ ttl: "20s" }));
      await persistently(() => writer.kv.put("held", "x", { leaseId: lease.id }));
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
      try {
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
      } finally {
        isOver = true;
        await writing;
      }
      const { items } = await persistently(() => writer.kv.list({ prefix: "w/" }));
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
        // A write of unknown outcome may still have landed after the list.
        events.filter(([, revision]) => revision <= newest),
        items.map((item) => [item.key, item.modRevision] as [string, bigint]).sort((a, b) => Number(a[1] - b[1])),
      );
      await until("no keepalive is overdue", () => lease.state === "held" || lease.lost !== undefined);
      assert.equal(lease.lost, undefined);
      assert.equal((await persistently(() => watcher.kv.get("held")))?.leaseId, lease.id);
    });

    test("reads that go from member to member never go back", async () => {
      const rotating = await client({ balance: "rotate" });
      const writer = await client();
      const { revision: first } = await persistently(() => writer.kv.put("monotone", "0"));
      let isOver = false;
      const writing = (async () => {
        for (let value = 1; !isOver; value++) await persistently(() => writer.kv.put("monotone", String(value)));
      })();
      // Revisions rather than values: a write of unknown outcome may land after a later one.
      let last = 0n;
      try {
        for (let round = 0; round < 300; round++) {
          const serializable = round % 2 === 0;
          const stored = await persistently(() => rotating.kv.get("monotone", { serializable }));
          const revision = stored?.modRevision ?? 0n;
          assert(revision >= last, `${revision} after ${last}`);
          last = revision;
        }
      } finally {
        isOver = true;
        await writing;
      }
      assert(last >= first);
    });

    test("the endpoints can be learned from the cluster", async () => {
      const single = await client({ endpoints: servers[0]!.endpoint });
      const urls = await persistently(() => single.refreshEndpoints());
      assert.deepEqual([...urls].sort(), servers.map((server) => server.endpoint).sort());
      assert.equal((await persistently(() => single.cluster.list())).members.length, 3);
    });
  });
}
