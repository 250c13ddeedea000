// Files of the log are given up in the order of their making, so that no crash leaves a gap between those that stay.
import assert from "node:assert/strict";
import { test } from "node:test";
import { armMutation, disarmMutations } from "../../server/lib/mutation.ts";
import { createRandom } from "../../server/lib/random.ts";
import { LogError } from "../../server/log/log-error.ts";
import { entryOf, openLog, SlowDisk, saveNow, saveOf } from "./log-bench.ts";

/** Gives files up in two calls at once, crashes after so many steps of the disk, and opens what is left. */
async function releaseTwice(steps: number): Promise<void> {
  const slow = new SlowDisk(createRandom(1));
  const opened = await openLog(slow.disk, { segmentBytes: 2048 });
  for (let index = 1; index <= 12; index++) {
    await saveNow(opened, saveOf(index, [entryOf(index, 1, Buffer.alloc(420))]));
  }
  slow.isFast = false;
  // After the crash nothing of this comes to an end.
  void Promise.allSettled([opened.log.release(7), opened.log.release(9)]);
  assert(opened.log.firstIndex() > 7);
  for (let step = 0; step < steps; step++) await slow.completeSome(1);
  const again = await openLog(slow.disk.crash({ random: createRandom(steps) }), { segmentBytes: 2048 });
  assert.equal(again.log.lastIndex(), 12);
  assert(again.log.firstIndex() <= opened.log.firstIndex());
  await again.log.close();
}

test("files that are given up while others still go leave no gap, whenever the machine crashes", async () => {
  for (let steps = 0; steps < 20; steps++) await releaseTwice(steps);
  armMutation("log/releases-overtake");
  try {
    await assert.rejects(async () => {
      for (let steps = 0; steps < 20; steps++) await releaseTwice(steps);
    }, LogError);
  } finally {
    disarmMutations();
  }
});
