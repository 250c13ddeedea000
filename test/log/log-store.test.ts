// The log against a plain array, on a disk whose every completion, failure and crash is decided here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../server/lib/random.ts";
import type { LogStore } from "../../server/log/log-store.ts";
import type { Save } from "../../server/raft/ready.ts";
import { type Entry, type EntryId, type HardState, noEntryId } from "../../server/raft/types.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { microtasks } from "../support/virtual-clock.ts";
import {
  contentOf,
  diskWithFolder,
  entryOf,
  logFolder,
  type OpenLog,
  openLog,
  SlowDisk,
  saveNow,
  saveOf,
  textOfEntry,
} from "./log-bench.ts";

/** What a log should hold after some save. */
interface LogModel {
  readonly hardState: HardState;
  readonly base: EntryId;
  readonly entries: readonly Entry[];
}

function textOfModel({ hardState: { term, vote, commit }, base, entries }: LogModel): string[] {
  return [`hard state ${term} ${vote} ${commit}`, `after ${base.term}/${base.index}`, ...entries.map(textOfEntry)];
}

const segmentBytes = 4096;

/** Drives a log by chance through writes, slow disks, releases and crashes, and checks it against a model. */
class LogTrial {
  readonly #random: Random;
  #slow: SlowDisk;
  #opened!: OpenLog;
  #model: LogModel = { hardState: { term: 0, vote: undefined, commit: 0 }, base: noEntryId, entries: [] };
  /** What the log held after each save since it was opened; the first is what it was opened with. */
  #history: { readonly id: number; readonly model: LogModel }[] = [];
  #saveId = 0;
  #released = 0;
  #openedWith = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#slow = new SlowDisk(random);
  }

  async open(): Promise<void> {
    this.#opened = await openLog(this.#slow.disk, { segmentBytes, cacheBytes: 600, random: this.#random });
    this.#openedWith = this.#saveId;
    this.#history = [{ id: this.#saveId, model: this.#model }];
  }

  async step(): Promise<void> {
    const kind = this.#random.below(100);
    if (kind < 55) this.#save();
    else if (kind < 80) await this.#slow.completeSome(1 + this.#random.below(4));
    else if (kind < 90) this.#read();
    else if (kind < 93) await this.#release();
    else if (kind < 95) this.#slow.isFast = !this.#slow.isFast;
    else if (kind < 98) await this.#settle();
    else await this.#crash();
  }

  #save(): void {
    const { base, entries } = this.#model;
    const term = this.#model.hardState.term + (this.#random.below(5) === 0 ? 1 : 0);
    const last = entries.at(-1)?.index ?? base.index;
    const save =
      this.#random.below(60) === 0 ? this.#resetSave(last, term) : this.#entriesSave(last, Math.max(1, term));
    this.#saveId = save.id;
    const kept = save.snapshot === undefined ? entries : [];
    const first = save.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    this.#model = {
      hardState: save.hardState,
      base: save.snapshot === undefined ? base : { index: save.snapshot.index, term: save.snapshot.term },
      entries: [...kept.filter(({ index }) => index < first), ...save.entries],
    };
    this.#history.push({ id: save.id, model: this.#model });
    this.#opened.log.save(save);
  }

  #entriesSave(last: number, term: number): Save {
    const { base, hardState } = this.#model;
    // Entries are only ever replaced in a newer term, and never those that were given up: they were committed.
    const isCut = term > hardState.term && this.#random.below(2) === 0;
    const floor = Math.max(base.index, this.#released);
    const from = isCut ? floor + 1 + this.#random.below(last - floor + 1) : last + 1;
    const sizes = [0, 5, 40, 40, 300, 900];
    const count = this.#random.below(5);
    const entries = Array.from({ length: count }, (_, i) => {
      const bytes = this.#random.below(150) === 0 ? 6000 : (sizes[this.#random.below(sizes.length)] as number);
      return entryOf(from + i, term, Buffer.alloc(bytes, this.#random.below(3)));
    });
    return saveOf(this.#saveId + 1, entries, { term, vote: BigInt(this.#random.below(3)) || undefined, commit: floor });
  }

  #resetSave(last: number, term: number): Save {
    const index = last + 1 + this.#random.below(5);
    const confState = { voters: [1n], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    this.#released = index;
    const snapshot = { index, term: Math.max(1, term), confState };
    return saveOf(this.#saveId + 1, [], { term: Math.max(1, term), commit: index }, snapshot);
  }

  /** The newest save that was reported, or the one the log was opened with. */
  get #reported(): number {
    return this.#opened.saved.at(-1) ?? this.#openedWith;
  }

  #durable(): LogModel {
    return this.#history.find(({ id }) => id === this.#reported)?.model as LogModel;
  }

  /** Durable entries that no later save has replaced. */
  #stableEntries(): readonly Entry[] {
    const now = new Set(this.#model.entries);
    return this.#durable().entries.filter((entry) => now.has(entry));
  }

  #read(): void {
    const { log } = this.#opened;
    const readable = this.#stableEntries().filter(({ index }) => index >= log.firstIndex());
    const low = readable[this.#random.below(readable.length)];
    if (low === undefined) return;
    const high = low.index + 1 + this.#random.below(8);
    const found = log.entries(low.index, high, this.#random.below(1200));
    assert(typeof found !== "string", `entry ${low.index} cannot be read: ${String(found)}`);
    assert(found.length >= 1 && found.length <= high - low.index);
    const expected = this.#model.entries.filter(({ index }) => index >= low.index).slice(0, found.length);
    assert.deepEqual(found.map(textOfEntry), expected.map(textOfEntry));
  }

  async #release(): Promise<void> {
    const stable = this.#stableEntries();
    const to = stable[this.#random.below(stable.length)]?.index;
    if (to === undefined) return;
    this.#released = Math.max(this.#released, to);
    const slow = this.#slow;
    const released = this.#opened.log.release(to).catch((error: unknown) => {
      // One that was under way at a crash goes no further.
      if (slow === this.#slow) throw error;
    });
    this.#forget();
    // Not waiting for it leaves several under way.
    if (this.#random.below(2) === 0) {
      const wasFast = this.#slow.isFast;
      this.#slow.isFast = true;
      await this.#slow.completeAll();
      await released;
      this.#slow.isFast = wasFast;
    }
    for (const { index, term } of this.#model.entries) assert.equal(this.#opened.log.term(index), term);
  }

  /** Follows the log in what it has given up, which is up to it within what was released. */
  #forget(): void {
    const index = this.#opened.log.firstIndex() - 1;
    assert(index <= Math.max(this.#released, this.#model.base.index), `the log gave up ${index}`);
    const cut = (model: LogModel): LogModel => {
      if (index <= model.base.index) return model;
      const term = model.entries.find((entry) => entry.index === index)?.term;
      assert(term !== undefined, `the log begins after ${index}, which was not there`);
      return { ...model, base: { index, term }, entries: model.entries.filter((entry) => entry.index > index) };
    };
    this.#model = cut(this.#model);
    const reported = this.#reported;
    this.#history = this.#history
      .filter(({ id }) => id >= reported)
      .map(({ id, model }) => ({ id, model: cut(model) }));
  }

  async #settle(): Promise<void> {
    const wasFast = this.#slow.isFast;
    this.#slow.isFast = true;
    await this.#slow.completeAll();
    while (this.#reported !== this.#saveId) await microtasks();
    this.#slow.isFast = wasFast;
    assert.deepEqual(contentOf(this.#opened.log), textOfModel(this.#model));
  }

  async #crash(): Promise<void> {
    const reported = this.#reported;
    this.#slow = new SlowDisk(this.#random, this.#slow.disk.crash());
    const before = this.#history;
    await this.open();
    const content = contentOf(this.#opened.log).join("\n");
    // What a release gave up may be back: its files are still there.
    const found = before
      .filter(({ id }) => id >= reported)
      .find(({ model }) => isSameFrom(this.#opened.log, content, model));
    assert(found !== undefined, `after save ${reported} was reported, a crash left\n${content.slice(0, 2000)}`);
    this.#model = this.#modelOf(found.model);
    // A snapshot that a crash undid gave nothing up.
    this.#released = Math.min(this.#released, this.#opened.log.lastIndex());
    this.#history = [{ id: this.#saveId, model: this.#model }];
  }

  #modelOf(model: LogModel): LogModel {
    const { log } = this.#opened;
    const first = log.firstIndex();
    const older: Entry[] = [];
    for (let index = first; index <= model.base.index; index++) {
      const found = log.entries(index, index + 1, 1);
      assert(typeof found !== "string");
      older.push(...found);
    }
    return {
      hardState: model.hardState,
      base: { index: first - 1, term: log.term(first - 1) as number },
      entries: [...older, ...model.entries].filter(({ index }) => index >= first),
    };
  }

  async finish(): Promise<void> {
    this.#slow.isFast = true;
    await this.#settle();
    await this.#opened.log.close();
    await this.open();
    assert.deepEqual(contentOf(this.#opened.log), textOfModel(this.#modelOf(this.#model)));
    await this.#opened.log.close();
  }
}

/** Whether the log holds what the model does, from the later of their two beginnings on. */
function isSameFrom(log: LogStore, content: string, model: LogModel): boolean {
  const { term, vote, commit } = model.hardState;
  const first = Math.max(log.firstIndex(), model.base.index + 1);
  const expected = model.entries.filter(({ index }) => index >= first).map(textOfEntry);
  const actual = content
    .split("\n")
    .slice(2)
    .filter((line) => Number(line.split(/[/ ]/)[1]) >= first);
  const lastIndex = model.entries.at(-1)?.index ?? model.base.index;
  return (
    content.startsWith(`hard state ${term} ${vote} ${commit}\n`) &&
    log.lastIndex() === Math.max(lastIndex, log.firstIndex() - 1) &&
    actual.join("\n") === expected.join("\n")
  );
}

test("random saves, slow disks, releases and crashes leave what a plain array says", async (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`QUORATE_SEED=${seed}`);
  for (let round = 0; round < 25; round++) {
    const trial = new LogTrial(createRandom(seed).fork(`round ${round}`));
    await trial.open();
    for (let step = 0; step < 200; step++) await trial.step();
    await trial.finish();
  }
});

test("entries that arrive while a frame is written are found in their own frame", async () => {
  const slow = new SlowDisk(createRandom(1));
  const opened = await openLog(slow.disk, { cacheBytes: 1 });
  await microtasks();
  slow.isFast = false;
  opened.log.save(saveOf(1, [entryOf(1, 1), entryOf(2, 1)]));
  opened.log.save(saveOf(2, [entryOf(3, 1), entryOf(4, 1)]));
  await slow.completeSome(1);
  assert.deepEqual(opened.saved, [1]);
  // The second save replaced nothing of the first, the third does.
  opened.log.save(saveOf(3, [entryOf(4, 2), entryOf(5, 2)]));
  await slow.completeSome(1);
  await slow.completeSome(1);
  assert.deepEqual(opened.saved, [1, 2, 3]);
  const content = contentOf(opened.log);
  assert.deepEqual(
    content.slice(2).map((line) => line.split(" ")[0]),
    ["1/1", "1/2", "1/3", "2/4", "2/5"],
  );
  slow.isFast = true;
  await opened.log.close();
});

test("one sync serves all saves that came while another one ran", async () => {
  const slow = new SlowDisk(createRandom(1));
  const opened = await openLog(slow.disk, { segmentBytes: 65536 });
  await microtasks();
  slow.isFast = false;
  for (let id = 1; id <= 50; id++) opened.log.save(saveOf(id, [entryOf(id, 1)]));
  assert.equal(slow.disk.waiting.filter(({ kind }) => kind === "write-durably").length, 1);
  await slow.completeSome(1);
  assert.deepEqual(opened.saved, [1]);
  await slow.completeSome(1);
  assert.deepEqual(opened.saved, [1, 50]);
  slow.isFast = true;
  await opened.log.close();
});

test("a failed sync is told once, nothing after it is reported, and nothing is tried again", async () => {
  for (let failing = 1; failing <= 12; failing++) {
    const slow = new SlowDisk(createRandom(failing));
    const opened = await openLog(slow.disk, { segmentBytes: 2048 });
    let syncs = 0;
    slow.fault = ({ kind }) => (kind === "write-durably" && ++syncs === failing ? "EIO" : undefined);
    for (let id = 1; id <= 20; id++) {
      opened.log.save(saveOf(id, [entryOf(id, 1, Buffer.alloc(300))]));
      await microtasks();
    }
    await microtasks();
    assert.equal(opened.failures.length, 1);
    assert.equal(opened.failures[0]?.code, "io");
    assert.equal(syncs, failing, "the sync was tried again");
    const reported = opened.saved.at(-1) ?? 0;
    await opened.log.close();
    const again = await openLog(slow.disk.crash({ random: createRandom(failing) }), { segmentBytes: 2048 });
    assert(again.log.lastIndex() >= reported && again.log.lastIndex() <= reported + 1);
    await again.log.close();
  }
});

test("on a full disk the log says how much room is left, waits, and goes on when there is some", async () => {
  const capacityBytes = 3 * segmentBytes;
  const slow = new SlowDisk(createRandom(1), undefined, capacityBytes);
  const opened = await openLog(slow.disk, { segmentBytes });
  await microtasks();
  assert.equal(opened.log.roomBytes, Number.MAX_SAFE_INTEGER);
  let id = 0;
  const saveOne = (): void => {
    id++;
    opened.log.save(saveOf(id, [entryOf(id, 1, Buffer.alloc(500))]));
  };
  while (opened.saved.at(-1) === id || id === 0) {
    saveOne();
    await microtasks();
    if (id > 100) assert.fail("the disk never got full");
  }
  assert(opened.log.roomBytes < segmentBytes);
  assert.equal(opened.failures.length, 0);
  const stuck = id;
  saveOne();
  await opened.clock.advance(5000);
  assert(!opened.saved.includes(stuck));
  // Room comes back: the state was flushed elsewhere, and old files go.
  await opened.log.release(stuck - 1);
  await opened.clock.advance(2000);
  assert.equal(opened.saved.at(-1), id);
  assert.equal(opened.log.roomBytes, Number.MAX_SAFE_INTEGER);
  await opened.log.close();
  const again = await openLog(slow.disk.crash({ random: createRandom(1) }), { segmentBytes });
  assert.equal(again.log.lastIndex(), id);
  await again.log.close();
});

test("a log on a full disk can be closed", async () => {
  const slow = new SlowDisk(createRandom(1), undefined, segmentBytes + 100);
  const opened = await openLog(slow.disk, { segmentBytes });
  for (let id = 1; id <= 20; id++) opened.log.save(saveOf(id, [entryOf(id, 1, Buffer.alloc(500))]));
  await opened.clock.advance(3000);
  assert.deepEqual(opened.saved, [1]);
  await opened.log.close();
  await opened.log.close();
  assert.equal(opened.failures.length, 0);
});

test("closing waits for what was saved", async () => {
  const slow = new SlowDisk(createRandom(1));
  const opened = await openLog(slow.disk, { segmentBytes });
  slow.isFast = false;
  for (let id = 1; id <= 30; id++) opened.log.save(saveOf(id, [entryOf(id, 1, Buffer.alloc(500))]));
  const closing = opened.log.close();
  slow.isFast = true;
  await slow.completeAll();
  await closing;
  assert.equal(opened.saved.at(-1), 30);
});

test("files whose entries were overwritten before they were given up leave a log that opens", async () => {
  const disk = diskWithFolder(createRandom(1));
  const opened = await openLog(disk, { segmentBytes: 2048 });
  // Two entries to a file; then 2 and all behind it anew, in a file that therefore begins after entry 6 and has a 2.
  for (let index = 1; index <= 6; index++) {
    await saveNow(opened, saveOf(index, [entryOf(index, 1, Buffer.alloc(420))]));
  }
  for (let index = 2; index <= 9; index++) await saveNow(opened, saveOf(index + 10, [entryOf(index, 2)]));
  await opened.log.release(6);
  assert.equal(opened.log.firstIndex(), 7);
  assert.equal(opened.log.term(6), 2);
  const content = contentOf(opened.log).slice(2);
  await opened.log.close();
  const again = await openLog(disk.crash(), { segmentBytes: 2048 });
  assert.equal(again.log.firstIndex(), 3);
  assert.deepEqual(contentOf(again.log).slice(-content.length), content);
  for (let index = 2; index <= 9; index++) assert.equal(again.log.term(index), 2);
  await again.log.close();
});

test("a log whose folder is new survives a crash with all that was reported", async () => {
  for (let round = 0; round < 20; round++) {
    const disk = diskWithFolder(createRandom(round));
    const opened = await openLog(disk);
    await saveNow(opened, saveOf(1, [entryOf(1, 1)]));
    const again = await openLog(disk.crash());
    assert.equal(again.log.lastIndex(), 1);
    await again.log.close();
  }
});

test("a frame larger than a file gets a file of its size", async () => {
  const disk = diskWithFolder(createRandom(1));
  const opened = await openLog(disk, { segmentBytes: 2048 });
  await saveNow(opened, saveOf(1, [entryOf(1, 1, Buffer.alloc(5000, 1))]));
  await saveNow(opened, saveOf(2, [entryOf(2, 1, Buffer.alloc(9000, 2))]));
  await saveNow(opened, saveOf(3, [entryOf(3, 1)]));
  const content = contentOf(opened.log);
  await opened.log.close();
  assert(disk.list(logFolder).length >= 3);
  const again = await openLog(disk.crash(), { segmentBytes: 2048 });
  assert.deepEqual(contentOf(again.log), content);
  await again.log.close();
});

test("an old leader's log is put in the place of a snapshot, once", async () => {
  const disk = diskWithFolder(createRandom(1));
  const opened = await openLog(disk);
  await saveNow(opened, saveOf(1, [entryOf(1, 1), entryOf(2, 1)]));
  await opened.log.close();
  const behind = await openLog(disk.copy());
  const confState = { voters: [1n, 2n], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  await behind.log.resetTo({ index: 50, term: 4, confState });
  assert.equal(behind.log.firstIndex(), 51);
  assert.equal(behind.log.term(50), 4);
  await saveNow(behind, saveOf(2, [entryOf(51, 4)]));
  const content = contentOf(behind.log);
  assert.deepEqual(behind.log.resetSnapshot?.confState, confState);
  await behind.log.close();
  assert.deepEqual(content.slice(0, 2), ["hard state 4 7 0", "after 4/50"]);
});
