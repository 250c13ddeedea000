// Rules of the log: Raft §5.3, §5.4; dissertation §10.2.1 (asynchronous writes); limits of what is under way.
import assert from "node:assert/strict";
import { entrySizeBytes, type MemberId } from "../../server/raft/types.ts";
import { Group } from "./group.ts";
import { alone, append, encode, entriesOf, entry, id, lead, message, type Rule, rule, take, termsOf } from "./rule.ts";

const voters: readonly MemberId[] = [1n, 2n, 3n];
const accepted = (from: MemberId, term: number, index: number) =>
  message("append-accepted", from, term, { index, commit: 0 });

/** A group whose members hold logs of the given terms, and nobody leads. */
function groupWithLogs(logs: readonly (readonly number[])[], term: number): Group {
  const group = new Group({ voters: logs.map((_terms, i) => BigInt(i + 1)) });
  for (const [i, terms] of logs.entries()) {
    const host = group.host(BigInt(i + 1));
    host.crash();
    host.disk.append(entriesOf(...terms));
    host.disk.hardState = { term, vote: undefined, commit: 1 };
    host.start();
  }
  return group;
}

export const logRules: readonly Rule[] = [
  rule("§5.3: an entry is committed when a majority holds it, and then applied in order everywhere", () => {
    for (const size of [1, 2, 3, 4, 5]) {
      const members = Array.from({ length: size }, (_, i) => BigInt(i + 1));
      const group = new Group({ voters: members });
      group.elect(1n);
      for (let i = 0; i < 5; i++) group.propose(1n, `entry ${i}`);
      for (const member of members)
        assert.deepEqual(group.applied(member), ["entry 0", "entry 1", "entry 2", "entry 3", "entry 4"]);
    }
  }),

  rule("§5.3: a follower takes entries only behind an entry that it shares with the leader", () => {
    for (const [previous, isTaken] of [
      [id(1, 1), true],
      [id(2, 2), true],
      [id(3, 3), true],
      [id(2, 3), false],
      [id(3, 4), false],
      [id(9, 9), false],
    ] as const) {
      const host = alone({ log: entriesOf(2, 3) });
      host.node.step(append(2n, 9, previous, [entry(9, previous.index + 1)]));
      host.settle();
      assert.equal(take(host, "append-accepted").length, isTaken ? 1 : 0, `${previous.term}/${previous.index}`);
      assert.equal(take(host, "append-rejected").length, isTaken ? 0 : 1);
    }
  }),

  rule("§5.3: what contradicts the leader is overwritten, what it does not mention stays", () => {
    for (const [previous, sent, result] of [
      [id(3, 3), entriesOf(2, 3, 4).slice(2), [2, 3, 4]],
      [id(2, 2), [entry(4, 3), entry(4, 4)], [2, 4, 4]],
      [id(1, 1), [entry(2, 2)], [2, 3]],
      [id(1, 1), [entry(2, 2), entry(3, 3)], [2, 3]],
      [id(1, 1), [entry(4, 2)], [4]],
    ] as const) {
      const host = alone({ log: entriesOf(2, 3) });
      host.node.step(append(2n, 9, previous, sent));
      host.settle();
      assert.deepEqual(termsOf(host), result);
    }
  }),

  rule("§5.3, figure 7: a leader brings every kind of log to its own", () => {
    const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    for (const follower of [
      [1, 1, 1, 4, 4, 5, 5, 6, 6],
      [1, 1, 1, 4],
      [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
      [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
      [1, 1, 1, 4, 4, 4, 4],
      [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ]) {
      // The third member makes the majority.
      const group = groupWithLogs([leader, follower, [1]], 8);
      group.cut(1n, 2n);
      group.cut(2n, 1n);
      group.elect(1n);
      group.heal();
      group.tick(3);
      assert.deepEqual(termsOf(group.host(2n)), [...leader, group.host(1n).node.status().term], String(follower));
    }
  }),

  rule(
    "§5.4.2, figure 8: entries of an earlier term are committed by an entry of the present one, not by counting",
    () => {
      const host = alone({ log: entriesOf(2), term: 3 });
      const term = lead(host);
      host.settle();
      assert.equal(term, 4);
      host.node.step(accepted(2n, 4, 2));
      host.node.step(accepted(3n, 4, 2));
      assert.equal(host.node.status().commit, 1);
      host.node.step(accepted(2n, 4, 3));
      assert.equal(host.node.status().commit, 3);
    },
  ),

  rule("§5.4.2, figure 8: an old entry that a majority holds may still be lost, so nobody may have applied it", () => {
    // (a) and (b) have happened: 1 led term 2, 5 led term 3 and has an entry of its own.
    const group = groupWithLogs([[1, 2], [1, 2], [1], [1], [1, 3]], 3);
    group.isolate(5n);
    group.cut(1n, 4n);
    // (c): 1 leads again and replicates its old entry to 3, but nothing of the new term gets through.
    group.intercept = (sent) =>
      sent.type === "append" ? { ...sent, entries: sent.entries.filter(({ term }) => term <= 3) } : sent;
    group.elect(1n);
    group.tick(2);
    assert.deepEqual(termsOf(group.host(3n)), [1, 2]);
    // (d): it crashes, and 5 is elected by those who have not heard of it.
    group.host(1n).crash();
    group.intercept = (sent) => sent;
    group.heal();
    group.tick(60);
    const [leader] = group.leaders;
    assert(leader !== undefined);
    group.propose(leader, "after");
    group.host(1n).start();
    group.tick(10);
    const histories = [...group.hosts.values()].map((host) =>
      host.history.map(({ term, index }) => `${term}/${index}`),
    );
    const [first, ...rest] = histories;
    for (const history of rest) assert.deepEqual(history, first);
  }),

  rule("§5.3: a follower acknowledges what is durable, a leader counts itself when it is", () => {
    const group = new Group({ voters });
    group.elect(1n);
    group.slowDisks.add(2n);
    group.slowDisks.add(3n);
    group.propose(1n, "a");
    assert.deepEqual(group.applied(1n), []);
    group.host(2n).completeSaves();
    group.settle();
    assert.deepEqual(group.applied(1n), ["a"]);
    // Now the leader's disk is the slow one: both others are needed.
    group.slowDisks.clear();
    group.slowDisks.add(1n);
    group.isolate(3n);
    group.propose(1n, "b");
    const { commit } = group.host(1n).node.status();
    assert.equal(group.host(1n).node.status().lastIndex, commit + 1);
    group.heal();
    group.tick(2);
    assert.equal(group.host(1n).node.status().commit, commit + 1);
    // Committed, but not applied here before it is durable here.
    assert.deepEqual([group.applied(1n), group.applied(2n)], [["a"], ["a", "b"]]);
    group.slowDisks.clear();
    group.settle();
    assert.deepEqual(group.applied(1n), ["a", "b"]);
  }),

  rule(
    "a save that comes back late vouches for nothing that was overwritten meanwhile, even if it looks the same",
    () => {
      const host = alone();
      const [old] = entriesOf(2);
      assert(old !== undefined);
      host.node.step(append(2n, 2, id(1, 1), [old]));
      host.collect();
      host.node.step(append(3n, 3, id(1, 1), [entry(3, 2)]));
      host.collect();
      host.node.step(append(2n, 4, id(1, 1), [old]));
      host.collect();
      assert.equal(host.saves.length, 3);
      for (const durable of [1, 1, 2]) {
        host.completeSaves(1);
        assert.equal(host.node.status().durable, durable);
      }
    },
  ),

  rule("a crash in the middle of a save leaves no commit index that speaks for what was to be overwritten", () => {
    const host = alone({ log: entriesOf(2, 2) });
    host.node.step(append(2n, 3, id(1, 1), [entry(3, 2), entry(3, 3)], 3));
    host.collect();
    // The hard state made it to the disk, the entries did not.
    host.crash(0, 0);
    host.start();
    host.settle();
    assert.deepEqual([host.node.status().term, host.node.status().lastTerm], [3, 2]);
    assert.deepEqual(host.history, []);
  }),

  rule("a late or doubled append cuts nothing off", () => {
    const host = alone();
    const entries = entriesOf(2, 2, 2, 2);
    host.node.step(append(2n, 2, id(1, 1), entries, 3));
    host.settle();
    host.node.step(append(2n, 2, id(1, 1), entries.slice(0, 1), 1));
    host.node.step(append(2n, 2, id(2, 3), entries.slice(2, 3), 1));
    host.settle();
    assert.deepEqual(termsOf(host), [2, 2, 2, 2]);
    assert.equal(host.node.status().commit, 3);
  }),

  rule(
    "figure 2, AppendEntries 5: the commit index follows the leader's, but not beyond what was just confirmed",
    () => {
      for (const [commit, sent, expected] of [
        [2, 1, 2],
        [9, 1, 2],
        [9, 0, 1],
        [1, 2, 1],
      ] as const) {
        // Behind index 1 there are entries that this leader may not have.
        const host = alone({ log: entriesOf(2, 2, 2) });
        host.node.step(append(2n, 5, id(1, 1), entriesOf(2, 2, 2).slice(0, sent), commit));
        host.settle();
        assert.equal(host.node.status().commit, expected);
        assert.deepEqual(
          take(host, "append-accepted").map(({ index }) => index),
          [1 + sent],
        );
      }
    },
  ),

  rule("§5.3, end: catching up a log of many terms takes round trips by terms, not by entries", () => {
    const shared = Array.from({ length: 50 }, () => 1);
    const ours = [...shared, ...Array.from({ length: 500 }, (_, i) => 2 + 2 * Math.floor(i / 100))];
    const theirs = [...shared, ...Array.from({ length: 1000 }, (_, i) => 3 + 2 * Math.floor(i / 250))];
    const group = groupWithLogs([ours, theirs, shared], 20);
    group.cut(1n, 2n);
    group.cut(2n, 1n);
    group.elect(1n);
    group.heal();
    group.trace.length = 0;
    group.tick(3);
    const rejections = group.trace.filter(({ type, from }) => type === "append-rejected" && from === 2n).length;
    assert(rejections <= 10, `${rejections} rejections`);
    assert.deepEqual(termsOf(group.host(2n)), termsOf(group.host(1n)));
  }),

  rule("no more appends are under way to a member than the window allows, in messages and in bytes", () => {
    for (const raft of [
      { inflightMessagesMax: 4, appendBytesMax: 100 },
      { inflightBytesMax: 400, appendBytesMax: 100 },
    ]) {
      const host = alone({ raft });
      const term = lead(host);
      host.settle();
      host.node.step(accepted(2n, term, 2));
      host.settle();
      host.outgoing = [];
      for (let i = 0; i < 50; i++) {
        host.node.propose(encode(`${i}`.padEnd(60)));
        host.settle();
      }
      const sent = take(host, "append").filter(({ to }) => to === 2n);
      const bytes = sent.flatMap(({ entries }) => entries).reduce((sum, one) => sum + entrySizeBytes(one), 0);
      assert(sent.length <= (raft.inflightMessagesMax ?? 256) + 1, `${sent.length} messages`);
      assert(bytes <= (raft.inflightBytesMax ?? 1e6) + 200, `${bytes} bytes`);
      // An acknowledgement makes room, and what waited goes out.
      const last = sent.flatMap(({ entries }) => entries).at(-1)?.index ?? 0;
      host.node.step(accepted(2n, term, last));
      host.settle();
      assert.equal(take(host, "append").find(({ to }) => to === 2n)?.entries[0]?.index, last + 1);
    }
  }),

  rule("a thousand proposals of one turn travel in one append", () => {
    const host = alone();
    const term = lead(host);
    host.settle();
    for (const from of [2n, 3n]) host.node.step(accepted(from, term, 2));
    host.settle();
    host.outgoing = [];
    for (let i = 0; i < 1000; i++) host.node.propose(encode(`${i}`));
    host.settle();
    assert.deepEqual(
      take(host, "append").map(({ entries }) => entries.length),
      [1000, 1000],
    );
  }),

  rule(
    "without a quorum a leader takes proposals up to a limit in bytes, refuses with its name, and takes them again",
    () => {
      const host = alone({ raft: { uncommittedBytesMax: 1000 } });
      const term = lead(host);
      host.settle();
      let taken = 0;
      while (host.node.propose(encode("x".repeat(76))).kind === "accepted" && taken < 100) taken++;
      assert.equal(taken, 9);
      assert.deepEqual(host.node.propose(encode("")), { kind: "accepted", index: 12, term });
      assert.deepEqual(host.node.propose(encode("x".repeat(76))), { kind: "refused", reason: "uncommitted-full" });
      assert.equal(host.node.status().uncommittedBytes, 24 + 9 * 100 + 24);
      host.settle();
      host.node.step(accepted(2n, term, 12));
      host.settle();
      assert.equal(host.node.status().uncommittedBytes, 0);
      // A single one is taken whatever its size, or it could never be.
      assert.equal(host.node.propose(encode("x".repeat(5000))).kind, "accepted");
      assert.deepEqual(host.node.propose(encode("y")), { kind: "refused", reason: "uncommitted-full" });
    },
  ),

  rule("no more is handed out for applying than the window allows, and a snapshot opens it again", () => {
    const host = alone({ raft: { applyBytesMax: 60, applyingBytesMax: 100 } });
    host.node.step(append(2n, 2, id(1, 1), entriesOf(2, 2, 2, 2, 2, 2, 2, 2), 9));
    host.collect();
    host.completeSaves();
    host.collect();
    assert.deepEqual(
      host.toApply.map(({ index }) => index),
      [2, 3, 4, 5],
    );
    host.node.step(message("snapshot", 2n, 2, { snapshot: { ...id(2, 20), confState: host.applied.confState } }));
    host.collect();
    host.completeSaves();
    host.node.step(append(2n, 2, id(2, 20), [entry(2, 21)], 21));
    host.settle();
    assert.equal(host.applied.index, 21);
  }),

  rule("a member whose log is shorter than what it acknowledged stops", () => {
    const host = alone();
    host.node.step(append(2n, 2, id(1, 1), []));
    assert.throws(() => host.node.step(message("heartbeat", 2n, 2, { commit: 5, round: 0 })), /lost what it had/);
  }),

  rule("a heartbeat carries the commit index no further than the member is known to agree", () => {
    const host = alone();
    const term = lead(host);
    host.settle();
    host.node.step(accepted(2n, term, 2));
    host.settle();
    assert.equal(host.node.status().commit, 2);
    host.outgoing = [];
    host.node.tick();
    host.collect();
    assert.deepEqual(
      take(host, "heartbeat").map(({ to, commit }) => [to, commit]),
      [
        [2n, 2],
        [3n, 0],
      ],
    );
  }),
];
