// What this transport offers beyond nice-grpc's server: answers without promises, messages that are encoded already or
// written in place, push sources, observers, metrics, gzip, and nice-grpc's middleware.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import {
  type CallContext,
  createChannel,
  createClient,
  Metadata,
  ServerError,
  type ServerMiddleware,
  Status,
} from "nice-grpc";
import type { Metrics } from "../../server/lib/metrics.ts";
import { answersLater, isTransportContext, type TransportCallContext } from "../../server/transport/call-context.ts";
import { createCallMetrics } from "../../server/transport/call-metrics.ts";
import { EncodedMessage } from "../../server/transport/encoded-message.ts";
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from "../../server/transport/grpc-server.ts";
import { type MessageSink, type PushSource, pushTo } from "../../server/transport/push-source.ts";
import { listen, niceGrpcCarrier } from "./support/carriers.ts";
import { http2 } from "./support/clients.ts";
import { createEchoService, createJournal, EchoDefinition, type EchoMessage } from "./support/echo-service.ts";
import { grpcMessage } from "./support/wire.ts";

const { unary, expand } = EchoDefinition;
const journal = createJournal();

async function withServer(
  add: (server: GrpcServer) => unknown,
  use: (client: ReturnType<typeof createClient<typeof EchoDefinition>>, url: string) => Promise<void>,
  options: GrpcServerOptions = {},
): Promise<void> {
  const server = createGrpcServer({ onError: () => undefined, ...options });
  add(server);
  await using served = await listen(server);
  const channel = createChannel(served.address);
  try {
    await use(createClient(EchoDefinition, channel), `http://${served.address}`);
  } finally {
    channel.close();
  }
}

test("a unary handler may answer with a value, a promise, or later", async () => {
  const contexts: TransportCallContext[] = [];
  const handler = (request: EchoMessage, context: CallContext): EchoMessage | Promise<EchoMessage> => {
    if (request.text === "value") return { text: "at once" };
    if (request.text === "promise") return Promise.resolve({ text: "promised" });
    if (request.text === "throw") throw new ServerError(Status.NOT_FOUND, "thrown");
    assert(isTransportContext(context));
    contexts.push(context);
    return answersLater as never;
  };
  await withServer(
    (server) => server.add({ unary }, { unary: handler }),
    async (client) => {
      assert.equal((await client.unary({ text: "value" })).text, "at once");
      assert.equal((await client.unary({ text: "promise" })).text, "promised");
      await assert.rejects(client.unary({ text: "throw" }), /NOT_FOUND: thrown/);
      const later = client.unary({ text: "later" });
      const failing = client.unary({ text: "fail later" });
      while (contexts.length < 2) await new Promise(setImmediate);
      contexts[0]!.answer({ text: "finally" });
      contexts[0]!.answer({ text: "twice does nothing" });
      contexts[1]!.fail(new ServerError(Status.ABORTED, "no"));
      contexts[1]!.answer({});
      assert.equal((await later).text, "finally");
      await assert.rejects(failing, /ABORTED: no/);
    },
  );
});

test("no message is an error of the handler", async () => {
  await withServer(
    (server) => server.add({ unary }, { unary: () => undefined as never }),
    async (client) => {
      await assert.rejects(client.unary({}), (error: { code?: Status }) => error.code === Status.UNKNOWN);
    },
  );
});

test("nothing to iterate over is an error of a streaming handler", async () => {
  await withServer(
    (server) => server.add({ expand }, { expand: () => undefined as never }),
    async (client) => {
      const iterator = client.expand({})[Symbol.asyncIterator]();
      await assert.rejects(iterator.next(), (error: { code?: Status }) => error.code === Status.UNKNOWN);
    },
  );
});

test("a broken invariant in a handler stops the process", () => {
  const module = (name: string): string => JSON.stringify(new URL(`../../server/${name}.js`, import.meta.url).href);
  const support = JSON.stringify(new URL("./support/memory-link.js", import.meta.url).href);
  const wire = JSON.stringify(new URL("./support/wire.js", import.meta.url).href);
  const script = `
    import { assert } from ${module("lib/assert")};
    import { MemoryLink } from ${support};
    import { dataFrame, grpcHeaders, grpcMessage, headersFrame } from ${wire};
    const path = "/test.Broken/Method";
    const method = { path, requestStream: false, responseStream: false, requestDeserialize: (bytes) => bytes };
    const link = MemoryLink.open({}, (server) =>
      server.add({ method }, { method: async () => assert(false, "one is not two") }));
    link.send(headersFrame(1, grpcHeaders(path), false), dataFrame(1, grpcMessage(Buffer.alloc(1)), true));
    setTimeout(() => process.exit(0), 5_000);`;
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.notEqual(result.status, 0);
  assert.match(result.stderr, /InvariantError: one is not two/);
});

test("messages that are encoded already go out as they are, through either carrier", async () => {
  const text = "x".repeat(50_000);
  const bytes = Buffer.from(JSON.stringify({ text }));
  const message = new EncodedMessage([bytes.subarray(0, 10), bytes.subarray(10, 20_000), bytes.subarray(20_000)]);
  const encodable = {
    ...unary,
    responseSerialize: (value: EchoMessage | EncodedMessage) =>
      value instanceof EncodedMessage ? value.toBytes() : unary.responseSerialize(value),
  };
  await withServer(
    (server) => server.add({ unary: encodable }, { unary: async () => message }),
    async (client) => assert.equal((await client.unary({})).text, text),
  );
  await using served = await niceGrpcCarrier.serve({ unary: encodable }, { unary: async () => message });
  const channel = createChannel(served.address);
  assert.equal((await createClient({ unary }, channel).unary({})).text, text);
  channel.close();
});

test("messages written in place: any size, an upper bound that is not reached, an encoder that throws", async () => {
  const inPlace = {
    ...unary,
    requestDecode: (bytes: Buffer, start: number, end: number) =>
      JSON.parse(bytes.toString("utf8", start, end)) as EchoMessage,
    responseSizeBytes: (value: EchoMessage) => value.sizeBytes! + 100,
    responseEncodeInto: (value: EchoMessage, target: Buffer, start: number) => {
      if (value.sizeBytes === 13) throw new Error("unlucky");
      return start + target.write(JSON.stringify({ text: "e".repeat(value.sizeBytes!) }), start);
    },
  };
  const errors: unknown[] = [];
  await withServer(
    (server) => server.add({ unary: inPlace }, { unary: (request: EchoMessage) => request }),
    async (client) => {
      for (const sizeBytes of [0, 1, 1000, 16_000, 16_384, 20_000, 70_000, 1_000_000]) {
        assert.equal((await client.unary({ sizeBytes })).text?.length, sizeBytes);
      }
      await assert.rejects(client.unary({ sizeBytes: 13 }), /INTERNAL/);
      assert.equal((await client.unary({ sizeBytes: 14 })).text?.length, 14);
      const many = Array.from({ length: 300 }, (_, i) => 100 + i * 37);
      const answers = await Promise.all(many.map((sizeBytes) => client.unary({ sizeBytes })));
      assert.deepEqual(
        answers.map(({ text }) => text!.length),
        many,
      );
    },
    { onError: (error) => errors.push(error) },
  );
  assert.equal(errors.length, 1);
});

test("a push source writes when it has something, and stops when the client does not keep up", async () => {
  const total = 3_000;
  let written = 0;
  let isHeldBack = 0;
  const source = (): PushSource<EchoMessage> => ({
    [pushTo](sink: MessageSink<EchoMessage>) {
      const more = (): void => {
        while (written < total) {
          written += 1;
          if (!sink.write({ text: `${written}`.padEnd(2000) }) && written < total) {
            isHeldBack += 1;
            return;
          }
        }
        sink.end();
      };
      sink.onReady = more;
      more();
    },
    [Symbol.asyncIterator]: () => assert.fail("a push source is not asked for messages"),
  });
  await withServer(
    (server) => server.add({ expand }, { expand: source }),
    async (client) => {
      let count = 0;
      for await (const { text } of client.expand({})) {
        count += 1;
        assert.equal(Number(text), count);
        if (count === 1) {
          await new Promise((resolve) => setTimeout(resolve, 100));
          assert(written < total, "the source was not held back");
        }
      }
      assert.equal(count, total);
      assert(isHeldBack > 0);
    },
  );
});

test("a push source may end with an error, and learns through the signal that nobody listens", async () => {
  const aborted: string[] = [];
  await withServer(
    (server) =>
      server.add(
        { expand },
        {
          expand: (request: EchoMessage, context: CallContext): PushSource<EchoMessage> => ({
            [pushTo](sink: MessageSink<EchoMessage>) {
              sink.write({ text: "first" });
              if (request.text === "fail") sink.end(new ServerError(Status.DATA_LOSS, "gone"));
              context.signal.addEventListener("abort", () => {
                aborted.push(String((context.signal.reason as { kind?: string }).kind));
                assert.equal(sink.write({ text: "too late" }), false);
                sink.end();
              });
            },
            [Symbol.asyncIterator]: () => assert.fail(),
          }),
        },
      ),
    async (client) => {
      await assert.rejects(async () => {
        for await (const { text } of client.expand({ text: "fail" })) assert.equal(text, "first");
      }, /DATA_LOSS: gone/);
      for await (const _ of client.expand({})) break;
      while (aborted.length === 0) await new Promise(setImmediate);
      assert.deepEqual(aborted, ["cancelled"]);
    },
  );
});

test("a push source that throws, at once or when it is called back, ends its own call only", async () => {
  const throwing = (when: string): PushSource<EchoMessage> => ({
    [pushTo](sink: MessageSink<EchoMessage>) {
      if (when === "at once") throw new ServerError(Status.ABORTED, when);
      sink.onReady = () => {
        throw new ServerError(Status.ABORTED, when);
      };
      while (sink.write({ text: "x".repeat(5_000) }));
    },
    [Symbol.asyncIterator]: () => assert.fail(),
  });
  await withServer(
    (server) =>
      server.add({ expand, unary }, { expand: ({ text }) => throwing(text!), unary: () => ({ text: "fine" }) }),
    async (client) => {
      for (const when of ["at once", "later"]) {
        await assert.rejects(
          async () => {
            for await (const _ of client.expand({ text: when }));
          },
          new RegExp(`ABORTED: ${when}`),
        );
        assert.equal((await client.unary({})).text, "fine");
      }
    },
  );
});

test("an observer sees every call, and may refuse it", async () => {
  const seen: string[] = [];
  await withServer(
    (server) => server.add(EchoDefinition, createEchoService(journal)),
    async (client) => {
      await client.unary({ text: "a" });
      await client.unary({ error: 5 }).catch(() => undefined);
      const refused = client.unary({}, { metadata: Metadata({ "x-refuse": "yes" }) });
      await assert.rejects(refused, /PERMISSION_DENIED: not you/);
      for await (const _ of client.expand({ count: 3 }));
    },
    {
      observer: {
        onStart: ({ name }) => seen.push(`start ${name}`),
        beforeCall: ({ name }, { metadata }) => {
          seen.push(`call ${name}`);
          if (metadata.has("x-refuse")) throw new ServerError(Status.PERMISSION_DENIED, "not you");
        },
        onMessage: ({ name }, direction, sizeBytes) => {
          assert(sizeBytes > 0);
          seen.push(`${direction} ${name}`);
        },
        afterCall: ({ name }, { code }, durationSeconds) => {
          assert(durationSeconds >= 0 && durationSeconds < 60);
          seen.push(`end ${name} ${code}`);
        },
      },
    },
  );
  const of = (name: string, ...events: string[]): string[] => events.map((event) => event.replace("*", name));
  assert.deepEqual(seen, [
    ...of("Unary", "start *", "received *", "call *", "sent *", "end * 0"),
    ...of("Unary", "start *", "received *", "call *", "end * 5"),
    ...of("Unary", "start *", "received *", "call *", "end * 7"),
    ...of("Expand", "start *", "received *", "call *", "sent *", "sent *", "sent *", "end * 0"),
  ]);
});

test("call metrics count by method and code", async () => {
  const counts = new Map<string, number>();
  const key = (name: string, labels: object = {}): string => `${name} ${Object.values(labels).join(" ")}`;
  const add = (name: string, labels?: object) => (amount: number) =>
    void counts.set(key(name, labels), (counts.get(key(name, labels)) ?? 0) + amount);
  const metrics: Metrics = {
    counter: (name, labels) => ({ add: add(name, labels) }),
    gauge: () => ({ set: () => undefined }),
    histogram: (name, labels) => ({ observe: () => add(name, labels)(1) }),
  };
  await withServer(
    (server) => server.add(EchoDefinition, createEchoService(journal)),
    async (client) => {
      await client.unary({});
      await client.unary({ error: 5 }).catch(() => undefined);
      for await (const _ of client.expand({ count: 4 }));
    },
    { observer: createCallMetrics(metrics, { durations: true }) },
  );
  assert.deepEqual(Object.fromEntries(counts), {
    "grpc_server_started_total unary test.Echo Unary": 2,
    "grpc_server_msg_received_total unary test.Echo Unary": 2,
    "grpc_server_msg_sent_total unary test.Echo Unary": 1,
    "grpc_server_handled_total unary test.Echo Unary OK": 1,
    "grpc_server_handled_total unary test.Echo Unary NotFound": 1,
    "grpc_server_handling_seconds unary test.Echo Unary": 2,
    "grpc_server_started_total server_stream test.Echo Expand": 1,
    "grpc_server_msg_received_total server_stream test.Echo Expand": 1,
    "grpc_server_msg_sent_total server_stream test.Echo Expand": 4,
    "grpc_server_handled_total server_stream test.Echo Expand OK": 1,
    "grpc_server_handling_seconds server_stream test.Echo Expand": 1,
  });
});

test("nice-grpc middleware runs around handlers, outermost first, and may extend the context", async () => {
  const order: string[] = [];
  const naming = (name: string): ServerMiddleware<{ who: string }> =>
    async function* (call, context) {
      order.push(`${name} before`);
      try {
        return yield* call.next(call.request, { ...context, who: name });
      } finally {
        order.push(`${name} after`);
      }
    };
  const failing: ServerMiddleware = async function* (call, context) {
    if (context.metadata.has("x-fail")) throw new ServerError(Status.UNAUTHENTICATED, call.method.path);
    return yield* call.next(call.request, context);
  };
  await withServer(
    (server) =>
      server.with(naming("outer"), failing, naming("inner")).add(
        { unary, expand },
        {
          async unary(request, context) {
            context.header.set("x-who", (context as CallContext & { who: string }).who);
            return { text: `${request.text}!` };
          },
          async *expand(request) {
            yield { text: request.text ?? "" };
            yield { text: "more" };
          },
        },
      ),
    async (client) => {
      let who: string | undefined;
      const answer = await client.unary({ text: "a" }, { onHeader: (header) => void (who = header.get("x-who")) });
      assert.deepEqual([answer.text, who], ["a!", "inner"]);
      const texts: (string | undefined)[] = [];
      for await (const { text } of client.expand({ text: "b" })) texts.push(text);
      assert.deepEqual(texts, ["b", "more"]);
      const metadata = Metadata({ "x-fail": "1" });
      await assert.rejects(client.unary({}, { metadata }), /UNAUTHENTICATED: \/test\.Echo\/Unary/);
    },
  );
  const round = ["outer before", "inner before", "inner after", "outer after"];
  assert.deepEqual(order, [...round, ...round, "outer before", "outer after"]);
});

test("gzip is understood in requests, and used in responses only when asked for by both sides", async () => {
  const service = (server: GrpcServer): unknown => server.add(EchoDefinition, createEchoService(journal));
  const post = async (url: string, path: string, body: Buffer, more: Record<string, string>) => {
    const headers = { "content-type": "application/grpc", te: "trailers", ...more };
    return http2(url + path, { method: "POST", headers, body });
  };
  const text = "compressible ".repeat(1000);
  const packed = grpcMessage(gzipSync(JSON.stringify({ text })), 1);
  await withServer(service, async (_client, url) => {
    const { body, headers } = await post(url, "/test.Echo/Unary", packed, { "grpc-encoding": "gzip" });
    assert.equal(JSON.parse(body.slice(5)).text, text);
    assert.equal(headers["grpc-encoding"], undefined);
    // Several messages of a stream, some compressed and some not, keep their order.
    const mixed = Buffer.concat([
      grpcMessage(gzipSync('{"text":"1"}'), 1),
      grpcMessage(Buffer.from('{"text":"2"}')),
      grpcMessage(gzipSync('{"text":"3"}'), 1),
    ]);
    const collected = await post(url, "/test.Echo/Collect", mixed, { "grpc-encoding": "gzip" });
    assert.equal(JSON.parse(collected.body.slice(5)).text, "123");
  });
  await withServer(
    service,
    async (client, url) => {
      assert.equal((await client.unary({ text })).text, text);
      const bytes: Buffer[] = [];
      const session = connectHttp2(url);
      const stream = session.request({
        ":method": "POST",
        ":path": "/test.Echo/Expand",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity,gzip",
      });
      stream.end(grpcMessage(Buffer.from(JSON.stringify({ text, count: 2 }))));
      let encoding: unknown;
      stream.on("response", (headers) => (encoding = headers["grpc-encoding"]));
      for await (const chunk of stream) bytes.push(chunk as Buffer);
      session.close();
      assert.equal(encoding, "gzip");
      const body = Buffer.concat(bytes);
      assert.equal(body[0], 1);
      const length = body.readUInt32BE(1);
      assert(length < 500);
      assert.equal(JSON.parse(gunzipSync(body.subarray(5, 5 + length)).toString()).text, text);
    },
    { compressesResponses: true },
  );
});
