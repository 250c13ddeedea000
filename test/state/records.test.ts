// Damage to a stored row is noticed: every bit of every value, rows under another key, rows that are gone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CorruptRecordError } from "../../server/state/errors.ts";
import { StateMachine } from "../../server/state/state-machine.ts";
import { BufferedBackend } from "../../server/storage/buffered-backend.ts";
import { createMemoryImage, type MemoryImage, MemoryStore } from "../../server/storage/memory-store.ts";
import { type TableName, tableNames } from "../../server/storage/tables.ts";
import { StoreBench } from "./store-bench.ts";

const longKey = "long".repeat(300);
const everything = { kind: "interval", from: "\0", to: undefined } as const;

/** A store with a row of every kind: versions now and before, long keys, leases, members, position. */
async function build(): Promise<MemoryImage> {
  const bench = new StoreBench();
  const member = { id: 5n, name: "", peerUrls: ["http://a:1"], clientUrls: [], isLearner: false };
  bench.machine.bootstrap([member], 1, 1);
  bench.machine.setConfiguration(Buffer.from("voters 5"));
  bench.apply({ kind: "lease-grant", id: 3n, ttlSeconds: 60 });
  bench.put("a", "first");
  bench.put("a", "second", { lease: 3n });
  bench.put("b", "gone");
  bench.delete("b");
  bench.put("b", "back");
  bench.put(longKey, "long first");
  bench.put(longKey, "long second", { lease: 3n });
  bench.apply({ kind: "member-add", member: { id: 6n, peerUrls: ["http://b:1"], isLearner: true }, learnersMax: 1 });
  bench.apply({ kind: "member-remove", id: 6n });
  bench.apply({ kind: "alarm", alarm: { memberId: 5n, type: "no-space" }, isRaised: true });
  await bench.flush();
  return bench.image;
}

function copyOf(image: MemoryImage): MemoryImage {
  const copy = createMemoryImage();
  for (const table of tableNames) {
    for (const [key, value] of image[table].entries()) copy[table].set(key, Buffer.from(value));
  }
  return copy;
}

/** Opens a store and reads all there is in it: at every revision, one by one and in ranges, and as history. */
function readEverything(image: MemoryImage): string {
  const machine = new StateMachine(new BufferedBackend(new MemoryStore({ image })));
  const { mvcc } = machine;
  const lines = [JSON.stringify(mvcc.position), String(machine.configuration)];
  for (let revision = 2; revision <= mvcc.currentRevision; revision++) {
    const scan = mvcc.scan(everything, revision, { limit: 0, isCounted: false });
    while (!scan.step(100));
    for (const version of scan.versions) lines.push(`${revision} ${version.key} ${mvcc.valueOf(version)}`);
    for (const key of ["a", "b", longKey]) {
      const version = mvcc.versionAt(key, revision);
      lines.push(`${revision} ${key} ${version === undefined ? "none" : mvcc.valueOf(version)}`);
    }
  }
  for (const batch of mvcc.readEvents(2, 1000, 1e9)) {
    for (const event of batch.events) {
      lines.push(`${batch.revision} ${event.kind} ${event.key} ${mvcc.previousKeyValueOf(event, batch.revision)}`);
    }
  }
  for (const lease of machine.leases.list()) {
    lines.push(`lease ${lease.id} ${lease.ttlSeconds} ${lease.remainingTtlSeconds} ${machine.leases.keysOf(lease.id)}`);
  }
  for (const { id, peerUrls } of machine.members.list()) lines.push(`member ${id} ${peerUrls}`);
  lines.push(`removed ${machine.members.removedIds()}`);
  for (const { memberId, type } of machine.alarms.list()) lines.push(`alarm ${memberId} ${type}`);
  return lines.join("\n");
}

function outcomeOf(image: MemoryImage): string {
  try {
    return readEverything(image);
  } catch (error) {
    if (error instanceof CorruptRecordError) return "reported";
    throw error;
  }
}

function assertReported(image: MemoryImage, what: string): void {
  assert(outcomeOf(image) === "reported", what);
}

test("every flipped bit of every value is reported", async () => {
  const image = await build();
  assert.notEqual(outcomeOf(copyOf(image)), "reported");
  const covered = new Set<TableName>();
  for (const table of tableNames) {
    for (const [key, value] of [...image[table].entries()]) {
      if (value.length > 0) covered.add(table);
      // Of long rows a part will do.
      const step = value.length > 200 ? 13 : 1;
      for (let bit = 0; bit < value.length * 8; bit += step) {
        const flipped = Buffer.from(value);
        flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
        image[table].set(key, flipped);
        assertReported(image, `${table}, bit ${bit & 7} of byte ${bit >>> 3}`);
      }
      image[table].set(key, value);
    }
  }
  assert.deepEqual([...covered].sort(), [
    "alarms",
    "current",
    "events",
    "history",
    "leaseKeys",
    "leases",
    "longCurrent",
    "longHistory",
    "members",
    "meta",
    "prefixParents",
    "prefixes",
    "removedMembers",
  ]);
});

test("values that were cut, emptied or exchanged are reported", async () => {
  const image = await build();
  for (const table of tableNames) {
    const rows = [...image[table].entries()].filter(([, value]) => value.length > 0);
    for (const [key, value] of rows) {
      const others = rows.filter(([other]) => other !== key).map(([, other]) => other);
      const replacements = [value.subarray(1), value.subarray(0, -1), Buffer.alloc(value.length), ...others];
      for (const replacement of [...replacements, new Uint8Array(0), Buffer.concat([value, Buffer.alloc(1)])]) {
        const damaged = copyOf(image);
        damaged[table].set(key, replacement);
        assertReported(damaged, `${table}: ${value.length} bytes became ${replacement.length}`);
      }
    }
  }
});

test("rows of history and events that are gone, or under another key, are reported", async () => {
  const image = await build();
  for (const table of ["events", "history", "longHistory"] as const) {
    for (const [key, value] of [...image[table].entries()]) {
      image[table].delete(key);
      assertReported(image, `${table} without a row`);
      const step = key.length > 100 ? 13 : 1;
      for (let bit = 0; bit < key.length * 8; bit += step) {
        const bytes = Buffer.from(key, "latin1");
        bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
        image[table].set(bytes.toString("latin1"), value);
        assertReported(image, `${table}, bit ${bit} of the key`);
        image[table].delete(bytes.toString("latin1"));
      }
      image[table].set(key, value);
    }
  }
});

test("a row of a current version under another key never shows another key's value", async () => {
  const image = await build();
  const expected = new Set(outcomeOf(copyOf(image)).split("\n"));
  for (const table of ["current", "longCurrent"] as const) {
    for (const [key, value] of [...image[table].entries()]) {
      for (let bit = 0; bit < Math.min(key.length, 20) * 8; bit++) {
        const moved = copyOf(image);
        moved[table].delete(key);
        const bytes = Buffer.from(key, "latin1");
        bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
        moved[table].set(bytes.toString("latin1"), value);
        const outcome = outcomeOf(moved);
        if (outcome === "reported") continue;
        const strange = outcome.split("\n").filter((line) => !expected.has(line) && !line.endsWith(" none"));
        assert.deepEqual(strange, [], `${table}, bit ${bit} of the key`);
      }
    }
  }
});

test("a key on a lease that is not its own stops a revoke instead of deleting the key", async () => {
  const image = await build();
  const [row] = [...image.leaseKeys.entries()];
  assert(row !== undefined);
  image.leaseKeys.delete(row[0]);
  image.leaseKeys.set(`${row[0].slice(0, -1)}b`, row[1]);
  const bench = new StoreBench(image);
  assert.throws(() => bench.apply({ kind: "lease-revoke", id: 3n, expiry: undefined }), CorruptRecordError);
});
