// Without a quorum a member says no, by name and in time, keeps answering what it can answer alone, and does not hoard;
// with the quorum service returns by itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Cluster } from "./cluster/cluster.ts";
import { loseQuorum } from "./quorum-lost.ts";

/** Longer than a member's own patience, so that what is heard is the member's word and not the client's clock. */
const deadlineMs = 20_000;
const growthMebibytesMax = 256;
const unavailable = ["14 etcdserver: no leader", "14 etcdserver: request timed out", "14 etcdserver: leader changed"];

test("two of three are gone, and the leader is left", async (t) => {
  await using cluster = await Cluster.start({ size: 3, hasNetwork: false });
  const found = await loseQuorum(cluster, "leader", { lastsMs: 5000, deadlineMs });
  for (const answers of [found.writes, found.reads]) {
    assert(answers.size > 0);
    for (const answer of answers.keys()) assert(unavailable.includes(answer), `${answer} of ${[...answers.keys()]}`);
  }
  assert(found.serializableReads > 0);
  assert.equal(found.serializableFailures, 0);
  const growth = found.rssMaxMebibytes - found.rssBeforeMebibytes;
  t.diagnostic(`memory grew by ${growth.toFixed(0)} MiB; a write ${found.backMs.toFixed(0)} ms after the return`);
  assert(growth < growthMebibytesMax, `${growth} MiB`);
  assert(found.isKept);
});
