// The small parts of the SDK, each by itself.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAddress } from "../../sdk/address.ts";
import { userAgent } from "../../sdk/connection.ts";
import { toMs, toWholeSeconds } from "../../sdk/duration.ts";
import { InvalidArgumentError } from "../../sdk/errors.ts";
import { FrameReader, frameMessage } from "../../sdk/framing.ts";
import { CallFailure, grpcStatus, type Progress } from "../../sdk/grpc-status.ts";
import { keyAfter, keyIdentity, prefixEnd, toWireRange } from "../../sdk/keys.ts";
import { backoffMs, RetryBudget } from "../../sdk/retry.ts";
import { type CallKind, isTransient, isUnprocessed, outcomeOf, toClientError } from "../../sdk/server-errors.ts";
import { repositoryRoot } from "../support/paths.ts";

const none = new Uint8Array(0);

test("durations are milliseconds or carry their unit, and nothing else is taken", () => {
  assert.deepEqual([toMs(250, "x"), toMs("250ms", "x"), toMs("1.5s", "x"), toMs("2m", "x")], [250, 250, 1500, 120_000]);
  assert.deepEqual([toMs("1h", "x"), toMs("1d", "x"), toMs(0, "x")], [3_600_000, 86_400_000, 0]);
  for (const wrong of [-1, Number.NaN, "15", "s", "-3s", "1 s", ""]) {
    assert.throws(
      () => toMs(wrong as "1s", "ttl"),
      (error) => error instanceof InvalidArgumentError && /^ttl:/.test(error.message),
    );
  }
  assert.deepEqual([toWholeSeconds(1, "x"), toWholeSeconds("1s", "x"), toWholeSeconds(1001, "x")], [1n, 1n, 2n]);
});

test("addresses: what is accepted, what it becomes, what is refused", () => {
  const read = (text: string) => {
    const { url, isTls, authority, target } = parseAddress(text);
    return [url, isTls, authority, target];
  };
  assert.deepEqual(read("10.0.0.1:4001"), [
    "http://10.0.0.1:4001",
    false,
    "10.0.0.1:4001",
    { host: "10.0.0.1", port: 4001 },
  ]);
  assert.deepEqual(read("http://a"), ["http://a:2379", false, "a:2379", { host: "a", port: 2379 }]);
  assert.deepEqual(read("http://a:80/"), ["http://a:80", false, "a:80", { host: "a", port: 80 }]);
  assert.deepEqual(read("https://a:443"), ["https://a:443", true, "a:443", { host: "a", port: 443 }]);
  assert.deepEqual(read("http://[::1]:2379"), ["http://[::1]:2379", false, "[::1]:2379", { host: "::1", port: 2379 }]);
  assert.deepEqual(read("unix:///tmp/q.sock"), ["unix:///tmp/q.sock", false, "localhost", { path: "/tmp/q.sock" }]);
  assert.deepEqual(read("unixs:///tmp/q.sock"), ["unixs:///tmp/q.sock", true, "localhost", { path: "/tmp/q.sock" }]);
  for (const wrong of ["", "ftp://a", "http://a/path", "http://user@a", "http://a?b", "http://"]) {
    assert.throws(() => parseAddress(wrong), InvalidArgumentError, wrong);
  }
});

test("ranges on the wire", () => {
  const wire = (...args: Parameters<typeof toWireRange>): string[] => {
    const { key, rangeEnd } = toWireRange(...args);
    return [keyIdentity(key), keyIdentity(rangeEnd)];
  };
  const namespace = Buffer.from("n/");
  assert.deepEqual(wire("a", none), ["a", ""]);
  assert.deepEqual(wire({ prefix: "a" }, none), ["a", "b"]);
  assert.deepEqual(wire({ prefix: "" }, none), ["\0", "\0"]);
  assert.deepEqual(wire({ all: true }, none), ["\0", "\0"]);
  assert.deepEqual(wire({ from: "a" }, none), ["a", "\0"]);
  assert.deepEqual(wire({ from: "" }, none), ["\0", "\0"]);
  assert.deepEqual(wire({ from: "a", to: "c" }, none), ["a", "c"]);
  assert.deepEqual(wire({ all: true }, namespace), ["n/", "n0"]);
  assert.deepEqual(wire({ from: "a" }, namespace), ["n/a", "n0"]);
  assert.deepEqual(wire({ from: "", to: "b" }, namespace), ["n/", "n/b"]);
  assert.deepEqual(wire({ prefix: Uint8Array.of(0x61, 0xff) }, none), ["a\u00ff", "b"]);
  assert.deepEqual([...prefixEnd(Uint8Array.of(0xff, 0xff))], [0]);
  assert.deepEqual([...keyAfter(Uint8Array.of(1, 2))], [1, 2, 0]);
});

test("frames are found however the bytes are cut, and a broken or huge one is refused", () => {
  const messages = ["", "a", "hello", "x".repeat(3000)].map((text) => Buffer.from(text));
  const all = Buffer.concat(messages.map(frameMessage));
  for (const size of [1, 2, 3, 4, 5, 6, 7, 100, 4096]) {
    const reader = new FrameReader(3000);
    const found: string[] = [];
    for (let start = 0; start < all.length; start += size) {
      reader.push(all.subarray(start, start + size), (message) => found.push(Buffer.from(message).toString()));
    }
    assert.deepEqual(found, messages.map(String), `cut into ${size}`);
    assert(!reader.isPartial);
  }
  const fail = (bytes: readonly number[]) => () => new FrameReader(10).push(Buffer.from(bytes), () => undefined);
  assert.throws(fail([1, 0, 0, 0, 0]), /uncompressed/);
  assert.throws(fail([0, 0, 0, 0, 11]), /over the limit/);
});

test("backoff grows, is bounded and is never the same for two", () => {
  const backoff = { firstMs: 10, maxMs: 100 };
  assert.deepEqual(
    [1, 2, 3, 4, 5, 50].map((attempt) => backoffMs(backoff, attempt, () => 1)),
    [10, 20, 40, 80, 100, 100],
  );
  assert.deepEqual(
    [1, 5].map((attempt) => backoffMs(backoff, attempt, () => 0)),
    [5, 50],
  );
});

test("the retry budget keeps repetitions a tenth of the calls once its reserve is used up", () => {
  const budget = new RetryBudget(0.1);
  let repetitions = 0;
  for (let call = 0; call < 1000; call++) {
    if (call % 2 === 0) budget.earn();
    else if (budget.spend()) repetitions += 1;
  }
  assert(repetitions <= 20 + 500 * 0.1 + 1, `${repetitions}`);
  assert(repetitions >= 50, `${repetitions}`);
});

test("what became of a write follows from how far it came and what the server said", () => {
  const cases: readonly [Progress, number, string, string, string][] = [
    ["unsent", grpcStatus.unavailable, "refused", "notApplied", "UNAVAILABLE"],
    ["sent", grpcStatus.unavailable, "connection lost", "unknown", "INDETERMINATE"],
    ["sent", grpcStatus.canceled, "given up", "unknown", "ABORTED"],
    ["sent", grpcStatus.deadlineExceeded, "no answer", "unknown", "DEADLINE_EXCEEDED"],
    ["sent", grpcStatus.resourceExhausted, "answer too large", "unknown", "INDETERMINATE"],
    ["answered", grpcStatus.unavailable, "etcdserver: request timed out", "unknown", "INDETERMINATE"],
    ["answered", grpcStatus.unavailable, "etcdserver: server stopped", "unknown", "INDETERMINATE"],
    ["answered", grpcStatus.unavailable, "etcdserver: leader changed", "unknown", "INDETERMINATE"],
    ["answered", grpcStatus.unknown, "something new", "unknown", "INDETERMINATE"],
    ["answered", grpcStatus.internal, "oops", "unknown", "INDETERMINATE"],
    ["answered", grpcStatus.deadlineExceeded, "context deadline exceeded", "unknown", "DEADLINE_EXCEEDED"],
    ["answered", grpcStatus.unknown, "etcdserver: too many requests", "notApplied", "RESOURCE_EXHAUSTED"],
    ["answered", grpcStatus.unavailable, "etcdserver: no leader", "notApplied", "UNAVAILABLE"],
    ["answered", grpcStatus.unavailable, "etcdserver: rpc not supported for learner", "notApplied", "UNAVAILABLE"],
    ["answered", grpcStatus.resourceExhausted, "etcdserver: mvcc: database space exceeded", "notApplied", "NO_SPACE"],
    ["answered", grpcStatus.invalidArgument, "etcdserver: key is not provided", "notApplied", "INVALID_ARGUMENT"],
    ["answered", grpcStatus.permissionDenied, "etcdserver: permission denied", "notApplied", "PERMISSION_DENIED"],
    [
      "answered",
      grpcStatus.outOfRange,
      "etcdserver: mvcc: required revision has been compacted",
      "notApplied",
      "COMPACTED",
    ],
    ["answered", grpcStatus.unimplemented, "unknown method", "notApplied", "UNIMPLEMENTED"],
  ];
  for (const [progress, status, message, outcome, code] of cases) {
    const failure = new CallFailure(status, message, progress);
    const error = toClientError(failure, "write", "http://a");
    assert.deepEqual([outcomeOf(failure, "write"), error.outcome, error.code], [outcome, outcome, code], message);
    assert.equal(toClientError(failure, "read", "http://a").outcome, "notApplied", message);
    if (outcome === "unknown") assert.equal(error.retryable, false, message);
  }
});

test("only what provably was not processed is repeated for writes, and only what may pass for reads", () => {
  const repeated = (kind: CallKind, progress: Progress, status: number, message = ""): boolean => {
    const failure = new CallFailure(status, message, progress);
    return isUnprocessed(failure) || (kind === "read" && isTransient(failure));
  };
  assert(repeated("write", "unsent", grpcStatus.unavailable));
  assert(repeated("write", "answered", grpcStatus.failedPrecondition, "etcdserver: rpc not supported for learner"));
  assert(!repeated("write", "sent", grpcStatus.unavailable));
  assert(!repeated("write", "answered", grpcStatus.unavailable, "etcdserver: request timed out"));
  assert(!repeated("write", "answered", grpcStatus.unavailable, "etcdserver: no leader"));
  assert(repeated("read", "sent", grpcStatus.unavailable));
  assert(repeated("read", "answered", grpcStatus.unavailable, "etcdserver: leader changed"));
  assert(!repeated("read", "answered", grpcStatus.invalidArgument, "etcdserver: key is not provided"));
  assert(!repeated("read", "sent", grpcStatus.deadlineExceeded));
  assert(!repeated("read", "sent", grpcStatus.canceled));
});

test("the user agent names the package's version", () => {
  const { version } = JSON.parse(readFileSync(join(repositoryRoot, "package.json"), "utf8")) as { version: string };
  assert.equal(userAgent, `quorate-sdk/${version}`);
});
