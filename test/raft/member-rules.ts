// Rules of membership and of handing over leadership: Raft §6; dissertation chapters 3.10 and 4.
import assert from "node:assert/strict";
import type { ConfChange } from "../../server/raft/conf-change.ts";
import { type MemberId, noBytes } from "../../server/raft/types.ts";
import { Group } from "./group.ts";
import {
  addLearner,
  addVoter,
  alone,
  append,
  change,
  changeEntry,
  encode,
  id,
  lead,
  message,
  type Rule,
  remove,
  rule,
  take,
} from "./rule.ts";

const voters: readonly MemberId[] = [1n, 2n, 3n];
const accepted = (from: MemberId, term: number, index: number) =>
  message("append-accepted", from, term, { index, commit: 0 });

function changeAndSettle(group: Group, what: ConfChange): void {
  const [leader] = group.leaders;
  assert(leader !== undefined);
  assert.equal(group.host(leader).node.proposeConfChange(what).kind, "accepted");
  group.settle();
  group.tick(2);
}

export const memberRules: readonly Rule[] = [
  rule("§4.1: a leader proposes no membership change before it has applied an entry of its term", () => {
    const host = alone();
    const term = lead(host);
    host.settle();
    const what = change(addVoter(4n));
    assert.deepEqual(host.node.proposeConfChange(what), { kind: "refused", reason: "leader-not-ready" });
    host.node.step(accepted(2n, term, 2));
    host.collect();
    assert.deepEqual(host.node.proposeConfChange(what), { kind: "refused", reason: "leader-not-ready" });
    host.settle();
    assert.equal(host.node.proposeConfChange(what).kind, "accepted");
  }),

  rule("§4.1: one membership change at a time, from proposal to application", () => {
    const host = alone();
    const term = lead(host);
    host.settle();
    host.node.step(accepted(2n, term, 2));
    host.settle();
    assert.equal(host.node.proposeConfChange(change(addVoter(4n))).kind, "accepted");
    const second = change(addVoter(5n));
    assert.deepEqual(host.node.proposeConfChange(second), { kind: "refused", reason: "conf-change-in-flight" });
    host.settle();
    host.node.step(accepted(2n, term, 3));
    host.collect();
    assert.deepEqual(host.node.proposeConfChange(second), { kind: "refused", reason: "conf-change-in-flight" });
    host.settle();
    assert.equal(host.node.proposeConfChange(second).kind, "accepted");
  }),

  rule("a change that is not legal is refused before it enters the log", () => {
    const group = new Group({ voters: [1n, 2n] });
    group.elect(1n);
    const { node } = group.host(1n);
    const last = node.status().lastIndex;
    for (const what of [change(remove(1n), remove(2n)), change()])
      assert.deepEqual(node.proposeConfChange(what), { kind: "refused", reason: "conf-change-invalid" });
    assert.equal(node.status().lastIndex, last);
  }),

  rule("§4.2.1: a newcomer with an empty disk catches up as a learner and is promoted", () => {
    const group = new Group({ voters });
    group.elect(1n);
    group.propose(1n, "a");
    group.host(1n).compact();
    group.join(4n);
    changeAndSettle(group, change(addLearner(4n)));
    group.propose(1n, "b");
    assert.deepEqual(group.host(4n).applied.confState, group.host(1n).applied.confState);
    assert.deepEqual(group.applied(4n).at(-1), "b");
    // A learner is not counted.
    group.isolate(2n);
    group.isolate(3n);
    group.propose(1n, "c");
    assert.deepEqual(group.applied(1n).at(-1), "b");
    group.heal();
    group.tick(2);
    changeAndSettle(group, change(addVoter(4n)));
    assert.deepEqual(group.host(4n).applied.confState.voters, [1n, 2n, 3n, 4n]);
    assert.equal(group.host(4n).node.status().lastIndex, group.host(1n).node.status().lastIndex);
  }),

  rule("§6: through a joint configuration both majorities decide, and the leader leaves it by itself", () => {
    const group = new Group({ voters });
    for (const newcomer of [4n, 5n]) group.join(newcomer);
    group.elect(1n);
    group.host(1n).compact();
    group.isolate(4n);
    group.isolate(5n);
    // Two for two: the change itself needs only the old majority, leaving it needs both.
    group.host(1n).node.proposeConfChange(change(remove(2n), remove(3n), addVoter(4n), addVoter(5n)));
    group.tick(3);
    const { confState } = group.host(1n).applied;
    assert.deepEqual([confState.voters, confState.votersOutgoing], [[1n, 4n, 5n], voters]);
    group.heal();
    group.tick(3);
    for (const member of [1n, 4n, 5n]) {
      const state = group.host(member).applied.confState;
      assert.deepEqual([state.voters, state.votersOutgoing, state.autoLeave], [[1n, 4n, 5n], [], false]);
    }
  }),

  rule("§6: an explicit joint configuration stays until it is left on demand, and allows no other change", () => {
    const group = new Group({ voters });
    group.elect(1n);
    changeAndSettle(group, { transition: "joint-explicit", steps: [addLearner(3n)], context: noBytes });
    const { confState } = group.host(2n).applied;
    assert.deepEqual([confState.votersOutgoing, confState.learnersNext], [voters, [3n]]);
    group.tick(20);
    assert.deepEqual(group.host(1n).node.proposeConfChange(change(addVoter(4n))), {
      kind: "refused",
      reason: "conf-change-in-flight",
    });
    changeAndSettle(group, change());
    for (const member of voters) {
      const left = group.host(member).applied.confState;
      assert.deepEqual([left.voters, left.votersOutgoing, left.learners], [[1n, 2n], [], [3n]]);
    }
  }),

  rule("§6: a leader that takes over in a joint configuration leaves it", () => {
    const group = new Group({ voters });
    group.join(4n);
    group.elect(1n);
    group.host(1n).compact();
    group.host(1n).node.proposeConfChange({ transition: "joint-implicit", steps: [addVoter(4n)], context: noBytes });
    group.intercept = (sent) =>
      sent.type === "append" && sent.entries.some(({ kind, data }) => kind === "conf-change" && data.length === 4)
        ? undefined
        : sent;
    group.tick(2);
    group.host(1n).crash();
    group.intercept = (sent) => sent;
    group.tick(60);
    assert.deepEqual(group.host(2n).applied.confState.votersOutgoing, []);
  }),

  rule("§4.2.2: a leader that removes itself commits that, hands over, and there is no gap", () => {
    const group = new Group({ voters });
    group.elect(1n);
    changeAndSettle(group, change(remove(1n)));
    assert.equal(group.host(1n).node.status().role, "follower");
    assert.equal(group.leaders.length, 1, "nobody took over without an election timeout");
    assert.deepEqual(group.host(1n).applied.confState.voters, [2n, 3n]);
    const [leader] = group.leaders;
    group.host(1n).crash();
    group.propose(leader as MemberId, "after");
    assert.deepEqual(group.applied(2n), ["after"]);
  }),

  rule("a leader that removes itself leads on until those that remain know it, even after a crash", () => {
    const group = new Group({ voters: [1n, 2n] });
    group.elect(1n);
    // 2 takes the entry, but does not hear that it is committed.
    group.intercept = (sent) =>
      (sent.type === "append" || sent.type === "heartbeat") && sent.to === 2n ? { ...sent, commit: 0 } : sent;
    group.host(1n).node.proposeConfChange(change(remove(1n)));
    group.tick(3);
    assert.deepEqual(group.host(1n).applied.confState.voters, [2n]);
    assert.equal(group.host(1n).node.status().role, "leader");
    assert.deepEqual(group.host(1n).node.propose(encode("late")), { kind: "refused", reason: "no-leader" });
    group.intercept = (sent) => sent;
    group.tick(3);
    assert.equal(group.host(1n).node.status().role, "follower");
    group.host(1n).crash();
    group.host(2n).crash();
    group.host(2n).start();
    group.tick(30);
    assert.deepEqual(group.leaders, [2n]);
  }),

  rule("a member that was removed helps those that need it to learn that it was", () => {
    const group = new Group({ voters: [1n, 2n] });
    group.elect(1n);
    group.intercept = (sent) =>
      (sent.type === "append" || sent.type === "heartbeat") && sent.to === 2n ? { ...sent, commit: 0 } : sent;
    group.host(1n).node.proposeConfChange(change(remove(1n)));
    group.settle();
    // It crashes, leads no more, and its log is longer than that of the other: it will not vote for it.
    group.isolate(1n);
    group.host(1n).flush();
    group.host(1n).crash();
    group
      .host(1n)
      .disk.append([{ term: 2, index: group.host(1n).disk.lastIndex() + 1, kind: "normal", data: noBytes }]);
    group.host(1n).start();
    group.heal();
    group.intercept = (sent) => sent;
    group.tick(60);
    assert.deepEqual(group.leaders, [2n]);
    assert.deepEqual(group.host(2n).applied.confState.voters, [2n]);
  }),

  rule("a membership change is applied, and told to others, only when it will be known after a crash", () => {
    const host = alone();
    const term = lead(host);
    host.settle();
    host.node.step(accepted(2n, term, 2));
    host.settle();
    host.node.proposeConfChange(change(remove(3n)));
    host.settle();
    host.outgoing = [];
    host.node.step(accepted(2n, term, 3));
    host.collect();
    assert.deepEqual([host.node.status().commit, host.toApply], [3, []]);
    assert.deepEqual(
      host.saves.map(({ hardState }) => hardState.commit),
      [3],
    );
    assert.deepEqual(
      take(host, "append").filter(({ commit }) => commit > 2),
      [],
    );
    host.completeSaves();
    host.collect();
    assert.deepEqual(
      host.toApply.map(({ index }) => index),
      [3],
    );
    // 3 hears of its removal before it is forgotten.
    host.settle();
    assert.deepEqual(
      new Set(
        take(host, "append")
          .filter(({ commit }) => commit === 3)
          .map(({ to }) => to),
      ),
      new Set([2n]),
    );
  }),

  rule("a change found while a snapshot is being installed is applied to the membership before it", () => {
    const host = alone();
    const log = [changeEntry(2, 2, change(addVoter(4n)))];
    host.node.step(append(2n, 2, id(1, 1), log, 2));
    for (let i = 0; i < 2; i++) {
      host.collect();
      host.completeSaves();
    }
    host.collect();
    assert.deepEqual(
      host.toApply.map(({ index }) => index),
      [2],
    );
    const confState = { ...host.applied.confState, voters: [1n, 2n, 4n] };
    host.node.step(message("snapshot", 2n, 2, { snapshot: { ...id(2, 9), confState } }));
    host.collect();
    host.applyNext();
    assert.deepEqual(host.applied.confState.voters, [1n, 2n, 3n, 4n]);
    host.settle();
    assert.deepEqual(host.node.status().confState.voters, [1n, 2n, 4n]);
  }),

  rule("§4.2.3: what a removed member asks for is ignored", () => {
    const group = new Group({ voters: [1n, 2n, 3n, 4n] });
    group.elect(1n);
    group.isolate(4n);
    changeAndSettle(group, change(remove(4n)));
    group.heal();
    const { term } = group.host(1n).node.status();
    group.trace.length = 0;
    group.tick(60);
    const asked = group.trace.filter(({ from }) => from === 4n);
    assert(asked.some(({ type }) => type === "pre-vote-request"));
    assert.deepEqual(
      group.trace.filter(({ from, to }) => to === 4n && from !== 4n),
      [],
    );
    assert.deepEqual([group.leaders, group.host(1n).node.status().term], [[1n], term]);
    // Even a request of a high term, or one that claims to be sent by the leader.
    group.host(2n).node.step({ type: "vote-request", from: 4n, to: 2n, term: 99, last: id(98, 99), transfer: true });
    group.settle();
    assert.equal(group.host(2n).node.status().term, term);
  }),

  rule("§3.10: leadership goes to the member that was asked, which is brought up to date first", () => {
    const group = new Group({ voters });
    group.elect(1n);
    group.isolate(3n);
    group.propose(1n, "a");
    group.heal();
    assert.deepEqual(group.host(1n).node.transferLeader(3n), { kind: "accepted" });
    group.tick(3);
    assert.deepEqual(group.leaders, [3n]);
    assert.deepEqual(group.applied(3n), ["a"]);
  }),

  rule(
    "§3.10: while leadership is handed over proposals are refused, and after an election timeout taken again",
    () => {
      const group = new Group({ voters });
      group.elect(1n);
      group.isolate(3n);
      const { node } = group.host(1n);
      node.transferLeader(3n);
      group.tick(9);
      assert.equal(node.status().transferee, 3n);
      assert.deepEqual(node.propose(encode("a")), { kind: "refused", reason: "leader-transfer" });
      group.tick(1);
      assert.equal(node.status().transferee, undefined);
      group.propose(1n, "a");
      assert.deepEqual(group.applied(2n), ["a"]);
    },
  ),

  rule("a transfer ends when its target is removed, and a new one replaces it", () => {
    const group = new Group({ voters });
    group.elect(1n);
    group.isolate(3n);
    const { node } = group.host(1n);
    assert.equal(node.proposeConfChange(change(remove(3n))).kind, "accepted");
    node.transferLeader(3n);
    assert.equal(node.status().transferee, 3n);
    group.settle();
    assert.equal(node.status().transferee, undefined);
    node.transferLeader(2n);
    group.settle();
    assert.deepEqual(group.leaders, [2n]);
  }),

  rule("leadership is handed only to another voter, by the leader", () => {
    const group = new Group({ voters: [1n, 2n], learners: [3n] });
    group.elect(1n);
    const refusal = (from: MemberId, target: MemberId) => {
      const outcome = group.host(from).node.transferLeader(target);
      return outcome.kind === "refused" ? outcome.reason : "accepted";
    };
    assert.deepEqual(
      [refusal(1n, 1n), refusal(1n, 3n), refusal(1n, 9n), refusal(2n, 1n)],
      ["already-leader", "not-voter", "unknown-member", "not-leader"],
    );
  }),
];
