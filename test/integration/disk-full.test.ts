// A disk that runs full refuses writes by name, and nothing else: the member lives, answers reads, keeps what it
// acknowledged, and goes on when there is room.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Cluster, type ClusterMember, pause } from "./cluster/cluster.ts";
import { DataVolume } from "./cluster/data-volume.ts";

const sizeBytes = 192 * 1024 * 1024;
const writesMax = 20_000;
const value = Buffer.alloc(16 * 1024, 7);

function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "quorate-mount-"));
  const volume = DataVolume.mountSmall(join(folder, "small"), 1024 * 1024);
  volume?.dispose();
  rmSync(folder, { recursive: true, force: true });
  return volume !== undefined;
}

async function put(member: ClusterMember, number: number): Promise<string | undefined> {
  const answer = await member.wire.call("KV/Put", { key: Buffer.from(`full/${number}`), value });
  return "response" in answer ? undefined : answer.status.message;
}

async function countOf(member: ClusterMember): Promise<number> {
  const request = { key: Buffer.from("full/"), rangeEnd: Buffer.from("full0"), countOnly: true };
  const answer = await member.wire.call("KV/Range", request);
  assert("response" in answer, "status" in answer ? answer.status.message : "");
  return Number((answer.response as { readonly count: bigint }).count);
}

/** Writes until one is refused; how many were acknowledged, and why the next was not. */
async function writeUntilRefused(member: ClusterMember, from: number): Promise<{ acknowledged: number; why: string }> {
  for (let number = from; number < writesMax; number++) {
    const why = await put(member, number);
    if (why !== undefined) return { acknowledged: number, why };
  }
  throw new Error(`${writesMax} writes fitted on the disk`);
}

if (canMount()) {
  test("a full disk refuses writes and nothing else, also after a restart on it", async () => {
    await using cluster = await Cluster.start({ size: 1, smallDisk: { name: "m1", sizeBytes } });
    const [member] = cluster.members as [ClusterMember];
    assert.equal(await put(member, 0), undefined);
    member.volume.fill(16 * 1024);
    const { acknowledged, why } = await writeUntilRefused(member, 1);
    assert.match(why, /database space exceeded/);
    // A flush that finds no room must not be the end either.
    await pause(1000);
    assert.deepEqual(cluster.unexpectedEnds, []);
    assert.equal(await countOf(member), acknowledged);

    await member.process.kill();
    member.process.start();
    assert(await member.process.untilReady(20_000), member.process.logTail);
    assert.equal(await countOf(member), acknowledged);

    member.volume.free();
    for (let tries = 0; (await put(member, acknowledged)) !== undefined; tries++) {
      assert(tries < 100, await put(member, acknowledged));
      await member.wire.call("Maintenance/Alarm", { action: 2, memberID: member.id, alarm: 1 });
      await pause(100);
    }
    assert.equal(await countOf(member), acknowledged + 1);
    assert.deepEqual(cluster.unexpectedEnds, []);
  });
} else console.log("# no file system can be mounted here: what a full disk does is not tested");
