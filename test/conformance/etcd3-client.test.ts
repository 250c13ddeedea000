// npm's etcd3, an etcd client for Node that knows nothing of us, does what its users do with it: keys, txns, leases, watches,
// locks, elections. On our member, and on a real etcd where one is found, so that a failure tells whose it is.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Etcd3, EtcdLeaseInvalidError, EtcdLockFailedError, Range } from "etcd3";
import { findEtcd, findMember, type Program, startServer } from "./server-process.ts";

type Check = (client: Etcd3, endpoint: string) => Promise<void>;

const checks: { readonly [name: string]: Check } = {
  "keys and ranges": async (client) => {
    await client.put("name").value("one");
    assert.equal(await client.get("name"), "one");
    assert.equal(await client.get("name").number(), Number.NaN);
    assert.equal(await client.get("missing"), null);
    assert.equal(await client.get("missing").exists(), false);
    for (const [key, value] of [
      ["p/b", "2"],
      ["p/a", "1"],
      ["p/c", "3"],
    ] as const)
      await client.put(key).value(value);
    assert.deepEqual(await client.getAll().prefix("p/").numbers(), { "p/a": 1, "p/b": 2, "p/c": 3 });
    assert.deepEqual(await client.getAll().prefix("p/").sort("Value", "Descend").limit(2).keys(), ["p/c", "p/b"]);
    assert.equal(await client.getAll().prefix("p/").count(), 3);
    const { header, more } = await client.getAll().prefix("p/").limit(1).exec();
    assert.equal(more, true);
    const previous = await client.put("name").value("two").getPrevious();
    assert.equal(previous.value.toString(), "one");
    assert.equal(await client.get("name").revision(Number(header.revision)), "one");
    const deleted = await client
      .delete()
      .range(new Range(Buffer.from("p/a"), Buffer.from("p/c")))
      .getPrevious();
    assert.deepEqual(
      deleted.map((kv) => kv.key.toString()),
      ["p/a", "p/b"],
    );
    const binary = Buffer.from([0, 255, 128, 10]);
    await client.put(binary).value(binary);
    assert.deepEqual(await client.get(binary).buffer(), binary);
    await assert.rejects(async () => client.put("").value("x"), /key is not provided/);
  },

  txns: async (client) => {
    await client.put("balance").value("10");
    const spend = client
      .if("balance", "Value", "==", "10")
      .and("spent", "Create", "==", 0)
      .then(client.put("balance").value("7"), client.put("spent").value("3"))
      .else(client.get("balance"));
    assert.equal((await spend.commit()).succeeded, true);
    const again = await spend.commit();
    assert.equal(again.succeeded, false);
    assert.equal(again.responses[0]?.response_range?.kvs[0]?.value.toString(), "7");
    await assert.rejects(
      async () => client.if("x", "Version", "==", 0).then(client.put("x").value(1), client.put("x").value(2)).commit(),
      /duplicate key given in txn request/,
    );
    await Promise.all(
      Array.from({ length: 5 }, () =>
        client.stm({ retries: 50 }).transact(async (transaction) => {
          const value = await transaction.get("counter").number();
          await transaction.put("counter").value((value ?? 0) + 1);
        }),
      ),
    );
    assert.equal(await client.get("counter").number(), 5);
  },

  leases: async (client) => {
    const lease = client.lease(30, { autoKeepAlive: false });
    const id = await lease.grant();
    await lease.put("leased/a").value("x");
    await lease.put("leased/b").value("y");
    const { kvs } = await client.getAll().prefix("leased/").exec();
    assert.deepEqual(
      kvs.map((kv) => kv.lease),
      [id, id],
    );
    const left = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
    assert.equal(left.grantedTTL, "30");
    assert.deepEqual(left.keys.map(String).sort(), ["leased/a", "leased/b"]);
    assert.equal((await lease.keepaliveOnce()).TTL, "30");
    assert(
      (await client.leaseClient.leaseLeases({})).leases.some((one) => one.ID === id),
      "the lease is listed",
    );
    await lease.revoke();
    assert.equal(await client.getAll().prefix("leased/").count(), 0);
    await assert.rejects(async () => lease.put("leased/c").value("z"), EtcdLeaseInvalidError);

    const kept = client.lease(5);
    await kept.put("kept").value("x");
    await Promise.all([once(kept, "keepaliveSucceeded"), once(kept, "keepaliveFired")]);
    assert.equal(await client.get("kept"), "x");
    const gone = client.watch().key("kept").create();
    const watcher = await gone;
    const deleted = once(watcher, "delete");
    // Without its owner's heartbeats the key must go by itself.
    kept.release();
    await deleted;
    assert.equal(await client.get("kept"), null);
    await watcher.cancel();
  },

  watches: async (client) => {
    const seen: string[] = [];
    const watcher = await client.watch().prefix("w/").withPreviousKV().create();
    watcher.on("put", (kv, previous) => seen.push(`${kv.key}=${kv.value} was ${previous?.value ?? "nothing"}`));
    watcher.on("delete", (kv, previous) => seen.push(`${kv.key} gone, was ${previous?.value}`));
    const other = await client.watch().key("w/a").only("delete").create();
    const onlyDeletes: string[] = [];
    other.on("data", (response) => onlyDeletes.push(...response.events.map((event) => event.type)));
    const lastSeen = new Promise<void>((resolve) => {
      watcher.on("put", (kv) => {
        if (kv.key.toString() === "w/last") resolve();
      });
    });
    const { header } = await client.put("w/a").value("1");
    await client.put("w/a").value("2");
    await client.delete().key("w/a");
    await client.put("w/b").value("3");
    await client.put("w/last").value("");
    await lastSeen;
    assert.deepEqual(seen, [
      "w/a=1 was nothing",
      "w/a=2 was 1",
      "w/a gone, was 2",
      "w/b=3 was nothing",
      "w/last= was nothing",
    ]);
    assert.deepEqual(onlyDeletes, ["Delete"]);
    await watcher.cancel();
    await other.cancel();

    const past = client.watch().prefix("w/").startRevision(header.revision).watcher();
    const [response] = (await once(past, "data")) as [{ readonly events: readonly unknown[] }];
    assert.equal(response.events.length, 5);
    await past.cancel();

    const { header: compacted } = await client.put("w/a").value("9");
    await client.kv.compact({ revision: compacted.revision, physical: true });
    const tooOld = client.watch().prefix("w/").startRevision(header.revision).watcher();
    await assert.rejects(once(tooOld, "put"), /Watcher canceled/);
  },

  locks: async (client, endpoint) => {
    const rival = new Etcd3({ hosts: `http://${endpoint}` });
    try {
      const held = await client.lock("resource").acquire();
      assert.notEqual(await held.leaseId(), null);
      await assert.rejects(rival.lock("resource").acquire(), EtcdLockFailedError);
      await held.release();
      let inside = 0;
      const turns: number[] = [];
      await Promise.all(
        [client, rival].map(async (owner) => {
          for (let turn = 0; turn < 3; ) {
            try {
              await owner.lock("resource").do(async () => {
                inside += 1;
                assert.equal(inside, 1, "two holders at once");
                await new Promise((resolve) => setTimeout(resolve, 20));
                turns.push(turn);
                inside -= 1;
              });
              turn += 1;
            } catch (error) {
              if (!(error instanceof EtcdLockFailedError)) throw error;
              await new Promise((resolve) => setTimeout(resolve, 5));
            }
          }
        }),
      );
      assert.equal(turns.length, 6);
    } finally {
      rival.close();
    }
  },

  elections: async (client, endpoint) => {
    const rival = new Etcd3({ hosts: `http://${endpoint}` });
    try {
      const election = client.election("leader", 30);
      const observer = await rival.election("leader", 30).observe();
      const leaders: (string | undefined)[] = [];
      const third = new Promise<void>((resolve) => {
        observer.on("change", (leader) => {
          leaders.push(leader);
          if (leader === "two") resolve();
        });
      });
      const first = election.campaign("one");
      await first.wait();
      const second = rival.election("leader", 30).campaign("two");
      assert.equal(await election.leader(), "one");
      await first.proclaim("one again");
      assert.equal(await rival.election("leader").leader(), "one again");
      const elected = once(second, "elected");
      await first.resign();
      await elected;
      await third;
      assert.equal(await election.leader(), "two");
      assert.equal(leaders.at(-1), "two");
      await observer.cancel();
      await second.resign();
    } finally {
      rival.close();
    }
  },

  namespaces: async (client) => {
    const inside = client.namespace("ns/");
    await inside.put("k").value("v");
    assert.equal(await client.get("ns/k"), "v");
    const watcher = await inside.watch().key("k").create();
    const put = once(watcher, "put");
    await client.put("ns/k").value("w");
    const [kv] = (await put) as [{ readonly key: Buffer }];
    assert.equal(kv.key.toString(), "k");
    await watcher.cancel();
  },
};

async function runChecks(program: Program): Promise<void> {
  const server = await startServer(program);
  try {
    for (const [name, check] of Object.entries(checks)) {
      const client = new Etcd3({ hosts: `http://${server.endpoint}` });
      try {
        await check(client, server.endpoint);
      } catch (error) {
        throw new Error(`${name}, on ${program.name}`, { cause: error });
      } finally {
        client.close();
      }
    }
  } finally {
    await server.close();
  }
}

test("etcd3 works on a real etcd", async (t) => {
  const etcd = findEtcd();
  if (etcd === undefined) t.diagnostic("left out: no etcd on PATH or in $QUORATE_ETCD_DIR");
  else await runChecks(etcd);
});

test("etcd3 works on our member", async (t) => {
  const member = findMember();
  if (member === undefined) t.diagnostic("left out: this checkout has no server yet (dist/server/server.js)");
  else await runChecks(member);
});
