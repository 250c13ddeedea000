// Clients that others wrote, against this transport: etcdctl (Go), @grpc/grpc-js, npm's etcd3, curl, h2load and h2spec.
// Programs that are not installed are left out, and the test says so.
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { Etcd3 } from "etcd3";
import { checkMember } from "./h2spec/check-member.ts";
import { findH2spec } from "./h2spec/find-h2spec.ts";
import { TestPki } from "./support/certificates.ts";
import { openDoor } from "./support/door.ts";
import { EchoDefinition, type EchoMessage } from "./support/echo-service.ts";
import { findProgram } from "./support/member.ts";
import { addTinyKv } from "./support/tiny-kv.ts";
import { grpcMessage } from "./support/wire.ts";

const run = promisify(execFile);

/** Whether a program is there; if not, says that the test was left out. */
function isInstalled(t: TestContext, program: string, argument: string): boolean {
  if (spawnSync(program, [argument]).error === undefined) return true;
  t.diagnostic(`${program} is not installed: this comparison was left out`);
  return false;
}

test("clients: etcdctl puts, gets, watches and keeps leases alive, with TLS and without", async (t) => {
  const program = findProgram(t, "etcdctl");
  if (program === undefined) return;
  using pki = new TestPki();
  const authority = pki.authority("authority");
  const client = authority.issue({ commonName: "etcdctl" });
  const server = authority.issue({ hosts: ["localhost", "127.0.0.1"] });
  await using open = openDoor({ tlsOptions: { ...server, trustedCaFile: authority.certFile } });
  addTinyKv(open.grpc);
  const plain = await open.listen("http://127.0.0.1:0");
  const secure = await open.listen("https://127.0.0.1:0");
  const tls = [`--cacert=${authority.certFile}`, `--cert=${client.certFile}`, `--key=${client.keyFile}`];
  const env = { ...process.env, ETCDCTL_API: "3" };
  for (const globals of [[`--endpoints=${plain.url}`], [`--endpoints=${secure.url}`, ...tls]]) {
    const etcdctl = async (...args: string[]): Promise<string> =>
      (await run(program, [...globals, ...args], { env })).stdout;
    assert.equal(await etcdctl("put", "a/key", "a value"), "OK\n");
    assert.equal(await etcdctl("get", "a/key"), "a/key\na value\n");
    assert.equal((await etcdctl("put", "large", "v".repeat(100_000))).trim(), "OK");
    assert.equal(await etcdctl("get", "large", "--print-value-only"), `${"v".repeat(100_000)}\n`);
    await assert.rejects(etcdctl("del", "a/key"), /unknown method DeleteRange for service etcdserverpb\.KV/);
    assert.match(await etcdctl("lease", "grant", "60"), /granted with TTL\(60s\)/);
    assert.match(await etcdctl("lease", "keep-alive", "--once", "4d"), /keepalived with TTL\(10\)/);
    const watch = spawn(program, [...globals, "watch", "a/key"], { env });
    let seen = "";
    watch.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
    });
    for (let i = 0; !seen.includes("a/key\n"); i++) await etcdctl("put", "a/key", `value ${i}`);
    watch.kill();
    assert.match(seen, /^PUT\na\/key\nvalue \d+\n/);
  }
});

test("clients: npm etcd3 puts, gets and watches", async () => {
  await using open = openDoor();
  addTinyKv(open.grpc);
  const { port } = await open.listen("http://127.0.0.1:0");
  const client = new Etcd3({ hosts: `http://127.0.0.1:${port}` });
  await client.put("k").value("v");
  assert.equal(await client.get("k").string(), "v");
  const watcher = await client.watch().key("k").create();
  const changed = new Promise<string>((resolve) => watcher.on("put", ({ value }) => resolve(value.toString())));
  await client.put("k").value("w");
  assert.equal(await changed, "w");
  await watcher.cancel();
  client.close();
});

/** A bare grpc-js client of the echo service. */
function grpcJsClient(port: number): {
  unary(request: EchoMessage, deadlineMs?: number): Promise<EchoMessage>;
  chat(): ReturnType<Client["makeBidiStreamRequest"]>;
  close(): void;
} {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
  });
  const toBytes = (message: unknown): Buffer => Buffer.from(JSON.stringify(message));
  const fromBytes = (bytes: Buffer): EchoMessage => JSON.parse(bytes.toString());
  return {
    unary: (request, deadlineMs) =>
      new Promise((resolve, reject) => {
        const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
        client.makeUnaryRequest(
          EchoDefinition.unary.path,
          toBytes,
          fromBytes,
          request,
          new Metadata(),
          options,
          (error, response) => (error === null ? resolve(response!) : reject(error)),
        );
      }),
    chat: () => client.makeBidiStreamRequest(EchoDefinition.chat.path, toBytes, fromBytes as never),
    close: () => client.close(),
  };
}

test("clients: @grpc/grpc-js with large messages, deadlines and a thousand streams at once", async () => {
  await using open = openDoor();
  const { port } = await open.listen("http://127.0.0.1:0");
  const client = grpcJsClient(port!);
  const text = "m".repeat(1_572_864);
  assert.equal((await client.unary({ text })).text?.length, text.length);
  // A deadline that passes before the handler runs shows nothing of it.
  while (!open.journal.events.includes("waiting")) {
    await assert.rejects(client.unary({ waitForAbort: true }, 100), { code: status.DEADLINE_EXCEEDED });
  }
  await open.journal.until("aborted");
  const streams = Array.from({ length: 1_000 }, () => client.chat());
  const answers = streams.map(
    (stream, i) =>
      new Promise<string>((resolve, reject) => {
        stream.on("data", (message: EchoMessage) => resolve(message.text ?? ""));
        stream.on("error", reject);
        stream.write({ text: `stream ${i}` });
      }),
  );
  assert.deepEqual(
    await Promise.all(answers),
    streams.map((_, i) => `stream ${i}`),
  );
  // All of them are given up at once: that is a lot of resets, and no attack.
  for (const stream of streams) {
    stream.on("error", () => undefined);
    stream.cancel();
  }
  assert.equal((await client.unary({ text: "still there" })).text, "still there");
  const ended = () => open.journal.events.filter((event) => event === "chat ended").length;
  while (ended() < 1_000) await new Promise((resolve) => setTimeout(resolve, 5));
  client.close();
});

test("clients: curl over HTTP/1.1 and HTTP/2", async (t) => {
  if (!isInstalled(t, "curl", "--version")) return;
  await using open = openDoor();
  const { url } = await open.listen("http://127.0.0.1:0");
  for (const option of ["--http1.1", "--http2-prior-knowledge", "--http2"]) {
    const { stdout } = await run("curl", ["-sS", option, "-d", "body", "-w", " %{http_code}", `${url}/echo`]);
    assert.match(stdout, /"method":"POST".*"body":"body"} 200$/, option);
    const large = await run("curl", ["-sS", option, `${url}/large`], { maxBuffer: 1e8 });
    assert.equal(large.stdout.length, 3_000_000, option);
  }
});

test("clients: h2load, with many connections and streams", async (t) => {
  if (!isInstalled(t, "h2load", "--version")) return;
  const folder = mkdtempSync(join(tmpdir(), "quorate-h2load-"));
  try {
    const body = join(folder, "request.bin");
    writeFileSync(body, grpcMessage(Buffer.from('{"text":"load"}')));
    await using open = openDoor();
    const { url } = await open.listen("http://127.0.0.1:0");
    for (const [connections, streams] of [
      [1, 1],
      [20, 30],
      [200, 1],
    ] as const) {
      const headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
      const shape = ["-n", "4000", "-c", String(connections), "-m", String(streams)];
      const { stdout } = await run("h2load", [...shape, "-d", body, ...headers, `${url}/test.Echo/Unary`]);
      assert.match(stdout, /4000 succeeded, 0 failed, 0 errored/);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("clients: h2spec finds no fault in a member, with TLS and without", async (t) => {
  const h2spec = findH2spec();
  if (h2spec === undefined) {
    t.diagnostic("h2spec is not installed: `npm run h2spec` would build it; this comparison was left out");
    return;
  }
  for (const isTls of [false, true]) {
    const { sections, remarks } = await checkMember(h2spec, isTls);
    assert.deepEqual(remarks, []);
    assert.equal(
      sections.reduce((sum, { cases, skipped }) => sum + cases - skipped, 0),
      146,
    );
  }
});
