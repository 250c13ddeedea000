// The front door without TLS: whoever comes is recognised and served, or turned away with a reason in the log.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createChannel, createClient } from "nice-grpc";
import { createFrontDoor } from "../../server/transport/front-door.ts";
import { createGrpcServer } from "../../server/transport/grpc-server.ts";
import { parseListenUrl } from "../../server/transport/listen-url.ts";
import { BareSocket, http1, http2, http2On } from "./support/clients.ts";
import { openDoor } from "./support/door.ts";
import { EchoDefinition } from "./support/echo-service.ts";
import { greeting } from "./support/wire.ts";

test("HTTP/1.1, plain HTTP/2 and gRPC share a port", async () => {
  await using open = openDoor();
  const { url, port } = await open.listen("http://127.0.0.1:0");
  for (const [get, protocol] of [
    [http1, "HTTP/1.1"],
    [http2, "HTTP/2"],
  ] as const) {
    const page = await get(`${url}/page`);
    assert.deepEqual([page.status, page.body, page.headers["x-protocol"]], [200, "a page\n", protocol]);
    assert.equal(page.headers["content-length"], "7");
    assert(page.headers["date"] !== undefined);
    const echo = JSON.parse(
      (await get(`${url}/echo?a=1`, { method: "POST", headers: { "x-a": "b" }, body: "hi" })).body,
    );
    const expected = {
      method: "POST",
      target: "/echo?a=1",
      host: `127.0.0.1:${port}`,
      isTls: false,
      names: ["x-a"],
      body: "hi",
    };
    assert.deepEqual(echo, expected);
    assert.equal((await get(`${url}/large`)).body.length, 3_000_000);
    const lines = Array.from({ length: 5_000 }, (_, i) => `${i}\n`).join("");
    assert.equal((await get(`${url}/stream?count=5000`)).body, lines);
    const head = await get(`${url}/page`, { method: "HEAD" });
    assert.deepEqual([head.status, head.body, head.headers["content-length"]], [200, "", "7"]);
    assert.equal((await get(`${url}/empty`)).status, 204);
    assert.equal((await get(`${url}/nowhere`)).status, 404);
    assert.equal((await get(`${url}/echo`, { method: "POST", body: Buffer.alloc(200_000) })).status, 413);
    const teapot = await get(`${url}/teapot`);
    assert.deepEqual([teapot.status, teapot.body], [418, "short and stout\n"]);
    const failed = await get(`${url}/fail`);
    assert.deepEqual([failed.status, failed.body], [500, "internal server error\n"]);
  }
  assert.equal(open.errors.length, 2);
  const channel = createChannel(`127.0.0.1:${port}`);
  assert.deepEqual(await createClient(EchoDefinition, channel).unary({ text: "grpc" }), { text: "grpc" });
  channel.close();
});

test("an HTTP/2 client may mix gRPC and plain requests, many at once", async () => {
  await using open = openDoor();
  const { url } = await open.listen("http://127.0.0.1:0");
  const session = connectHttp2(url);
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      i % 2 === 0
        ? http2On(session, `/echo?${i}`, { method: "POST", body: "x".repeat(i * 100) })
        : http2On(session, "/test.Echo/Nothing", { method: "POST", headers: { "content-type": "application/grpc" } }),
    ),
  );
  for (const [i, { headers, body }] of answers.entries()) {
    if (i % 2 === 0) assert.equal(JSON.parse(body).body.length, i * 100);
    else assert.equal(headers["grpc-message"], "unknown method Nothing for service test.Echo");
  }
  session.close();
});

test("requests that come byte by byte are recognised all the same", async () => {
  await using open = openDoor();
  const { port } = await open.listen("http://127.0.0.1:0");
  for (const [bytes, isAnswered] of [
    [
      Buffer.from("GET /page HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
      (got: Buffer) => got.includes("a page\n"),
    ],
    [greeting, (got: Buffer) => got.length >= 9 && got[3] === 4],
  ] as const) {
    const client = await BareSocket.connect(port!);
    client.socket.setNoDelay(true);
    for (const byte of bytes) {
      client.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    while (!isAnswered(client.received)) await new Promise((resolve) => client.socket.once("data", resolve));
    client.destroy();
  }
});

test("whoever speaks neither is closed, and the log says why", async () => {
  await using open = openDoor({ limits: { handshakeTimeoutMs: 2_000 } });
  const { port } = await open.listen("http://127.0.0.1:0");
  const cases: readonly (readonly [string | Buffer, RegExp])[] = [
    [Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), /TLS handshake on a port without TLS/],
    ["INVALID CONNECTION PREFACE\r\n\r\n", /neither HTTP\/2 nor HTTP\/1\.1/],
    [Buffer.alloc(100, 0), /neither HTTP\/2 nor HTTP\/1\.1/],
    ["PR", /said too little for too long/],
    ["", /said too little for too long/],
  ];
  for (const [bytes, reason] of cases) {
    open.logger.lines.length = 0;
    const client = await BareSocket.connect(port!);
    client.write(bytes);
    await client.closed();
    const line = await open.logger.until(({ message }) => message === "rejected connection");
    assert.match(String(line.fields["reason"]), reason);
    assert.equal(client.received.length, 0);
  }
  assert.deepEqual(open.rejections, Array(cases.length).fill("protocol"));
});

test("a preface that goes wrong late ends with GOAWAY", async () => {
  await using open = openDoor();
  const { port } = await open.listen("http://127.0.0.1:0");
  const client = await BareSocket.connect(port!);
  client.write("PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n");
  await client.closed();
  assert(client.received.includes("the client preface is not HTTP/2's"));
});

test("listeners can be kept to one of the two protocols", async () => {
  await using open = openDoor();
  const grpcOnly = await open.listen("http://127.0.0.1:0", "grpc");
  const httpOnly = await open.listen("http://127.0.0.1:0", "http");
  await assert.rejects(http1(`${grpcOnly.url}/page`));
  await assert.rejects(http2(`${httpOnly.url}/page`));
  assert.equal((await http1(`${httpOnly.url}/page`)).status, 200);
  const channel = createChannel(`127.0.0.1:${grpcOnly.port}`);
  assert.deepEqual(await createClient(EchoDefinition, channel).unary({ text: "x" }), { text: "x" });
  channel.close();
});

test("HTTP/1.1: headers that are too large or never end, and bodies that never come, end the connection", async () => {
  const limits = { incompleteFrameTimeoutMs: 300, requestTimeoutMs: 600, headerListBytesMax: 8_000 };
  await using open = openDoor({ limits });
  const { port } = await open.listen("http://127.0.0.1:0");
  for (const [bytes, status] of [
    ["GET /page HTTP/1.1\r\nhost: x\r\nx-half: ", 408],
    ["POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf", 408],
    [`GET /page HTTP/1.1\r\nhost: x\r\nx-large: ${"l".repeat(20_000)}`, 431],
    ["GET /page HTTP/9.9\r\n\r\n", 400],
  ] as const) {
    const client = await BareSocket.connect(port!);
    client.write(bytes);
    await client.closed();
    assert.match(client.received.toString(), new RegExp(`^HTTP/1.1 ${status} `));
  }
});

test("HTTP/1.1: a connection serves request after request, and may become something else", async () => {
  const grpc = createGrpcServer({ limits: { incompleteFrameTimeoutMs: 100 } });
  const upgraded: string[] = [];
  await using door = createFrontDoor({
    grpc,
    http: ({ target }) => ({ status: 200, body: target }),
    onUpgrade: (request, socket) => {
      upgraded.push(request.url ?? "");
      socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n");
      socket.pipe(socket);
    },
  });
  const { port } = await door.listen("http://127.0.0.1:0");
  const client = await BareSocket.connect(port!);
  const until = async (text: string): Promise<void> => {
    while (!client.received.includes(text)) await new Promise((resolve) => client.socket.once("data", resolve));
  };
  client.write("GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n");
  await until("/2");
  // Longer than a first request may take: the connection is kept all the same.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  client.write("GET /up HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
  await until("101 Switching");
  client.write("back and forth");
  await until("back and forth");
  assert.deepEqual(upgraded, ["/up"]);
  client.destroy();
});

test("unix sockets are listened on; a file left behind is replaced, one in use is not", async () => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-unix-"));
  try {
    const path = join(folder, "member.sock");
    const left = createServer().listen(path);
    await new Promise((resolve) => left.once("listening", resolve));
    await using open = openDoor();
    await assert.rejects(open.listen(`unix://${path}`), /EADDRINUSE/);
    await new Promise((resolve) => left.close(resolve));
    // What a killed process leaves: a socket file with nobody behind it.
    const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    assert(statSync(path).isSocket());
    assert.equal((await open.listen(`unix://${path}`)).port, undefined);
    const session = connectHttp2("http://unix", { createConnection: () => connect(path) });
    assert.equal((await http2On(session, "/page")).body, "a page\n");
    session.close();
    assert.equal((await http1("http://unix/page", {}, { socketPath: path } as object)).body, "a page\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("connections above the limit are closed, and room is made again", async () => {
  await using open = openDoor({ limits: { connectionsMax: 3 } });
  const { url, port } = await open.listen("http://127.0.0.1:0");
  const clients = await Promise.all([1, 2, 3].map(() => BareSocket.connect(port!)));
  while (open.door.connectionCount < 3) await new Promise(setImmediate);
  const fourth = await BareSocket.connect(port!);
  await open.logger.until(({ fields }) => fields["reason"] === "too many connections");
  await fourth.closed();
  assert.deepEqual(open.rejections, ["limit"]);
  for (const client of clients) client.destroy();
  while (open.door.connectionCount > 0) await new Promise(setImmediate);
  assert.equal((await http1(`${url}/page`)).status, 200);
});

test("listen URLs are read as etcd writes them", () => {
  const tcp = (isTls: boolean, host: string, port: number) => ({ isTls, target: { kind: "tcp", host, port } });
  assert.deepEqual(parseListenUrl("http://127.0.0.1:2379"), tcp(false, "127.0.0.1", 2379));
  assert.deepEqual(parseListenUrl("https://[::1]:0/"), tcp(true, "::1", 0));
  assert.deepEqual(parseListenUrl("http://:2379"), tcp(false, "", 2379));
  assert.deepEqual(parseListenUrl("unix://localhost:1"), {
    isTls: false,
    target: { kind: "unix", path: "localhost:1" },
  });
  assert.deepEqual(parseListenUrl("unixs:///run/a"), { isTls: true, target: { kind: "unix", path: "/run/a" } });
  for (const url of [
    "127.0.0.1:2379",
    "ftp://a:1",
    "http://a",
    "http://a:99999",
    "http://a:1/path",
    "unix://",
    "http://a:b",
  ]) {
    assert.throws(() => parseListenUrl(url), Error, url);
  }
});

test("an https URL without a certificate is refused in plain words", async () => {
  await using open = openDoor();
  await assert.rejects(open.listen("https://127.0.0.1:0"), /needs a certificate and a key/);
});
