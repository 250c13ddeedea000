// When the leader compacts by itself, and to what, over hours that pass at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../../server/lib/logger.ts";
import { WireReader } from "../../server/lib/wire-reader.ts";
import { type AutoCompaction, AutoCompactor } from "../../server/replica/auto-compactor.ts";
import { ReplicaError } from "../../server/replica/errors.ts";
import { decodeCompaction } from "../../server/state/request-codec.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** A store that makes ten revisions a minute. */
class Scene {
  readonly clock = new VirtualClock();
  /** Minute and revision of each. */
  readonly compactions: (readonly [minute: number, revision: number])[] = [];
  readonly compactor: AutoCompactor;
  isLeader = true;
  isRefusing = false;
  compactRevision = -1;

  constructor(settings: AutoCompaction) {
    this.compactor = new AutoCompactor({
      settings,
      clock: this.clock,
      logger: silentLogger,
      isLeader: () => this.isLeader,
      currentRevision: () => revisionAt(this.minute),
      compactRevision: () => this.compactRevision,
      compact: async (command, request) => {
        assert.deepEqual(decodeCompaction(new WireReader(request)), command);
        if (this.isRefusing) throw new ReplicaError("timed-out");
        this.compactions.push([this.minute, command.revision]);
        this.compactRevision = command.revision;
      },
    });
  }

  get minute(): number {
    return Math.round(this.clock.nowMs() / minuteMs);
  }
}

const revisionAt = (minute: number): number => 10 + 10 * minute;

test("periodic: after one retention for the first time, to what is as old as that", async () => {
  const scene = new Scene({ mode: "periodic", retentionMs: 30 * minuteMs });
  await scene.clock.advance(100 * minuteMs);
  const expected = [30, 60, 90].map((minute) => [minute, revisionAt(minute - 30)]);
  assert.deepEqual(scene.compactions, expected);
});

test("periodic: a retention of hours is kept up every hour", async () => {
  const scene = new Scene({ mode: "periodic", retentionMs: 3 * hourMs });
  await scene.clock.advance(5 * hourMs);
  const expected = [180, 240, 300].map((minute) => [minute, revisionAt(minute - 180)]);
  assert.deepEqual(scene.compactions, expected);
});

test("revision: every five minutes, all but so many", async () => {
  const scene = new Scene({ mode: "revision", retentionRevisions: 100 });
  await scene.clock.advance(22 * minuteMs);
  // At minute 5 there are not that many yet.
  const expected = [10, 15, 20].map((minute) => [minute, revisionAt(minute) - 100]);
  assert.deepEqual(scene.compactions, expected);
});

test("only the leader does it, and a new one knows from when on it may", async () => {
  const scene = new Scene({ mode: "periodic", retentionMs: 30 * minuteMs });
  scene.isLeader = false;
  await scene.clock.advance(61 * minuteMs);
  assert.deepEqual(scene.compactions, []);
  scene.isLeader = true;
  await scene.clock.advance(3 * minuteMs);
  assert.deepEqual(scene.compactions, [[63, revisionAt(33)]]);
});

test("what failed is tried again at the next look, and what somebody else did is not done again", async () => {
  const scene = new Scene({ mode: "periodic", retentionMs: 30 * minuteMs });
  scene.isRefusing = true;
  await scene.clock.advance(31 * minuteMs);
  scene.isRefusing = false;
  await scene.clock.advance(3 * minuteMs);
  assert.deepEqual(scene.compactions, [[33, revisionAt(3)]]);
  scene.compactRevision = revisionAt(40);
  await scene.clock.advance(35 * minuteMs);
  assert.equal(scene.compactions.length, 1);
  await scene.clock.advance(6 * minuteMs);
  assert.deepEqual(scene.compactions.at(-1), [72, revisionAt(42)]);
});

test("an empty store is not compacted, and a closed compactor does nothing", async () => {
  const empty = new Scene({ mode: "revision", retentionRevisions: 1_000_000 });
  await empty.clock.advance(2 * hourMs);
  assert.deepEqual(empty.compactions, []);
  const closed = new Scene({ mode: "periodic", retentionMs: 10 * minuteMs });
  await closed.clock.advance(5 * minuteMs);
  closed.compactor.close();
  closed.compactor.close();
  await closed.clock.advance(hourMs);
  assert.deepEqual(closed.compactions, []);
  assert.equal(closed.clock.nextDueMs, undefined);
});
