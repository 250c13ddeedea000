// Rules of telling others what is committed when the commit index waits for something to travel with, and of
// acknowledgements that wait for saves under way. Both save messages and writes, and must cost nobody an answer.
import assert from "node:assert/strict";
import type { MemberId } from "../../server/raft/types.ts";
import { Group } from "./group.ts";
import type { Host } from "./host.ts";
import { alone, append, encode, entriesOf, id, lead, message, type Rule, rule, take } from "./rule.ts";

const accepted = (from: MemberId, term: number, index: number) =>
  message("append-accepted", from, term, { index, commit: 0 });

/** Member 1 leads, holds commits back, and both others have its no-op, the entry 2. Nobody but it knows that. */
function leading(): { readonly host: Host; readonly term: number } {
  const host = alone({ raft: { holdCommits: true } });
  const term = lead(host);
  host.settle();
  for (const follower of [2n, 3n]) host.node.step(accepted(follower, term, 2));
  host.settle();
  assert.equal(host.node.status().commit, 2);
  return { host, term };
}

/** Takes the appends out and names receiver, number of entries and commit index of each. */
const sent = (host: Host): readonly string[] =>
  take(host, "append").map(({ to, entries, commit }) => `${to}: ${entries.length} entries, commit ${commit}`);

export const commitRules: readonly Rule[] = [
  rule("a commit index that is held back travels with the next entries", () => {
    const { host } = leading();
    sent(host);
    assert.equal(host.node.heldCommit, 2);
    assert.equal(host.node.hasReady(), false);
    host.node.propose(encode("a"));
    host.settle();
    assert.deepEqual(sent(host), ["2: 1 entries, commit 2", "3: 1 entries, commit 2"]);
    assert.equal(host.node.heldCommit, undefined);
  }),

  rule("a commit index that is held back travels with a heartbeat", () => {
    const { host } = leading();
    sent(host);
    host.node.tick();
    host.settle();
    assert.deepEqual(
      take(host, "heartbeat").map(({ commit }) => commit),
      [2, 2],
    );
    assert.equal(host.node.heldCommit, undefined);
  }),

  rule("a commit index that the host calls for leaves at once, a newer one does not", () => {
    const { host, term } = leading();
    sent(host);
    const held = host.node.heldCommit;
    assert.equal(held, 2);
    host.node.announceCommit(2);
    host.settle();
    assert.deepEqual(sent(host), ["2: 0 entries, commit 2", "3: 0 entries, commit 2"]);
    host.node.propose(encode("a"));
    host.settle();
    sent(host);
    host.node.step(accepted(2n, term, 3));
    host.settle();
    host.node.announceCommit(2);
    host.settle();
    assert.deepEqual(sent(host), []);
    assert.equal(host.node.heldCommit, 3);
  }),

  rule("a member whose client's proposal is committed is told at once", () => {
    const { host, term } = leading();
    sent(host);
    const proposals = [{ kind: "normal", data: encode("a") }] as const;
    host.node.step(message("propose", 3n, term, { session: 7, sequence: 1, proposals }));
    host.settle();
    sent(host);
    host.node.step(accepted(2n, term, 3));
    host.settle();
    assert.deepEqual(sent(host), ["3: 0 entries, commit 3"]);
  }),

  rule("a member gets the commit index with the answer to its read", () => {
    const { host, term } = leading();
    sent(host);
    host.node.propose(encode("a"));
    host.settle();
    sent(host);
    host.node.step(accepted(2n, term, 3));
    // What a heartbeat tells is bounded by what the member is known to hold: the entry 3 is still on its way to it.
    host.node.step(message("read-request", 3n, term, { session: 7, id: 1 }));
    host.settle();
    const round = take(host, "heartbeat").at(-1)?.round ?? -1;
    assert.deepEqual(sent(host), []);
    host.node.step(message("heartbeat-response", 2n, term, { round, commit: 0 }));
    host.settle();
    assert.deepEqual(
      take(host, "read-response").map(({ to, index }) => [to, index]),
      [[3n, 3]],
    );
    assert.deepEqual(sent(host), ["3: 0 entries, commit 3"]);
  }),

  rule("without a call, followers still come to apply everything", () => {
    const group = new Group({ voters: [1n, 2n, 3n], raft: { holdCommits: true } });
    group.elect(1n);
    group.propose(1n, "a");
    assert.deepEqual(group.applied(1n), ["a"]);
    assert.deepEqual(group.applied(2n), []);
    group.tick(2);
    for (const member of [2n, 3n]) assert.deepEqual(group.applied(member), ["a"]);
    group.propose(2n, "b");
    assert.deepEqual(group.applied(2n), ["a", "b"]);
  }),

  rule("an acknowledgement waits for the save under way, and makes no other", () => {
    const host = alone();
    host.node.step(append(2n, 2, id(1, 1), entriesOf(2)));
    host.collect();
    assert.equal(host.saves.length, 1);
    host.node.step(append(2n, 2, id(2, 2), [], 2));
    host.collect();
    assert.equal(host.saves.length, 1);
    assert.deepEqual(take(host, "append-accepted"), []);
    host.completeSaves();
    host.collect();
    assert.equal(take(host, "append-accepted").at(-1)?.index, 2);
    assert.equal(host.saves.length, 0);
  }),
];
