// What a log makes of its files after every kind of end: it loses nothing that was durable, and says so when it cannot.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { frameAt } from "../../server/log/frame-codec.ts";
import { LogError } from "../../server/log/log-error.ts";
import { decodeSegmentHeader, segmentDataStart } from "../../server/log/segment.ts";
import type { Save } from "../../server/raft/ready.ts";
import type { MemoryDisk } from "../support/memory-disk.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { contentOf, diskWithFolder, entryOf, logFolder, openLog, saveNow, saveOf } from "./log-bench.ts";

const random = createRandom(seedFromEnvironment());

interface History {
  readonly disk: MemoryDisk;
  /** What the log held before the first save and after each. */
  readonly contents: readonly (readonly string[])[];
  /** Where in the last file each save begins and ends, in bytes. */
  readonly places: readonly { readonly from: number; readonly to: number }[];
  readonly path: string;
}

/** A log into which saves went one by one, each of them a frame. */
async function record(saves: readonly Save[], segmentBytes = 8192): Promise<History> {
  const disk = diskWithFolder(random);
  const opened = await openLog(disk, { segmentBytes, random });
  const contents = [contentOf(opened.log)];
  const places: { from: number; to: number }[] = [];
  let path = "";
  let from = segmentDataStart;
  for (const save of saves) {
    await saveNow(opened, save);
    contents.push(contentOf(opened.log));
    const newest = `${logFolder}/${disk
      .list(logFolder)
      .filter((name) => name.endsWith(".log"))
      .at(-1)}`;
    if (newest !== path) from = segmentDataStart;
    path = newest;
    const bytes = disk.fileBytes(path);
    const frame = frameAt(bytes, from, decodeSegmentHeader(bytes)?.salt ?? 0);
    assert(frame.kind === "valid");
    places.push({ from, to: frame.payloadEnd });
    from += frame.length;
  }
  await opened.log.close();
  return { disk: disk.copy({ random }), contents, places, path };
}

const smallSaves: readonly Save[] = [
  saveOf(1, [entryOf(1, 1, "a"), entryOf(2, 1, Buffer.alloc(700))]),
  saveOf(2, [entryOf(3, 1, "the third")]),
  saveOf(3, [], { term: 2 }),
  saveOf(4, [entryOf(4, 2, Buffer.alloc(600, 3)), entryOf(5, 2, "")]),
  saveOf(5, [entryOf(4, 3, "another fourth")]),
  saveOf(6, [entryOf(5, 3, Buffer.alloc(90))]),
];

/** Opens what is there, checks it against `expected`, and that it goes on from there through another end. */
async function checkGoesOn(disk: MemoryDisk, expected: readonly string[], what: string): Promise<void> {
  const opened = await openLog(disk, { random });
  assert.deepEqual(contentOf(opened.log), expected, what);
  const next = opened.log.lastIndex() + 1;
  await saveNow(opened, saveOf(100, [entryOf(next, 9, "after the end")], { term: 9 }));
  const content = contentOf(opened.log);
  await opened.log.close();
  const again = await openLog(disk.crash(), { random });
  assert.deepEqual(contentOf(again.log), content, what);
  await again.log.close();
}

test("a file cut at every byte of its last three frames recovers with the frames before the cut", async () => {
  const { disk, contents, places, path } = await record(smallSaves);
  const bytes = disk.fileBytes(path);
  const third = places.at(-3);
  const last = places.at(-1);
  assert(third !== undefined && last !== undefined);
  for (let size = third.from; size <= last.to; size++) {
    const whole = places.filter(({ to }) => to <= size).length;
    // The file ends there, as after a copy that broke off; and zeros follow, as after a loss of power.
    const short = disk.copy();
    short.replaceFile(path, bytes.subarray(0, size));
    await checkGoesOn(short, contents[whole] as string[], `cut at byte ${size}`);
    const zeros = Buffer.concat([bytes.subarray(0, size), Buffer.alloc(bytes.length - size)]);
    const zeroed = disk.copy();
    zeroed.replaceFile(path, zeros);
    // Zeros over what was zero anyway change nothing.
    const intact = places.filter(({ from, to }) => zeros.subarray(from, to).equals(bytes.subarray(from, to))).length;
    const where = places[intact];
    const isWithinSector = where !== undefined && where.from < size && size % 512 !== 0;
    if (isWithinSector) await checkIsDamageOrEnd(zeroed, contents[intact] as string[], size);
    else await checkGoesOn(zeroed, contents[intact] as string[], `zeros from byte ${size}`);
  }
});

/** No loss of power ends within a sector: a frame that is wrong and has no sector of zeros is damaged. */
async function checkIsDamageOrEnd(disk: MemoryDisk, expected: readonly string[], size: number): Promise<void> {
  let opened: Awaited<ReturnType<typeof openLog>>;
  try {
    opened = await openLog(disk, { random });
  } catch (error) {
    assert(error instanceof LogError && error.code === "corrupt", `zeros from byte ${size}: ${error}`);
    return;
  }
  assert.deepEqual(contentOf(opened.log), expected, `zeros from byte ${size}`);
  await opened.log.close();
}

test("every flipped bit in the file's header and frames is reported, and nothing is changed", async () => {
  const { disk, places, path } = await record(smallSaves);
  const bytes = disk.fileBytes(path);
  const covered = [{ from: 0, to: 46 }, ...places];
  for (const { from, to } of covered) {
    for (let bit = from * 8; bit < to * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7));
      const damaged = disk.copy();
      damaged.replaceFile(path, flipped);
      await assert.rejects(
        openLog(damaged, { random }),
        (error: unknown) => error instanceof LogError && error.code === "corrupt",
        `bit ${bit & 7} of byte ${bit >>> 3}`,
      );
      assert(damaged.fileBytes(path).equals(flipped), "a damaged log was changed");
    }
  }
});

test("a sector of zeros is reported, unless it is in the last frame, where it is what a loss of power leaves", async () => {
  const saves = [
    saveOf(1, [entryOf(1, 1, Buffer.alloc(1500, 1))]),
    saveOf(2, [entryOf(2, 1, Buffer.alloc(1500, 2))]),
    saveOf(3, [entryOf(3, 1, Buffer.alloc(1500, 3))]),
  ];
  const { disk, contents, places, path } = await record(saves);
  const bytes = disk.fileBytes(path);
  const last = places.at(-1);
  assert(last !== undefined);
  for (let sector = 512; sector < last.to; sector += 512) {
    const zeroed = Buffer.from(bytes);
    zeroed.fill(0, sector, sector + 512);
    const damaged = disk.copy();
    damaged.replaceFile(path, zeroed);
    if (sector >= last.from) await checkGoesOn(damaged, contents[2] as string[], `sector ${sector}`);
    else await assert.rejects(openLog(damaged, { random }), { code: "corrupt" }, `sector ${sector}`);
  }
});

test("leftovers behind the end are cleared before anything is written over them", async () => {
  const { disk, contents, places, path } = await record(smallSaves);
  const end = places.at(-1)?.to ?? 0;
  for (const at of [end + 100, 8000]) {
    const bytes = disk.fileBytes(path);
    bytes.write("leftovers of a torn write", at);
    const left = disk.copy();
    left.replaceFile(path, bytes);
    await checkGoesOn(left, contents.at(-1) as string[], `leftovers at ${at}`);
  }
});

test("bytes that a client stored cannot pass for a frame behind a torn one", async () => {
  const inner = await record([saveOf(1, [entryOf(1, 1, "inner")])]);
  const from = inner.places[0]?.from ?? 0;
  const frame = inner.disk.fileBytes(inner.path).subarray(from, from + 128);
  // A whole frame at every alignment, in every sector.
  const value = Buffer.concat(Array.from({ length: 64 }, (_, i) => Buffer.concat([Buffer.alloc(i % 8, 7), frame])));
  const { disk, contents, places, path } = await record(
    [saveOf(1, [entryOf(1, 1, "a")]), saveOf(2, [entryOf(2, 1, value)])],
    65536,
  );
  const last = places.at(-1);
  assert(last !== undefined);
  const bytes = disk.fileBytes(path);
  bytes.fill(0, last.from, Math.ceil(last.from / 512) * 512 + 512);
  const torn = disk.copy();
  torn.replaceFile(path, bytes);
  await checkGoesOn(torn, contents[1] as string[], "a torn frame full of frames");
});

/** A log of several files. */
function longSaves(): Save[] {
  return Array.from({ length: 40 }, (_, i) => saveOf(i + 1, [entryOf(i + 1, 1 + (i >> 3), Buffer.alloc(300, i + 1))]));
}

test("files that are missing, swapped or older than their neighbours are reported", async () => {
  const { disk } = await record(longSaves(), 2048);
  const names = disk.list(logFolder).filter((name) => name.endsWith(".log"));
  assert(names.length >= 5);
  const paths = names.map((name) => `${logFolder}/${name}`);
  for (const [index, path] of paths.entries()) {
    if (index === 0 || index === paths.length - 1) continue;
    const without = disk.copy();
    without.remove(path);
    await assert.rejects(openLog(without, { segmentBytes: 2048 }), { code: "corrupt" }, `without ${path}`);
    const swapped = disk.copy();
    swapped.replaceFile(path, disk.fileBytes(paths[index + 1] as string));
    await assert.rejects(openLog(swapped, { segmentBytes: 2048 }), { code: "corrupt" }, `another file as ${path}`);
    const shorter = disk.copy();
    shorter.replaceFile(path, disk.fileBytes(path).subarray(0, 1200));
    await assert.rejects(openLog(shorter, { segmentBytes: 2048 }), { code: "corrupt" }, `${path} cut short`);
    const older = disk.copy();
    const bytes = disk.fileBytes(path);
    older.replaceFile(path, Buffer.concat([bytes.subarray(0, 900), Buffer.alloc(bytes.length - 900)]));
    await assert.rejects(openLog(older, { segmentBytes: 2048 }), { code: "corrupt" }, `an older copy of ${path}`);
  }
  const empty = disk.copy();
  empty.replaceFile(paths.at(-1) as string, Buffer.alloc(0));
  await assert.rejects(openLog(empty, { segmentBytes: 2048 }), { code: "corrupt" });
});

test("a block that came back from elsewhere in the log is noticed", async () => {
  const saves = Array.from({ length: 12 }, (_, i) => saveOf(i + 1, [entryOf(i + 1, 1, Buffer.alloc(455, i + 1))]));
  const { disk, places, path } = await record(saves);
  const bytes = disk.fileBytes(path);
  for (let from = 0; from < places.length; from++) {
    for (let to = 0; to < places.length; to++) {
      if (from === to) continue;
      const [source, target] = [places[from], places[to]];
      assert(source !== undefined && target !== undefined);
      const mixed = Buffer.from(bytes);
      bytes.copy(mixed, target.from, source.from, source.from + 504);
      const damaged = disk.copy();
      damaged.replaceFile(path, mixed);
      await assert.rejects(openLog(damaged), { code: "corrupt" }, `frame ${from} over frame ${to}`);
    }
  }
});

test("an entry that is damaged while the log is open is not served", async () => {
  const { disk, places, path } = await record(smallSaves);
  const opened = await openLog(disk, { random });
  const bytes = disk.fileBytes(path);
  const second = places[1];
  assert(second !== undefined);
  bytes[second.from + 40] = (bytes[second.from + 40] as number) ^ 8;
  await disk.open(path, "existing").writeDurably(bytes, 0);
  assert.throws(() => opened.log.entries(3, 4, 1000), { name: "LogError", code: "corrupt" });
  assert.equal((opened.log.entries(1, 2, 1) as unknown[]).length, 1);
  await opened.log.close();
});

test("leftovers of making the next file do no harm", async () => {
  const { disk, contents } = await record(smallSaves);
  disk.replaceFile(`${logFolder}/spare.tmp`, Buffer.from("a file of zeros that was not finished"));
  disk.replaceFile(`${logFolder}/notes.txt`, Buffer.from("not ours"));
  await checkGoesOn(disk, contents.at(-1) as string[], "with a spare");
});
