// A short run of the chaos program: real members, a few faults of several kinds, recorded histories, and all of it checked.
// And the same with a client that lies, to see that the checks would notice.
import assert from "node:assert/strict";
import { test } from "node:test";
import { seedFromEnvironment } from "../support/seed.ts";
import { allFaults, runCampaign } from "./campaign.ts";
import type { ClientOptions } from "./workload/clients.ts";

const seed = seedFromEnvironment();
const kinds = [
  "kill leader",
  "freeze follower",
  "partition",
  "one link, one way",
  "client connections reset",
  "compaction",
];
const few = { sdk: 2, wire: 3, readers: 2, holders: 2, thinkMs: 60 };

test(`a cluster under faults loses nothing and lies to nobody (seed ${seed})`, async (t) => {
  const faults = allFaults.filter(({ kind }) => kinds.includes(kind));
  assert.equal(faults.length, kinds.length);
  const report = await runCampaign({ seed, durationMs: 9_000, faults, restMs: 500, clients: few });
  const { problems, operations, acknowledgedWrites, lostWrites, history, leaderChanges } = report;
  t.diagnostic(JSON.stringify({ faults: report.faults, operations, acknowledgedWrites, leaderChanges }));
  assert.deepEqual(problems, [], `QUORATE_SEED=${seed}`);
  assert.equal(lostWrites, 0);
  assert.equal(history, "legal");
  assert(acknowledgedWrites > 50, String(acknowledgedWrites));
  assert(Object.keys(report.faults).length >= 3, JSON.stringify(report.faults));
});

/** Says that it wrote, and did not. */
async function lie({ recorder, signal }: ClientOptions): Promise<void> {
  for (let at = 0; at < 3 && !signal.aborted; at++) {
    const request = { kind: "put", key: "k00", value: `lie/${at}`, lease: 0n } as const;
    await recorder.record("liar", request, async () => ({
      kind: "returned",
      result: { kind: "put", revision: undefined },
    }));
  }
}

/** Answers from its memory what a member should be asked. */
async function remember({ cluster, recorder }: ClientOptions): Promise<void> {
  const member = cluster.members[0]!;
  const put = async (value: string): Promise<void> => {
    const request = { kind: "put", key: "remembered", value, lease: 0n } as const;
    // Until it is acknowledged: otherwise what is remembered might be true.
    for (let isAcknowledged = false; !isAcknowledged; ) {
      await recorder.record("writer", request, async () => {
        const message = { key: Buffer.from("remembered"), value: Buffer.from(value) };
        const answer = await member.wire.call("KV/Put", message);
        if (!("response" in answer)) return { kind: "unknown" };
        isAcknowledged = true;
        const { revision } = (answer.response as { readonly header: { readonly revision: bigint } }).header;
        return { kind: "returned", result: { kind: "put", revision: Number(revision) } };
      });
    }
  };
  await put("old");
  await put("new");
  const request = { kind: "range", keys: { kind: "key", key: "remembered" } } as const;
  const keyValue = { key: "remembered", value: "old", createRevision: 0, modRevision: 0, version: 1, lease: 0n };
  await recorder.record("forgetful", request, async () => ({
    kind: "returned",
    result: { kind: "range", revision: undefined, keyValues: [keyValue], count: 1, hasMore: false },
  }));
}

for (const [what, besides] of [
  ["a write that never was", lie],
  ["a read of the past", remember],
] as const) {
  test(`the checks find ${what}`, async () => {
    const clients = { sdk: 1, wire: 1, readers: 0, holders: 0, thinkMs: 60 };
    const report = await runCampaign({ seed, durationMs: 500, faults: [], clients, besides });
    assert.equal(report.history, "illegal");
    assert(report.problems.length > 0);
    assert.equal(report.lostWrites > 0, besides === lie);
  });
}
