// The proxy that other tests rely on does what it says.
import assert from "node:assert/strict";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { pause, until } from "./harness.ts";

interface End {
  readonly socket: Socket;
  text: string;
  /** How the other side ended it, as far as this side was told. */
  end: "open" | "end" | "reset";
}

function track(socket: Socket): End {
  const end: End = { socket, text: "", end: "open" };
  socket.setEncoding("utf8");
  socket.on("data", (text) => {
    end.text += text;
  });
  socket.on("end", () => {
    if (end.end === "open") end.end = "end";
  });
  socket.on("error", () => {
    end.end = "reset";
  });
  return end;
}

/** A proxy in front of a server that only listens, and one connection through it. */
async function withLink(body: (proxy: TcpProxy, client: End, server: End) => Promise<void>): Promise<void> {
  const accepted: End[] = [];
  const server = createServer((socket) => void accepted.push(track(socket)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  await using proxy = await TcpProxy.start((server.address() as AddressInfo).port);
  const client = track(connect(proxy.port, "127.0.0.1"));
  try {
    await until("the connection is through", () => accepted.length === 1);
    await body(proxy, client, accepted[0]!);
  } finally {
    client.socket.destroy();
    for (const { socket } of accepted) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

test("passes bytes and ends, in both directions", () =>
  withLink(async (proxy, client, server) => {
    client.socket.write("ping");
    await until("it has arrived", () => server.text === "ping");
    server.socket.end("pong");
    await until("the end has arrived", () => client.end === "end");
    assert.equal(client.text, "pong");
    client.socket.end();
    await until("the link is gone", () => proxy.connections === 0);
  }));

test("delay keeps the order; each direction has its own", () =>
  withLink(async (proxy, client, server) => {
    proxy.delay(150, "toServer");
    const startMs = performance.now();
    client.socket.write("a");
    server.socket.write("fast");
    await until("the undelayed direction is through", () => client.text === "fast");
    client.socket.write("b");
    await until("the delayed one is", () => server.text === "ab");
    assert(performance.now() - startMs >= 149);
  }));

test("a blackhole keeps bytes, ends and resets of its direction until it is healed", () =>
  withLink(async (proxy, client, server) => {
    proxy.blackhole("toClient");
    server.socket.write("kept");
    client.socket.write("passes");
    await until("the other direction works", () => server.text === "passes");
    server.socket.resetAndDestroy();
    await pause(50);
    assert.deepEqual([client.text, client.end], ["", "open"]);
    proxy.heal();
    await until("it is told", () => client.end !== "open");
    assert.equal(client.text, "kept");
  }));

test("both directions held is a half-open connection, for new ones too", () =>
  withLink(async (proxy, client, server) => {
    proxy.blackhole();
    client.socket.write("a");
    server.socket.write("b");
    const late = track(connect(proxy.port, "127.0.0.1"));
    late.socket.write("c");
    await pause(50);
    assert.deepEqual([client.text, client.end, server.text, server.end, late.end], ["", "open", "", "open", "open"]);
    proxy.heal();
    await until("both have arrived", () => client.text === "b" && server.text === "a");
    late.socket.destroy();
  }));

test("cutNext takes the next bytes of one direction and their connection", () =>
  withLink(async (proxy, client, server) => {
    proxy.cutNext("toClient");
    client.socket.write("request");
    await until("the request is there", () => server.text === "request");
    server.socket.write("answer");
    await until("the client is cut off", () => client.end === "reset");
    await until("and the server", () => server.end !== "open");
    assert.equal(client.text, "");
  }));

test("refuse and accept, on the same port", () =>
  withLink(async (proxy, client) => {
    const { port } = proxy;
    await proxy.refuse();
    await until("the open one is cut", () => client.end === "reset");
    const refused = track(connect(port, "127.0.0.1"));
    await until("a new one is refused", () => refused.end === "reset");
    await proxy.accept();
    const welcome = track(connect(port, "127.0.0.1"));
    await until("a newer one is not", () => proxy.connections === 1);
    assert.equal(welcome.end, "open");
    welcome.socket.destroy();
  }));

test("throttle lets through what it says", () =>
  withLink(async (proxy, client, server) => {
    proxy.throttle(10_000, "toServer");
    const startMs = performance.now();
    for (let index = 0; index < 4; index++) client.socket.write("x".repeat(1000));
    await until("all of it is there", () => server.text.length === 4000);
    assert(performance.now() - startMs >= 399);
  }));
