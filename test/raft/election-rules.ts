// Rules of elections: Raft §5.1, §5.2, §5.4.1, §6; dissertation §3.10, §4.2.3, §6.2, §9.6.
import assert from "node:assert/strict";
import type { MemberId } from "../../server/raft/types.ts";
import { Group } from "./group.ts";
import { Host } from "./host.ts";
import {
  addVoter,
  alone,
  append,
  change,
  changeEntry,
  encode,
  entriesOf,
  id,
  lead,
  message,
  type Rule,
  rule,
  take,
} from "./rule.ts";

const voters: readonly MemberId[] = [1n, 2n, 3n];
const noPreVote = { preVote: false } as const;

const voteRequest = (from: MemberId, term: number, last = id(1, 1), transfer = false) =>
  message("vote-request", from, term, { last, transfer });

/** The answers to vote requests once everything is saved. */
function answers(host: Host): readonly { readonly to: MemberId; readonly granted: boolean }[] {
  host.settle();
  return take(host, "vote-response").map(({ to, granted }) => ({ to, granted }));
}

export const electionRules: readonly Rule[] = [
  rule("§5.1: whoever sees a higher term takes it over and follows", () => {
    const follower = alone();
    follower.node.step(append(2n, 5, id(1, 1), []));
    const leader = alone({ raft: noPreVote });
    const term = lead(leader);
    leader.node.step(message("append-rejected", 2n, term + 3, { index: 1, hint: id(1, 1) }));
    for (const [host, expected] of [
      [follower, 5],
      [leader, term + 3],
    ] as const) {
      assert.equal(host.node.status().term, expected);
      assert.equal(host.node.status().role, "follower");
    }
  }),

  rule("§5.1: requests of an old term are not served, and their sender is told", () => {
    const host = alone({ term: 4 });
    host.node.step(append(2n, 3, id(1, 1), entriesOf(3)));
    host.node.step(voteRequest(3n, 2));
    host.settle();
    assert.equal(host.node.status().lastIndex, 1);
    assert.deepEqual(
      host.outgoing.map(({ type, to, term }) => [type, to, term]),
      [
        ["newer-term", 2n, 4],
        ["vote-response", 3n, 4],
      ],
    );
    assert.deepEqual(answers(host), [{ to: 3n, granted: false }]);
  }),

  rule("§5.2: a leader speaks up at every heartbeat interval", () => {
    const host = alone({ raft: { heartbeatTicks: 3 } });
    lead(host);
    const sentAt: number[] = [];
    for (let ticks = 1; ticks <= 9; ticks++) {
      host.node.tick();
      host.collect();
      if (take(host, "heartbeat").length === 2) sentAt.push(ticks);
    }
    assert.deepEqual(sentAt, [3, 6, 9]);
  }),

  rule("§5.2: a follower without a leader campaigns after a time that differs from member to member", () => {
    const waits = new Set<number>();
    for (let seed = 1; seed <= 40; seed++) {
      const group = new Group({ voters });
      const host = new Host({ id: 1n, bootstrap: group.host(1n).applied, seed, raft: { electionTicks: 10 } });
      let ticks = 0;
      while (host.node.status().role === "follower") {
        host.node.tick();
        ticks++;
      }
      assert(ticks > 10 && ticks <= 20, `campaigned after ${ticks} ticks`);
      waits.add(ticks);
    }
    assert(waits.size >= 8, `only ${waits.size} different waits`);
  }),

  rule("§5.2: a member votes once in a term, for the first who asks, and says the same again when asked again", () => {
    const host = alone();
    host.node.step(voteRequest(2n, 2));
    host.node.step(voteRequest(3n, 2));
    host.node.step(voteRequest(2n, 2));
    const granted = answers(host).filter((answer) => answer.granted);
    assert.deepEqual(new Set(granted.map(({ to }) => to)), new Set([2n]));
    host.crash();
    host.start();
    host.node.step(voteRequest(3n, 2));
    assert.deepEqual(answers(host), [{ to: 3n, granted: false }]);
  }),

  rule("§5.2: a majority elects, no less", () => {
    for (const [size, granting, role] of [
      [1, 0, "leader"],
      [2, 0, "candidate"],
      [2, 1, "leader"],
      [3, 1, "leader"],
      [4, 1, "candidate"],
      [4, 2, "leader"],
      [5, 1, "candidate"],
      [5, 2, "leader"],
    ] as const) {
      const members = Array.from({ length: size }, (_, i) => BigInt(i + 1));
      const host = alone({ voters: members, raft: noPreVote });
      host.node.campaign();
      host.settle();
      for (const from of members.slice(1, granting + 1))
        host.node.step(message("vote-response", from, 2, { granted: true, committed: id(0, 0) }));
      assert.equal(host.node.status().role, role, `${granting} of ${size - 1} others grant`);
    }
  }),

  rule("§5.2: a candidate that a majority refuses, or that hears a leader of its term, follows", () => {
    const refused = alone({ raft: noPreVote });
    refused.node.campaign();
    refused.settle();
    for (const from of [2n, 3n])
      refused.node.step(message("vote-response", from, 2, { granted: false, committed: id(0, 0) }));
    assert.equal(refused.node.status().role, "follower");
    const late = alone({ raft: noPreVote });
    late.node.campaign();
    late.settle();
    late.node.step(append(3n, 2, id(1, 1), []));
    assert.deepEqual([late.node.status().role, late.node.status().leader], ["follower", 3n]);
  }),

  rule("§5.4.1: a vote goes only to a log that is at least as complete", () => {
    const log = entriesOf(2, 3);
    for (const [last, granted] of [
      [id(3, 3), true],
      [id(3, 4), true],
      [id(4, 2), true],
      [id(3, 2), false],
      [id(2, 9), false],
      [id(1, 1), false],
    ] as const) {
      const host = alone({ log });
      host.node.step(voteRequest(2n, 9, last));
      assert.deepEqual(answers(host), [{ to: 2n, granted }], `${last.term}/${last.index}`);
      const asked = alone({ log });
      asked.node.step(message("pre-vote-request", 2n, 9, { last }));
      asked.settle();
      assert.deepEqual(
        take(asked, "pre-vote-response").map((answer) => answer.granted),
        [granted],
      );
    }
  }),

  rule("figure 2, persistent state: a granted vote leaves after term and vote are durable", () => {
    const host = alone();
    host.node.step(voteRequest(2n, 7));
    host.collect();
    assert.deepEqual(host.outgoing, []);
    assert.deepEqual(
      host.saves.map(({ hardState }) => [hardState.term, hardState.vote]),
      [[7, 2n]],
    );
    host.completeSaves();
    assert.deepEqual(
      take(host, "vote-response").map(({ granted }) => granted),
      [true],
    );
  }),

  rule("a candidate asks for votes only on the strength of what is durable, and counts its own vote no earlier", () => {
    const host = alone({ raft: noPreVote });
    host.node.step(append(2n, 3, id(1, 1), entriesOf(3)));
    host.collect();
    host.node.campaign();
    host.collect();
    assert.deepEqual(take(host, "vote-request"), []);
    host.settle();
    assert.deepEqual(
      take(host, "vote-request").map(({ to, last }) => [to, last]),
      [
        [2n, id(3, 2)],
        [3n, id(3, 2)],
      ],
    );
    // With learners even a lone voter has somebody to mislead.
    const lone = alone({ voters: [1n], learners: [2n], raft: noPreVote });
    lone.node.campaign();
    lone.collect();
    assert.equal(lone.node.status().role, "candidate");
    lone.settle();
    assert.equal(lone.node.status().role, "leader");
  }),

  rule("§9.6: a member that was cut off comes back with its old term and disturbs nobody", () => {
    const group = new Group({ voters });
    group.elect(1n);
    const { term } = group.host(1n).node.status();
    group.isolate(3n);
    group.tick(100);
    assert.equal(group.host(3n).node.status().term, term);
    assert.equal(group.host(3n).node.status().role, "pre-candidate");
    group.heal();
    group.tick(30);
    assert.deepEqual(group.leaders, [1n]);
    for (const host of group.hosts.values()) assert.equal(host.node.status().term, term);
  }),

  rule("§9.6: without a majority of pre-votes nobody's term changes", () => {
    const host = alone();
    host.node.campaign();
    host.settle();
    assert.deepEqual([host.node.status().role, host.node.status().term], ["pre-candidate", 1]);
    for (const from of [2n, 3n])
      host.node.step(message("pre-vote-response", from, 1, { granted: false, committed: id(0, 0) }));
    host.settle();
    assert.deepEqual([host.node.status().role, host.node.status().term], ["follower", 1]);
    assert.equal(host.disk.hardState.vote, undefined);
  }),

  rule("§4.2.3: a member that hears its leader neither votes nor changes its term for one who asks", () => {
    const host = alone();
    host.node.step(append(2n, 2, id(1, 1), []));
    host.settle();
    host.outgoing = [];
    host.node.step(voteRequest(3n, 9, id(9, 9)));
    host.node.step(message("pre-vote-request", 3n, 9, { last: id(9, 9) }));
    host.settle();
    assert.deepEqual([host.outgoing, host.node.status().term], [[], 2]);
    // Unless the leader itself has sent the candidate.
    host.node.step(voteRequest(3n, 9, id(9, 9), true));
    assert.deepEqual(answers(host), [{ to: 3n, granted: true }]);
  }),

  rule("§4.2.1: a learner votes when it is asked: it may have been promoted and not know it", () => {
    const host = alone({ voters: [2n, 3n], learners: [1n] });
    host.node.step(voteRequest(2n, 2));
    assert.deepEqual(answers(host), [{ to: 2n, granted: true }]);
    host.node.step(message("pre-vote-request", 2n, 3, { last: id(1, 1) }));
    host.settle();
    assert.deepEqual(
      take(host, "pre-vote-response").map(({ granted }) => granted),
      [true],
    );
  }),

  rule("learners and strangers do not campaign, but give up a leader that is silent", () => {
    for (const host of [alone({ voters: [2n, 3n], learners: [1n] }), alone({ voters: [2n, 3n] })]) {
      host.node.step(append(2n, 2, id(1, 1), []));
      for (let ticks = 0; ticks < 50; ticks++) host.node.tick();
      host.settle();
      assert.deepEqual([host.node.status().role, host.node.status().term], ["follower", 2]);
      assert.equal(host.node.status().leader, undefined);
      assert.deepEqual(host.node.campaign(), { kind: "refused", reason: "not-promotable" });
    }
  }),

  rule("§6.2: a leader that no quorum answers steps down within an election timeout", () => {
    for (const oneWay of [false, true]) {
      const group = new Group({ voters });
      group.elect(1n);
      group.tick(3);
      if (oneWay) for (const other of [2n, 3n]) group.cut(other, 1n);
      else group.isolate(1n);
      group.tick(10);
      assert.equal(group.host(1n).node.status().role, "follower", `one way: ${oneWay}`);
      group.tick(100);
      assert.equal(group.leaders.length, 1);
      assert.notDeepEqual(group.leaders, [1n]);
    }
  }),

  rule("any single link may fail one way, and there is a leader that stays and commits", () => {
    for (const from of voters)
      for (const to of voters.filter((other) => other !== from)) {
        const group = new Group({ voters });
        group.elect(1n);
        group.cut(from, to);
        group.tick(60);
        const [leader, ...others] = group.leaders;
        assert(leader !== undefined && others.length === 0, `${from}>${to}: leaders ${group.leaders}`);
        const { term } = group.host(leader).node.status();
        group.tick(100);
        assert.equal(group.host(leader).node.status().term, term, `${from}>${to}: elections go on`);
        group.propose(leader, "a");
        group.tick(2);
        assert.deepEqual(group.applied(leader), ["a"], `${from}>${to}`);
      }
  }),

  rule("a member that is ahead in terms does not stay apart: its leader learns of it and a new term begins", () => {
    const group = new Group({ voters, raft: noPreVote });
    group.elect(1n);
    group.isolate(3n);
    group.tick(60);
    const ahead = group.host(3n).node.status().term;
    assert(ahead > group.host(1n).node.status().term);
    group.heal();
    group.tick(60);
    assert.equal(group.leaders.length, 1);
    group.propose(group.leaders[0] as MemberId, "a");
    group.tick(2);
    for (const member of voters) assert.deepEqual(group.applied(member), ["a"]);
  }),

  rule("nobody campaigns under a membership that is known to be an old one", () => {
    const log = [changeEntry(2, 2, change(addVoter(4n)))];
    const host = alone({ log });
    host.node.step(append(2n, 2, id(2, 2), [], 2));
    host.collect();
    host.completeSaves();
    host.collect();
    assert.deepEqual(
      host.toApply.map(({ index }) => index),
      [2],
    );
    assert.deepEqual(host.node.campaign(), { kind: "refused", reason: "conf-change-pending" });
    host.settle();
    assert.deepEqual(host.node.campaign(), { kind: "accepted" });
    host.settle();
    assert.deepEqual(
      take(host, "pre-vote-request").map(({ to }) => to),
      [2n, 3n, 4n],
    );
  }),

  rule("of two membership changes in a log the first is committed, and a member that starts up knows it", () => {
    const log = [changeEntry(2, 2, change(addVoter(4n))), changeEntry(2, 3, change(addVoter(5n)))];
    const host = alone({ log });
    assert.equal(host.node.status().commit, 2);
    assert.deepEqual(host.node.campaign(), { kind: "refused", reason: "conf-change-pending" });
    host.settle();
    assert.deepEqual(host.applied.confState.voters, [1n, 2n, 3n, 4n]);
  }),

  rule("§5.2: a member that asks over and over and cannot win does not keep the one that can from asking", () => {
    const host = alone({ log: entriesOf(2, 3), raft: noPreVote });
    let asked = 0;
    for (let term = 4; term < 40 && asked === 0; term += 2) {
      host.node.step(voteRequest(2n, term, id(2, 2)));
      for (let ticks = 0; ticks < 6; ticks++) host.node.tick();
      host.settle();
      asked = take(host, "vote-request").length;
    }
    assert(asked > 0, "it never asked");
  }),

  rule("§5.2: two leaders in one term are never followed", () => {
    const host = alone();
    host.node.step(append(2n, 2, id(1, 1), entriesOf(2)));
    host.node.step(append(3n, 2, id(1, 1), [{ ...entriesOf(2)[0]!, data: encode("other") }]));
    host.settle();
    assert.equal(host.node.status().leader, 2n);
    assert.equal(host.node.status().ignoredMessages, 1);
  }),
];
