// What a service may rely on, whoever carries it: each test runs over this transport and over nice-grpc's server, with
// a nice-grpc client. Where the two differ on purpose, the test says so and DESIGN.md says why.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Channel, type Client, ClientError, createChannel, createClient, Metadata, Status } from "nice-grpc";
import { KVDefinition, PutRequest } from "../../proto/gen/etcdserverpb/rpc.ts";
import { type Carrier, carriers } from "./support/carriers.ts";
import {
  createEchoService,
  createJournal,
  EchoDefinition,
  type EchoJournal,
  type EchoMessage,
} from "./support/echo-service.ts";

interface Setting {
  readonly carrier: Carrier;
  readonly client: Client<typeof EchoDefinition>;
  readonly journal: EchoJournal;
  readonly channel: Channel;
}

/** One test per carrier, each with its own server and client. */
function onEach(name: string, run: (setting: Setting, t: TestContext) => Promise<void>): void {
  for (const carrier of carriers) {
    test(`${carrier.name}: ${name}`, async (t) => {
      const journal = createJournal();
      const served = await carrier.serve(EchoDefinition, createEchoService(journal));
      const channel = createChannel(served.address, undefined, {
        "grpc.max_receive_message_length": 64 * 1024 * 1024,
        "grpc.max_send_message_length": 64 * 1024 * 1024,
      });
      try {
        await run({ carrier, client: createClient(EchoDefinition, channel), journal, channel }, t);
      } finally {
        channel.close();
        await served[Symbol.asyncDispose]();
      }
    });
  }
}

async function statusOf(call: Promise<unknown>): Promise<[Status, string]> {
  const error: unknown = await call.then(
    () => assert.fail("the call was to fail"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ClientError)) throw error;
  return [error.code, error.details];
}

async function all<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of iterable) items.push(item);
  return items;
}

async function* each(...messages: EchoMessage[]): AsyncIterable<EchoMessage> {
  yield* messages;
}

onEach("unary calls are answered, one after the other and all at once", async ({ client }) => {
  assert.deepEqual(await client.unary({ text: "one" }), { text: "one" });
  const many = Array.from({ length: 200 }, (_, i) => `call ${i}`);
  const answers = await Promise.all(many.map((text, i) => client.unary({ text, delayMs: (i % 7) * 3 })));
  assert.deepEqual(
    answers,
    many.map((text) => ({ text })),
  );
});

onEach("client, server and bidi streams carry their messages in order", async ({ client }) => {
  assert.equal((await client.collect(each({ text: "a" }, { text: "b" }, { text: "c" }))).text, "abc");
  assert.equal((await client.collect(each())).text, "");
  assert.deepEqual(await all(client.expand({ count: 0 })), []);
  assert.deepEqual(await all(client.chat(each())), []);
  assert.deepEqual(await all(client.expand({ count: 0, header: [["x-head", "h"]], trailer: [["x-tail", "t"]] })), []);
  const expanded = await all(client.expand({ text: "n", count: 50 }));
  assert.deepEqual(
    expanded.map(({ text }) => text),
    ["n", ...Array.from({ length: 49 }, (_, i) => `n#${i + 1}`)],
  );
  const chat = await all(client.chat(each({ text: "x", count: 2 }, { text: "y" }, { count: 0 }, { text: "z" })));
  assert.deepEqual(
    chat.map(({ text }) => text),
    ["x", "x#1", "y", "z"],
  );
});

onEach("a bidi call answers before the client has said all", async ({ client }) => {
  const answered: string[] = [];
  let onAnswer = (): void => undefined;
  async function* requests(): AsyncIterable<EchoMessage> {
    for (const text of ["one", "two", "three"]) {
      const isAnswered = new Promise<void>((resolve) => {
        onAnswer = resolve;
      });
      yield { text };
      await isAnswered;
    }
  }
  for await (const { text } of client.chat(requests())) {
    answered.push(text ?? "");
    onAnswer();
  }
  assert.deepEqual(answered, ["one", "two", "three"]);
});

onEach("every status arrives with its text, for every kind of call", async ({ client }) => {
  for (let code = 1; code <= 16; code++) {
    const request: EchoMessage = { error: code, errorText: `failed with ${code}` };
    const expected = [code, `failed with ${code}`];
    assert.deepEqual(await statusOf(client.unary(request)), expected);
    assert.deepEqual(await statusOf(client.collect(each(request))), expected);
    assert.deepEqual(await statusOf(all(client.expand({ ...request, count: code % 3 }))), expected);
    assert.deepEqual(await statusOf(all(client.chat(each(request)))), expected);
  }
});

onEach("status texts keep every character", async ({ client }) => {
  for (const errorText of ["", "100 % sure", "Grüße, 世界 \u{1f510}", 'quotes " and \\ back', "tab\tand\nnewline"]) {
    assert.deepEqual(await statusOf(client.unary({ error: Status.ABORTED, errorText })), [Status.ABORTED, errorText]);
  }
});

onEach("what is no status becomes UNKNOWN and is not shown; AbortError becomes CANCELLED", async ({ client }) => {
  const [unknownCode, unknownText] = await statusOf(client.unary({ error: "bug" }));
  assert.equal(unknownCode, Status.UNKNOWN);
  assert(!unknownText.includes("secret"), unknownText);
  assert.deepEqual(await statusOf(client.unary({ error: "abort" })), [Status.CANCELLED, "The operation was cancelled"]);
  assert.deepEqual(await statusOf(all(client.expand({ error: "abort", count: 2 }))), [
    Status.CANCELLED,
    "The operation was cancelled",
  ]);
});

onEach("metadata travels both ways, text and binary, in header and trailer", async ({ client }) => {
  const metadata = Metadata({ "x-text": "plain", "x-many": ["a", "b"], "x-raw-bin": Buffer.from("00ff10", "hex") });
  assert.equal((await client.unary({ metadata: "x-text" }, { metadata })).text, "plain");
  assert.equal((await client.unary({ metadata: "X-Many" }, { metadata })).text, "a, b");
  assert.equal((await client.unary({ metadata: "x-raw-bin" }, { metadata })).text, "00ff10");
  for (const reserved of ["grpc-timeout", "content-type", "te", "grpc-accept-encoding", ":path"]) {
    assert.equal((await client.unary({ metadata: reserved }, { metadata })).text, "", reserved);
  }
  const request: EchoMessage = { header: [["x-head", "h1"]], trailer: [["x-tail", "t1"]] };
  for (const more of [{}, { sendHeader: true }, { error: 5 }, { error: 5, sendHeader: true }] as const) {
    let header: Metadata | undefined;
    let trailer: Metadata | undefined;
    const options = { onHeader: (m: Metadata) => (header = m), onTrailer: (m: Metadata) => (trailer = m) };
    await client.unary({ ...request, ...more }, options).catch(() => undefined);
    assert.equal(header?.get("x-head"), "h1", JSON.stringify(more));
    assert.equal(trailer?.get("x-tail"), "t1", JSON.stringify(more));
  }
});

onEach("headers can be sent before the first message", async ({ client, journal }) => {
  const ac = new AbortController();
  const header = new Promise<Metadata>((resolve) => {
    const request: EchoMessage = { header: [["x-head", "early"]], sendHeader: true, count: 0, waitForAbort: true };
    all(client.expand(request, { onHeader: resolve, signal: ac.signal })).catch(() => undefined);
  });
  assert.equal((await header).get("x-head"), "early");
  ac.abort();
  await journal.until("aborted");
});

onEach("giving a call up aborts its handler's signal", async ({ client, journal }) => {
  for (const start of [
    (signal: AbortSignal) => client.unary({ waitForAbort: true }, { signal }),
    (signal: AbortSignal) => client.collect(each({ waitForAbort: true }), { signal }),
    (signal: AbortSignal) => all(client.expand({ waitForAbort: true }, { signal })),
    (signal: AbortSignal) => all(client.chat(each({ waitForAbort: true }), { signal })),
  ]) {
    journal.events.length = 0;
    const ac = new AbortController();
    const call = start(ac.signal);
    await journal.until("waiting");
    ac.abort();
    await assert.rejects(call, { name: "AbortError" });
    await journal.until("aborted");
  }
});

onEach("a generator whose client is gone is ended", async ({ client, journal }) => {
  const iterator = client.expand({ text: "x", sizeBytes: 100_000, count: 1_000_000 })[Symbol.asyncIterator]();
  await iterator.next();
  await iterator.return?.();
  await journal.until("expand ended");
  assert(journal.events.length < 500, `${journal.events.length} messages were made for nobody`);
});

onEach("a deadline ends the call and aborts the handler", async ({ client, journal }) => {
  // nice-grpc's client has no deadline of its own; this is the field that other clients' deadlines become.
  const metadata = Metadata();
  metadata.set("grpc-timeout", "50m");
  // A deadline that passes before the handler runs shows nothing of it.
  while (!journal.events.includes("waiting")) {
    const [code] = await statusOf(client.unary({ waitForAbort: true }, { metadata }));
    assert.equal(code, Status.DEADLINE_EXCEEDED);
  }
  await journal.until("aborted");
  const [streamCode] = await statusOf(all(client.expand({ count: 3, waitForAbort: true }, { metadata })));
  assert.equal(streamCode, Status.DEADLINE_EXCEEDED);
  metadata.set("grpc-timeout", "10S");
  assert.equal((await client.unary({ text: "in time" }, { metadata })).text, "in time");
});

onEach("large messages pass in both directions, too large ones are refused", async ({ client }) => {
  const text = "m".repeat(1_500_000);
  assert.equal((await client.unary({ text })).text?.length, text.length);
  assert.equal((await client.collect(each({ text }, { text }))).text?.length, 2 * text.length);
  const [code, details] = await statusOf(client.unary({ text: "m".repeat(2 * 1024 * 1024) }));
  assert.equal(code, Status.RESOURCE_EXHAUSTED);
  assert.match(details, /eceived message larger than max \(2097163 vs\.? 2097152\)/);
  assert.equal((await client.unary({ sizeBytes: 8_000_000 })).text?.length, 8_000_000);
});

onEach("a handler is as fast as its client", async ({ client, journal }) => {
  const iterator = client.expand({ sizeBytes: 10_000, count: 5_000 })[Symbol.asyncIterator]();
  await iterator.next();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const sent = journal.events.length;
  assert(sent < 4_000, `${sent} messages of 10 kB were made for a client that reads none`);
  let count = 1;
  while ((await iterator.next()).done !== true) count += 1;
  assert.equal(count, 5_000);
});

onEach("unknown methods and services are UNIMPLEMENTED", async ({ channel }) => {
  const other = createClient({ unary: { ...EchoDefinition.unary, path: "/test.Echo/Nothing" } } as const, channel);
  assert.equal((await statusOf(other.unary({})))[0], Status.UNIMPLEMENTED);
  const nowhere = createClient({ unary: { ...EchoDefinition.unary, path: "/test.Nowhere/Unary" } } as const, channel);
  assert.equal((await statusOf(nowhere.unary({})))[0], Status.UNIMPLEMENTED);
});

onEach("a request that cannot be decoded is INTERNAL", async ({ channel }) => {
  const raw = { ...EchoDefinition.unary, requestSerialize: () => Buffer.from("{") };
  const client = createClient({ unary: raw } as const, channel);
  assert.equal((await statusOf(client.unary({})))[0], Status.INTERNAL);
});

for (const carrier of carriers) {
  test(`${carrier.name}: generated definitions, with responses that name only some fields`, async () => {
    const seen: string[] = [];
    const served = await carrier.serve(
      { ...KVDefinition, methods: { put: KVDefinition.methods.put, range: KVDefinition.methods.range } },
      {
        async put(request, { peer }) {
          seen.push(Buffer.from(request.key).toString());
          assert.match(peer, /^127\.0\.0\.1:\d+$/);
          return { header: { revision: 7n } };
        },
        async range() {
          return {};
        },
      },
    );
    const channel = createChannel(served.address);
    try {
      const client = createClient(KVDefinition, channel);
      const put = await client.put(PutRequest.fromPartial({ key: Buffer.from("k"), value: Buffer.alloc(1000) }));
      assert.equal(put.header?.revision, 7n);
      assert.deepEqual((await client.range({})).kvs, []);
      assert.deepEqual(seen, ["k"]);
    } finally {
      channel.close();
      await served[Symbol.asyncDispose]();
    }
  });
}
