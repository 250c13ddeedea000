// A member whose disk is full: what adds is refused, everything else goes on, nothing is lost, and service returns with
// the room.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ClientError, Status } from "nice-grpc";
import { noMetrics } from "../../server/lib/metrics.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import type { TableChange } from "../../server/storage/backend.ts";
import { encodeChanges } from "../../server/storage/batch-codec.ts";
import { LmdbStore } from "../../server/storage/lmdb-store.ts";
import { scratchFolder } from "./local-member.ts";
import { linesOf, startProcess } from "./process-member.ts";
import { allKeys, openWire, type Wire } from "./wire.ts";

const mebibyte = 1024 * 1024;
const valueBytes = 128 * 1024;
const bytes = (text: string): Uint8Array => Buffer.from(text);
const contentFor = (key: string): Uint8Array => Buffer.alloc(valueBytes, key);

/** A small file system, in memory. Undefined where none may be mounted; the disk in memory of other tests must do there. */
function mountSmallDisk(t: TestContext, sizeBytes: number): string | undefined {
  // What is registered first is done first: the mount goes before the folder that it is on.
  const place = { folder: "" };
  t.after(() => spawnSync("umount", ["-l", place.folder], { stdio: "ignore" }));
  place.folder = scratchFolder(t);
  const options = ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "tmpfs", place.folder];
  if (spawnSync("mount", options).status === 0) return place.folder;
  console.log("# no file system may be mounted here: full disks are tested with disks in memory only");
  return undefined;
}

function writeUntilFull(path: string): void {
  const file = openSync(path, "w");
  for (const piece of [Buffer.alloc(mebibyte), Buffer.alloc(4096)]) {
    try {
      for (;;) writeSync(file, piece);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "ENOSPC");
    }
  }
  closeSync(file);
}

/** Puts keys until one is refused for want of room. Returns those that were acknowledged. */
async function putUntilRefused(wire: Wire, prefix: string): Promise<string[]> {
  const acknowledged: string[] = [];
  for (let i = 0; ; i++) {
    const key = `${prefix}${i}`;
    try {
      await wire.kv.put({ key: bytes(key), value: contentFor(key) });
    } catch (error) {
      assert(error instanceof ClientError && error.code === Status.RESOURCE_EXHAUSTED, String(error));
      assert.equal(error.details, "etcdserver: mvcc: database space exceeded");
      return acknowledged;
    }
    acknowledged.push(key);
    assert(i < 5000, "the disk never ran full");
  }
}

async function untilAccepted(wire: Wire, key: string): Promise<void> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    try {
      await wire.kv.put({ key: bytes(key), value: contentFor(key) });
      return;
    } catch (error) {
      assert(error instanceof ClientError && error.code === Status.RESOURCE_EXHAUSTED, String(error));
      assert(performance.now() < endMs, "there is room, and still writes are refused");
      await sleep(100);
    }
  }
}

async function assertHolds(wire: Wire, keys: Iterable<string>): Promise<void> {
  const { kvs } = await wire.kv.range({ ...allKeys });
  const found = new Map(kvs.map(({ key, value }) => [String(Buffer.from(key)), Buffer.from(value)]));
  for (const key of keys) assert(found.get(key)?.equals(contentFor(key)), `${key} is lost`);
}

test("a full disk: writes are refused, reads and deletes go on, nothing is lost, and service returns", async (t) => {
  const folder = mountSmallDisk(t, 96 * mebibyte);
  if (folder === undefined) return;
  const dataDir = join(folder, "d");
  const ballast = join(folder, "ballast");
  let member = await startProcess(t, dataDir);
  let wire = openWire(member.url);
  for (let i = 0; i < 3; i++) await wire.kv.put({ key: bytes(`before ${i}`), value: contentFor(`before ${i}`) });
  writeUntilFull(ballast);
  const keys = new Set(["before 0", "before 1", "before 2", ...(await putUntilRefused(wire, "filled "))]);
  t.diagnostic(`${keys.size} writes of ${valueBytes} bytes were taken`);
  await assertHolds(wire, keys);

  // What frees room is taken: it has a reserve.
  const { deleted } = await wire.kv.deleteRange({ key: bytes("before 0") });
  assert.equal(deleted, 1n);
  keys.delete("before 0");
  await wire.kv.compact({ revision: 3n });
  // So is what keeps leases alive and lets them end.
  await assert.rejects(wire.lease.leaseGrant({ TTL: 60n }), { code: Status.RESOURCE_EXHAUSTED });
  await assertHolds(wire, keys);

  // A crash meanwhile, and a start without room.
  member.child.kill("SIGKILL");
  await member.ended;
  wire.close();
  member = await startProcess(t, dataDir);
  assert.equal(member.child.exitCode, null, member.log());
  wire = openWire(member.url);
  await assertHolds(wire, keys);
  for (const key of await putUntilRefused(wire, "again ")) keys.add(key);
  await assertHolds(wire, keys);

  rmSync(ballast);
  await untilAccepted(wire, "after");
  keys.add("after");
  for (let i = 0; i < 20; i++) await wire.kv.put({ key: bytes(`later ${i}`), value: contentFor(`later ${i}`) });
  await assertHolds(wire, keys);
  wire.close();
  member.child.kill("SIGTERM");
  assert.equal((await member.ended).signal, "SIGTERM");

  member = await startProcess(t, dataDir);
  wire = openWire(member.url);
  await assertHolds(wire, keys);
  wire.close();
});

test("a store that runs full in the middle of a batch says so, keeps what it had, and takes the batch later", async (t) => {
  const folder = mountSmallDisk(t, 24 * mebibyte);
  if (folder === undefined) return;
  const ballast = join(folder, "ballast");
  const store = new LmdbStore({ folder: join(folder, "store"), clock: systemClock, metrics: noMetrics });
  const rowsOf = (count: number, value: Uint8Array): Uint8Array[] => {
    const rows = Array.from({ length: count }, (_, i): TableChange => ({ table: "events", key: `row ${i}`, value }));
    return [...encodeChanges(rows)];
  };
  await store.write(rowsOf(100, Buffer.from("first")), () => undefined);
  // Rows of odd sizes, and room that ends anywhere: also within what is written at once.
  for (const leftBytes of [0, 5000, 70_000, 300_000, 1_000_000, 3_000_000]) {
    writeUntilFull(ballast);
    truncateSync(ballast, statSync(ballast).size - leftBytes);
    for (const value of [Buffer.alloc(3000, 1), Buffer.alloc(70_001, 2)]) {
      const rows = rowsOf(Math.ceil((8 * mebibyte) / value.length), value);
      await assert.rejects(
        store.write(rows, () => assert.fail("nothing was written")),
        { name: "StorageError", code: "no-space" },
        `${leftBytes} bytes left`,
      );
      assert.equal(String(store.get("events", "row 7")), "first");
    }
    rmSync(ballast);
  }
  await store.write(rowsOf(200, Buffer.from("second")), () => undefined);
  assert.equal(String(store.get("events", "row 150")), "second");
  await store.close();
});

test("a new member without room says so and ends with status 1", async (t) => {
  const folder = mountSmallDisk(t, 10 * mebibyte);
  if (folder === undefined) return;
  const { status, signal, log } = await (await startProcess(t, join(folder, "d"))).ended;
  assert.deepEqual([status, signal], [1, null]);
  const last = linesOf(log).at(-1);
  assert.equal(last?.level, "fatal");
  assert.match(JSON.stringify(last), /no space left.*Free space on the disk/);
});
