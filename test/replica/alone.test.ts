// A member without others: what it takes, refuses and answers, and what it does when its disk, its store or its data fail.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TxnRequest } from "../../proto/gen/etcdserverpb/rpc.ts";
import { WireReader } from "../../server/lib/wire-reader.ts";
import { decodeTxn } from "../../server/state/request-codec.ts";
import { StorageError } from "../../server/storage/backend.ts";
import { World, type WorldMember } from "./world.ts";

async function alone(settings: Parameters<typeof World.start>[1] = {}) {
  const world = await World.start(1, settings);
  return { world, member: world.members[0] as WorldMember };
}

test("a command is carried out once and answered once, and watchers hear of it before", async () => {
  const { world, member } = await alone();
  const outcomes = await world.value(Promise.all([member.put("a", "1"), member.put("b", "2"), member.put("a", "3")]));
  assert.deepEqual(
    outcomes.map(({ result }) => result.kind === "put" && result.revision),
    [2, 3, 4],
  );
  assert.equal(await member.read("a"), "3");
  const seen = member.told.filter((line) => line.startsWith("watch")).map((line) => Number(line.split(" ")[1]));
  assert.deepEqual(seen, [2, 3, 4]);
  for (const [index, line] of member.told.entries()) {
    if (!line.startsWith("answer")) continue;
    assert(
      member.told.slice(0, index).some((earlier) => earlier.startsWith("watch")),
      line,
    );
  }
  await world.close();
});

test("a command that is too large is refused, and so is everything once the member stops", async () => {
  const { world, member } = await alone({ requestBytesMax: 1000 });
  const before = member.replica.machine.appliedIndex;
  assert.equal(await world.failure(member.put("a", Buffer.alloc(1000))), "too-large");
  await world.clock.advance(100);
  assert.equal(member.replica.machine.appliedIndex, before);
  const { replica } = member;
  const pending = member.put("b", "x");
  const closing = member.close();
  // It may be in the log already: nobody is told that it was, or was not, done.
  assert.equal(await world.failure(pending), "stopped-waiting");
  await world.value(closing);
  assert.throws(() => replica.readBarrier(), { code: "stopped" });
  await assert.rejects(replica.proposeInternal({ kind: "lease-grant", id: 1n, ttlSeconds: 5 }), { code: "stopped" });
});

test("what was acknowledged survives a crash at any moment, and nothing is applied twice", async () => {
  const { world, member } = await alone();
  const acknowledged = new Map<string, string>();
  let value = 0;
  for (let life = 0; life < 12; life++) {
    for (let i = 0; i < 6; i++) {
      const [key, text] = [`k${i % 4}`, `v${++value}`];
      const outcome = member.put(key, text);
      outcome.then(
        () => acknowledged.set(key, text),
        () => undefined,
      );
      // Sometimes with the answer, sometimes while it is on its way.
      if ((life + i) % 3 !== 0) await world.value(outcome);
    }
    if (life % 4 === 3) await world.clock.advance(6000);
    const { currentRevision } = member.replica.machine.mvcc;
    member.crash();
    await member.open();
    await world.until(() => world.leader === member);
    const { mvcc } = member.replica.machine;
    assert(mvcc.currentRevision >= acknowledged.size && mvcc.currentRevision <= currentRevision + 6);
    for (const [key, text] of acknowledged) {
      const found = Number((await member.read(key))?.slice(1));
      assert(found >= Number(text.slice(1)), `${key} is ${found}, ${text} was acknowledged`);
    }
  }
  assert(member.replica.machine.mvcc.currentRevision <= value + 1);
  await world.close();
});

test("a member that is closed has nothing to replay; one that crashed replays what was not flushed", async () => {
  const { world, member } = await alone();
  await world.value(member.put("a", "1"));
  const { appliedIndex } = member.replica.machine;
  await world.value(member.close());
  const flushed = Buffer.from(member.image.current.get("a") as Uint8Array);
  await member.open();
  assert.equal(member.replica.machine.appliedIndex, appliedIndex);
  await world.until(() => world.leader === member);
  await world.value(member.put("a", "2"));
  member.crash();
  assert(flushed.equals(member.image.current.get("a") as Uint8Array), "what was put since is in the log only");
  await member.open();
  await world.until(() => world.leader === member);
  assert.equal(await member.read("a"), "2");
  await world.close();
});

test("rows go to disk by themselves after some seconds", async () => {
  const { world, member } = await alone();
  await world.value(member.put("a", "1"));
  const isFlushed = (): boolean => member.image.current.get("a") !== undefined;
  await world.clock.advance(3000);
  assert.equal(isFlushed(), false);
  await world.clock.advance(3000);
  assert.equal(isFlushed(), true);
  assert.equal(member.core.backend.memoryBytes, 0);
  await world.close();
});

test("quota: what adds is refused and the alarm is raised once; deletes go on; a cleared alarm lets writes in", async () => {
  const { world, member } = await alone({ quotaBytes: 20_000 });
  const { replica } = member;
  const put = { kind: "put", key: "k", value: Buffer.alloc(0), lease: 0n } as never;
  for (let i = 0; i < 12; i++) await world.value(member.put(`k${i}`, Buffer.alloc(2000)));
  const before = replica.machine.appliedIndex;
  for (let i = 0; i < 50; i++) assert.throws(() => replica.checkQuota(put), { code: "no-space" });
  await world.clock.advance(1000);
  assert.equal(replica.machine.alarms.isRaised("no-space"), true);
  assert.equal(replica.machine.appliedIndex, before + 1, "one alarm for fifty requests");
  // Also one that was on its way past the check.
  const refused = await world.value(member.put("late", "x"));
  assert(refused.result.kind === "refused" && refused.result.error.code === "no-space");
  const { result } = await world.value(member.delete("k1"));
  assert(result.kind === "delete-range" && result.deleted === 1);
  const alarm = { memberId: member.id, type: "no-space" } as const;
  await world.value(replica.proposeInternal({ kind: "alarm", alarm, isRaised: false }));
  assert.equal((await world.value(member.put("k1", "x"))).result.kind, "put");
  await world.close();
});

test("a full store: writes are refused, reads and deletes go on, and it is tried until there is room", async () => {
  const { world, member } = await alone();
  await world.value(member.put("a", "1"));
  await world.value(member.put("b", "1"));
  member.storeFault = "no-space";
  await world.clock.advance(6000);
  assert.equal(await world.failure(member.put("a", "2")), "no-space");
  assert.equal(
    await world.failure(member.replica.proposeInternal({ kind: "lease-grant", id: 1n, ttlSeconds: 9 })),
    "no-space",
  );
  assert.equal(await member.read("a"), "1");
  assert.equal((await world.value(member.delete("b"))).result.kind, "delete-range");
  await world.clock.advance(5000);
  member.storeFault = undefined;
  await world.clock.advance(1100);
  assert.equal((await world.value(member.put("a", "3"))).result.kind, "put");
  assert.deepEqual(member.failures, []);
  // What was taken meanwhile is on disk with the rest.
  await world.clock.advance(6000);
  assert.equal(member.image.current.get("b"), undefined);
  await world.close();
});

test("a full disk below the log: writes are refused while there is still room for what frees some, and come back", async () => {
  const { world, member } = await alone();
  // The next file of the log finds no room.
  member.diskFault = ({ kind, path }) => (kind === "write" && path.endsWith("spare.tmp") ? "ENOSPC" : undefined);
  const taken: string[] = [];
  for (let i = 0; i < 100; i++) {
    const result = await world.settled(member.put(`k${i}`, Buffer.alloc(900_000, i)));
    if (result.status === "rejected") {
      assert.equal(result.reason.code, "no-space");
      break;
    }
    taken.push(`k${i}`);
  }
  // Two files of 16 MiB, but for the reserve.
  assert(taken.length >= 25 && taken.length <= 40, `${taken.length} were taken`);
  for (const key of taken.slice(0, 3))
    assert.equal((await world.value(member.delete(key))).result.kind, "delete-range");
  member.crash();
  await member.open();
  await world.until(() => world.leader === member);
  for (const key of taken.slice(3)) assert.equal((await member.read(key))?.length, 900_000, key);
  assert.equal(await world.failure(member.put("still", Buffer.alloc(900_000))), "no-space");
  member.diskFault = undefined;
  await world.clock.advance(1100);
  assert.equal((await world.value(member.put("after", "x"))).result.kind, "put");
  assert.deepEqual(member.failures, []);
  await world.close();
});

test("an error of the store or of the log ends the member, once, and nothing is acknowledged that is not durable", async () => {
  for (const kind of ["store", "log"] as const) {
    const { world, member } = await alone();
    await world.value(member.put("a", "1"));
    if (kind === "store") member.storeFault = "io";
    else member.diskFault = ({ kind: operation }) => (operation === "write-durably" ? "EIO" : undefined);
    const second = member.put("a", "2");
    second.catch(() => undefined);
    await world.until(() => member.failures.length > 0, 20_000);
    await world.clock.advance(20_000);
    assert.equal(member.failures.length, 1, kind);
    if (kind === "log") assert.equal((await world.settled(second)).status, "rejected");
    else assert(member.failures[0] instanceof StorageError);
    assert.throws(() => member.replica.readBarrier(), { code: "stopped" });
    assert.throws(() => member.replica.localBarrier(), { code: "stopped" });
    assert.equal(await world.failure(member.put("a", "3")), "stopped");
    member.storeFault = undefined;
    member.diskFault = undefined;
    member.crash();
    await member.open();
    await world.until(() => world.leader === member);
    const found = await member.read("a");
    assert(found === "1" || found === "2", found);
    await world.close();
  }
});

test("damage met while applying ends the member: nobody reads half a command, and none of it reaches the disk", async () => {
  const { world, member } = await alone();
  await world.value(member.put("a", "1"));
  await world.value(member.put("z", "1"));
  await world.value(member.close());
  const row = Buffer.from(member.image.current.get("z") as Uint8Array);
  row[20] = (row[20] as number) ^ 1;
  member.image.current.set("z", row);
  await member.open();
  await world.until(() => world.leader === member);
  // The first half of it is done when the second meets the damage.
  const before = Buffer.from(member.image.current.get("a") as Uint8Array);
  const put = (key: string) =>
    ({ $case: "requestPut", value: { key: Buffer.from(key), value: Buffer.from("2") } }) as const;
  const txn = TxnRequest.fromPartial({ success: [{ request: put("a") }, { request: put("z") }] });
  const request = TxnRequest.encode(txn).finish();
  const outcome = member.replica.propose(decodeTxn(new WireReader(request)), request);
  outcome.catch(() => undefined);
  await world.until(() => member.failures.length > 0);
  assert.equal((member.failures[0] as Error).name, "CorruptRecordError");
  assert.throws(() => member.replica.readBarrier(), { code: "stopped" });
  await world.clock.advance(20_000);
  const assertUntouched = (): void =>
    assert(before.equals(member.image.current.get("a") as Uint8Array), "half a command");
  assertUntouched();
  assert.equal(member.failures.length, 1);
  await world.value(member.close());
  assertUntouched();
});

test("leases end by themselves, and those that are renewed do not", async () => {
  const { world, member } = await alone();
  const { replica } = member;
  for (const id of [1n, 2n]) {
    await world.value(replica.proposeInternal({ kind: "lease-grant", id, ttlSeconds: 10 }));
    await world.value(member.put(`k${id}`, "x", id));
  }
  for (let i = 0; i < 8; i++) {
    await world.clock.advance(3000);
    assert.equal(await world.value(replica.leaderCalls.renewLease(1n)), 10);
  }
  assert.equal(await member.read("k1"), "x");
  assert.equal(await member.read("k2"), undefined);
  assert.equal(await world.value(replica.leaderCalls.renewLease(2n)), 0);
  // After a crash nobody knows how old a lease was: it starts anew.
  member.crash();
  await world.clock.advance(60_000);
  await member.open();
  await world.until(() => world.leader === member);
  assert.equal(await member.read("k1"), "x");
  await world.clock.advance(13_000);
  assert.equal(await member.read("k1"), undefined);
  await world.close();
});

test("compaction is swept, and who waits for that hears of it when it is on disk", async () => {
  const { world, member } = await alone();
  for (let i = 0; i < 30; i++) await world.value(member.put("k", `v${i}`));
  const { result } = await world.value(
    member.replica.propose({ kind: "compact", revision: 30, isPhysical: true }, Buffer.from([0x08, 30, 0x10, 1])),
  );
  assert.equal(result.kind, "compact");
  await world.value(member.replica.waitForSweep(30));
  const rows = [...member.image.events.entries()].length;
  assert.equal(rows, 2);
  member.storeFault = "no-space";
  await world.value(member.put("k", "last"));
  const compaction = { kind: "compact", revision: 32, isPhysical: true } as const;
  await world.value(member.replica.propose(compaction, Buffer.from([0x08, 32, 0x10, 1])));
  // It is compacted for everybody who reads, though not on disk: not a refusal.
  assert.equal(await world.failure(member.replica.waitForSweep(32)), "timed-out");
  await world.close();
});
