// Whose word ends a lease: the leader's in whose term it is logged. One that was replaced may have seen the lease run out
// while it was renewed through the next one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreBench } from "./store-bench.ts";

test("a lease does not end by the word of a leader that had been replaced", () => {
  const bench = new StoreBench();
  const { machine } = bench;
  bench.apply({ kind: "lease-grant", id: 7n, ttlSeconds: 100 });
  bench.put("k", "v", { lease: 7n });
  const before = machine.mvcc.currentRevision;
  const revoke = (term: number, entryTerm: number) =>
    machine.apply(machine.appliedIndex + 1, entryTerm, { kind: "lease-revoke", id: 7n, expiry: { term } });
  const { result, events } = revoke(1, 2);
  assert.equal(result.kind, "ignored");
  assert.equal(events, undefined);
  assert.equal(machine.mvcc.currentRevision, before);
  assert(machine.leases.has(7n));
  assert.equal(revoke(2, 2).result.kind, "lease-revoke");
  assert(!machine.leases.has(7n));
  assert.equal(machine.mvcc.current("k"), undefined);
});
