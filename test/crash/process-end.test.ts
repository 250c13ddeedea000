// How a member's process ends when it cannot go on, and how it refuses to start.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ClientError, Status } from "nice-grpc";
import { noMetrics } from "../../server/lib/metrics.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import { LmdbStore } from "../../server/storage/lmdb-store.ts";
import { contentOf, scratchFolder, startHere } from "./local-member.ts";
import { type Ended, linesOf, type ProcessMember, startProcess } from "./process-member.ts";
import { openWire } from "./wire.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const tooLongMs = 60_000;

/** Waits for a process to end by itself. */
async function endOf(member: ProcessMember): Promise<Ended> {
  const ended = await Promise.race([member.ended, sleep(tooLongMs, undefined, { ref: false })]);
  assert(ended !== undefined, `still running after ${tooLongMs} ms:\n${member.log()}`);
  return ended;
}

/** A folder with keys "a" and "b" in the store, the row of "a" being damaged. */
async function damagedFolder(t: TestContext): Promise<string> {
  const dataDir = join(scratchFolder(t), "d");
  const member = await startHere(dataDir);
  const wire = openWire(member.clientUrls[0] as string);
  for (const key of ["a", "b"]) await wire.kv.put({ key: bytes(key), value: bytes("x") });
  wire.close();
  await member.close();
  const folder = join(dataDir, "member", "store");
  const store = new LmdbStore({ folder, clock: systemClock, metrics: noMetrics });
  const row = Buffer.from(store.get("current", "a") as Uint8Array);
  await store.close();
  const path = join(folder, "data.mdb");
  const file = readFileSync(path);
  for (let at = file.indexOf(row); at >= 0; at = file.indexOf(row, at + 1))
    file[at + 20] = (file[at + 20] as number) ^ 4;
  writeFileSync(path, file);
  return dataDir;
}

test("a member that meets damage while it applies ends at once, for certain, saying why", async (t) => {
  const dataDir = await damagedFolder(t);
  const member = await startProcess(t, dataDir);
  const wire = openWire(member.url);
  await wire.kv.put({ key: bytes("b"), value: bytes("y") });
  // A read that meets it is refused; the member goes on with what is whole.
  await assert.rejects(wire.kv.range({ key: bytes("a") }), { code: Status.DATA_LOSS });
  // The thread that writes the store is there, and at work.
  const { header } = await wire.kv.compact({ revision: 2n, physical: true });
  assert(header !== undefined);
  const writes = Array.from({ length: 20 }, (_, i) =>
    wire.kv.put({ key: bytes(`c${i}`), value: Buffer.alloc(200_000) }),
  );
  const outcomes = Promise.allSettled([...writes, wire.kv.put({ key: bytes("a"), value: bytes("z") })]);
  const ended = await endOf(member);
  wire.close();
  assert.deepEqual([ended.status, ended.signal], [null, "SIGKILL"]);
  const last = linesOf(ended.log).at(-1);
  assert.equal(last?.level, "fatal");
  assert.match(last?.msg ?? "", /the member cannot go on: the data in .* is damaged/);
  const settled = await outcomes;
  const put = settled.at(-1);
  assert(put?.status === "rejected" && put.reason instanceof ClientError && put.reason.code === Status.UNAVAILABLE);

  // The command is in the log, so the next start meets the damage again. It must say so and leave the store as it is.
  const before = contentOf(join(dataDir, "member", "store"));
  const again = await endOf(await startProcess(t, dataDir));
  assert.deepEqual([again.status, again.signal], [1, null]);
  assert.match(linesOf(again.log).at(-1)?.msg ?? "", /could not be started: the data in .* is damaged/);
  assert.equal(contentOf(join(dataDir, "member", "store")), before);
});

test("a data directory that is in use is refused with status 1, and its holder does not notice", async (t) => {
  const dataDir = join(scratchFolder(t), "d");
  const holder = await startProcess(t, dataDir);
  // It must not change anything by itself meanwhile; its lock holds while it stands still.
  holder.child.kill("SIGSTOP");
  let before = contentOf(dataDir);
  for (let last = ""; last !== before; before = contentOf(dataDir)) {
    last = before;
    await sleep(50);
  }
  const second = await endOf(await startProcess(t, dataDir));
  assert.deepEqual([second.status, second.signal], [1, null]);
  assert.match(linesOf(second.log).at(-1)?.msg ?? "", new RegExp(`in use by process ${holder.child.pid}`));
  assert.equal(contentOf(dataDir), before);
  holder.child.kill("SIGCONT");
  const wire = openWire(holder.url);
  await wire.kv.put({ key: bytes("a"), value: bytes("x") });
  wire.close();
});

test("a data directory that cannot be used is refused with status 1, and nothing is changed", async (t) => {
  const folder = scratchFolder(t);
  const file = join(folder, "file");
  writeFileSync(file, "not a folder");
  const etcds = join(folder, "etcd");
  mkdirSync(join(etcds, "member", "wal"), { recursive: true });
  const unreadable = join(folder, "unreadable");
  mkdirSync(unreadable);
  chmodSync(unreadable, 0);
  // Root may read everything; for others the folder's mode decides.
  const dirs = [file, join(file, "below"), etcds, "/proc/quorate", ...(process.getuid?.() === 0 ? [] : [unreadable])];
  for (const dataDir of dirs) {
    const before = contentOf(folder);
    const { status, signal, log } = await endOf(await startProcess(t, dataDir));
    assert.deepEqual([status, signal], [1, null], dataDir);
    const last = linesOf(log).at(-1);
    assert.equal(last?.level, "fatal");
    assert.match(last?.msg ?? "", /data directory|data of an etcd member/, dataDir);
    assert.equal(contentOf(folder), before);
  }
});
