// What a member remembers of proposals that it forwarded: enough to tell their clients that they are lost, and no more.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ForwardedProposals } from "../../server/replica/forwarded-proposals.ts";

const idOf = (sequence: number) => ({ proposer: 7, sequence });

function forwardedOf(waiting: Set<number>): ForwardedProposals {
  return new ForwardedProposals(({ sequence }) => waiting.has(sequence));
}

test("an entry of a newer term tells that what was sent to older leaders is lost, once", () => {
  const forwarded = forwardedOf(new Set([1, 2, 3, 4]));
  for (const sequence of [1, 2, 3, 4]) forwarded.add(10 + sequence, idOf(sequence));
  forwarded.onSent(11, 2, 4);
  forwarded.onSent(13, 1, 6);
  assert.deepEqual(forwarded.onApplied(4), []);
  assert.deepEqual(forwarded.onApplied(6), [idOf(1), idOf(2)]);
  assert.deepEqual(forwarded.onApplied(6), []);
  // What has not left yet is meant for a leader that is still to come.
  assert.deepEqual(forwarded.onApplied(7), [idOf(3)]);
  assert.equal(forwarded.size, 1);
});

test("of what a snapshot may hold nothing is known any more", () => {
  const forwarded = forwardedOf(new Set([1, 2, 3]));
  for (const sequence of [1, 2, 3]) forwarded.add(10 + sequence, idOf(sequence));
  forwarded.onSent(11, 1, 4);
  forwarded.onSent(12, 1, 5);
  forwarded.forgetTo(4);
  assert.deepEqual(forwarded.onApplied(9), [idOf(2)]);
  assert.deepEqual(forwarded.onRefused(11, 3), [idOf(3)]);
});

test("the leader's refusals name raft's numbers, also ones that are not known any more", () => {
  const forwarded = forwardedOf(new Set([1, 2]));
  forwarded.add(11, idOf(1));
  forwarded.add(12, idOf(2));
  assert.deepEqual(forwarded.onRefused(10, 2), [idOf(1)]);
  assert.deepEqual(forwarded.onRefused(11, 2), [idOf(2)]);
});

test("what was answered is forgotten when more comes: a follower may forward for ever", () => {
  const waiting = new Set<number>();
  const forwarded = forwardedOf(waiting);
  for (let sequence = 1; sequence <= 10_000; sequence++) {
    forwarded.add(sequence, idOf(sequence));
    waiting.add(sequence);
    // Ten are on their way at a time.
    waiting.delete(sequence - 10);
  }
  assert(forwarded.size <= 11, String(forwarded.size));
});
