// Client commands as processes: what only shows there. Streams and exact bytes, commands that go on until they are
// interrupted, commands that run others, servers that cannot be reached.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bytes, type Client, connect } from "../../sdk/index.ts";
import { createSelfSigned } from "../../server/transport/self-signed.ts";
import { freePorts } from "../support/free-ports.ts";
import { quorateProgram } from "../support/paths.ts";
import { findEtcd, type ServerUnderTest, type Target, targets } from "../support/server-under-test.ts";
import { cleanEnvironment, patience, runProgram, runQuorate } from "./run-program.ts";

const etcdctl = findEtcd("etcdctl");

for (const target of targets()) commandsOn(target);

function commandsOn(target: Target): void {
  let server: ServerUnderTest;
  let client: Client;
  before(async () => {
    server = await target.start();
    client = await connect(server.endpoint);
  });
  after(async () => {
    await client.close();
    await server.dispose();
  });
  const on = (name: string, body: () => Promise<void>): void => void test(`${name} (${target.name})`, body);
  const run = (args: readonly string[], input: string | Uint8Array = "") =>
    runQuorate(["--endpoints", server.endpoint, ...args], { input });

  on("values come from standard input byte for byte, and go out the same way", async () => {
    const value = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 256));
    assert.equal((await run(["put", "binary"], value)).status, 0);
    const { stdout } = await run(["get", "binary", "--print-value-only"]);
    assert.deepEqual(stdout, Buffer.concat([value, Buffer.from("\n")]));
    assert.deepEqual((await client.kv.get("binary", { codec: bytes }))?.value, new Uint8Array(value));
  });

  on("keys and values on the command line are exact, also where they are no UTF-8", async () => {
    const program = `printf '\\377k' | xargs -0 -I{} "$0" "$1" --endpoints "$2" put {} {}`;
    const shell = await runProgram("sh", ["-c", program, process.execPath, quorateProgram, server.endpoint]);
    assert.equal(shell.status, 0, shell.stderr);
    const found = await client.kv.get(Buffer.from([0xff, 0x6b]), { codec: bytes });
    assert.deepEqual(found?.value, new Uint8Array([0xff, 0x6b]));
    const long = "k".repeat(5000);
    assert.equal((await run(["put", long, "--", '"-quoted"'])).status, 0);
    assert.equal((await client.kv.get(long))?.value, '"-quoted"');
    assert.equal((await run(["put", "007", ""])).status, 0);
    assert.equal((await client.kv.get("007"))?.value, "");
  });

  on("a reader that goes away ends the command quietly", async () => {
    await client.kv.put("large", "x".repeat(1_000_000));
    const program = `"$0" "$1" --endpoints "$2" get large | head -c 5`;
    const shell = await runProgram("sh", ["-c", program, process.execPath, quorateProgram, server.endpoint]);
    assert.deepEqual([shell.stdout.toString(), shell.stderr], ["large", ""]);
  });

  on("endpoints that cannot be reached: status 2, and each is told by itself where all are asked", async () => {
    const [port] = await freePorts(1);
    const nobody = `127.0.0.1:${port}`;
    const lost = await runQuorate(["--endpoints", nobody, "--dial-timeout=3s", "get", "a"]);
    assert.equal(lost.status, 2);
    assert.match(lost.stderr, /^Error: .*ECONNREFUSED/);
    const found = await runQuorate(["--endpoints", `${nobody},${server.endpoint}`, "get", "nothing"]);
    assert.deepEqual([found.status, found.stderr], [0, ""]);
    const both = ["--endpoints", `${nobody},${server.endpoint}`, "--dial-timeout=3s", "endpoint"];
    const status = await runQuorate([...both, "status", "-w", "json"]);
    assert.equal(status.status, 1);
    assert.match(status.stderr, new RegExp(`^Failed to get the status of endpoint ${nobody} \\(`));
    assert.equal((JSON.parse(status.stdout.toString()) as unknown[]).length, 1);
    const health = await runQuorate([...both, "health"]);
    assert.deepEqual([health.status, health.stdout.toString().split("\n").length], [1, 2]);
    assert.match(health.stderr, new RegExp(`^${nobody} is unhealthy: .*\nError: unhealthy cluster\n$`));
  });

  on("variables stand for flags, ours before etcdctl's", async () => {
    const env = {
      QUORATECTL_ENDPOINTS: server.endpoint,
      ETCDCTL_ENDPOINTS: "127.0.0.1:1",
      ETCDCTL_WRITE_OUT: "fields",
    };
    const { stdout, status } = await runQuorate(["get", "nothing"], { env });
    assert.equal(status, 0);
    assert.match(stdout.toString(), /^"ClusterID" : \d+\n/);
  });

  on("watch prints events until it is interrupted, and ends by the signal", async () => {
    const watch = start(["watch", "w/", "--prefix", "--prev-kv"]);
    await settle(client, "w/", watch);
    await client.kv.put("w/a", "1");
    await client.kv.put("w/a", "2");
    await client.kv.delete("w/a");
    await watch.until("DELETE\nw/a\n2\nw/a\n\n");
    watch.child.kill("SIGINT");
    assert.deepEqual(await watch.ended, [null, "SIGINT"]);
    assert(watch.output().endsWith("PUT\nw/a\n1\nPUT\nw/a\n1\nw/a\n2\nDELETE\nw/a\n2\nw/a\n\n"), watch.output());
  });

  on("watch runs a command for each event, with the event in its environment", async () => {
    const script = 'echo "$ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"';
    const { revision } = await client.kv.put("x", 'a "b"');
    const watch = start(["watch", "x", `--rev=${revision}`, "--", "sh", "-c", script]);
    await watch.until("PUT\nx\na");
    await client.kv.delete("x");
    const last = `${revision + 1n} "DELETE" "x" ""\n`;
    await watch.until(last);
    watch.child.kill("SIGTERM");
    await watch.ended;
    assert.equal(watch.output(), `PUT\nx\na "b"\n${revision} "PUT" "x" "a \\"b\\""\nDELETE\nx\n\n${last}`);
    const failing = await run(["watch", "x", `--rev=${revision}`, "--", "sh", "-c", "exit 3"]);
    assert.deepEqual([failing.status, failing.stderr], [1, 'command ["sh" "-c" "exit 3"] error (exit status 3)\n']);
  });

  on("watch -i takes watches from standard input, and says what it does not understand", async () => {
    const { revision } = await client.kv.put("i/a", "1");
    await client.kv.put("j", "2");
    const watch = start(["watch", "-i"], "pipe");
    watch.child.stdin!.write(`watch i/ --prefix --rev=${revision}\nnonsense\n\n`);
    await watch.until("PUT\ni/a\n1\n");
    watch.child.stdin!.write(`watch "j" --rev=${revision} -- echo hi\nwatch\n`);
    await watch.until("PUT\nj\n2\nhi\n");
    watch.child.stdin!.end();
    assert.deepEqual(await watch.ended, [3, null]);
    assert.match(watch.errors(), /Invalid command nonsense[^\n]*\nInvalid command watch \(bad number of arguments\)\n/);
    assert.match(watch.errors(), /Error: error reading watch request line: EOF\n$/);
  });

  on("a watch that the server ends has status 5", async () => {
    await client.kv.put("c", "1");
    const { revision } = await client.kv.put("c", "2");
    await client.kv.compact(revision);
    const { status, stderr } = await run(["watch", "c", "--rev=1"]);
    const reason = "watch was canceled (etcdserver: mvcc: required revision has been compacted)";
    assert.deepEqual([status, stderr], [5, `${reason}\nError: watch is canceled by the server\n`]);
  });

  on("a lease is kept alive until it is gone", async () => {
    const { id } = await client.lease.grant({ ttl: "15s" });
    const hex = id.toString(16).padStart(16, "0");
    const kept = start(["lease", "keep-alive", hex]);
    await kept.until(`lease ${hex} keepalived with TTL(15)\n`);
    await client.lease.revoke(id);
    assert.deepEqual(await kept.ended, [0, null]);
    assert(kept.output().endsWith(`lease ${hex} expired or revoked.\n`), kept.output());
  });

  on("lock holds while a command runs, hands over in order, and lets go when interrupted", async () => {
    const first = start(["lock", "l"]);
    await first.until("\n");
    assert.match(first.output(), /^l\/[0-9a-f]+\n/);
    const second = start(["lock", "l", "--", "sh", "-c", 'echo "have $ETCD_LOCK_KEY $ETCD_LOCK_REV"; exit 7']);
    while ((await client.kv.count({ prefix: "l/" })) < 2) await pause();
    assert.equal(second.output(), "");
    first.child.kill("SIGINT");
    assert.deepEqual(await first.ended, [0, null]);
    assert.deepEqual(await second.ended, [7, null]);
    assert.match(second.output(), /^have l\/[0-9a-f]+ \d+\n$/);
    assert.equal(second.errors(), "Error: exit status 7\n");
    assert.equal(await client.kv.count({ prefix: "l/" }), 0);
  });

  on("lock ends the command when the lock is lost, and gives up waiting when interrupted", async () => {
    const holder = start(["lock", "m", "--", "sh", "-c", "echo running; exec sleep 1000"]);
    await holder.until("running\n");
    const waiter = start(["lock", "m"]);
    while ((await client.kv.count({ prefix: "m/" })) < 2) await pause();
    waiter.child.kill("SIGTERM");
    assert.deepEqual(await waiter.ended, [1, null]);
    assert.equal(waiter.errors(), "Error: context canceled\n");
    const [entry] = (await client.kv.list({ prefix: "m/" })).items;
    await client.lease.revoke(entry!.leaseId);
    assert.deepEqual(await holder.ended, [1, null]);
    assert.match(holder.errors(), /Error: .*lost/);
  });

  on("elect leads until it is interrupted, and -l shows who does", async () => {
    const listener = start(["elect", "-l", "e"]);
    const leader = start(["elect", "e", "one"]);
    await leader.until("one\n");
    await listener.until("one\n");
    const next = start(["elect", "e", "two"]);
    while ((await client.kv.count({ prefix: "e/" })) < 2) await pause();
    leader.child.kill("SIGTERM");
    assert.deepEqual(await leader.ended, [0, null]);
    await listener.until("two\n");
    // The listener may hear of it before the winner does.
    await next.until("two\n");
    next.child.kill("SIGINT");
    assert.deepEqual(await next.ended, [0, null]);
    listener.child.kill("SIGINT");
    assert.deepEqual(await listener.ended, [0, null]);
    assert.match(listener.output(), /^e\/[0-9a-f]+\none\ne\/[0-9a-f]+\ntwo\n$/);
  });

  on("what a watch prints is what etcdctl prints, in every form", async () => {
    if (etcdctl === undefined) {
      console.log("# no etcdctl: watches are not compared");
      return;
    }
    const { revision } = await client.kv.put("s/a", "1");
    await client.kv.put("s/a", "2");
    await client.kv.delete("s/a");
    const args = (format: string) => ["-w", format, "watch", "s/", "--prefix", "--prev-kv", `--rev=${revision}`];
    const pairs = ["simple", "json", "fields", "protobuf"].map((format) => ({
      format,
      ours: start(args(format)),
      theirs: startProgram(etcdctl, ["--endpoints", server.endpoint.replace("http://", ""), ...args(format)]),
    }));
    const all = pairs.flatMap(({ ours, theirs }) => [ours, theirs]);
    // What went before comes in one piece, which must be there before more happens.
    const untilAll = async (text: string): Promise<void> => {
      for (const one of all) await one.until(text, Buffer.from(text).toString("base64"));
    };
    await untilAll("s/a");
    for (const value of ["<&>", "live"]) {
      await client.kv.put("s/b", value);
      await untilAll(value);
    }
    for (const { child } of all) child.kill("SIGKILL");
    await Promise.all(all.map(({ ended }) => ended));
    for (const { format, ours, theirs } of pairs) assert.equal(ours.output("latin1"), theirs.output("latin1"), format);
  });

  interface Started {
    readonly child: ChildProcess;
    readonly ended: Promise<readonly [number | null, NodeJS.Signals | null]>;
    output(encoding?: BufferEncoding): string;
    errors(): string;
    /** Resolves once the output has one of these texts. */
    until(...texts: readonly string[]): Promise<void>;
  }

  function start(args: readonly string[], input: "ignore" | "pipe" = "ignore"): Started {
    return startProgram(process.execPath, [quorateProgram, "--endpoints", server.endpoint, ...args], input);
  }

  function startProgram(program: string, args: readonly string[], input: "ignore" | "pipe" = "ignore"): Started {
    const child = spawn(program, args, { stdio: [input, "pipe", "pipe"], env: { ...cleanEnvironment(), ...patience } });
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout!.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr!.on("data", (chunk: Buffer) => stderr.push(chunk));
    const ended = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve) => {
      child.once("close", (status, signal) => resolve([status, signal]));
    });
    after(() => child.kill("SIGKILL"));
    const output = (encoding: BufferEncoding = "utf8"): string => Buffer.concat(stdout).toString(encoding);
    const errors = (): string => Buffer.concat(stderr).toString();
    return {
      child,
      ended,
      output,
      errors,
      async until(...texts) {
        while (!texts.some((text) => output().includes(text))) {
          if (child.exitCode !== null) assert.fail(`ended with ${child.exitCode}: ${output()}${errors()}`);
          await pause();
        }
      },
    };
  }

  /** Resolves once a watch of the prefix shows what happens now. */
  async function settle(through: Client, prefix: string, watch: Started): Promise<void> {
    for (let round = 0; !watch.output().includes(`${prefix}settled`); round++) {
      await through.kv.put(`${prefix}settled`, String(round));
      await pause();
    }
    await pause();
  }
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test("TLS: an endpoint without a scheme follows the flags, and certificates are checked", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "quorate-test-cli-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const made = createSelfSigned({ hosts: ["127.0.0.1"], validYears: 1, nowMs: Date.now() });
  const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  writeFileSync(certFile, made.certificatePem);
  writeFileSync(keyFile, made.keyPem);
  const [port] = await freePorts(1);
  const url = `https://127.0.0.1:${port}`;
  const member = targets()[0]!;
  await using _server = await member.start({
    args: ["--listen-client-urls", url, "--advertise-client-urls", url, "--cert-file", certFile, "--key-file", keyFile],
  });
  const bare = url.replace("https://", "");
  const good = await runQuorate(["--endpoints", bare, "--cacert", certFile, "put", "a", "1"]);
  assert.deepEqual([good.status, good.stdout.toString(), good.stderr], [0, "OK\n", ""]);
  const skipped = await runQuorate(["--endpoints", bare, "--insecure-skip-tls-verify", "get", "a"]);
  assert.equal(skipped.stdout.toString(), "a\n1\n");
  const unknown = await runQuorate(["--endpoints", url, "--dial-timeout=3s", "get", "a"]);
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /certificate/);
});
