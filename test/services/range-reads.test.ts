// Large ranges take turns: few at a time, none for long, and small ones pass between them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isAbortError } from "../../server/lib/abort.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import { ReplicaError } from "../../server/replica/errors.ts";
import { RangeReads } from "../../server/services/grpc/range-reads.ts";
import { keyRangeOf } from "../../server/state/key-range.ts";
import { RangeRead } from "../../server/state/range-read.ts";
import { StoreBench } from "../state/store-bench.ts";

const keys = 9000;
const caller = { peer: "a", signal: new AbortController().signal };

const operationOf = (key: string, rangeEnd: string) =>
  ({
    kind: "range",
    range: keyRangeOf(key, rangeEnd),
    limit: 0,
    revision: 0,
    sortOrder: "none",
    sortTarget: "key",
    isSerializable: false,
    // Never kept in memory, so each is read from the tables.
    isKeysOnly: true,
    isCountOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  }) as const;

/** Reads all keys, and tells when it began and ended. */
class ObservedRead extends RangeRead {
  static inProgress = 0;
  static inProgressMax = 0;
  steps = 0;

  override step(rowsMax: number): ReturnType<RangeRead["step"]> {
    if (this.steps++ === 0) ObservedRead.inProgress++;
    ObservedRead.inProgressMax = Math.max(ObservedRead.inProgressMax, ObservedRead.inProgress);
    const result = super.step(rowsMax);
    if (result !== undefined) ObservedRead.inProgress--;
    return result;
  }
}

function fill(): StoreBench {
  const bench = new StoreBench();
  for (let i = 0; i < keys; i++) bench.put(`k${String(i).padStart(5, "0")}`);
  return bench;
}

test("many large ranges: a few at a time, all answered, and a single key in between", async () => {
  const bench = fill();
  const reads = new RangeReads(systemClock);
  const all = Array.from({ length: 40 }, () => new ObservedRead(bench.machine.mvcc, operationOf("k", "l")));
  const answers = all.map((read) => Promise.resolve(reads.run(read, caller)));
  const single = bench.machine.readRange(operationOf("k00042", ""));
  const small = reads.run(single, caller);
  assert.equal((await small).count, 1);
  const results = await Promise.all(answers);
  for (const { count, keyValues } of results) assert.deepEqual([count, keyValues.length], [keys, keys]);
  assert(all.every(({ steps }) => steps >= keys / 1000));
  // Those that took their first step at once, and those that take turns.
  assert(ObservedRead.inProgressMax <= 8, `${ObservedRead.inProgressMax} at a time`);
});

test("a read that nobody waits for any more, one too many, and one that fails", async () => {
  const bench = fill();
  const reads = new RangeReads(systemClock);
  const readAll = () => bench.machine.readRange(operationOf("k", "l"));
  const gone = new AbortController();
  const first = reads.run(readAll(), caller);
  const abandoned = Promise.resolve(reads.run(readAll(), { peer: "a", signal: gone.signal }));
  gone.abort();
  await assert.rejects(abandoned, isAbortError);
  assert.equal((await first).count, keys);

  const overtaken = Promise.resolve(
    reads.run(bench.machine.readRange({ ...operationOf("k", "l"), revision: 3 }), caller),
  );
  bench.compact();
  await assert.rejects(overtaken, { code: "compacted" });

  const waiting: Promise<unknown>[] = [];
  const small = () => bench.machine.readRange(operationOf("k00001", ""));
  assert.throws(
    () => {
      for (let i = 0; i < 20_000; i++) {
        const outcome = reads.run(i < 10 ? readAll() : small(), caller);
        if (outcome instanceof Promise) waiting.push(outcome);
      }
    },
    (error) => error instanceof ReplicaError && error.code === "too-many-requests",
  );
  await Promise.all(waiting);
});

test("one client's many reads do not make others wait, nor fill the queue for them; large values count", async () => {
  const bench = new StoreBench();
  for (const key of ["large", "small"]) bench.put(key, "v".repeat(key === "large" ? 1_000_000 : 1));
  const reads = new RangeReads(systemClock);
  const read = (key: string) => bench.machine.readRange({ ...operationOf(key, ""), isKeysOnly: false });
  const order: string[] = [];
  const ask = async (peer: string, key: string): Promise<void> => {
    await reads.run(read(key), { ...caller, peer });
    order.push(peer);
  };
  const all: Promise<void>[] = [];
  for (let i = 0; i < 300; i++) all.push(ask("greedy", "large"));
  // What was read at once is not more than a few values.
  await undefined;
  await undefined;
  assert(order.length < 10, `${order.length} large values in one turn`);
  all.push(ask("modest", "small"));
  await Promise.all(all);
  assert(order.indexOf("modest") < 50, `the modest one came after ${order.indexOf("modest")} others`);

  let refused = 0;
  const rest: Promise<void>[] = [];
  for (let i = 0; i < 6_000; i++) {
    rest.push(
      ask("greedy", "large").catch((error: unknown) => {
        assert(error instanceof ReplicaError && error.code === "too-many-requests");
        refused += 1;
      }),
    );
  }
  rest.push(ask("modest", "small"));
  await Promise.all(rest);
  assert(refused > 0);
});
