// Members of one cluster: what goes through the leader, what becomes of it when leaders change, and changes of who belongs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, type WorldMember } from "./world.ts";

async function three(settings: Parameters<typeof World.start>[1] = {}) {
  const world = await World.start(3, settings);
  const leader = world.leader as WorldMember;
  const [first, second] = world.followers as [WorldMember, WorldMember];
  return { world, leader, first, second };
}

test("a write made at a follower is applied once everywhere, and read at any member at once", async () => {
  const { world, leader, first, second } = await three();
  const outcomes = await world.value(
    Promise.all([first.put("a", "1"), second.put("b", "2"), leader.put("c", "3"), first.put("d", "4")]),
  );
  const revisions = outcomes.map(({ result }) => (result.kind === "put" ? result.revision : 0));
  assert.deepEqual([...revisions].sort(), [2, 3, 4, 5]);
  for (const member of world.members) {
    assert.deepEqual(await world.value(Promise.all(["a", "b", "c", "d"].map((key) => member.read(key)))), [..."1234"]);
    assert.equal(member.replica.machine.mvcc.currentRevision, 5);
  }
  await world.close();
});

test("a read at a follower sees what was acknowledged before it, however far the follower was behind", async () => {
  const { world, leader, first, second } = await three();
  for (let i = 0; i < 20; i++) {
    world.cut(first, leader, second);
    await world.value(leader.put("k", `v${i}`));
    const reading = first.read("k");
    assert.notEqual(first.local("k"), `v${i}`);
    world.healAll();
    assert.equal(await world.value(reading), `v${i}`);
  }
  await world.close();
});

test("a leader that is cut off answers no read and acknowledges no write", async () => {
  const { world, leader, first, second } = await three();
  await world.value(leader.put("k", "old"));
  world.cut(leader, first, second);
  const read = leader.read("k");
  const write = leader.put("k", "lost");
  const renewal = leader.replica.leaderCalls.renewLease(1n);
  const results = Promise.allSettled([read, write, renewal]);
  await world.until(() => world.leader !== undefined && world.leader !== leader);
  const next = world.leader as WorldMember;
  await world.value(next.put("k", "new"));
  assert.equal(leader.local("k"), "old");
  await world.clock.advance(15_000);
  for (const result of (await world.value(results)).slice(0, 2)) {
    assert(result.status === "rejected");
    assert(["timed-out", "leader-changed", "no-leader"].includes(result.reason.code), result.reason.code);
  }
  world.healAll();
  assert.equal(await world.value(leader.read("k")), "new");
  await world.close();
});

test("what another leader's entries took the place of is proposed again, and carried out once", async () => {
  const { world, leader, first, second } = await three();
  world.cut(leader, first, second);
  const startMs = world.clock.nowMs();
  const lost = leader.put("lost", "x");
  lost.catch(() => undefined);
  await world.until(() => world.leader !== undefined && world.leader !== leader);
  await world.value((world.leader as WorldMember).put("kept", "x"));
  world.healAll();
  await world.value(lost);
  assert(world.clock.nowMs() - startMs < 7000);
  for (const member of world.members) {
    assert.equal(await world.value(member.read("lost")), "x");
    assert.equal(member.replica.machine.mvcc.current("lost")?.version, 1);
  }
  await world.close();
});

test("what was forwarded to a leader that died with it is proposed again, and carried out once", async () => {
  const { world, leader, first, second } = await three();
  world.cut(leader, second);
  // It reaches the leader, which finds no quorum for it any more.
  const lost = first.put("lost", "x");
  await world.clock.advance(1);
  leader.crash();
  world.healAll();
  await world.value(lost);
  assert.notEqual(world.leader, leader);
  for (const member of [first, second]) {
    assert.equal(await world.value(member.read("lost")), "x");
    assert.equal(member.replica.machine.mvcc.current("lost")?.version, 1);
  }
  await leader.open();
  await world.until(() => leader.isUp && leader.local("lost") === "x");
  await world.close();
});

test("what comes while leadership is handed over waits for the next leader, wherever it came", async () => {
  const { world, leader, first, second } = await three();
  for (let round = 0; round < 6; round++) {
    const from = world.leader as WorldMember;
    const to = from === first ? second : first;
    const puts: Promise<unknown>[] = [];
    const moving = from.replica.leaderTransfer.moveTo(to.id);
    for (let step = 0; step < 12; step++) {
      for (const member of world.members) puts.push(member.put(`k${puts.length}`, `round ${round}`));
      await world.clock.advance(1);
    }
    await world.value(moving);
    await world.value(Promise.all(puts));
    assert.equal(await world.value(leader.read("k7")), `round ${round}`);
  }
  await world.close();
});

test("a transfer that is given up leaves nothing behind that waited for it", async () => {
  const { world, leader, first, second } = await three();
  first.crash();
  const moving = leader.replica.leaderTransfer.moveTo(first.id);
  const put = leader.put("k", "v");
  const forwarded = second.put("l", "v");
  assert.equal(await world.failure(moving), "transfer-timed-out");
  await world.value(Promise.all([put, forwarded]));
  await first.open();
  await world.until(() => first.isUp && first.local("l") === "v");
  await world.close();
});

test("without a leader nothing is proposed, and it is said for certain; reads of one's own state go on", async () => {
  const { world, leader, first, second } = await three();
  await world.value(leader.put("k", "v"));
  await world.value(first.read("k"));
  world.cut(first, leader, second);
  await world.until(() => first.replica.roleState.leader === undefined);
  assert.equal(await world.failure(first.put("k", "never")), "no-leader");
  assert.equal(await world.failure(first.replica.leaderCalls.renewLease(1n)), "no-leader");
  assert.equal(first.replica.localBarrier(), undefined);
  assert.equal(first.local("k"), "v");
  assert.equal(await world.failure(first.read("k")), "timed-out");
  world.healAll();
  await world.clock.advance(5000);
  assert.equal(await world.value(first.read("k")), "v");
  await world.close();
});

test("leases: asked at any member the leader answers; they outlive their leader, and end under the next", async () => {
  const { world, leader, first, second } = await three();
  await world.value(first.replica.proposeInternal({ kind: "lease-grant", id: 5n, ttlSeconds: 10 }));
  await world.value(second.put("k", "v", 5n));
  assert.equal(await world.value(second.replica.leaderCalls.renewLease(5n)), 10);
  assert.deepEqual(await world.value(first.replica.leaderCalls.leaseTimeToLive(5n)), {
    kind: "lease-time",
    grantedTtlSeconds: 10,
    remainingSeconds: 9,
  });
  assert.equal(await world.value(second.replica.leaderCalls.renewLease(6n)), 0);
  const renewedMs = world.clock.nowMs();
  await world.clock.advance(8000);
  leader.crash();
  await world.until(() => world.leader !== undefined);
  await world.until(() => first.local("k") === undefined, 60_000);
  const lifeMs = world.clock.nowMs() - renewedMs;
  assert(lifeMs >= 18_000, `the new leader ended it after ${lifeMs} ms`);
  assert(lifeMs <= 8000 + 11_000 + 2000 + 3000, `it lived for ${lifeMs} ms`);
  await leader.open();
  await world.close();
});

test("a leader that was cut off does not end leases that are renewed elsewhere", async () => {
  const { world, leader, first, second } = await three();
  await world.value(leader.replica.proposeInternal({ kind: "lease-grant", id: 5n, ttlSeconds: 4 }));
  await world.value(leader.put("k", "v", 5n));
  world.cut(leader, first, second);
  await world.until(() => world.leader !== undefined && world.leader !== leader);
  for (let i = 0; i < 10; i++) {
    const other = first.replica.roleState.leader === undefined ? second : first;
    await world.value(other.replica.leaderCalls.renewLease(5n));
    await world.clock.advance(2000);
  }
  world.healAll();
  await world.clock.advance(1000);
  for (const member of world.members) assert.equal(await world.value(member.read("k")), "v");
  await world.close();
});

test("leadership is handed over when asked, and only to a voter, by the leader", async () => {
  const { world, leader, first } = await three();
  assert.equal(await world.failure(first.replica.leaderTransfer.moveTo(leader.id)), "not-leader");
  assert.equal(await world.failure(leader.replica.leaderTransfer.moveTo(99n)), "bad-transferee");
  await world.value(leader.replica.leaderTransfer.moveTo(leader.id));
  await world.value(leader.replica.leaderTransfer.moveTo(first.id));
  await world.until(() => world.leader === first);
  // A member that stops gives it away by itself.
  await world.value(first.replica.leaderTransfer.handOver());
  await world.until(() => world.leader !== undefined && world.leader !== first);
  await world.close();
});

test("a follower that fell behind the log gets a snapshot: state, members, leases, alarms, and goes on from there", async () => {
  const { world, leader, first, second } = await three({ catchUpEntries: 5, log: { segmentBytes: 8192 } });
  world.cut(second, leader, first);
  await world.value(leader.replica.proposeInternal({ kind: "lease-grant", id: 5n, ttlSeconds: 1000 }));
  for (let i = 0; i < 60; i++)
    await world.value(leader.put(`k${i % 7}`, `value ${i} `.repeat(40), i % 2 === 0 ? 5n : 0n));
  await world.value(leader.publish());
  const alarm = { memberId: 1n, type: "no-space" } as const;
  await world.value(leader.replica.proposeInternal({ kind: "alarm", alarm, isRaised: true }));
  await world.clock.advance(12_000);
  world.healAll();
  await world.until(() => second.replica.machine.appliedIndex === leader.replica.machine.appliedIndex, 60_000);
  assert(second.replica.machine.installedSnapshot !== undefined, "no snapshot was needed");
  for (let i = 0; i < 7; i++) assert.equal(second.local(`k${i}`), leader.local(`k${i}`));
  const stateOf = ({ replica: { machine } }: WorldMember) => ({
    position: machine.mvcc.position.currentRevision,
    members: machine.members.list(),
    leases: [...machine.leases.list()],
    leaseKeys: machine.leases.keysOf(5n),
    alarms: machine.alarms.list(),
  });
  assert.deepEqual(stateOf(second), stateOf(leader));
  await world.value(leader.replica.proposeInternal({ kind: "alarm", alarm, isRaised: false }));
  await world.value(second.put("after", "x"));
  second.crash();
  await second.open();
  assert.equal(await world.value(second.read("after")), "x");
  await world.close();
});

test("a store that cannot take a snapshot in ends the member, and the next life gets it", async () => {
  const { world, leader, first, second } = await three({ catchUpEntries: 5, log: { segmentBytes: 8192 } });
  world.cut(second, leader, first);
  for (let i = 0; i < 60; i++) await world.value(leader.put(`k${i}`, "x".repeat(400)));
  await world.clock.advance(12_000);
  second.storeFault = "io";
  world.healAll();
  await world.until(() => second.failures.length > 0, 60_000);
  assert.throws(() => second.replica.localBarrier(), { code: "stopped" });
  second.storeFault = undefined;
  second.crash();
  await second.open();
  await world.until(() => second.isUp && second.local("k59") !== undefined, 60_000);
  await world.close();
});

test("a snapshot that the disk has no room for waits, and is installed when there is some", async () => {
  const { world, leader, first, second } = await three({ catchUpEntries: 5, log: { segmentBytes: 8192 } });
  world.cut(second, leader, first);
  for (let i = 0; i < 60; i++) await world.value(leader.put(`k${i}`, "x".repeat(400)));
  await world.clock.advance(12_000);
  second.storeFault = "no-space";
  world.healAll();
  await world.clock.advance(30_000);
  assert.deepEqual(second.failures, []);
  assert.equal(second.local("k59"), undefined);
  second.storeFault = undefined;
  await world.until(() => second.isUp && second.local("k59") !== undefined, 60_000);
  assert(second.replica.machine.installedSnapshot !== undefined, "no snapshot was needed");
  assert.deepEqual(second.failures, []);
  await world.close();
});

test("a learner is added, caught up, promoted only when it is, and counts from then on", async () => {
  const { world, leader, first, second } = await three({ strictReconfigCheck: true });
  for (const member of world.members) await world.value(member.publish());
  for (let i = 0; i < 30; i++) await world.value(leader.put(`k${i}`, "x"));
  const added = { id: 4n, peerUrls: ["http://10.0.0.4:2380"], isLearner: true };
  const add = { kind: "member-add", member: added, learnersMax: 1 } as const;
  assert.equal((await world.value(first.replica.changeMembership(add))).result.kind, "membership");
  const again = await world.value(leader.replica.changeMembership({ ...add, member: { ...added, id: 5n } }));
  assert(again.result.kind === "refused", "a second learner, or the same URL");
  // It is not started yet: promoting it could cost the quorum.
  const promote = (): Promise<void> => second.replica.leaderCalls.promoteMember(4n);
  assert.equal(await world.failure(promote()), "learner-not-ready");
  const learner = world.createMember(4n);
  await learner.open(world.members.slice(0, 3).map(({ id }) => ({ id, peerUrls: [`http://10.0.0.${id}:2380`] })));
  await world.until(() => learner.local("k29") === "x", 60_000);
  assert.equal(learner.replica.isLearner, true);
  await world.value(learner.publish());
  await world.clock.advance(1000);
  await world.value(promote());
  await world.until(() => !learner.replica.isLearner);
  const { confState } = leader.replica.raftStatus();
  assert.deepEqual([[...confState.voters].sort(), confState.learners], [[1n, 2n, 3n, 4n], []]);
  // Four voters need three: with two of them away nothing is decided.
  world.cut(first, leader, second, learner);
  world.cut(second, leader, learner);
  const stuck = leader.put("stuck", "x");
  stuck.catch(() => undefined);
  await world.clock.advance(3000);
  assert.equal(learner.local("stuck"), undefined);
  world.healAll();
  await world.close();
});

test("strict reconfiguration: no change that could cost the quorum", async () => {
  const { world, leader, first, second } = await three({ strictReconfigCheck: true });
  const add = (id: bigint) =>
    leader.replica.changeMembership({
      kind: "member-add",
      member: { id, peerUrls: [`http://10.0.0.${id}:2380`], isLearner: false },
      learnersMax: 1,
    });
  // Nobody has said its name: nobody counts as started.
  assert.equal(await world.failure(add(4n)), "not-enough-started");
  for (const member of world.members) await world.value(member.publish());
  leader.connectedMs = (id) => (id === first.id ? 1000 : undefined);
  assert.equal(await world.failure(add(4n)), "unhealthy");
  assert.equal(
    await world.failure(leader.replica.changeMembership({ kind: "member-remove", id: first.id })),
    "unhealthy",
  );
  // One that is down may go: that only helps.
  leader.connectedMs = (id) => (id === first.id ? 60_000 : undefined);
  const gone = await world.value(leader.replica.changeMembership({ kind: "member-remove", id: second.id }));
  assert.equal(gone.result.kind, "membership");
  // Two are left, and the leader needs the other one.
  leader.connectedMs = () => undefined;
  assert.equal(await world.failure(add(4n)), "unhealthy");
  leader.connectedMs = undefined;
  assert.equal((await world.value(add(4n))).result.kind, "membership");
  assert.equal(await world.failure(add(5n)), "not-enough-started");
  const back = await world.value(
    leader.replica.changeMembership({
      kind: "member-update",
      id: second.id,
      peerUrls: ["http://10.0.0.3:2380"],
    }),
  );
  assert(back.result.kind === "refused" && back.result.error.code === "member-not-found");
  first.crash();
  leader.crash();
});

test("changes of membership that meet each other are made one after the other", async () => {
  const { world, leader, first } = await three();
  const add = (id: bigint, at: WorldMember) =>
    at.replica.changeMembership({
      kind: "member-add",
      member: { id, peerUrls: [`http://10.0.0.${id}:2380`], isLearner: true },
      learnersMax: 9,
    });
  const outcomes = await world.value(Promise.all([add(4n, leader), add(5n, leader), add(6n, leader)]));
  assert.deepEqual(
    outcomes.map(({ result }) => result.kind),
    ["membership", "membership", "membership"],
  );
  await world.clock.advance(500);
  for (const member of [leader, first]) {
    assert.deepEqual([...member.replica.raftStatus().confState.learners].sort(), [4n, 5n, 6n]);
    assert.deepEqual(
      member.replica.machine.members.list().map(({ id }) => id),
      [1n, 2n, 3n, 4n, 5n, 6n],
    );
  }
  await world.close();
});

test("a leader that removes itself leaves a cluster that goes on", async () => {
  const { world, leader, first } = await three();
  const outcome = await world.value(leader.replica.changeMembership({ kind: "member-remove", id: leader.id }));
  assert.equal(outcome.result.kind, "membership");
  await world.until(() => world.leader !== undefined && world.leader !== leader);
  await world.value(first.put("k", "v"));
  assert.equal(first.replica.machine.members.wasRemoved(leader.id), true);
  await world.close();
});

test("leaders that come and go lose nothing that was acknowledged", async () => {
  const { world } = await three();
  const acknowledged: string[] = [];
  for (let round = 0; round < 8; round++) {
    const leader = world.leader as WorldMember;
    for (const [index, member] of world.members.entries()) {
      const key = `k${round}-${index}`;
      await world.value(member.put(key, "x"));
      acknowledged.push(key);
    }
    leader.crash();
    await world.until(() => world.leader !== undefined);
    await leader.open();
    await world.until(() => leader.replica.roleState.leader !== undefined);
  }
  for (const member of world.members) {
    for (const key of acknowledged) assert.equal(await world.value(member.read(key)), "x", key);
  }
  await world.close();
});
