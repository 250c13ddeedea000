// What clients hear whose proposals are under way.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noMetrics } from "../../server/lib/metrics.ts";
import { ReplicaError } from "../../server/replica/errors.ts";
import { outcomeOf, ProposalTable } from "../../server/replica/proposals.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const compaction = { kind: "compact", revision: 5, isPhysical: false } as const;

test("a member that stops does not say of what it proposed that it was not done", async () => {
  const table = new ProposalTable({ proposer: 1, clock: new VirtualClock(), timeoutMs: 1000, metrics: noMetrics });
  const waiting = outcomeOf((waiter) => table.wait(table.nextId(), compaction, waiter));
  table.close();
  await assert.rejects(waiting, (error) => error instanceof ReplicaError && error.code === "stopped-waiting");
});

test("everybody is answered once, in whatever order, however many wait, and the patient ones time out", async () => {
  const clock = new VirtualClock();
  const table = new ProposalTable({ proposer: 1, clock, timeoutMs: 1000, metrics: noMetrics });
  const answers: string[] = [];
  const waiterOf = (name: string) => ({
    onOutcome: () => answers.push(`${name} done`),
    onFailure: (error: ReplicaError) => answers.push(`${name} ${error.code}`),
  });
  const outcome = { result: { kind: "lease-checkpoint" }, events: undefined } as const;
  const late = table.nextId();
  const ids = Array.from({ length: 3000 }, () => table.nextId());
  for (const [at, id] of ids.entries()) table.wait(id, compaction, waiterOf(String(at)));
  for (const at of ids.keys()) if (at % 2 === 0) table.resolve(ids[2998 - at]!, outcome);
  for (const id of ids) if (table.isWaiting(id)) table.reject(id, new ReplicaError("leader-changed"));
  for (const id of ids) table.resolve(id, outcome);
  assert.equal(answers.length, 3000);
  assert.equal(new Set(answers).size, 3000);
  assert.equal(answers.filter((answer) => answer.endsWith("done")).length, 1500);
  assert.equal(table.size, 0);
  // A number that was given before all of them, and is waited for when they are gone.
  await clock.advance(100);
  table.wait(late, compaction, waiterOf("late"));
  await clock.advance(1500);
  assert.equal(answers.at(-1), "late timed-out");
  assert.equal(table.size, 0);
});
