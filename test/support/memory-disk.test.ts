// The disk in memory keeps what was promised and loses what was not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { type DiskOperation, MemoryDisk } from "./memory-disk.ts";

const bytes = (text: string): Buffer => Buffer.from(text);
const random = createRandom(1);

/** What is left of a file over many crashes, each value once; undefined where there is no such file. */
function outcomes(crash: () => MemoryDisk, path: string): Set<string | undefined> {
  const seen = new Set<string | undefined>();
  for (let i = 0; i < 40; i++) {
    const left = crash();
    try {
      seen.add(left.fileBytes(path).toString("latin1"));
    } catch {
      seen.add(undefined);
    }
  }
  return seen;
}

async function diskWithFile(): Promise<MemoryDisk> {
  const disk = new MemoryDisk({ random });
  disk.makeFolder("/data");
  await disk.syncFolder("/");
  await disk.open("/data/file", "create").writeDurably(bytes("old"), 0);
  await disk.syncFolder("/data");
  return disk;
}

/** Runs the same on many disks, since a crash ends one. */
async function crashes(before: (disk: MemoryDisk) => Promise<void>, path: string): Promise<Set<string | undefined>> {
  const disks: MemoryDisk[] = [];
  for (let i = 0; i < 40; i++) {
    const disk = await diskWithFile();
    await before(disk);
    disks.push(disk);
  }
  return outcomes(() => (disks.pop() as MemoryDisk).crash(), path);
}

test("what was written durably survives, what was only written may or may not", async () => {
  const durable = await crashes(
    (disk) => disk.open("/data/file", "existing").writeDurably(bytes("new"), 0),
    "/data/file",
  );
  assert.deepEqual(durable, new Set(["new"]));
  const written = await crashes((disk) => disk.open("/data/file", "existing").write(bytes("new"), 0), "/data/file");
  assert.deepEqual(written, new Set(["old", "new"]));
  const synced = await crashes(async (disk) => {
    const file = disk.open("/data/file", "existing");
    await file.write(bytes("new"), 0);
    await file.sync();
  }, "/data/file");
  assert.deepEqual(synced, new Set(["new"]));
});

test("a durable write is not undone by an older one that was never synced", async () => {
  const left = await crashes(async (disk) => {
    const file = disk.open("/data/file", "existing");
    await file.write(bytes("aaaa"), 0);
    await file.writeDurably(bytes("bb"), 1);
  }, "/data/file");
  for (const text of left) assert.equal(text?.slice(1, 3), "bb");
});

test("a write that is under way is torn at sectors", async () => {
  const left = new Set<string>();
  for (let i = 0; i < 60; i++) {
    const ready = (await diskWithFile()).copy({ random, schedule: () => undefined });
    void ready.open("/data/file", "existing").writeDurably(Buffer.alloc(1024, "n"), 0);
    const text = ready.crash().fileBytes("/data/file").toString("latin1");
    left.add(text.replaceAll("\0", "-").replace(/n+/g, (run) => `n${run.length}`));
  }
  assert.deepEqual([...left].sort(), ["n1024", "n512", `old${"-".repeat(509)}n512`, "old"].sort());
});

test("names are durable once their folder is synced", async () => {
  const created = await crashes(async (disk) => {
    await disk.open("/data/new", "create").writeDurably(bytes("x"), 0);
  }, "/data/new");
  assert.deepEqual(created, new Set(["x", undefined]));
  const renamed = await crashes(async (disk) => disk.rename("/data/file", "/data/other"), "/data/other");
  assert.deepEqual(renamed, new Set(["old", undefined]));
  const kept = await crashes(async (disk) => {
    disk.rename("/data/file", "/data/other");
    await disk.syncFolder("/data");
  }, "/data/other");
  assert.deepEqual(kept, new Set(["old"]));
  const inNewFolder = await crashes(async (disk) => {
    disk.makeFolder("/data/folder");
    await disk.open("/data/folder/new", "create").writeDurably(bytes("x"), 0);
    await disk.syncFolder("/data/folder");
  }, "/data/folder/new");
  assert.deepEqual(inNewFolder, new Set(["x", undefined]));
});

test("the owner decides when operations complete, and in which order", async () => {
  const waiting: { readonly operation: DiskOperation; readonly complete: () => void }[] = [];
  const disk = (await diskWithFile()).copy({
    random,
    schedule: (operation, complete) => waiting.push({ operation, complete }),
  });
  const file = disk.open("/data/file", "existing");
  const buffer = bytes("first");
  const first = file.writeDurably(buffer, 0);
  const second = file.writeDurably(bytes("SE"), 0);
  assert.equal(String(file.read(0, 10)), "old");
  assert.deepEqual(
    disk.waiting.map(({ kind, bytes: count }) => `${kind} ${count}`),
    ["write-durably 5", "write-durably 2"],
  );
  waiting[1]?.complete();
  await second;
  // The bytes are taken when the operation runs.
  buffer.fill("z");
  waiting[0]?.complete();
  await first;
  assert.equal(String(file.read(0, 10)), "zzzzz");
  const crashed = file.writeDurably(bytes("never"), 0);
  disk.crash();
  waiting[2]?.complete();
  const outcome = await Promise.race([crashed.then(() => "done"), new Promise((resolve) => setImmediate(resolve))]);
  assert.equal(outcome, undefined);
});

test("a failed sync loses what it should have saved, a full disk takes nothing", async () => {
  let fault: "EIO" | undefined;
  const left = await crashes(async (source) => {
    const disk = source.copy({ random, faultOf: ({ kind }) => (kind === "sync" ? fault : undefined) });
    const file = disk.open("/data/file", "existing");
    await file.write(bytes("new"), 0);
    fault = "EIO";
    await assert.rejects(file.sync(), { code: "EIO" });
    fault = undefined;
    assert.equal(String(file.read(0, 10)), "new");
    await file.sync();
    assert.equal(disk.crash().fileBytes("/data/file").toString(), "old");
  }, "/data/file");
  assert.deepEqual(left, new Set(["old"]));
  const full = (await diskWithFile()).copy({ random, capacityBytes: 10 });
  const file = full.open("/data/file", "existing");
  await assert.rejects(file.writeDurably(Buffer.alloc(11), 0), { code: "ENOSPC" });
  assert.equal(String(file.read(0, 20)), "old");
  await file.writeDurably(Buffer.alloc(10), 0);
  assert.equal(full.freeBytes(), 0);
});
