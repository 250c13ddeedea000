// Watches, leases and serializable reads: each rule broken once by hand, beside one that is kept.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLease, type LeaseBounds, type LeaseRecord } from "./lease-check.ts";
import type { KeyValue } from "./operation.ts";
import { canceled, changesOf, created, get, key, kv, progress, put, seen, seenWith, watch } from "./scene.ts";
import { checkSerializableReads, replay } from "./serializable-check.ts";
import { checkWatchAcross, type WatchRecord, type WatchResponse, type WatchTruth } from "./watch-check.ts";

type Seen = Extract<WatchResponse, { kind: "changes" }>;

const a2 = kv("a", "1", 2);
const a3 = kv("a", "2", 3, 2, 2);
const b4 = kv("b", "1", 4);
const c4 = kv("c", "1", 4);
const a6 = kv("a", "3", 6);

/** 2: a = 1; 3: a = 2; 4: b = 1 and c = 1; 5: a is deleted; 6: a = 3. Compacted to 4 from time 10 on. */
const truth: WatchTruth = {
  changes: changesOf([a2], [a3], [b4, c4], ["a"], [a6]),
  compactions: [{ revision: 4, time: 10 }],
  keyAt(name, revision) {
    if (name === "a") return revision >= 6 ? a6 : revision >= 5 || revision < 2 ? undefined : revision >= 3 ? a3 : a2;
    return revision < 4 ? undefined : name === "b" ? b4 : name === "c" ? c4 : undefined;
  },
};

const whole = [seen(a2), seen(a3), seen(b4, c4), seen(["a", 5]), seen(a6)];
const part = (...changes: readonly KeyValue[]): WatchResponse => ({ ...(seen(...changes) as Seen), isPart: true });
const onlyA = { keys: key("a") };

const watches: {
  readonly [title: string]: { readonly bad: readonly WatchRecord[]; readonly good?: readonly WatchRecord[] };
} = {
  "an event is missing": {
    bad: [watch(2, [created(6), seen(a2), seen(b4, c4), seen(["a", 5]), seen(a6)])],
    good: [watch(2, [created(6), ...whole])],
  },
  "the last events are never delivered": {
    bad: [watch(2, [created(6), seen(a2), seen(a3), seen(b4, c4)])],
    good: [watch(2, [created(6), ...whole])],
  },
  "an event comes twice": {
    bad: [watch(2, [created(6), seen(a2), seen(a3), seen(a3), seen(b4, c4), seen(["a", 5]), seen(a6)])],
  },
  "events are out of order": {
    bad: [watch(2, [created(6), seen(a3, a2), seen(b4, c4), seen(["a", 5]), seen(a6)])],
    good: [watch(2, [created(6), seen(a2, a3), seen(b4, c4), seen(["a", 5]), seen(a6)])],
  },
  "changes of one revision are out of order": {
    bad: [watch(2, [created(6), seen(a2), seen(a3), seen(c4, b4), seen(["a", 5]), seen(a6)])],
  },
  "a revision is split and not marked as such": {
    bad: [watch(4, [created(6), seen(b4), seen(c4), seen(["a", 5]), seen(a6)])],
    good: [watch(4, [created(6), part(b4), seen(c4), seen(["a", 5]), seen(a6)])],
  },
  "half a revision is left out": {
    bad: [watch(4, [created(6), seen(b4), seen(["a", 5]), seen(a6)])],
  },
  "an event from before the start": {
    bad: [watch(4, [created(6), seen(a3), seen(b4, c4), seen(["a", 5]), seen(a6)])],
    good: [watch(4, [created(6), seen(b4, c4), seen(["a", 5]), seen(a6)])],
  },
  "a start in the future gets what was before": {
    bad: [watch(6, [created(4), seen(["a", 5]), seen(a6)])],
    good: [watch(6, [created(4), seen(a6)])],
  },
  "an event that never happened": {
    bad: [watch(6, [created(6), seen(a6), seen(kv("a", "9", 7, 6, 2))])],
    good: [watch(6, [created(6), seen(a6)])],
  },
  "an event with another value": {
    bad: [watch(6, [created(6), seen(kv("a", "9", 6))])],
  },
  "an event of a key that is not watched": {
    bad: [watch(4, [created(6), seen(b4, c4), seen(["a", 5]), seen(a6)], onlyA)],
    good: [watch(4, [created(6), seen(["a", 5]), seen(a6)], onlyA)],
  },
  "a delete comes in spite of a filter": {
    bad: [watch(5, [created(6), seen(["a", 5]), seen(a6)], { wantsDeletes: false })],
    good: [watch(5, [created(6), seen(a6)], { wantsDeletes: false })],
  },
  "progress is ahead of events": {
    bad: [watch(5, [created(5), progress(5), seen(["a", 5]), seen(a6)])],
    good: [watch(5, [created(5), seen(["a", 5]), progress(5), seen(a6)])],
  },
  "progress passes over an event": {
    bad: [watch(5, [created(5), seen(["a", 5]), progress(6)])],
    good: [watch(5, [created(5), seen(["a", 5]), seen(a6), progress(6)])],
  },
  "a revision under a header from before it": {
    bad: [watch(6, [created(5), { ...(seen(a6) as Seen), revision: 5 }])],
  },
  "the wrong previous version": {
    bad: [watch(3, [created(3), seenWith(a3, kv("a", "0", 2)), ...whole.slice(2)], { ...onlyA, wantsPrevious: true })],
  },
  "no previous version without a compaction": {
    bad: [
      watch(3, [created(3), seenWith(a3, undefined)], { keys: key("a"), wantsPrevious: true, wantsDeletes: false }),
    ],
  },
  "a previous version that nobody asked for": {
    bad: [watch(3, [created(3), seenWith(a3, a2), seen(["a", 5]), seen(a6)], onlyA)],
  },
  "an end by a compaction that does not concern it": {
    bad: [watch(4, [created(3), ...Array.from({ length: 10 }, () => progress(3)), canceled(4)])],
    good: [watch(2, [created(3), ...Array.from({ length: 10 }, () => progress(1)), canceled(4)])],
  },
  "an end by a compaction that there was not": {
    bad: [watch(2, [created(3), canceled(4)])],
  },
  "words after the end": {
    bad: [watch(2, [created(3), ...Array.from({ length: 10 }, () => progress(1)), canceled(4), seen(a2)])],
  },
  "a watch that goes on elsewhere leaves a gap": {
    bad: [watch(2, [created(6), seen(a2)]), watch(4, [created(6), seen(b4, c4), seen(["a", 5]), seen(a6)])],
    good: [watch(2, [created(6), seen(a2)]), watch(3, [created(2), ...whole.slice(1)])],
  },
  "a watch that goes on elsewhere sees something again": {
    bad: [
      watch(2, [created(6), seen(a2), seen(a3)]),
      watch(4, [created(6), seen(a3), seen(b4, c4), seen(["a", 5]), seen(a6)]),
    ],
    good: [watch(2, [created(6), seen(a2), seen(a3)]), watch(4, [created(6), seen(b4, c4), seen(["a", 5]), seen(a6)])],
  },
  "a watch from now on misses the next event": {
    bad: [watch(0, [created(4), seen(a6)])],
    good: [watch(0, [created(4), seen(["a", 5]), seen(a6)])],
  },
};

for (const [title, { bad, good }] of Object.entries(watches)) {
  test(`found: ${title}`, (t) => {
    const found = checkWatchAcross(bad, truth, true);
    assert.notDeepEqual(found, [], `not found: ${title}`);
    t.diagnostic(found.join("; "));
    if (good !== undefined) assert.deepEqual(checkWatchAcross(good, truth, true), []);
  });
}

const lease: LeaseRecord = {
  id: 7n,
  ttlSeconds: 5,
  grantedAt: { asked: 0, answered: 10 },
  renewals: [],
  end: undefined,
};
const bounds: LeaseBounds = { now: 4000, stableSince: undefined, electionTimeoutMs: 1000 };
const renewal = { asked: 4000, answered: 4100, ttlSeconds: 5 };

const leases: {
  readonly [title: string]: {
    readonly bad: Partial<LeaseRecord>;
    readonly good: Partial<LeaseRecord>;
    readonly bounds?: Partial<LeaseBounds>;
  };
} = {
  "a lease ends before its time": {
    bad: { end: { at: 4999, kind: "expired" } },
    good: { end: { at: 5000, kind: "expired" } },
  },
  "a lease ends before its time, counted from an answered renewal": {
    bad: { renewals: [renewal], end: { at: 8999, kind: "expired" } },
    good: {
      renewals: [{ ...renewal, answered: undefined, ttlSeconds: undefined }],
      end: { at: 8999, kind: "expired" },
    },
  },
  "a lease ends while its renewal is granted": {
    bad: { renewals: [{ asked: 5500, answered: 5700, ttlSeconds: 5 }], end: { at: 5600, kind: "expired" } },
    good: { renewals: [{ asked: 5500, answered: 5700, ttlSeconds: 0 }], end: { at: 5600, kind: "expired" } },
  },
  "a lease is renewed after its end": {
    bad: { renewals: [{ asked: 5700, answered: 5800, ttlSeconds: 5 }], end: { at: 5600, kind: "revoked" } },
    good: { renewals: [{ asked: 5500, answered: 5800, ttlSeconds: 5 }], end: { at: 5600, kind: "revoked" } },
  },
  "a lease is renewed for another time than it was granted for": {
    bad: { renewals: [{ ...renewal, ttlSeconds: 4 }] },
    good: { renewals: [renewal] },
  },
  "a lease never ends": {
    bad: {},
    good: { end: { at: 9000, kind: "expired" } },
    bounds: { now: 20_000, stableSince: 0 },
  },
  "a lease ends too late": {
    bad: { end: { at: 9100, kind: "expired" } },
    good: { end: { at: 9000, kind: "expired" } },
    bounds: { now: 20_000, stableSince: 0 },
  },
};

for (const [title, { bad, good, bounds: more }] of Object.entries(leases)) {
  test(`found: ${title}`, (t) => {
    const found = checkLease({ ...lease, ...bad }, { ...bounds, ...more });
    assert.notDeepEqual(found, [], `not found: ${title}`);
    t.diagnostic(found.join("; "));
    assert.deepEqual(checkLease({ ...lease, ...good }, { ...bounds, ...more }), []);
  });
}

test("serializable reads: old, going back, from the future, of a state that never was", () => {
  const store = replay([put([0, 1], "a", "1", 2), put([2, 3], "a", "2", 3)]);
  const serializable = { isSerializable: true };
  const old = { operation: get([4, 5], key("a"), [a2], 2, serializable), life: "1/1", appliedRevision: 2 };
  const fresh = { operation: get([2, 3], key("a"), [a3], 3, serializable), life: "1/1", appliedRevision: 3 };
  assert.deepEqual(checkSerializableReads([old], store), []);
  assert.deepEqual(checkSerializableReads([fresh, { ...old, life: "1/2" }], store), []);
  const none = get([4, 5], key("a"), [], 1, serializable);
  assert.deepEqual(checkSerializableReads([{ operation: none, life: "2/1", appliedRevision: 1 }], store), []);
  const bad = [
    [{ ...old, appliedRevision: 3 }],
    [fresh, { ...old, appliedRevision: undefined }],
    [{ ...old, operation: get([4, 5], key("a"), [a3], 4, serializable) }],
    [{ ...old, operation: get([4, 5], key("a"), [a3], 2, serializable) }],
    [{ operation: get([4, 5], key("a"), [a2], 1, serializable), life: "2/1", appliedRevision: 1 }],
  ];
  for (const reads of bad) assert.equal(checkSerializableReads(reads, store).length, 1);
});
