// Drives the state machine and the naive store side by side, through the same random commands and reads, with sweeps,
// flushes, crashes and restarts in between, and demands that they agree at every step. The watch trial goes on top.
import assert from "node:assert/strict";
import { KeyValue } from "../../proto/gen/mvccpb/kv.ts";
import type { Random } from "../../server/lib/random.ts";
import type { Command } from "../../server/state/command.ts";
import { StateError } from "../../server/state/errors.ts";
import type { EventBatch } from "../../server/state/mvcc/events.ts";
import type { CommandResult, OperationResult } from "../../server/state/outcome.ts";
import type { RangeRead } from "../../server/state/range-read.ts";
import { StateMachine } from "../../server/state/state-machine.ts";
import type { Backend } from "../../server/storage/backend.ts";
import { BufferedBackend } from "../../server/storage/buffered-backend.ts";
import { createMemoryImage, MemoryStore } from "../../server/storage/memory-store.ts";
import type { tableNames } from "../../server/storage/tables.ts";
import { NaiveError, type NaiveResult, NaiveStore, type NaiveVersion } from "./naive-store.ts";
import { RandomCommands } from "./random-commands.ts";

/** What a watch trial wants to hear of. */
export interface TrialObserver {
  onEvents(batch: EventBatch): void;
  /** The state machine was made anew, with what a crash has left and the log has brought back. */
  onRestart(machine: StateMachine): void;
}

interface OpenRead {
  readonly read: RangeRead;
  readonly expected: NaiveResult;
  readonly revision: number;
}

export class StoreTrial {
  readonly random: Random;
  readonly model = new NaiveStore();
  readonly commands: RandomCommands;
  machine: StateMachine;
  observer: TrialObserver | undefined;
  readonly #image = createMemoryImage();
  #backend: Backend;
  #index = 0;
  /** Commands since the last flush, which a crash undoes and the log repeats. */
  #unflushed: { readonly command: Command; readonly result: string }[] = [];
  #reads: OpenRead[] = [];

  constructor(random: Random, keys?: readonly string[]) {
    this.random = random;
    this.commands = new RandomCommands(random.fork("commands"), keys);
    this.#backend = this.#openBackend();
    this.machine = new StateMachine(this.#backend);
  }

  #openBackend(): Backend {
    return new BufferedBackend(new MemoryStore({ image: this.#image, schedule: (commit) => setImmediate(commit) }));
  }

  /** One operation of any kind. */
  async step(): Promise<void> {
    const kind = this.random.below(1000);
    if (kind < 700) this.applyOne(this.commands.command(this.model.revision, this.model.compactRevision));
    else if (kind < 850) this.#readOnce();
    else if (kind < 880) this.#beginRead();
    else if (kind < 950) this.#stepReads();
    else if (kind < 990) this.sweep();
    else if (kind < 996) await this.flush();
    else if (kind < 999) this.compactToNow();
    else await this.crash();
  }

  applyOne(command: Command): void {
    const expected = textOfNaive(this.model.apply(command));
    const result = this.#apply(command);
    assert.equal(result, expected, describe(command));
    this.#unflushed.push({ command, result });
    assert.equal(this.machine.mvcc.currentRevision, this.model.revision);
    assert.equal(this.machine.mvcc.compactRevision, this.model.compactRevision);
  }

  #apply(command: Command): string {
    const { result, events } = this.machine.apply(++this.#index, 1, command);
    if (events !== undefined) this.observer?.onEvents(events);
    return textOfResult(result);
  }

  #readOnce(): void {
    const operation = this.commands.rangeOperation(this.model.revision, this.model.compactRevision);
    const actual = outcomeOf(() => textOfResult({ kind: "range", ...this.machine.readRange(operation).run() }));
    const expected = outcomeOf(() => textOfNaive(this.model.read(operation)));
    assert.equal(actual, expected, describe(operation));
  }

  /** A read that is cut into steps, with other things happening in between. */
  #beginRead(): void {
    const operation = this.commands.rangeOperation(this.model.revision, this.model.compactRevision);
    const actual = outcomeOf(() => this.machine.readRange(operation));
    const expected = outcomeOf(() => this.model.read(operation));
    assert.equal(typeof actual, typeof expected, describe(operation));
    if (typeof actual === "string" || typeof expected === "string") return;
    const revision = operation.revision > 0 ? operation.revision : this.model.revision;
    this.#reads.push({ read: actual, expected, revision });
  }

  #stepReads(): void {
    this.#reads = this.#reads.filter(({ read, expected, revision }) => {
      const rowsMax = 1 + this.random.below(4);
      const outcome = outcomeOf(() => read.step(rowsMax));
      if (outcome === undefined) return true;
      if (typeof outcome === "string") {
        assert.equal(outcome, "compacted");
        assert(revision < this.model.compactRevision, `a read at ${revision} was given up`);
      } else assert.equal(textOfResult({ kind: "range", ...outcome }), textOfNaive(expected));
      return false;
    });
  }

  sweep(): void {
    const before = this.machine.mvcc.position.sweptRevision;
    const isDone = this.machine.mvcc.sweep(1 + this.random.below(12));
    const after = this.machine.mvcc.position.sweptRevision;
    assert(isDone ? after >= this.model.compactRevision : after > before, `swept to ${before}, then ${after}`);
  }

  /** Compacts to the newest revision, often one that deleted something, and looks at what sweeping has left. */
  compactToNow(): void {
    if (this.random.below(2) === 0) this.applyOne(this.commands.deleteRange());
    this.applyOne({ kind: "compact", revision: this.model.revision, isPhysical: false });
    while (!this.machine.mvcc.sweep(1 + this.random.below(50)));
    this.#compareRowCounts();
  }

  async flush(): Promise<void> {
    let sealed = 0;
    const flushing = this.#backend.flush(() => {
      this.machine.recordPosition();
      sealed = this.#unflushed.length;
    });
    // The flush runs while commands go on.
    const count = this.random.below(20);
    for (let i = 0; i < count; i++) {
      this.applyOne(this.commands.command(this.model.revision, this.model.compactRevision));
      if (i % 5 === 0) await undefined;
    }
    await flushing;
    this.#unflushed = this.#unflushed.slice(sealed);
  }

  /** Ends without a flush, starts again, and repeats what the log has since the last one. */
  async crash(): Promise<void> {
    await this.#backend.close();
    this.#backend = this.#openBackend();
    this.machine = new StateMachine(this.#backend);
    this.#reads = [];
    this.#index = this.machine.appliedIndex;
    const observer = this.observer;
    this.observer = undefined;
    for (const { command, result } of this.#unflushed) assert.equal(this.#apply(command), result, "a repeated command");
    this.observer = observer;
    assert.equal(this.machine.mvcc.currentRevision, this.model.revision);
    observer?.onRestart(this.machine);
  }

  /** Compares everything: every key at every revision that can be read, leases, and what sweeping has left. */
  finish(): void {
    while (!this.machine.mvcc.sweep(500));
    const everything = { kind: "interval", from: "\0", to: undefined } as const;
    const newest = this.model.revision;
    const oldest = Math.max(1, this.model.compactRevision, newest - 200);
    for (let revision = oldest; revision <= newest; revision++) {
      const scan = this.machine.mvcc.scan(everything, revision, { limit: 0, isCounted: true });
      while (!scan.step(100));
      const actual = scan.versions.map((version) => textOfKeyValue(this.machine.mvcc.keyValueOf(version)));
      assert.deepEqual(actual, this.model.at(revision, everything).map(textOfVersion), `at revision ${revision}`);
    }
    this.#compareLeases();
    this.#compareRowCounts();
  }

  #compareLeases(): void {
    const leases = [...this.machine.leases.list()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const expected = [...this.model.leases].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(
      leases.map(({ id, ttlSeconds, remainingTtlSeconds }) => [id, ttlSeconds, remainingTtlSeconds]),
      expected.map(([id, { ttlSeconds, remainingSeconds }]) => [id, ttlSeconds, remainingSeconds]),
    );
    for (const { id } of leases) assert.deepEqual(this.machine.leases.keysOf(id), this.model.keysOfLease(id));
  }

  /** After sweeping nothing is left that nobody can read. */
  #compareRowCounts(): void {
    const { model } = this;
    const live = model.at(model.revision, { kind: "interval", from: "", to: undefined });
    const compacted = Math.max(0, model.compactRevision);
    const kept = new Map(model.at(compacted, { kind: "interval", from: "", to: undefined }).map((v) => [v.key, v]));
    const after = model.events.filter(({ revision }) => revision > compacted);
    // Watchers may start at the compact revision itself, so its deletes stay until the next compaction, all of them.
    const tombstones = model.events.filter(({ revision, version }) => revision === compacted && version === undefined);
    const rows = (table: (typeof tableNames)[number]): number => [...this.#backend.scan(table, "", undefined)].length;
    assert.equal(rows("current") + rows("longCurrent"), live.length, "current rows");
    assert.equal(rows("events"), kept.size + tombstones.length + after.length, "event rows");
    const superseded = new Set(
      after.filter((e) => model.before(e.revision, e.key)).map((e) => `${e.key} ${e.revision}`),
    );
    assert.equal(rows("history") + rows("longHistory"), superseded.size, "history rows");
    const longNeeded = new Set<string>();
    for (const key of [
      ...live.map((v) => v.key),
      ...[...superseded].map((text) => text.slice(0, text.lastIndexOf(" "))),
    ])
      for (let at = 900; at < key.length; at += 900) longNeeded.add(key.slice(0, at));
    assert.equal(rows("prefixes"), longNeeded.size, "prefix rows");
    assert.equal(rows("prefixParents"), longNeeded.size, "prefix parent rows");
  }
}

/** What a function returned, or the code of the expected error that it threw. */
function outcomeOf<T>(body: () => T): T | string {
  try {
    return body();
  } catch (error) {
    if (error instanceof StateError || error instanceof NaiveError) return error.code;
    throw error;
  }
}

const hexOf = (text: string): string => Buffer.from(text, "latin1").toString("hex");

export function textOfVersion(version: NaiveVersion): string {
  const { key, value, createRevision, modRevision, lease } = version;
  const keyText = key.length > 40 ? `${hexOf(key.slice(0, 20))}..${hexOf(key.slice(-20))}(${key.length})` : hexOf(key);
  return `${keyText}=${hexOf(value)} c${createRevision} m${modRevision} v${version.version} l${lease}`;
}

export function textOfKeyValue(bytes: Uint8Array): string {
  const kv = KeyValue.decode(bytes);
  return textOfVersion({
    key: Buffer.from(kv.key).toString("latin1"),
    value: Buffer.from(kv.value).toString("latin1"),
    createRevision: Number(kv.createRevision),
    modRevision: Number(kv.modRevision),
    version: Number(kv.version),
    lease: kv.lease,
  });
}

function textOfResult(result: CommandResult | OperationResult): string {
  switch (result.kind) {
    case "refused":
      return `refused ${result.error.code}`;
    case "put":
      return `put @${result.revision} was ${result.previous === undefined ? "nothing" : textOfKeyValue(result.previous)}`;
    case "delete-range":
      return `deleted ${result.deleted} @${result.revision} [${result.previous.map(textOfKeyValue).join(", ")}]`;
    case "range": {
      const { revision, count, hasMore, keyValues } = result;
      return `range @${revision} of ${count}${hasMore ? "+" : ""} [${keyValues.map(textOfKeyValue).join(", ")}]`;
    }
    case "txn":
      return `txn @${result.revision} ${result.succeeded} {${result.results.map(textOfResult).join("; ")}}`;
    case "compact":
    case "lease-grant":
    case "lease-revoke":
      return `${result.kind} @${result.revision}`;
    default:
      return result.kind;
  }
}

function textOfNaive(result: NaiveResult): string {
  switch (result.kind) {
    case "refused":
      return `refused ${result.code}`;
    case "put":
      return `put @${result.revision} was ${result.previous === undefined ? "nothing" : textOfVersion(result.previous)}`;
    case "delete-range":
      return `deleted ${result.deleted} @${result.revision} [${result.previous.map(textOfVersion).join(", ")}]`;
    case "range": {
      const { revision, count, hasMore, keyValues } = result;
      return `range @${revision} of ${count}${hasMore ? "+" : ""} [${keyValues.map(textOfVersion).join(", ")}]`;
    }
    case "txn":
      return `txn @${result.revision} ${result.succeeded} {${result.results.map(textOfNaive).join("; ")}}`;
    case "lease-checkpoint":
      return result.kind;
    default:
      return `${result.kind} @${result.revision}`;
  }
}

function describe(operation: object): string {
  return JSON.stringify(operation, (_, value: unknown) => {
    if (typeof value === "bigint") return String(value);
    if (typeof value === "string" && value.length > 60) return `${value.slice(0, 20)}...(${value.length})`;
    return value instanceof Uint8Array || (value as { type?: string })?.type === "Buffer" ? "bytes" : value;
  });
}
