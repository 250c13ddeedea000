// Rules of reads that do not write: dissertation §6.4.
import assert from "node:assert/strict";
import { bootstrapSnapshot } from "../../server/raft/config.ts";
import type { MemberId } from "../../server/raft/types.ts";
import { Group } from "./group.ts";
import { Host } from "./host.ts";
import { addVoter, alone, append, encode, entriesOf, id, lead, message, type Rule, rule, take } from "./rule.ts";

const voters: readonly MemberId[] = [1n, 2n, 3n];
const accepted = (from: MemberId, term: number, index: number) =>
  message("append-accepted", from, term, { index, commit: 0 });
const answered = (from: MemberId, term: number, round: number) =>
  message("heartbeat-response", from, term, { round, commit: 0 });

/** Member 1 leads and has committed its no-op. */
function leading(): { readonly host: Host; readonly term: number } {
  const host = alone();
  const term = lead(host);
  host.settle();
  host.node.step(accepted(2n, term, 2));
  host.settle();
  host.outgoing = [];
  return { host, term };
}

function ask(host: Host): number {
  const outcome = host.node.readIndex();
  assert(outcome.kind === "accepted");
  return outcome.id;
}

/** The round that the last heartbeats carried. */
function roundOf(host: Host): number {
  host.settle();
  return take(host, "heartbeat").at(-1)?.round ?? -1;
}

export const readRules: readonly Rule[] = [
  rule("§6.4: a read is answered after a quorum has answered a round that began after it", () => {
    const { host, term } = leading();
    const read = ask(host);
    const round = roundOf(host);
    assert.deepEqual(host.readStates, []);
    host.node.step(answered(3n, term, round));
    host.settle();
    assert.deepEqual(host.readStates, [{ kind: "confirmed", id: read, index: 2 }]);
  }),

  rule("§6.4: a leader that was replaced and does not know it answers no read", () => {
    const group = new Group({ voters });
    group.elect(1n);
    group.propose(1n, "a");
    group.isolate(1n);
    ask(group.host(1n));
    group.settle();
    group.host(2n).node.step({ type: "timeout-now", from: 1n, to: 2n, term: 2 });
    group.settle();
    group.propose(2n, "b");
    assert.equal(group.host(1n).node.status().role, "leader");
    group.settle();
    assert.deepEqual(group.host(1n).readStates, []);
    group.heal();
    group.tick(3);
    assert.deepEqual(group.host(1n).readStates, [{ kind: "dropped", id: 1 }]);
  }),

  rule("§6.4, step 1: a new leader answers no read before it has committed an entry of its term", () => {
    // Everything up to 3 was committed by a leader that is gone; this one knows of 1.
    const host = alone({ log: entriesOf(2, 2) });
    const term = lead(host);
    const read = ask(host);
    const round = Math.max(roundOf(host), 1);
    for (const from of [2n, 3n]) host.node.step(answered(from, term, round));
    host.settle();
    assert.deepEqual(host.readStates, []);
    host.node.step(accepted(2n, term, 4));
    host.node.step(answered(2n, term, roundOf(host)));
    host.settle();
    assert.deepEqual(host.readStates, [{ kind: "confirmed", id: read, index: 4 }]);
  }),

  rule("answers to a round from before a read confirm nothing for it, however late they come", () => {
    const { host, term } = leading();
    ask(host);
    const early = roundOf(host);
    const late = ask(host);
    host.node.step(answered(2n, term, early));
    host.settle();
    assert.deepEqual(
      host.readStates.map(({ id: read }) => read),
      [late - 1],
    );
    host.node.step(answered(2n, term, early));
    host.node.step(answered(3n, term, early));
    // Nor does an answer to a round that never was.
    host.node.step(answered(3n, term, early + 100));
    host.settle();
    assert.equal(host.readStates.length, 1);
    host.node.step(answered(3n, term, early + 1));
    host.settle();
    assert.deepEqual(
      host.readStates.map(({ id: read }) => read),
      [late - 1, late],
    );
  }),

  rule("the reads of one turn share a round, and heartbeats repeat a round that was lost", () => {
    const { host, term } = leading();
    for (let i = 0; i < 1000; i++) ask(host);
    host.settle();
    const heartbeats = take(host, "heartbeat");
    assert.equal(heartbeats.length, 2);
    host.node.tick();
    host.settle();
    const again = take(host, "heartbeat");
    assert.deepEqual(
      again.map(({ round }) => round),
      heartbeats.map(({ round }) => round),
    );
    host.node.step(answered(2n, term, again[0]?.round ?? 0));
    host.settle();
    assert.equal(host.readStates.length, 1000);
  }),

  rule("a read that waits when leadership is lost is dropped, and no later leadership answers it", () => {
    const { host, term } = leading();
    const read = ask(host);
    host.node.step(message("read-request", 2n, term, { session: 5, id: 1 }));
    roundOf(host);
    host.node.step(append(3n, term + 1, id(term, 2), []));
    host.settle();
    assert.deepEqual(host.readStates, [{ kind: "dropped", id: read }]);
    for (let ticks = 0; ticks < 30; ticks++) host.node.tick();
    const next = lead(host);
    host.settle();
    host.node.step(accepted(2n, next, host.node.status().lastIndex));
    ask(host);
    host.node.step(answered(2n, next, roundOf(host)));
    host.settle();
    assert.deepEqual(take(host, "read-response"), []);
    assert.equal(host.readStates.length, 2);
  }),

  rule("a follower asks its leader, asks again when something is lost, and every read has an id of its own", () => {
    const group = new Group({ voters });
    assert.deepEqual(group.host(2n).node.readIndex(), { kind: "refused", reason: "no-leader" });
    group.elect(1n);
    group.propose(1n, "a");
    const reads = [ask(group.host(2n)), ask(group.host(2n))];
    assert.equal(new Set(reads).size, 2);
    let lost = 0;
    group.intercept = (sent) => (sent.type === "read-response" && ++lost <= 2 ? undefined : sent);
    group.settle();
    assert.deepEqual(group.host(2n).readStates, []);
    group.tick(5);
    assert.deepEqual(
      group.host(2n).readStates,
      reads.map((read) => ({ kind: "confirmed", id: read, index: 3 })),
    );
    assert.equal(lost, 3);
  }),

  rule("a doubled or late answer to an old read confirms no newer one, not even after a restart", () => {
    const host = alone();
    host.node.step(append(2n, 2, id(1, 1), []));
    ask(host);
    host.settle();
    const [request] = take(host, "read-request");
    assert(request !== undefined);
    const answer = message("read-response", 2n, 2, { session: request.session, id: request.id, index: 5 });
    host.node.step(answer);
    host.settle();
    assert.equal(host.readStates.length, 1);
    ask(host);
    host.settle();
    host.node.step(answer);
    host.settle();
    assert.equal(host.readStates.length, 1);
    host.crash();
    host.start();
    host.node.step(append(2n, 2, id(1, 1), []));
    ask(host);
    host.settle();
    host.node.step(answer);
    host.settle();
    assert.deepEqual(host.readStates, []);
  }),

  rule("a follower's reads are dropped when its leader is given up", () => {
    const host = alone();
    host.node.step(append(2n, 2, id(1, 1), []));
    const read = ask(host);
    for (let ticks = 0; ticks < 30; ticks++) host.node.tick();
    host.settle();
    assert.deepEqual(host.readStates, [{ kind: "dropped", id: read }]);
  }),

  rule("learners and members of one half only confirm no read", () => {
    const group = new Group({ voters: [1n, 2n], learners: [3n] });
    group.elect(1n);
    group.isolate(2n);
    ask(group.host(1n));
    group.tick(2);
    assert.deepEqual(group.host(1n).readStates, []);
    const joint = new Group({ voters: [1n, 2n, 3n] });
    for (const newcomer of [4n, 5n, 6n]) joint.join(newcomer);
    joint.elect(1n);
    joint.host(1n).compact();
    joint.host(1n).node.proposeConfChange({
      transition: "joint-explicit",
      steps: [4n, 5n, 6n].map(addVoter),
      context: encode(""),
    });
    joint.tick(3);
    assert.equal(joint.host(1n).applied.confState.voters.length, 6);
    joint.isolate(2n);
    joint.isolate(3n);
    ask(joint.host(1n));
    joint.tick(2);
    assert.deepEqual(joint.host(1n).readStates, []);
    joint.heal();
    joint.tick(2);
    assert.equal(joint.host(1n).readStates[0]?.kind, "confirmed");
  }),

  rule("reads that wait are limited", () => {
    const host = new Host({ id: 1n, bootstrap: bootstrapSnapshot(voters), raft: { readsMax: 3 } });
    lead(host);
    for (let i = 0; i < 3; i++) ask(host);
    assert.deepEqual(host.node.readIndex(), { kind: "refused", reason: "too-many-reads" });
  }),
];
