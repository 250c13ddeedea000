// The members and their care. What a server does not offer yet is told, not tested.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { ClientError } from "../../sdk/index.ts";
import { eachTarget } from "./harness.ts";

/** Runs `body`; where the server says UNIMPLEMENTED, that is reported and enough. */
async function offered(t: TestContext, what: string, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "UNIMPLEMENTED") throw error;
    t.diagnostic(`${what} is not offered yet: ${error.message}`);
  }
}

eachTarget((world) => {
  test("status and members", async () => {
    const client = await world.connect();
    await client.kv.put("a", "1");
    const status = await client.maintenance.status();
    assert.match(status.version, /^3\.\d+\.\d+/);
    assert.equal(status.leaderId, status.header.memberId);
    assert(status.dbSizeBytes >= 0 && status.raftTerm > 0n && status.raftAppliedIndex > 0n && !status.isLearner);
    const { members, header } = await client.cluster.list();
    assert.deepEqual(
      members.map((member) => [member.id, member.name, member.clientUrls, member.isLearner]),
      [[header.memberId, "default", [world.server.endpoint], false]],
    );
    assert.deepEqual((await client.cluster.list({ serializable: true })).members, members);
    assert.equal(client.clusterId, header.clusterId);
  });

  test("hashes, alarms, defragmentation", async (t) => {
    const client = await world.connect();
    await offered(t, "HashKV", async () => {
      const before = await client.maintenance.hashKv();
      const { revision } = await client.kv.put("a", "2");
      assert.notEqual((await client.maintenance.hashKv()).hash, before.hash);
      assert.equal((await client.maintenance.hashKv({ revision: revision - 1n })).hash, before.hash);
    });
    await offered(t, "Alarm", async () => {
      const memberId = (await client.cluster.list()).members[0]!.id;
      assert.deepEqual((await client.maintenance.alarms()).alarms, []);
      await client.maintenance.raiseAlarm({ memberId, alarm: "NOSPACE" });
      assert.deepEqual((await client.maintenance.alarms()).alarms, [{ memberId, alarm: "NOSPACE" }]);
      await assert.rejects(
        client.kv.put("a", "3"),
        (error) => error instanceof ClientError && error.code === "NO_SPACE",
      );
      await client.maintenance.disarm({ memberId, alarm: "NOSPACE" });
      await client.kv.put("a", "3");
    });
    await offered(t, "Defragment", () => client.maintenance.defragment());
  });

  test("a snapshot arrives whole, at the reader's pace", async (t) => {
    const client = await world.connect();
    const value = "x".repeat(100_000);
    for (let index = 0; index < 60; index++) await client.kv.put(`big/${index}`, value);
    await offered(t, "Snapshot", async () => {
      const chunks: Uint8Array[] = [];
      for await (const { blob, remainingBytes } of client.maintenance.snapshot()) {
        chunks.push(blob);
        if (chunks.length % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        assert(remainingBytes >= 0);
      }
      const all = Buffer.concat(chunks);
      assert(all.length > 60 * value.length);
      const digest = createHash("sha256").update(all.subarray(0, -32)).digest();
      assert.deepEqual(all.subarray(-32), digest);
    });
  });
});
