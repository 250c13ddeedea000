// Damage to the files of a real member: what was flipped, cut or lost is reported or repaired, and never served.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ClientError, Status } from "nice-grpc";
import { loadIdentity, StartError } from "../../server/identity.ts";
import { noMetrics } from "../../server/lib/metrics.ts";
import { createRandom } from "../../server/lib/random.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import { systemDisk } from "../../server/lib/system-disk.ts";
import { frameAt } from "../../server/log/frame-codec.ts";
import { LogError } from "../../server/log/log-error.ts";
import { decodeSegmentHeader, segmentDataStart } from "../../server/log/segment.ts";
import { CorruptRecordError } from "../../server/state/errors.ts";
import { LmdbStore } from "../../server/storage/lmdb-store.ts";
import { type TableName, tableNames } from "../../server/storage/tables.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { contentOf, copyOf, scratchFolder, startHere } from "./local-member.ts";
import { allKeys, onlyRequest, openWire, type Wire } from "./wire.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const longKey = "long".repeat(300);
const keys = ["a", "b", "c", "leased", longKey];

/** A store with a row of nearly every kind, flushed. */
async function fill(wire: Wire): Promise<void> {
  const put = (key: string, value: string, lease = 0n) => wire.kv.put({ key: bytes(key), value: bytes(value), lease });
  await wire.lease.leaseGrant({ ID: 7n, TTL: 10_000n });
  for (const round of ["first", "second", "third"]) {
    for (const key of keys)
      await put(key, `${round} value of ${key.slice(0, 10)}`, key === "leased" || key === longKey ? 7n : 0n);
  }
  await wire.kv.deleteRange({ key: bytes("b") });
  await wire.kv.compact({ revision: 3n, physical: true });
}

/** Every question whose answer must be right or an error. Headers are left out: terms differ. */
async function readEverything(wire: Wire): Promise<{ readonly answers: readonly string[]; readonly errors: string[] }> {
  const errors: string[] = [];
  const answers: string[] = [];
  const json = (value: unknown): string =>
    JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part));
  const ask = async (what: string, question: () => Promise<unknown>): Promise<void> => {
    try {
      answers.push(`${what}: ${json(await question())}`);
    } catch (error) {
      assert(error instanceof ClientError && error.code === Status.DATA_LOSS, `${what}: ${error}`);
      answers.push("");
      errors.push(`${what}: ${error.details}`);
    }
  };
  for (const revision of [0n, 8n, 12n]) {
    for (const key of keys) {
      await ask(`${key} at ${revision}`, async () => (await wire.kv.range({ key: bytes(key), revision })).kvs);
    }
    await ask(`all at ${revision}`, async () => (await wire.kv.range({ ...allKeys, revision })).kvs);
  }
  await ask("lease", async () => {
    const { ID, grantedTTL, keys: attached } = await wire.lease.leaseTimeToLive({ ID: 7n, keys: true });
    return [ID, grantedTTL, attached];
  });
  await ask("history", () => readHistory(wire));
  return { answers, errors };
}

async function readHistory(wire: Wire): Promise<unknown> {
  const events: unknown[] = [];
  const create = { ...allKeys, startRevision: 4n, prevKv: true };
  const requests = onlyRequest({ requestUnion: { $case: "createRequest", value: create } as const });
  for await (const response of wire.watch.watch(requests)) {
    if (response.canceled) throw new ClientError("Watch", Status.DATA_LOSS, response.cancelReason);
    events.push(...response.events);
    if (events.length === 14) return events;
  }
  throw new ClientError("Watch", Status.DATA_LOSS, "ended");
}

test("one flipped bit in a stored row is reported, by the start or by whoever reads it, and never served", async (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const random = createRandom(seed);
  const folder = scratchFolder(t);
  const pristine = join(folder, "pristine");
  let member = await startHere(pristine);
  let wire = openWire(member.clientUrls[0] as string);
  await fill(wire);
  wire.close();
  await member.close();
  member = await startHere(pristine);
  wire = openWire(member.clientUrls[0] as string);
  const expected = await readEverything(wire);
  assert.deepEqual(expected.errors, []);
  wire.close();
  await member.close();

  const rows: { readonly table: TableName; readonly value: Buffer }[] = [];
  const store = new LmdbStore({ folder: join(pristine, "member", "store"), clock: systemClock, metrics: noMetrics });
  for (const table of tableNames) {
    const found = [...store.scan(table, "", undefined)].map(({ value }) => ({ table, value: Buffer.from(value) }));
    for (let i = 0; i < 2 && found.length > 0; i++) rows.push(...found.splice(random.below(found.length), 1));
  }
  await store.close();
  const kinds = new Set(rows.map(({ table }) => table));
  for (const kind of ["meta", "current", "events", "history", "longCurrent", "longHistory", "leases"] as const) {
    assert(kinds.has(kind), kind);
  }

  const reported = new Map<TableName, string[]>();
  for (const [index, { table, value }] of rows.entries()) {
    const dataDir = copyOf(pristine, join(folder, `damaged-${index}`));
    const path = join(dataDir, "member", "store", "data.mdb");
    const flipped = flipBitOf(readFileSync(path), value, random.below(value.length * 8));
    writeFileSync(path, flipped);
    const report = await reportOf(dataDir, expected.answers, `${table} row ${value.toString("hex").slice(0, 80)}`);
    reported.set(table, [...(reported.get(table) ?? []), report]);
  }
  for (const [table, reports] of reported) t.diagnostic(`${table}: ${reports.join("; ")}`);
});

/** What a member on damaged files says of the damage, once it is sure that it does not serve it. */
async function reportOf(dataDir: string, expected: readonly string[], what: string): Promise<string> {
  const before = contentOf(dataDir);
  let member: Awaited<ReturnType<typeof startHere>>;
  try {
    member = await startHere(dataDir, () => undefined);
  } catch (error) {
    assert(error instanceof CorruptRecordError, `${what}: ${error}`);
    assert.equal(contentOf(dataDir), before, `${what}: a start that failed has changed something`);
    return `start: ${error.message.slice(0, 60)}`;
  }
  const wire = openWire(member.clientUrls[0] as string);
  const { answers, errors } = await readEverything(wire);
  wire.close();
  await member.close();
  for (const [index, answer] of answers.entries()) if (answer !== "") assert.equal(answer, expected[index], what);
  assert(errors.length > 0, `${what}: nobody noticed`);
  return `${errors.length} reads`;
}

/** Flips the same bit of a value wherever the file has it: old pages hold copies of rows that did not change. */
function flipBitOf(file: Buffer, value: Buffer, bit: number): Buffer {
  let count = 0;
  for (let at = file.indexOf(value); at >= 0; at = file.indexOf(value, at + 1)) {
    file[at + (bit >>> 3)] = (file[at + (bit >>> 3)] as number) ^ (1 << (bit & 7));
    count++;
  }
  assert(count > 0, "the row is in the file");
  return file;
}

test("every flipped bit in the file that says who the member is is reported, and the file is left alone", async (t) => {
  const dataDir = join(scratchFolder(t), "d");
  const member = await startHere(dataDir);
  await member.close();
  const folder = join(dataDir, "member");
  const path = join(folder, "identity.json");
  const whole = readFileSync(path);
  const load = () => loadIdentity(systemDisk, folder, undefined as never, async () => undefined);
  assert.equal((await load()).memberId, member.memberId);
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const flipped = Buffer.from(whole);
    flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
    writeFileSync(path, flipped);
    await assert.rejects(load(), StartError, `bit ${bit & 7} of byte ${bit >>> 3}: ${flipped}`);
    assert(readFileSync(path).equals(flipped));
  }
  for (const size of [0, 1, whole.length >> 1, whole.length - 1]) {
    writeFileSync(path, whole.subarray(0, size));
    await assert.rejects(load(), StartError, `${size} bytes`);
  }
  await assert.rejects(startHere(dataDir), { name: "StartError", message: /identity\.json is damaged/ });
});

/** The file of the log that is written to, and where its frames begin and end. */
function newestLog(dataDir: string): {
  readonly path: string;
  readonly file: Buffer;
  readonly ends: readonly number[];
} {
  const folder = join(dataDir, "member", "log");
  const name = readdirSync(folder)
    .filter((each) => each.endsWith(".log"))
    .sort()
    .at(-1) as string;
  const path = join(folder, name);
  const file = readFileSync(path);
  const salt = decodeSegmentHeader(file)?.salt ?? 0;
  const ends = [segmentDataStart];
  for (let at = segmentDataStart; ; ) {
    const frame = frameAt(file, at, salt);
    if (frame.kind !== "valid") return { path, file, ends };
    ends.push(frame.payloadEnd);
    at += frame.length;
  }
}

test("a log that is cut at any byte of its last three records starts with exactly what stands before the cut", async (t) => {
  const folder = scratchFolder(t);
  const pristine = join(folder, "pristine");
  const running = await startHere(pristine);
  const wire = openWire(running.clientUrls[0] as string);
  for (let i = 1; i <= 6; i++) await wire.kv.put({ key: bytes(`k${i}`), value: bytes(`value ${i}`) });
  // As a crash would leave it: nothing of it is in the store, all of it in the log.
  const crashed = copyOf(pristine, join(folder, "crashed"));
  wire.close();
  await running.close();

  const { path, file, ends } = newestLog(crashed);
  const lastEnd = ends.at(-1) as number;
  const from = ends.at(-4) as number;
  const random = createRandom(seedFromEnvironment());
  const cuts = new Set([from, ...ends.slice(-3), ...ends.slice(-3).map((end) => end - 1)]);
  while (cuts.size < 16) cuts.add(from + random.below(lastEnd - from));
  for (const cut of cuts) {
    writeFileSync(path, file.subarray(0, cut));
    const whole = ends.filter((end) => end <= cut).length - 1;
    const dataDir = copyOf(crashed, join(folder, `cut-${cut}`));
    const member = await startHere(dataDir);
    const again = openWire(member.clientUrls[0] as string);
    const { kvs, header } = await again.kv.range({ ...allKeys });
    const written = 6 - (ends.length - 1 - whole);
    const expected = Array.from({ length: written }, (_, i) => [`k${i + 1}`, `value ${i + 1}`]);
    assert.deepEqual(
      kvs.map(({ key, value }) => [String(Buffer.from(key)), String(Buffer.from(value))]),
      expected,
      `cut at byte ${cut}`,
    );
    assert.equal(Number(header?.revision), 1 + written);
    // And it goes on from there.
    await again.kv.put({ key: bytes("after"), value: bytes("x") });
    again.close();
    await member.close();
  }
});

test("one flipped bit anywhere in the middle of the log keeps a member from starting, and changes nothing", async (t) => {
  const folder = scratchFolder(t);
  const pristine = join(folder, "pristine");
  const running = await startHere(pristine);
  const wire = openWire(running.clientUrls[0] as string);
  for (let i = 1; i <= 20; i++) await wire.kv.put({ key: bytes(`k${i}`), value: bytes(`value ${i}`) });
  const crashed = copyOf(pristine, join(folder, "crashed"));
  wire.close();
  await running.close();
  const { path, file, ends } = newestLog(crashed);
  const random = createRandom(seedFromEnvironment());
  const lastEnd = ends.at(-1) as number;
  for (let round = 0; round < 12; round++) {
    const bit = segmentDataStart * 8 + random.below((lastEnd - segmentDataStart) * 8);
    const at = bit >>> 3;
    // What fills a frame up to eight bytes says nothing.
    if (ends.some((end) => at >= end && at < Math.ceil(end / 8) * 8)) continue;
    const flipped = Buffer.from(file);
    flipped[at] = (flipped[at] as number) ^ (1 << (bit & 7));
    writeFileSync(path, flipped);
    const before = contentOf(crashed);
    await assert.rejects(
      startHere(crashed),
      (error: unknown) => error instanceof LogError && error.code === "corrupt" && error.message.includes(path),
      `bit ${bit & 7} of byte ${at}`,
    );
    assert.equal(contentOf(crashed), before);
  }
});
