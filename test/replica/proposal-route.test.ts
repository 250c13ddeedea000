// What is proposed again, what waits for a leader and how long, and what is never proposed twice.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noMetrics } from "../../server/lib/metrics.ts";
import type { ProposeOutcome } from "../../server/raft/raw-node.ts";
import type { Entry, RoleState } from "../../server/raft/types.ts";
import { ProposalRoute } from "../../server/replica/proposal-route.ts";
import { ProposalTable } from "../../server/replica/proposals.ts";
import type { Command } from "../../server/state/command.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const command: Command = { kind: "compact", revision: 5, isPhysical: false };
const electionTimeoutMs = 1000;
const follower = (leader: bigint | undefined): RoleState => ({ role: "follower", term: 1, leader });
const entry = (index: number, term: number): Entry => ({ index, term, kind: "no-op", data: new Uint8Array() });

function setUp() {
  const clock = new VirtualClock();
  const table = new ProposalTable({ proposer: 1, clock, timeoutMs: 7000, metrics: noMetrics });
  const answers: ProposeOutcome[] = [];
  const proposed: Uint8Array[] = [];
  const route = new ProposalRoute({
    node: {
      propose: (data) => {
        proposed.push(data);
        return answers.shift() ?? { kind: "refused", reason: "no-leader" };
      },
    },
    table,
    clock,
    electionTimeoutMs,
    isLoneVoter: () => false,
    schedule: () => undefined,
  });
  const outcomes: string[] = [];
  const propose = (what: Command = command) => {
    const id = table.nextId();
    const data = new Uint8Array([id.sequence]);
    route.propose(id, what, data, {
      onOutcome: () => outcomes.push(`${id.sequence} done`),
      onFailure: (error) => outcomes.push(`${id.sequence} ${error.code}`),
    });
    return id;
  };
  return { clock, table, route, answers, proposed, outcomes, propose };
}

test("a proposal whose place in this log went to another one may still be in others: it is not made again", async () => {
  const { clock, answers, proposed, outcomes, propose } = setUp();
  answers.push({ kind: "accepted", index: 7, term: 1 }, { kind: "accepted", index: 7, term: 3 });
  propose();
  propose();
  await clock.advance(3000);
  assert.deepEqual(outcomes, ["1 leader-changed"]);
  assert.equal(proposed.length, 2);
});

test("a proposal in whose place another one was committed is made again", async () => {
  const { clock, table, route, answers, proposed, outcomes, propose } = setUp();
  answers.push({ kind: "accepted", index: 7, term: 1 }, { kind: "forwarded", to: 2n, sequence: 1 });
  const id = propose();
  route.onEntry(entry(7, 2), undefined);
  await clock.advance(0);
  assert.equal(proposed.length, 2);
  assert.equal(proposed[0], proposed[1]);
  table.resolve(id, { result: { kind: "compact", revision: 5 } } as never);
  await clock.advance(0);
  assert.deepEqual(outcomes, ["1 done"]);
});

test("what the leader proposes of its own accord is its own matter: it is neither held nor made again", async () => {
  const { clock, route, answers, proposed, outcomes, propose } = setUp();
  answers.push({ kind: "refused", reason: "leader-transfer" }, { kind: "accepted", index: 7, term: 1 });
  propose({ kind: "lease-checkpoint", checkpoints: [] });
  propose({ kind: "lease-revoke", id: 1n, expiry: { term: 1 } });
  route.onEntry(entry(7, 2), undefined);
  await clock.advance(3000);
  assert.deepEqual(outcomes, ["1 leader-changed", "2 leader-changed"]);
  assert.equal(proposed.length, 2);
});

test("without a leader a proposal waits for an election timeout after it was lost, and not at all after that", async () => {
  const { clock, route, outcomes, propose } = setUp();
  propose();
  await clock.advance(0);
  assert.deepEqual(outcomes, ["1 no-leader"], "a member that never had a leader expects none");
  route.onRoleState(follower(2n));
  route.onRoleState(follower(undefined));
  propose();
  await clock.advance(electionTimeoutMs);
  assert.equal(outcomes.length, 1);
  await clock.advance(1000);
  assert.deepEqual(outcomes.slice(1), ["2 no-leader"]);
  propose();
  await clock.advance(0);
  assert.deepEqual(outcomes.slice(2), ["3 no-leader"]);
});

test("what is held goes to the next leader, in the order in which it came", async () => {
  const { clock, route, answers, proposed, outcomes, propose } = setUp();
  route.onRoleState(follower(2n));
  route.onRoleState(follower(undefined));
  for (let count = 0; count < 3; count++) propose();
  for (let sequence = 1; sequence <= 3; sequence++) answers.push({ kind: "forwarded", to: 3n, sequence });
  route.onRoleState(follower(3n));
  await clock.advance(0);
  assert.deepEqual(
    proposed.slice(3).map(([sequence]) => sequence),
    [1, 2, 3],
  );
  route.onRefusals([{ sequence: 2, count: 1, reason: "uncommitted-full" }]);
  await clock.advance(0);
  assert.deepEqual(outcomes, ["2 too-many-requests"]);
  route.close();
});
