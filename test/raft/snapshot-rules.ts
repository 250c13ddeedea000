// Rules of snapshots (Raft §7), of forwarding, and of messages that should not be.
import assert from "node:assert/strict";
import { createRandom } from "../../server/lib/random.ts";
import type { Message } from "../../server/raft/message.ts";
import type { MemberId } from "../../server/raft/types.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { Group } from "./group.ts";
import { alone, append, encode, entriesOf, entry, id, lead, message, type Rule, rule, take, termsOf } from "./rule.ts";

const voters: readonly MemberId[] = [1n, 2n, 3n];
const accepted = (from: MemberId, term: number, index: number) =>
  message("append-accepted", from, term, { index, commit: 0 });

/** A group whose leader 1 has compacted what member 3 was not there for. */
function groupWithStraggler(): Group {
  const group = new Group({ voters });
  group.elect(1n);
  group.isolate(3n);
  for (let i = 0; i < 10; i++) group.propose(1n, `entry ${i}`);
  group.host(1n).compact();
  return group;
}

export const snapshotRules: readonly Rule[] = [
  rule("§7: a member that needs what was compacted gets a snapshot, then the log again", () => {
    const group = groupWithStraggler();
    group.heal();
    group.tick(3);
    group.propose(1n, "after");
    assert.equal(group.trace.filter(({ type }) => type === "snapshot").length, 1);
    assert.equal(group.host(3n).disk.firstIndex(), group.host(1n).disk.firstIndex());
    assert.deepEqual(group.applied(3n), ["after"]);
    assert.equal(group.host(1n).node.status().progress[2]?.state, "replicate");
  }),

  rule("a snapshot that does not arrive is tried again, not at once, and not for a member that is silent", () => {
    const group = groupWithStraggler();
    group.heal();
    let tries = 0;
    group.intercept = (sent) => (sent.type === "snapshot" && ++tries <= 2 ? undefined : sent);
    for (const expected of [1, 2, 3, 3]) {
      group.tick();
      assert.equal(tries, expected);
    }
    assert.equal(group.host(3n).applied.index, group.host(1n).applied.index);
    const silent = groupWithStraggler();
    silent.tick(30);
    assert.equal(silent.trace.filter(({ type }) => type === "snapshot").length, 0);
  }),

  rule(
    "no append is sent while a snapshot is on its way, and any acknowledgement within reach of the log ends that",
    () => {
      const host = alone();
      const term = lead(host);
      host.settle();
      for (let i = 0; i < 10; i++) host.node.propose(encode(`${i}`));
      host.settle();
      host.node.step(accepted(2n, term, 12));
      host.settle();
      host.compact(10);
      host.node.step(message("append-rejected", 3n, term, { index: 1, hint: id(0, 0) }));
      host.settle();
      assert.deepEqual(
        take(host, "snapshot").map(({ snapshot }) => snapshot.index),
        [12],
      );
      host.outgoing = [];
      host.node.propose(encode("more"));
      host.settle();
      assert.deepEqual(
        take(host, "append").map(({ to }) => to),
        [2n],
      );
      host.node.step(accepted(3n, term, 11));
      host.settle();
      assert.deepEqual(
        take(host, "append").map(({ to, previous }) => [to, previous.index]),
        [[3n, 11]],
      );
    },
  ),

  rule("a snapshot replaces state and log in one save, and is acknowledged when it is durable", () => {
    const host = alone({ log: entriesOf(2, 2, 2) });
    const { confState } = host.applied;
    host.node.step(message("snapshot", 2n, 5, { snapshot: { ...id(4, 20), confState } }));
    host.node.step(append(2n, 5, id(4, 20), [entry(5, 21)], 21));
    host.collect();
    const [first, second] = host.saves;
    assert.deepEqual([first?.snapshot?.index, first?.entries.length, first?.messagesAfter], [20, 0, []]);
    assert.deepEqual([second?.snapshot, second?.entries.map(({ index }) => index)], [undefined, [21]]);
    assert.deepEqual(take(host, "append-accepted"), []);
    host.completeSaves(1);
    assert.equal(host.node.status().applied, 20);
    host.settle();
    assert.deepEqual(
      take(host, "append-accepted").map(({ index }) => index),
      [21],
    );
    assert.deepEqual([host.disk.firstIndex(), host.disk.lastIndex(), host.applied.index], [21, 21, 21]);
  }),

  rule("a crash between the hard state and the installation of a snapshot leaves the old log as it was", () => {
    const host = alone({ log: entriesOf(2, 2, 2) });
    const { confState } = host.applied;
    host.node.step(append(2n, 3, id(2, 4), [], 2));
    host.settle();
    host.node.step(message("snapshot", 2n, 5, { snapshot: { ...id(4, 20), confState } }));
    host.collect();
    const [save] = host.saves;
    assert(save !== undefined);
    host.crash();
    host.disk.hardState = save.hardState;
    host.start();
    const { term, commit, lastIndex } = host.node.status();
    assert.deepEqual([term, commit <= 2, lastIndex], [5, true, 4]);
  }),

  rule(
    "snapshots that are old, superfluous, not for this member, or come while one is being installed are not installed",
    () => {
      const log = entriesOf(2, 2, 2, 2);
      const host = alone({ log });
      const { confState } = host.applied;
      host.node.step(append(2n, 3, id(2, 5), [], 3));
      host.settle();
      host.outgoing = [];
      const offer = (index: number, term: number, members = confState) =>
        host.node.step(message("snapshot", 2n, 3, { snapshot: { ...id(term, index), confState: members } }));
      offer(3, 2);
      offer(2, 1);
      assert.equal(host.node.status().pendingSnapshot, undefined);
      // The log holds this one's last entry: it tells what is committed, no more.
      offer(4, 2);
      assert.deepEqual([host.node.status().pendingSnapshot, host.node.status().commit], [undefined, 4]);
      offer(9, 3, { ...confState, voters: [2n, 3n] });
      assert.equal(host.node.status().pendingSnapshot, undefined);
      offer(9, 3);
      offer(12, 3);
      assert.equal(host.node.status().pendingSnapshot, 9);
      host.settle();
      assert.equal(host.applied.index, 9);
      assert.deepEqual(host.node.campaign(), { kind: "accepted" });
    },
  ),

  rule("a term that is not known matches nothing: a member throttled behind a compacted log gets a snapshot", () => {
    const host = alone({ raft: { inflightMessagesMax: 1 } });
    const term = lead(host);
    host.settle();
    host.node.step(accepted(2n, term, 2));
    host.node.step(accepted(3n, term, 2));
    for (let i = 0; i < 5; i++) host.node.propose(encode(`${i}`));
    host.settle();
    host.node.step(accepted(2n, term, 7));
    for (let i = 0; i < 5; i++) host.node.propose(encode(`${i}`));
    host.settle();
    host.node.step(accepted(2n, term, 12));
    host.settle();
    // Member 3 owes the answer to 3..7, its window is full, and everything it has and is to get is compacted.
    host.compact();
    host.outgoing = [];
    host.node.step(message("heartbeat-response", 3n, term, { round: 0, commit: 0 }));
    host.settle();
    assert.deepEqual(
      host.outgoing.filter(({ to }) => to === 3n).map(({ type }) => type),
      ["snapshot"],
    );
    // And the other side: an empty append behind an entry that is not here, with the term nobody has.
    const follower = alone();
    follower.node.step(append(2n, 5, id(0, 9), [], 9));
    follower.settle();
    assert.deepEqual(take(follower, "append-accepted"), []);
  }),

  rule("a follower hands proposals on, and learns which were refused", () => {
    const group = new Group({ voters, raft: { uncommittedBytesMax: 200 } });
    assert.deepEqual(group.host(2n).node.propose(encode("early")), { kind: "refused", reason: "no-leader" });
    group.elect(1n);
    assert.deepEqual(group.host(2n).node.propose(encode("a")), { kind: "forwarded", to: 1n, sequence: 1 });
    assert.deepEqual(group.host(2n).node.propose(encode("b")), { kind: "forwarded", to: 1n, sequence: 2 });
    group.settle();
    assert.deepEqual(group.applied(3n), ["a", "b"]);
    assert.equal(group.trace.filter(({ type }) => type === "propose").length, 1);
    group.isolate(3n);
    group.slowDisks.add(2n);
    group.host(1n).node.propose(encode("x".repeat(50)));
    for (const text of ["c", "d"]) group.host(2n).node.propose(encode(text.repeat(50)));
    assert.deepEqual(group.host(2n).node.propose(encode("f".repeat(50))), {
      kind: "refused",
      reason: "uncommitted-full",
    });
    group.settle();
    assert.deepEqual(group.host(2n).refusals, [{ sequence: 4, count: 1, reason: "uncommitted-full" }]);
    const strict = new Group({ voters, raft: { forwardProposals: false } });
    strict.elect(1n);
    assert.deepEqual(strict.host(2n).node.propose(encode("a")), { kind: "refused", reason: "not-leader" });
  }),

  rule("a forwarded proposal enters the log once, however often and late its message comes", () => {
    const host = alone();
    const term = lead(host);
    const forward = (session: number, sequence: number, ...texts: string[]) =>
      host.node.step(
        message("propose", 2n, term, {
          session,
          sequence,
          proposals: texts.map((text) => ({ kind: "normal", data: encode(text) })),
        }),
      );
    forward(7, 1, "a", "b");
    forward(7, 1, "a", "b");
    forward(7, 3, "c");
    forward(7, 1, "a", "b");
    forward(8, 1, "d");
    host.settle();
    assert.equal(host.node.status().lastIndex, 2 + 4);
    // When it leads no more it refuses what is new; what it may have taken it leaves open.
    for (let ticks = 0; ticks < 10; ticks++) host.node.tick();
    assert.equal(host.node.status().role, "follower");
    host.outgoing = [];
    forward(7, 3, "c");
    forward(7, 4, "e");
    host.settle();
    assert.deepEqual(
      take(host, "propose-refused").map(({ sequence, reason }) => [sequence, reason]),
      [[4, "not-leader"]],
    );
    // After a restart it knows nothing of what it took.
    host.crash();
    host.start();
    forward(7, 5, "f");
    host.settle();
    assert.deepEqual(take(host, "propose-refused"), []);
  }),

  rule("messages to others, from oneself, from nobody, or without sense change nothing", () => {
    const host = alone({ log: entriesOf(2, 3) });
    const before = host.node.status();
    const good = append(2n, 9, id(3, 3), [entry(9, 4)]);
    const bad: Message[] = [
      { ...good, to: 2n },
      { ...good, from: 1n },
      { ...good, from: 0n },
      { ...good, term: -1 },
      { ...good, term: 2 ** 60 },
      { ...good, term: Number.NaN },
      append(2n, 9, id(3, 3), [entry(9, 5)]),
      append(2n, 9, id(3, 3), [entry(9, 4), entry(8, 5)]),
      append(2n, 9, id(3, 3), [entry(10, 4)]),
      append(2n, 9, id(3, 3.5), []),
      message("append-rejected", 2n, 9, { index: 1, hint: id(1, 5) }),
      message("vote-request", 2n, 9, { last: id(10, 3), transfer: false }),
      message("snapshot", 2n, 9, { snapshot: { ...id(3, 0), confState: before.confState } }),
    ];
    for (const one of bad) host.node.step(one);
    const after = host.node.status();
    assert.deepEqual({ ...after, ignoredMessages: 0 }, before);
    assert.equal(after.ignoredMessages, bad.length);
    assert.equal(host.node.hasReady(), false);
  }),

  rule("random messages never break an invariant, nor what is committed", () => {
    const seed = seedFromEnvironment();
    const random = createRandom(seed);
    const number = (): number => random.below(12);
    for (let round = 0; round < 300; round++) {
      const host = alone({ log: entriesOf(1, 1, 2), raft: { preVote: random.below(2) === 0 } });
      for (let i = 0; i < 40; i++) {
        const from = BigInt(2 + random.below(3));
        const term = 2 + number();
        const previous = id(number(), number());
        const one = [
          message("vote-request", from, term, { last: id(number(), number()), transfer: random.below(2) === 0 }),
          message("vote-response", from, term, { granted: random.below(2) === 0, committed: id(0, 0) }),
          message("pre-vote-response", from, term, { granted: random.below(2) === 0, committed: id(0, 0) }),
          append(from, term, previous, [entry(previous.term + 1, previous.index + 1)]),
          message("append-accepted", from, term, { index: number(), commit: number() }),
          message("append-rejected", from, term, { index: number() + 12, hint: id(number(), number()) }),
          message("heartbeat-response", from, term, { round: number(), commit: number() }),
          message("timeout-now", from, term, {}),
          message("newer-term", from, term, {}),
          message("read-request", from, term, { session: number(), id: number() }),
          message("read-response", from, term, { session: number(), id: number(), index: number() }),
        ][random.below(11)];
        assert(one !== undefined);
        host.node.step(one);
        if (random.below(3) === 0) host.node.tick();
        if (random.below(10) === 0) host.node.campaign();
        if (random.below(2) === 0) host.settle();
      }
      host.settle();
      const terms = termsOf(host);
      assert.deepEqual(
        terms,
        [...terms].sort((a, b) => a - b),
        `seed ${seed}, round ${round}`,
      );
    }
  }),
];
