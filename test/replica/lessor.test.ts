// The leader's clock of leases: never early, not for ever, whatever leaders, clocks and processes do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../../server/lib/logger.ts";
import { noMetrics } from "../../server/lib/metrics.ts";
import { ReplicaError } from "../../server/replica/errors.ts";
import { Lessor } from "../../server/replica/lessor.ts";
import { LeaseStore } from "../../server/state/lease/lease-store.ts";
import { KeySpace } from "../../server/state/mvcc/key-space.ts";
import { BufferedBackend } from "../../server/storage/buffered-backend.ts";
import { MemoryStore } from "../../server/storage/memory-store.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const electionTimeoutMs = 1000;
const minuteMs = 60_000;

type Refusal = "timed-out" | "too-many-requests" | "leader-changed";

/** What was proposed, in the order of the log; it is applied when the test says so. */
type Proposal =
  | { readonly kind: "revoke"; readonly id: bigint; readonly term: number }
  | { readonly kind: "checkpoint"; readonly id: bigint; readonly remainingTtlSeconds: number };

interface Pending {
  readonly proposal: readonly Proposal[];
  readonly resolve: () => void;
}

/** A member's lessor with its store. */
class Scene {
  readonly clock: VirtualClock;
  readonly leases: LeaseStore;
  readonly lessor: Lessor;
  readonly revoked: { readonly id: bigint; readonly atMs: number }[] = [];
  /** Proposals that wait; applied at once while `isHolding` is false. */
  readonly waiting: Pending[] = [];
  isHolding = false;
  refusal: Refusal | undefined;
  proposed = 0;

  constructor(clock = new VirtualClock(), leases?: LeaseStore) {
    this.clock = clock;
    const backend = new BufferedBackend(new MemoryStore());
    this.leases = leases ?? new LeaseStore(backend, new KeySpace(backend));
    this.lessor = new Lessor({
      leases: this.leases,
      clock,
      logger: silentLogger,
      metrics: noMetrics,
      electionTimeoutMs,
      revoke: (id, term) => this.#propose([{ kind: "revoke", id, term }]),
      checkpoint: (checkpoints) =>
        this.#propose(checkpoints.map((checkpoint) => ({ kind: "checkpoint", ...checkpoint }))),
    });
  }

  async #propose(proposal: readonly Proposal[]): Promise<void> {
    this.proposed++;
    if (this.refusal !== undefined) throw new ReplicaError(this.refusal);
    if (!this.isHolding) return this.#apply(proposal);
    await new Promise<void>((resolve) => this.waiting.push({ proposal, resolve }));
  }

  /** Applies what waits, oldest first. */
  applyWaiting(): void {
    for (const { proposal, resolve } of this.waiting.splice(0)) {
      this.#apply(proposal);
      resolve();
    }
  }

  #apply(proposal: readonly Proposal[]): void {
    for (const one of proposal) {
      if (one.kind === "checkpoint") this.leases.checkpoint(one.id, one.remainingTtlSeconds);
      else if (this.leases.has(one.id)) {
        this.leases.remove(one.id);
        this.revoked.push({ id: one.id, atMs: this.clock.nowMs() });
        this.lessor.onResult({ kind: "lease-revoke", id: one.id, revision: 1 });
      }
    }
  }

  lead(term: number): void {
    this.lessor.onRoleState({ role: "leader", term, leader: 1n });
    this.lessor.onApplied(term);
  }

  follow(term: number): void {
    this.lessor.onRoleState({ role: "follower", term, leader: 2n });
  }

  grant(id: bigint, ttlSeconds: number): void {
    this.leases.grant(id, ttlSeconds);
    this.lessor.onResult({ kind: "lease-grant", id, ttlSeconds, revision: 1 });
  }

  /** How long the only lease lived from `fromMs` on; undefined if it still does. */
  lifeMs(fromMs: number): number | undefined {
    const end = this.revoked[0];
    return end === undefined ? undefined : end.atMs - fromMs;
  }
}

test("a lease lives its time and a tenth, and no longer than a look more", async () => {
  for (const ttlSeconds of [1, 2, 10, 60, 1000]) {
    const scene = new Scene();
    scene.lead(1);
    scene.grant(1n, ttlSeconds);
    await scene.clock.advance(ttlSeconds * 1100 - 1);
    assert.deepEqual(scene.revoked, [], `${ttlSeconds} s`);
    await scene.clock.advance(2);
    assert.equal(scene.revoked.length, 1, `${ttlSeconds} s`);
  }
});

test("a renewal counts from when it comes", async () => {
  const scene = new Scene();
  scene.lead(1);
  scene.grant(1n, 10);
  for (let i = 0; i < 20; i++) {
    await scene.clock.advance(9000);
    assert.deepEqual(await scene.lessor.renew(1n), { ttlSeconds: 10 });
    assert.deepEqual(scene.lessor.timeToLive(1n), { grantedTtlSeconds: 10, remainingSeconds: 10 });
  }
  const renewedMs = scene.clock.nowMs();
  await scene.clock.advance(20_000);
  assert.equal(scene.lifeMs(renewedMs), 11_000);
  assert.equal(await scene.lessor.renew(1n), undefined);
  assert.equal(scene.lessor.timeToLive(1n), undefined);
});

test("a new leader gives every lease its full time and an election's, from when it has applied an entry of its own", async () => {
  const scene = new Scene();
  scene.follow(1);
  scene.grant(1n, 10);
  await scene.clock.advance(minuteMs);
  scene.lessor.onRoleState({ role: "leader", term: 2, leader: 1n });
  scene.lessor.onApplied(1);
  assert.equal(scene.lessor.isPrimary, false);
  // What an earlier leader promised may still be on its way here.
  await scene.clock.advance(minuteMs);
  assert.equal(await scene.lessor.renew(1n), undefined);
  assert.equal(scene.leases.size, 1);
  scene.leases.checkpoint(1n, 10);
  scene.lessor.onApplied(2);
  assert.equal(scene.lessor.isPrimary, true);
  const leadsMs = scene.clock.nowMs();
  await scene.clock.advance(minuteMs);
  assert.equal(scene.lifeMs(leadsMs), 10_000 * 1.1 + electionTimeoutMs);
});

test("a checkpoint that was on its way when leadership moved is taken into account", async () => {
  const scene = new Scene();
  scene.leases.grant(1n, 1000);
  scene.leases.checkpoint(1n, 400);
  scene.lessor.onRoleState({ role: "leader", term: 2, leader: 1n });
  // The old leader renewed the lease: the entry that says so is applied before this leader's own.
  scene.leases.checkpoint(1n, 1000);
  scene.lessor.onApplied(2);
  await scene.clock.advance(1_000_000);
  assert.deepEqual(scene.revoked, []);
});

test("who lost leadership revokes nothing, renews nothing and asks for nothing", async () => {
  const scene = new Scene();
  scene.lead(1);
  scene.grant(1n, 10);
  scene.follow(2);
  await scene.clock.advance(10 * minuteMs);
  assert.equal(scene.proposed, 0);
  assert.equal(await scene.lessor.renew(1n), undefined);
  assert.equal(scene.clock.nextDueMs, undefined);
});

test("a process that stood still does not end leases that it could not renew meanwhile", async () => {
  const scene = new Scene();
  scene.lead(1);
  scene.grant(1n, 10);
  await scene.clock.advance(9000);
  scene.clock.standStill(30_000);
  await scene.clock.advance(1400);
  assert.deepEqual(scene.revoked, []);
  await scene.clock.advance(1000);
  assert.equal(scene.revoked.length, 1);
});

test("a stall is noticed also when something else is handled first", async () => {
  const scene = new Scene();
  scene.lead(1);
  scene.grant(1n, 10);
  await scene.clock.advance(9000);
  scene.clock.standStill(30_000);
  // An entry that waited in a socket is applied before the timer's turn comes.
  scene.grant(2n, 100);
  await scene.clock.advance(1400);
  assert.deepEqual(scene.revoked, []);
});

test("while a revoke is under way its lease is neither renewed nor revoked again", async () => {
  const scene = new Scene();
  scene.lead(1);
  scene.grant(1n, 10);
  scene.isHolding = true;
  await scene.clock.advance(30_000);
  assert.equal(scene.proposed, 1);
  assert.equal(await scene.lessor.renew(1n), undefined);
  scene.applyWaiting();
  assert.equal(scene.leases.size, 0);
});

test("a revoke without an answer may still be applied: the lease stays as good as gone until leadership moves", async () => {
  const scene = new Scene();
  scene.lead(1);
  scene.grant(1n, 10);
  scene.refusal = "timed-out";
  await scene.clock.advance(60_000);
  assert.equal(scene.proposed, 1);
  assert.equal(await scene.lessor.renew(1n), undefined);
  scene.refusal = undefined;
  scene.follow(2);
  scene.lead(3);
  assert.deepEqual(await scene.lessor.renew(1n), { ttlSeconds: 10 });
});

test("a revoke that was refused is tried again, and until then the lease can be renewed", async () => {
  // A transfer of leadership that came to nothing leaves the same leader.
  for (const refusal of ["too-many-requests", "leader-changed"] as const) {
    const scene = new Scene();
    scene.lead(1);
    scene.grant(1n, 10);
    scene.grant(2n, 10);
    scene.refusal = refusal;
    await scene.clock.advance(14_000);
    assert(scene.proposed > 2, `${refusal}: tried ${scene.proposed} times`);
    assert.deepEqual(await scene.lessor.renew(1n), { ttlSeconds: 10 });
    scene.refusal = undefined;
    await scene.clock.advance(2000);
    assert.deepEqual(
      scene.revoked.map(({ id }) => id),
      [2n],
      refusal,
    );
  }
});

test("what long leases have left is written down, so that changes of leaders do not renew them for ever", async () => {
  const ttlSeconds = 2000;
  const clock = new VirtualClock();
  let scene = new Scene(clock);
  scene.lead(1);
  scene.grant(1n, ttlSeconds);
  const grantedMs = clock.nowMs();
  const changes = 10;
  for (let term = 2; term <= 1 + changes; term++) {
    await clock.advance(400_000);
    if (scene.revoked.length > 0) break;
    scene.lessor.close();
    scene = new Scene(clock, scene.leases);
    scene.lead(term);
  }
  await clock.advance(ttlSeconds * 2000);
  const lifeMs = scene.lifeMs(grantedMs) ?? Number.POSITIVE_INFINITY;
  assert(lifeMs >= ttlSeconds * 1000, `ended after ${lifeMs} ms`);
  // Each leader may lose what went by since its last checkpoint.
  const checkpointMs = 5 * minuteMs;
  assert(lifeMs <= ttlSeconds * 1100 + changes * (checkpointMs + electionTimeoutMs), `ended after ${lifeMs} ms`);
});

test("a renewal is answered only when the next leader would know of it", async () => {
  const clock = new VirtualClock();
  const scene = new Scene(clock);
  scene.lead(1);
  scene.grant(1n, 1000);
  await clock.advance(6 * minuteMs);
  assert.equal(scene.leases.get(1n)?.remainingTtlSeconds, 700);
  scene.isHolding = true;
  let answered: unknown;
  void scene.lessor.renew(1n).then((time) => {
    answered = time;
  });
  await clock.settle();
  assert.equal(answered, undefined);
  scene.applyWaiting();
  await clock.settle();
  assert.deepEqual(answered, { ttlSeconds: 1000 });
  assert.equal(scene.leases.get(1n)?.remainingTtlSeconds, 1000);
  // From then on no further entry is needed.
  const { proposed } = scene;
  assert.deepEqual(await scene.lessor.renew(1n), { ttlSeconds: 1000 });
  assert.equal(scene.proposed, proposed);
});

test("a renewal is given at once, unless the next leader has to be told first", async () => {
  const scene = new Scene();
  assert.equal(scene.lessor.renewAtOnce(1n), 0, "nobody leads");
  scene.lead(1);
  assert.equal(scene.lessor.renewAtOnce(1n), 0, "no such lease");
  scene.grant(1n, 1000);
  await scene.clock.advance(2 * minuteMs);
  assert.equal(scene.lessor.renewAtOnce(1n), 1000);
  assert.equal(scene.lessor.timeToLive(1n)?.remainingSeconds, 1000);
  await scene.clock.advance(4 * minuteMs);
  assert.equal(scene.leases.get(1n)?.remainingTtlSeconds, 820, "a checkpoint was written");
  assert.equal(scene.lessor.renewAtOnce(1n), undefined);
  assert.equal(scene.lessor.timeToLive(1n)?.remainingSeconds, 760, "nothing was done");
  assert.deepEqual(await scene.lessor.renew(1n), { ttlSeconds: 1000 });
  assert.equal(scene.lessor.renewAtOnce(1n), 1000);
  scene.isHolding = true;
  await scene.clock.advance(1000 * 1100 + 1000);
  assert.equal(scene.lessor.renewAtOnce(1n), 0, "its end was decided");
});

test("a renewal right after a change of leaders counts from when it comes, too", async () => {
  const scene = new Scene();
  scene.leases.grant(1n, 10);
  scene.lead(1);
  // It takes back the time that the election was given.
  assert.equal(scene.lessor.renewAtOnce(1n), 10);
  await scene.clock.advance(10 * 1100 - 1);
  assert.deepEqual(scene.revoked, []);
  await scene.clock.advance(2);
  assert.equal(scene.revoked.length, 1);
});

test("leases that are renewed end when their last time is over, each at its own", async () => {
  const scene = new Scene();
  scene.lead(1);
  const leases = 12_000;
  const ends = new Map<bigint, number>();
  for (let i = 0; i < leases; i++) scene.grant(BigInt(i), 10);
  // Renewed at some time of the first ten seconds, so the places that they were granted are all out of date together.
  for (let second = 0; second < 10; second++) {
    await scene.clock.advance(1000);
    for (let i = second; i < leases; i += 10) {
      scene.lessor.renewAtOnce(BigInt(i));
      ends.set(BigInt(i), scene.clock.nowMs() + 11_000);
    }
  }
  assert.deepEqual(scene.lessor.listByEnd().slice(0, 2), [0n, 10n]);
  await scene.clock.advance(40_000);
  assert.equal(scene.revoked.length, leases);
  for (const { id, atMs } of scene.revoked) {
    const lateMs = atMs - (ends.get(id) as number);
    assert(lateMs >= 0 && lateMs < 1500, `lease ${id} ended ${lateMs} ms late`);
  }
});

test("a renewal that meets a checkpoint on its way writes the full time down behind it", async () => {
  const clock = new VirtualClock();
  const scene = new Scene(clock);
  scene.lead(1);
  scene.grant(1n, 1000);
  scene.isHolding = true;
  await clock.advance(5 * minuteMs + 1000);
  assert.equal(scene.waiting.length, 1, "a checkpoint is on its way");
  assert.equal(scene.leases.get(1n)?.remainingTtlSeconds, 1000, "and not applied");
  let answered: unknown;
  void scene.lessor.renew(1n).then((time) => {
    answered = time;
  });
  await clock.settle();
  assert.equal(answered, undefined);
  scene.applyWaiting();
  await clock.settle();
  assert.deepEqual(answered, { ttlSeconds: 1000 });
  assert.equal(scene.leases.get(1n)?.remainingTtlSeconds, 1000);
  // The next leader, from here: not a moment less than was promised.
  const promisedMs = clock.nowMs();
  const next = new Scene(clock, scene.leases);
  scene.lessor.close();
  next.lead(2);
  await clock.advance(3_000_000);
  assert((next.lifeMs(promisedMs) ?? 0) >= 1_000_000);
});

test("a renewal whose checkpoint fails is not answered as if it had worked", async () => {
  const scene = new Scene();
  scene.leases.grant(1n, 1000);
  scene.leases.checkpoint(1n, 500);
  scene.lead(1);
  scene.refusal = "timed-out";
  await assert.rejects(scene.lessor.renew(1n), { code: "timed-out" });
  scene.refusal = undefined;
  scene.isHolding = true;
  const renewing = scene.lessor.renew(1n);
  await scene.clock.settle();
  scene.follow(2);
  scene.applyWaiting();
  await assert.rejects(renewing, { code: "not-leader" });
});

test("a hundred thousand leases that end together are revoked a few at a time, all of them", async () => {
  const scene = new Scene();
  scene.lead(1);
  const count = 20_000;
  for (let id = 1n; id <= BigInt(count); id++) scene.grant(id, 10);
  scene.isHolding = true;
  await scene.clock.advance(11_001);
  let rounds = 0;
  while (scene.leases.size > 0 && rounds < 10_000) {
    assert(scene.waiting.length <= 64, `${scene.waiting.length} revokes at once`);
    scene.applyWaiting();
    rounds++;
    await scene.clock.advance(20);
  }
  assert.equal(scene.leases.size, 0);
  assert.equal(new Set(scene.revoked.map(({ id }) => id)).size, count);
  assert.equal(scene.proposed, count);
});

test("leases are listed by their ends", async () => {
  const scene = new Scene();
  scene.lead(1);
  scene.grant(1n, 100);
  scene.grant(2n, 10);
  scene.grant(-3n, 50);
  assert.deepEqual(scene.lessor.listByEnd(), [2n, -3n, 1n]);
});

test("a closed lessor does nothing more", async () => {
  const scene = new Scene();
  scene.lead(1);
  scene.grant(1n, 10);
  scene.lessor.close();
  scene.lessor.close();
  await scene.clock.advance(minuteMs);
  assert.equal(scene.proposed, 0);
  assert.equal(scene.clock.nextDueMs, undefined);
});
