// Requests that are pushed to their handler instead of being iterated over: pace, and how they end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createChannel, createClient, ServerError, Status } from "nice-grpc";
import { createGrpcServer, type GrpcServer } from "../../server/transport/grpc-server.ts";
import { errorCode, frameType } from "../../server/transport/http2-constants.ts";
import { type MessageSink, type PushSource, pushTo } from "../../server/transport/push-source.ts";
import { listen } from "./support/carriers.ts";
import { BareSocket } from "./support/clients.ts";
import { EchoDefinition, type EchoMessage } from "./support/echo-service.ts";
import { dataFrame, frame, greeting, grpcHeaders, grpcMessage, headersFrame, uint32 } from "./support/wire.ts";

async function withServer(
  add: (server: GrpcServer) => unknown,
  use: (client: ReturnType<typeof createClient<typeof EchoDefinition>>, url: string) => Promise<void>,
): Promise<void> {
  const server = createGrpcServer({ onError: () => undefined });
  add(server);
  await using served = await listen(server);
  const channel = createChannel(served.address);
  try {
    await use(createClient(EchoDefinition, channel), `http://${served.address}`);
  } finally {
    channel.close();
  }
}

test("a handler may have its requests pushed to it, and holds the client up while it has no room", async () => {
  const total = 4_000;
  const text = "x".repeat(1000);
  let taken = 0;
  let goOn: (() => void) | undefined;
  let sent = 0;
  const collect = (requests: AsyncIterable<EchoMessage>): Promise<EchoMessage> =>
    new Promise((resolve, reject) => {
      const sink: MessageSink<EchoMessage> = {
        onReady: undefined,
        write(message) {
          assert.equal(message.text, text);
          taken += 1;
          if (taken % 1000 !== 0) return true;
          goOn = () => sink.onReady?.();
          return false;
        },
        end: (error) => (error === undefined ? resolve({ count: taken }) : reject(error)),
      };
      (requests as PushSource<EchoMessage>)[pushTo](sink);
    });
  await withServer(
    (server) => server.add({ collect: EchoDefinition.collect }, { collect }),
    async (client) => {
      async function* requests(): AsyncIterable<EchoMessage> {
        for (; sent < total; sent++) yield { text };
      }
      const answer = client.collect(requests());
      for (let stop = 1000; stop <= total; stop += 1000) {
        while (taken < stop) await new Promise(setImmediate);
        await new Promise((resolve) => setTimeout(resolve, 20));
        assert.equal(taken, stop, "nothing comes while there is no room");
        assert(sent < total || stop >= total - 1000, "the client was not held up");
        goOn?.();
      }
      assert.deepEqual(await answer, { count: total });
    },
  );
});

test("whoever has requests pushed hears once how they end, and not from a call that is over", async () => {
  const ends: string[] = [];
  const chat = (requests: AsyncIterable<EchoMessage>): PushSource<EchoMessage> => ({
    [pushTo](out: MessageSink<EchoMessage>) {
      const sink: MessageSink<EchoMessage> = {
        onReady: undefined,
        write: (message) => {
          if (message.text === "fail") out.end(new ServerError(Status.ABORTED, "asked for"));
          return out.write(message);
        },
        end: (error) => {
          ends.push(error === undefined ? "done" : String((error as { kind?: string }).kind));
          out.end();
        },
      };
      (requests as PushSource<EchoMessage>)[pushTo](sink);
    },
    [Symbol.asyncIterator]: () => assert.fail(),
  });
  await withServer(
    (server) => server.add({ chat: EchoDefinition.chat }, { chat }),
    async (client, url) => {
      const texts: (string | undefined)[] = [];
      async function* three(): AsyncIterable<EchoMessage> {
        for (const text of ["a", "b", "c"]) yield { text };
      }
      for await (const { text } of client.chat(three())) texts.push(text);
      assert.deepEqual(texts, ["a", "b", "c"]);
      assert.deepEqual(ends.splice(0), ["done"]);

      async function* endless(text: string): AsyncIterable<EchoMessage> {
        yield { text };
        await new Promise(() => undefined);
      }
      // Clients that cancel say that they have no more requests first, so this one does it by hand.
      const socket = await BareSocket.connect(Number(new URL(url).port));
      socket.write(
        Buffer.concat([
          greeting,
          headersFrame(1, grpcHeaders(EchoDefinition.chat.path), false),
          dataFrame(1, grpcMessage(Buffer.from("{}")), false),
          frame(frameType.rstStream, 0, 1, uint32(errorCode.cancel)),
        ]),
      );
      while (ends.length === 0) await new Promise(setImmediate);
      assert.deepEqual(ends.splice(0), ["cancelled"]);
      socket.destroy();

      await assert.rejects(async () => {
        for await (const _ of client.chat(endless("fail")));
      }, /ABORTED: asked for/);
      while (ends.length === 0) await new Promise(setImmediate);
      assert.deepEqual(ends, ["done"]);
    },
  );
});
