// The bench's arithmetic: percentiles, medians, and what it reads from other programs' output.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../../server/lib/random.ts";
import { seedFromEnvironment } from "../../support/seed.ts";
import { addLog, parseH2load, parseTimes } from "../h2load.ts";
import { Histogram } from "./histogram.ts";
import { parseCpuTime, parseMachineCpu, parsePeakMemory } from "./process-usage.ts";
import { handledCalls, handledSince, loopDelayMs, parseMetrics, storeRevision } from "./scrape.ts";
import { formatShape, parseShape } from "./shape.ts";
import { median, spreadOf } from "./statistics.ts";
import { formatRatio, formatShort, formatTable } from "./text-table.ts";

test("a histogram's percentiles are right within one in 128, at every size of value", () => {
  const seed = seedFromEnvironment();
  console.log(`# seed ${seed}`);
  const random = createRandom(seed);
  for (const bits of [6, 10, 16, 24, 30]) {
    const values = Array.from({ length: 5000 }, () => random.below(2 ** bits));
    const histogram = new Histogram();
    for (const value of values) histogram.add(value);
    values.sort((a, b) => a - b);
    for (const quantile of [0, 0.001, 0.5, 0.9, 0.99, 0.999, 1]) {
      const exact = values[Math.max(1, Math.ceil(quantile * values.length)) - 1]!;
      const found = histogram.quantile(quantile);
      assert(found >= exact && found <= exact * (1 + 1 / 128), `${bits} bits, ${quantile}: ${found} for ${exact}`);
    }
    assert.equal(histogram.max, values.at(-1));
    assert.equal(histogram.count, values.length);
  }
});

test("a histogram counts values below 256 exactly, and takes what is out of range", () => {
  const histogram = new Histogram();
  for (const value of [-5, 0, 255, 256, 257, 2 ** 31, Number.MAX_SAFE_INTEGER]) histogram.add(value);
  assert.equal(histogram.quantile(0), 0);
  assert.equal(histogram.quantile(3 / 7), 255);
  // 256 and 257 share a bucket, which is named by its upper end.
  assert.equal(histogram.quantile(4 / 7), 257);
  assert.equal(histogram.max, 2 ** 31 - 1);
  assert.equal(histogram.quantile(1), 2 ** 31 - 1);
  assert(Number.isNaN(new Histogram().quantile(0.5)));
});

test("a quantile between two values is the upper one", () => {
  const histogram = new Histogram();
  for (const value of [1, 2, 3]) histogram.add(value);
  assert.deepEqual(
    [0.3, 0.34, 0.5, 0.67, 1].map((quantile) => histogram.quantile(quantile)),
    [1, 2, 2, 3, 3],
  );
});

test("a histogram that crossed a process boundary adds up with another", () => {
  const one = new Histogram();
  const two = new Histogram();
  for (let value = 0; value < 1000; value++) (value % 2 === 0 ? one : two).add(value * 100);
  const both = new Histogram();
  both.merge(JSON.parse(JSON.stringify(one.toData())) as number[]);
  both.merge(two.toData());
  assert.equal(both.count, 1000);
  const middle = both.quantile(0.5);
  assert(middle >= 49_900 && middle <= 49_900 * (1 + 1 / 128), String(middle));
});

test("medians and spreads leave out what is not known", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([Number.NaN, 7]), 7);
  assert(Number.isNaN(median([])));
  assert.deepEqual(spreadOf([5, Number.NaN, 1, 3]), { median: 3, min: 1, max: 5 });
  assert(Number.isNaN(spreadOf([]).max));
});

test("a shape is read as it is written, and nothing else is one", () => {
  for (const text of ["1x1", "10x50", "500x1"]) assert.equal(formatShape(parseShape(text)!), text);
  for (const text of ["", "0x1", "1x0", "10", "x", "1x1x1", "-1x1", "1 x1"]) assert.equal(parseShape(text), undefined);
});

test("tables line up, numbers have a length that compares", () => {
  const table = formatTable(
    [{ title: "a", align: "left" }, { title: "number" }],
    [
      ["x", "1"],
      ["long one", "12,345,678"],
    ],
  );
  assert.equal(table, "a             number\n--------  ----------\nx                  1\nlong one  12,345,678");
  assert.deepEqual([0.1234, 1.234, 12.34, 123.4, 12345.6, Number.NaN].map(formatShort), [
    "0.123",
    "1.23",
    "12.3",
    "123",
    "12,346",
    "-",
  ]);
  assert.equal(formatRatio(1.234), "1.23x");
  assert.equal(formatRatio(0 / 0), "-");
});

test("h2load's summary is read, and an unknown one refused", () => {
  const output = `
finished in 2.01s, 20345.50 req/s, 1.22MB/s
requests: 40691 total, 40791 started, 40691 done, 40690 succeeded, 1 failed, 2 errored, 3 timeout
status codes: 40691 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 2.45MB (2567385) total, 81.41KB (83366) headers (space savings 94.61%), 1.28MB (1338447) data`;
  assert.deepEqual(parseH2load(output), {
    operations: 40690,
    requestsPerSecond: 20345.5,
    failed: 6,
    bodyBytes: 1338447,
  });
  assert.throws(() => parseH2load("could not connect to host"), /unexpected/);
});

test("h2load's log of requests becomes a histogram; a line without an end is left out", () => {
  const latency = new Histogram();
  addLog("1795167890963655\t200\t100\n1795167890961894\t200\t250\textra\n1795167890961894\t200\t9", new Histogram());
  addLog("1795167890963655\t200\t100\n1795167890961894\t200\t250\n1795167890961894\t200\t9", latency);
  assert.deepEqual([latency.count, latency.quantile(0), latency.max], [2, 100, 250]);
});

test("the shell's times are read from the last line", () => {
  assert.equal(parseTimes("something else 9m9s\n0m0.001s 0m0.002s\n1m2.500s 0m0.250s\n"), 62.75);
  assert.equal(parseTimes(""), 0);
});

test("CPU time is read past a process name with blanks and parentheses", () => {
  const stat = "4242 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 11 0 123 456";
  assert.deepEqual(parseCpuTime(stat), { user: 2.5, system: 0.5 });
});

test("the machine's CPU time leaves out idle time and what is counted twice", () => {
  assert.equal(parseMachineCpu("cpu  100 10 50 9000 900 5 15 20 77 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n"), 2);
});

test("peak memory is in bytes, and unknown where it is not said", () => {
  assert.equal(parsePeakMemory("Name:\tnode\nVmPeak:\t 9 kB\nVmHWM:\t  1024 kB\nVmRSS:\t 5 kB\n"), 1_048_576);
  assert(Number.isNaN(parsePeakMemory("Name:\tnode\n")));
});

const metricsText = `# HELP grpc_server_handled_total RPCs
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="OK",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 41
grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 7
grpc_server_handled_total{grpc_code="Canceled",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 2
quorate_event_loop_delay_seconds{quantile="0.5"} 0.010117119
quorate_event_loop_delay_seconds{quantile="1"} 2.5e-2
etcd_debugging_mvcc_current_revision 1.000042e+06
odd{text="a \\"quoted\\" part, with a comma"} 1
`;

test("metrics are read: calls by code, loop delay, revision, labels with quotes", () => {
  const samples = parseMetrics(metricsText);
  const before = handledCalls(samples, "Put");
  assert.deepEqual(
    [...before],
    [
      ["OK", 41],
      ["Canceled", 2],
    ],
  );
  const after = new Map([
    ["OK", 50],
    ["Canceled", 2],
    ["Internal", 1],
  ]);
  assert.deepEqual(
    [...handledSince(before, after)],
    [
      ["OK", 9],
      ["Internal", 1],
    ],
  );
  assert.equal(loopDelayMs(samples, "1"), 25);
  assert(Number.isNaN(loopDelayMs(samples, "0.99")));
  assert.equal(storeRevision(samples), 1_000_042);
  assert.equal(samples.at(-1)?.labels["text"], 'a \\"quoted\\" part, with a comma');
});
