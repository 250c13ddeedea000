// Reads that wait until they may be answered: which answers count for them, and which never.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noMetrics } from "../../server/lib/metrics.ts";
import { ReadIndex } from "../../server/replica/read-index.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Raft's side in the hands of the test. */
class Scene {
  readonly clock = new VirtualClock();
  readonly asked: number[] = [];
  hasLeader = true;
  leadsAlone = false;
  applied = 10;
  readonly reads: ReadIndex;

  constructor() {
    this.reads = new ReadIndex({
      node: {
        readIndex: () => {
          if (!this.hasLeader) return { kind: "refused", reason: "no-leader" };
          this.asked.push(this.asked.length + 1);
          return { kind: "accepted", id: this.asked.length };
        },
      },
      clock: this.clock,
      metrics: noMetrics,
      timeoutMs: 7000,
      appliedIndex: () => this.applied,
      leadsAlone: () => this.leadsAlone,
      schedule: () => this.clock.nextTurn(() => this.reads.request()),
    });
  }

  /** A read, and what has become of it so far. */
  read(): { readonly state: () => string } {
    let state = "waits";
    const barrier = this.reads.barrier();
    if (barrier === undefined) state = "read";
    barrier?.then(
      () => {
        state = "read";
      },
      (error: { code: string }) => {
        state = error.code;
      },
    );
    return { state: () => state };
  }

  confirm(id: number, index: number): void {
    this.reads.onReadStates([{ kind: "confirmed", id, index } as never]);
  }

  apply(index: number): void {
    this.applied = index;
    this.reads.onApplied(index);
  }
}

test("reads of one turn share a request, and later ones get their own", async () => {
  const scene = new Scene();
  const first = [scene.read(), scene.read(), scene.read()];
  await scene.clock.settle();
  assert.deepEqual(scene.asked, [1]);
  const late = scene.read();
  await scene.clock.settle();
  assert.deepEqual(scene.asked, [1, 2]);
  scene.confirm(1, 10);
  await scene.clock.settle();
  assert.deepEqual(
    [...first, late].map(({ state }) => state()),
    ["read", "read", "read", "waits"],
  );
  scene.confirm(2, 10);
  await scene.clock.settle();
  assert.equal(late.state(), "read");
});

test("a confirmed read waits until what it must see is applied", async () => {
  const scene = new Scene();
  const read = scene.read();
  await scene.clock.settle();
  scene.confirm(1, 12);
  scene.apply(11);
  await scene.clock.settle();
  assert.equal(read.state(), "waits");
  scene.apply(12);
  await scene.clock.settle();
  assert.equal(read.state(), "read");
});

test("what is not answered is asked again under a new number, and an answer to the old one counts for nobody", async () => {
  const scene = new Scene();
  const read = scene.read();
  await scene.clock.advance(500);
  assert.deepEqual(scene.asked, [1, 2]);
  scene.confirm(1, 10);
  await scene.clock.settle();
  assert.equal(read.state(), "waits");
  scene.confirm(2, 10);
  await scene.clock.settle();
  assert.equal(read.state(), "read");
});

test("a request that was dropped is made again at once, together with what came since", async () => {
  const scene = new Scene();
  const read = scene.read();
  await scene.clock.settle();
  const joined = scene.read();
  scene.reads.onReadStates([{ kind: "dropped", id: 1 } as never]);
  await scene.clock.settle();
  assert.deepEqual(scene.asked, [1, 2]);
  assert.deepEqual([read.state(), joined.state()], ["waits", "waits"]);
  scene.confirm(2, 10);
  await scene.clock.settle();
  assert.deepEqual([read.state(), joined.state()], ["read", "read"]);
});

test("without a leader a read waits for one, up to its time", async () => {
  const scene = new Scene();
  scene.hasLeader = false;
  const [read, other] = [scene.read(), scene.read()];
  await scene.clock.advance(2000);
  assert.deepEqual(scene.asked, []);
  scene.hasLeader = true;
  await scene.clock.advance(500);
  scene.confirm(scene.asked.length, 10);
  await scene.clock.settle();
  assert.deepEqual([read.state(), other.state()], ["read", "read"]);
  scene.hasLeader = false;
  const never = scene.read();
  await scene.clock.advance(6400);
  assert.equal(never.state(), "waits");
  await scene.clock.advance(1200);
  assert.equal(never.state(), "timed-out");
  assert.equal(scene.clock.nextDueMs, undefined, "nothing is left to wake up for");
});

test("one that is confirmed and never applied fails in time, too", async () => {
  const scene = new Scene();
  const read = scene.read();
  await scene.clock.settle();
  scene.confirm(1, 99);
  await scene.clock.advance(8000);
  assert.equal(read.state(), "timed-out");
});

test("who leads alone reads at once; a closed one reads nothing", async () => {
  const scene = new Scene();
  scene.leadsAlone = true;
  assert.equal(scene.reads.barrier(), undefined);
  scene.leadsAlone = false;
  const waiting = scene.read();
  scene.reads.close();
  const after = scene.read();
  await scene.clock.settle();
  assert.deepEqual([waiting.state(), after.state()], ["stopped", "stopped"]);
});
