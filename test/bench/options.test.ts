// The bench's command line: what it means, and that nonsense is refused before anything starts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatShape } from "./lib/shape.ts";
import { parseOptions, UsageError } from "./options.ts";
import { rows } from "./rows.ts";

test("without options everything is measured", () => {
  const options = parseOptions([]);
  assert.deepEqual(options.rows, rows);
  assert.deepEqual(options.shapes.map(formatShape), ["1x1", "10x1", "100x1", "500x1", "10x50"]);
  assert.equal(options.runs, 5);
  assert.equal(options.members, 1);
  assert.deepEqual(options.parts, ["puts", "open", "start"]);
});

test("rows and shapes are chosen by name, and a profile has one shape", () => {
  const options = parseOptions(["--etcd", "bin", "--rows", "put,txn", "--shapes", "10x50", "--runs", "7", "--json"]);
  assert.deepEqual(
    options.rows.map(({ name }) => name),
    ["put", "txn"],
  );
  assert.deepEqual(options.shapes.map(formatShape), ["10x50"]);
  assert.deepEqual([options.etcd, options.runs, options.json], ["bin", 7, true]);
  assert.deepEqual(parseOptions(["--profile", "put"]).shapes.map(formatShape), ["100x1"]);
});

test("what makes no sense is refused with its name", () => {
  for (const [args, message] of [
    [["--rows", "nothing"], /no row is called nothing/],
    [["--shapes", "10y50"], /10y50 is no shape/],
    [["--runs", "0"], /--runs 0/],
    [["--runs", "2.5"], /--runs 2.5/],
    [["--seconds", "x"], /--seconds x/],
    [["--only", "etcd"], /--only etcd needs --etcd/],
    [["--only", "zookeeper"], /--only zookeeper/],
    [["--etcd", "a", "--baseline", "b"], /--etcd and --baseline/],
    [["--generator", "wrk"], /--generator wrk/],
    [["--part", "close"], /no part is called close/],
    [["--nonsense"], /nonsense/],
  ] as const) {
    assert.throws(
      () => parseOptions(args),
      (error: unknown) => error instanceof UsageError && message.test(error.message),
    );
  }
});

test("the aims are those that grow with the load", () => {
  const aims = (name: string, members = 1): number[] => {
    const row = rows.find((candidate) => candidate.name === name)!;
    return parseOptions([]).shapes.map((shape) => row.ratioMin(shape, members));
  };
  assert.deepEqual(aims("put"), [1, 1.2, 2, 2, 2]);
  assert.deepEqual(aims("range"), [1, 1, 2, 2, 2]);
  assert.deepEqual(aims("keep-alive"), [1.5, 1.5, 1.5, 1.5, 1.5]);
  assert.deepEqual(aims("put", 3), [1, 1, 1.3, 1.3, 1.3]);
  assert.deepEqual(aims("range", 3), [1, 1, 1.5, 1.5, 1.5]);
});
