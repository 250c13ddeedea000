// What the load generator writes by hand is what the generated code reads, and the other way round.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  LeaseKeepAliveResponse,
  PutRequest,
  TxnRequest,
  TxnResponse,
  WatchResponse,
} from "../../../proto/gen/etcdserverpb/rpc.ts";
import { HpackDecoder } from "../../../server/transport/hpack-decoder.ts";
import { HeaderWriter } from "./header-writer.ts";
import { MessageReader } from "./message-reader.ts";
import {
  CompareAndPut,
  digitsIn,
  keyChooser,
  keyText,
  putDigits,
  putMessage,
  readKeepAliveTtl,
  readTxnResponse,
  readWatchResponse,
} from "./messages.ts";

test("digits written into a put name another key of the same length", () => {
  const message = putMessage(keyText(0));
  putDigits(message, digitsIn(message), 98_765);
  const { key, value } = PutRequest.decode(message);
  assert.equal(Buffer.from(key).toString(), keyText(98_765));
  assert.equal(key.length, 22);
  assert.equal(value.length, 256);
});

test("a compare-and-put is a txn with one comparison and one put, for revisions of every length", () => {
  const txn = new CompareAndPut(keyText(7));
  for (const revision of [0, 1, 127, 128, 300_000, 2 ** 31, 2 ** 40]) {
    const { compare, success, failure } = TxnRequest.decode(txn.message(revision));
    assert.equal(compare.length, 1);
    assert.equal(Buffer.from(compare[0]!.key).toString(), keyText(7));
    assert.equal(compare[0]!.result, 0);
    assert.equal(compare[0]!.target, 2);
    assert.deepEqual(compare[0]!.targetUnion, { $case: "modRevision", value: BigInt(revision) });
    assert.equal(success[0]?.request?.$case, "requestPut");
    assert.equal(success.length, 1);
    assert.equal(failure.length, 0);
  }
});

test("answers of txns and keepalives are read past fields that do not matter", () => {
  const header = { clusterId: 1n, memberId: 2n ** 63n, revision: 12_345_678n, raftTerm: 9n };
  const txn = Buffer.from(TxnResponse.encode(TxnResponse.fromPartial({ header, succeeded: true })).finish());
  assert.deepEqual(readTxnResponse(txn, 0, txn.length), { revision: 12_345_678, succeeded: true });
  const alive = Buffer.from(LeaseKeepAliveResponse.encode({ header, ID: 2n ** 62n, TTL: 60n }).finish());
  assert.equal(readKeepAliveTtl(alive, 0, alive.length), 60);
  const gone = Buffer.from(LeaseKeepAliveResponse.encode({ header, ID: 5n, TTL: 0n }).finish());
  assert.equal(readKeepAliveTtl(gone, 0, gone.length), 0);
});

test("a watch answer gives its events' marks, and says when a watcher begins or ends", () => {
  const mark = (number: number): Buffer => {
    const value = Buffer.alloc(256, "v");
    value.writeUInt32BE(number);
    return value;
  };
  const events = [5, 70_000].map((number) => ({
    type: 0 as const,
    kv: { key: Buffer.from("k"), value: mark(number) },
  }));
  const answer = { isCreated: true, isCanceled: true, marks: [9] };
  const full = Buffer.from(WatchResponse.encode(WatchResponse.fromPartial({ watchId: 3n, events })).finish());
  readWatchResponse(full, 0, full.length, answer);
  assert.deepEqual(answer, { isCreated: false, isCanceled: false, marks: [5, 70_000] });
  const created = Buffer.from(WatchResponse.encode(WatchResponse.fromPartial({ created: true })).finish());
  readWatchResponse(created, 0, created.length, answer);
  assert.deepEqual(answer, { isCreated: true, isCanceled: false, marks: [] });
});

test("keys are chosen as asked: always the same, in order until the end, by chance and again the same", () => {
  const take = (choose: () => number | undefined, count: number) => Array.from({ length: count }, choose);
  assert.deepEqual(take(keyChooser({ kind: "constant" }, 1), 3), [0, 0, 0]);
  assert.deepEqual(take(keyChooser({ kind: "sequential", count: 2 }, 1), 4), [0, 1, undefined, undefined]);
  const random = { kind: "random", count: 100 } as const;
  const first = take(keyChooser(random, 5), 1000);
  assert.deepEqual(take(keyChooser(random, 5), 1000), first);
  assert(first.every((key) => key !== undefined && key >= 0 && key < 100));
  assert(new Set(first).size > 90);
});

test("header blocks shrink to a few octets and mean the same", () => {
  const writer = new HeaderWriter("127.0.0.1:2379");
  const decoder = new HpackDecoder(65_536);
  const fieldsOf = (block: Buffer): string[] =>
    decoder.decode(block, 0, block.length).fields.map(({ name, value }) => `${name}: ${value}`);
  for (const path of ["/a.B/C", "/a.B/C", "/d.E/F", "/a.B/C", "/d.E/F"]) {
    const block = writer.blockFor(path);
    assert.deepEqual(fieldsOf(block), [
      ":method: POST",
      ":scheme: http",
      `:path: ${path}`,
      ":authority: 127.0.0.1:2379",
      "content-type: application/grpc",
      "te: trailers",
      "user-agent: quorate-bench",
    ]);
  }
  assert.equal(writer.blockFor("/a.B/C").length, 7);
});

test("messages are found however their bytes are cut", () => {
  const messages = [Buffer.from(""), Buffer.from("one"), Buffer.alloc(700, "x"), Buffer.from("last")];
  const bytes = Buffer.concat(
    messages.flatMap((message) => {
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      return [prefix, message];
    }),
  );
  for (const size of [1, 2, 3, 7, 100, 1000]) {
    const found: string[] = [];
    const reader = new MessageReader((chunk, start, end) => found.push(chunk.toString("latin1", start, end)));
    for (let at = 0; at < bytes.length; at += size) reader.feed(bytes, at, Math.min(bytes.length, at + size));
    assert.deepEqual(found, messages.map(String), `pieces of ${size} bytes`);
  }
});
