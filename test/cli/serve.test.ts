// The member as a process: what it says, how it starts and refuses to start, how it ends, what it loads.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { connect } from "../../sdk/index.ts";
import { chooseFormat, leastLevel, welcome } from "../../server/cli/serve/announce.ts";
import { type LogSettings, openLogOutputs } from "../../server/cli/serve/log-output.ts";
import { createSystemLogger } from "../../server/lib/system-logger.ts";
import { freePorts } from "../support/free-ports.ts";
import { quorateProgram } from "../support/paths.ts";
import { cleanEnvironment, type Ended, runQuorate } from "./run-program.ts";

const readyText = "ready to serve client requests";

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "quorate-test-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Flags for a member of its own on ports that were free a moment ago. */
async function memberFlags(dataDir: string): Promise<{ readonly flags: readonly string[]; readonly url: string }> {
  const [clientPort, peerPort] = await freePorts(2);
  const url = `http://127.0.0.1:${clientPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const flags = [
    ...["--data-dir", dataDir, "--listen-client-urls", url, "--advertise-client-urls", url],
    ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
  ];
  return { flags, url };
}

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  readonly flags: readonly string[];
  /** Everything on standard error so far. */
  log(): string;
  ended: Promise<Ended>;
}

/** Starts a member and resolves once it says that it serves. */
async function startMember(
  t: TestContext,
  dataDir: string,
  more: readonly string[] = [],
  env: { readonly [name: string]: string } = {},
): Promise<Running> {
  const { flags, url } = await memberFlags(dataDir);
  return startWith(t, url, [...flags, ...more], env);
}

async function startWith(
  t: TestContext,
  url: string,
  flags: readonly string[],
  env: { readonly [name: string]: string } = {},
): Promise<Running> {
  const child = spawn(process.execPath, [quorateProgram, ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...cleanEnvironment(), ...env },
  });
  t.after(() => child.kill("SIGKILL"));
  let [stdout, stderr] = ["", ""];
  child.stdout!.on("data", (chunk: Buffer) => (stdout += chunk));
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (status, signal) => resolve({ status, signal, stdout: Buffer.from(stdout), stderr }));
  });
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on("data", (chunk: Buffer) => {
      stderr += chunk;
      if (stderr.includes(readyText)) resolve();
    });
    void ended.then(({ status }) => reject(new Error(`ended with ${status} before it served:\n${stderr}`)));
  });
  return { child, url, flags, log: () => stderr, ended };
}

interface Line {
  readonly level: string;
  readonly ts: string;
  readonly caller: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

const linesOf = (log: string): readonly Line[] =>
  log
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);

test("the log is JSON on standard error, and one line says that it serves when it does", async (t) => {
  const member = await startMember(t, join(scratch(t), "d"), ["--name=a"]);
  await using client = await connect(member.url);
  await client.kv.put("k", "v");
  member.child.kill("SIGTERM");
  const { stdout, stderr } = await member.ended;
  assert.equal(stdout.length, 0);
  const lines = linesOf(stderr);
  for (const { level, ts, caller, msg } of lines) {
    assert(["debug", "info", "warn", "error", "fatal"].includes(level));
    assert.equal(new Date(ts).toISOString(), ts);
    assert.match(caller, /^[a-z-]+(\/[a-z0-9-]+)*$/);
    assert.notEqual(msg, "");
  }
  const ready = lines.filter(({ msg }) => msg === readyText);
  assert.equal(ready.length, 1);
  assert.equal(ready[0]!["name"], "a");
  assert.deepEqual(ready[0]!["client-urls"], [member.url]);
});

test("SIGTERM and SIGINT stop it in order, and it ends by that signal", async (t) => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const member = await startMember(t, join(scratch(t), "d"));
    await using client = await connect({ endpoints: member.url, lazy: true });
    await client.kv.put("k", "v");
    // Something that is under way all the time must not hold it up.
    const watch = client.watch("k");
    await watch.ready;
    const startMs = performance.now();
    member.child.kill(signal);
    const ended = await member.ended;
    t.diagnostic(`${signal}: ended after ${Math.round(performance.now() - startMs)} ms`);
    assert.deepEqual([ended.status, ended.signal], [null, signal]);
    assert.deepEqual(
      linesOf(ended.stderr)
        .slice(-2)
        .map(({ msg }) => msg),
      ["received signal, stopping", "stopped"],
    );
  }
});

test("a second signal ends it at once", async (t) => {
  const member = await startMember(t, join(scratch(t), "d"));
  // Stopped meanwhile, the process finds both when it goes on.
  member.child.kill("SIGSTOP");
  member.child.kill("SIGTERM");
  member.child.kill("SIGINT");
  member.child.kill("SIGCONT");
  const { signal, stderr } = await member.ended;
  assert(signal === "SIGTERM" || signal === "SIGINT");
  const said = linesOf(stderr).map(({ msg }) => msg);
  assert(said.includes("received signal, stopping"), stderr);
  assert(!said.includes("stopped"), stderr);
});

test("a member that was killed starts again on its folder, with its data", async (t) => {
  const folder = join(scratch(t), "d");
  const first = await startMember(t, folder);
  {
    await using client = await connect(first.url);
    await client.kv.put("k", "v");
  }
  first.child.kill("SIGKILL");
  await first.ended;
  const second = await startWith(t, first.url, first.flags);
  await using client = await connect(second.url);
  assert.equal((await client.kv.get("k"))?.value, "v");
});

test("settings come from a file and from variables, too", async (t) => {
  const folder = scratch(t);
  const [clientPort, peerPort] = await freePorts(2);
  const url = `http://127.0.0.1:${clientPort}`;
  const file = join(folder, "etcd.conf.yml");
  const content = {
    name: "from-file",
    "data-dir": join(folder, "unused"),
    "listen-client-urls": url,
    "advertise-client-urls": url,
    "listen-peer-urls": `http://127.0.0.1:${peerPort}`,
    "initial-advertise-peer-urls": `http://127.0.0.1:${peerPort}`,
    "max-wals": 9,
  };
  writeFileSync(file, JSON.stringify(content));
  const env = { ETCD_CONFIG_FILE: file, QUORATE_DATA_DIR: join(folder, "d"), QUORATE_API_VERSION: "3.5.9" };
  const member = await startWith(t, url, [], env);
  assert(existsSync(join(folder, "d", "member")));
  assert(!existsSync(join(folder, "unused")));
  assert.match(member.log(), /max-wals in .*etcd\.conf\.yml=9 changes nothing/);
  const answer = (await (await fetch(`${url}/version`)).json()) as { readonly etcdserver: string };
  assert.equal(answer.etcdserver, "3.5.9");
});

async function refused(args: readonly string[], env: { readonly [name: string]: string } = {}): Promise<Line> {
  const { status, stderr, stdout } = await runQuorate(args, { env });
  assert.equal(status, 1, stderr);
  assert.equal(stdout.length, 0);
  const last = linesOf(stderr).at(-1)!;
  assert.equal(last.level, "fatal");
  assert(typeof last["advice"] === "string" && last["advice"] !== "", `no advice: ${stderr}`);
  return last;
}

test("a folder that is in use is refused, naming who uses it", async (t) => {
  const folder = join(scratch(t), "d");
  const member = await startMember(t, folder);
  const { flags } = await memberFlags(folder);
  const { msg, advice } = await refused(flags);
  assert.match(msg, new RegExp(`is in use by process ${member.child.pid}`));
  assert.match(String(advice), /--data-dir/);
});

test("a port that is taken is refused, saying which", async (t) => {
  const { flags, url } = await memberFlags(join(scratch(t), "d"));
  const port = Number(new URL(url).port);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { msg, advice } = await refused(flags);
  assert.match(msg, /address already in use/);
  assert.match(String(advice), new RegExp(`port ${port}.*--listen-client-urls`));
});

test("folders that cannot be used, or are etcd's, are refused", async (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "file"), "");
  const { flags } = await memberFlags(join(folder, "file"));
  assert.match((await refused(flags)).msg, /cannot use the data directory/);

  mkdirSync(join(folder, "etcd", "member", "wal"), { recursive: true });
  const etcds = await memberFlags(join(folder, "etcd"));
  const { status, stderr } = await runQuorate(etcds.flags);
  assert.equal(status, 1);
  assert.match(stderr, /holds the data of an etcd member; choose another --data-dir/);

  // Root may read everything, so there is nothing to refuse.
  if (process.getuid?.() === 0) t.diagnostic("run as root: the unreadable folder is left out");
  else {
    mkdirSync(join(folder, "closed"));
    chmodSync(join(folder, "closed"), 0);
    assert.match((await refused((await memberFlags(join(folder, "closed"))).flags)).msg, /EACCES/);
  }
});

test("a damaged log is reported, not served", async (t) => {
  const folder = join(scratch(t), "d");
  const member = await startMember(t, folder);
  {
    await using client = await connect(member.url);
    for (let index = 0; index < 50; index++) await client.kv.put(`k${index}`, "x".repeat(100));
  }
  member.child.kill("SIGKILL");
  await member.ended;
  const path = join(
    folder,
    "member",
    "log",
    readdirSync(join(folder, "member", "log")).find((name) => name.endsWith(".log"))!,
  );
  flipBit(path, readFileSync(path).indexOf("k25"));
  const { msg, advice } = await refused(member.flags);
  assert.match(msg, /the log in .* is damaged/);
  assert.match(String(advice), /backup/);
});

function flipBit(path: string, at: number): void {
  assert(at > 0);
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0]! ^= 1;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}

test("wrong flags end with status 2 and every problem, help and version with status 0", async () => {
  const wrong = await runQuorate(["--heartbeat-interval=x", "stray", "--nope"]);
  assert.deepEqual([wrong.status, wrong.stdout.length], [2, 0]);
  assert.match(wrong.stderr, /3 problems/);
  for (const args of [["--help"], ["serve", "--help"], ["-h"]]) {
    const { status, stdout, stderr } = await runQuorate(args);
    assert.deepEqual([status, stderr], [0, ""]);
    assert.match(stdout.toString(), /--listen-client-urls/);
  }
  const version = await runQuorate(["--version"], { env: { QUORATE_API_VERSION: "3.4.5" } });
  assert.equal(version.status, 0);
  assert.match(
    version.stdout.toString(),
    /^Quorate Version: \d+\.\d+\.\d+\S*\netcd Version: 3\.4\.5\nNode\.js Version: v\d+\S+\nOS\/Arch: \w+\/\w+\n$/,
  );
});

test("the log goes where it is told to, and a file is changed when it is full", async (t) => {
  const folder = scratch(t);
  const path = join(folder, "quorate.log");
  const { flags, url } = await memberFlags(join(folder, "d"));
  const child = spawn(
    process.execPath,
    [quorateProgram, ...flags, `--log-outputs=${path},stdout`, "--log-format=console"],
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: cleanEnvironment(),
    },
  );
  t.after(() => child.kill("SIGKILL"));
  let [stdout, stderr] = ["", ""];
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk));
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk;
      if (stdout.includes(readyText)) resolve();
    });
  });
  assert.equal(readFileSync(path, "utf8"), stdout);
  assert.equal(stderr, "");
  assert.match(stdout, new RegExp(`^\\S+Z\\tinfo\\tcli/serve\\t${readyText}\\t\\{.*${url}`, "m"));
});

test("rotation puts full files aside and keeps as many as asked for", (t) => {
  const folder = scratch(t);
  const path = join(folder, "q.log");
  appendFileSync(path, "from before\n");
  const rotation = { sizeBytesMax: 100, ageDaysMax: 0, backupsMax: 2, isLocalTime: false };
  const write = openLogOutputs({ level: "info", format: "json", outputs: [path], rotation });
  for (let index = 0; index < 40; index++) {
    write(`line ${index} ${"x".repeat(30)}\n`);
    // Names of old files are times to the millisecond.
    const untilMs = Date.now() + 2;
    while (Date.now() < untilMs);
  }
  const names = readdirSync(folder).sort();
  assert.equal(names.length, 3, names.join(" "));
  for (const name of names) assert(statSync(join(folder, name)).size <= 100);
  assert.match(readFileSync(path, "utf8"), /line 39/);
  assert.match(names[0]!, /^q-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$/);
});

test("npm start says where it listens and what to type next, wherever its output goes", async (t) => {
  const member = await startMember(t, join(scratch(t), "d"), [], { npm_lifecycle_event: "start" });
  member.child.kill("SIGTERM");
  const { stdout, stderr } = await member.ended;
  assert(stdout.toString().includes(member.url));
  assert.match(stdout.toString(), / put greeting hello\n/);
  assert.equal(linesOf(stderr).filter(({ msg }) => msg === readyText).length, 1);
});

test("a person at a terminal is told what to do next; everything else gets JSON", () => {
  const settings: LogSettings = { level: "info", format: undefined, outputs: ["stderr"], rotation: undefined };
  assert.equal(chooseFormat(settings, true), "friendly");
  assert.equal(chooseFormat(settings, false), "json");
  assert.equal(chooseFormat({ ...settings, format: "json" }, true), "json");
  assert.equal(chooseFormat({ ...settings, outputs: ["a.log"] }, true), "json");
  assert.equal(leastLevel(settings, "friendly"), "warn");
  assert.equal(leastLevel({ ...settings, level: "debug" }, "friendly"), "debug");
  const text = welcome(
    { name: "a", dataDir: "a.quorate", clientUrls: ["http://127.0.0.1:2379"], metricsUrls: [] },
    "quorate",
  );
  assert.match(text, new RegExp(readyText));
  assert.match(text, /\n {2}quorate put greeting hello\n/);
  const other = welcome(
    { name: "a", dataDir: "d", clientUrls: ["http://0.0.0.0:1"], metricsUrls: ["http://x:2"] },
    "q",
  );
  assert.match(other, /\n {2}q --endpoints=http:\/\/127\.0\.0\.1:1 put greeting hello\n/);
  assert.match(other, /metrics {4}http:\/\/x:2/);
});

test("lines for people have no times; causes of errors are kept in the others", () => {
  const lines: string[] = [];
  const make = (format: "json" | "console" | "friendly") =>
    createSystemLogger({ level: "info", format, write: (line) => lines.push(line) }).child("a/b");
  const error = new Error("outer", { cause: new Error("inner") });
  make("friendly").log("warn", "careful", { what: "x", error });
  assert.equal(lines.pop(), "warn: careful what=x error=outer\n");
  make("json").log("error", "failed", { id: 2n ** 64n, error, level: "no", msg: "no" });
  const parsed = JSON.parse(lines.pop()!) as Line;
  assert.deepEqual([parsed.level, parsed.msg, parsed["id"]], ["error", "failed", "18446744073709551616"]);
  assert.match(String(parsed["error"]), /outer[\s\S]*caused by: Error: inner/);
  make("json").log("debug", "left out");
  assert.equal(lines.length, 0);
});

test("systemd is told when the member serves", async (t) => {
  const folder = scratch(t);
  const program = join(folder, "systemd-notify");
  writeFileSync(program, `#!/bin/sh\necho "$@" "$NOTIFY_SOCKET" > ${join(folder, "told")}\n`, { mode: 0o755 });
  const env = { NOTIFY_SOCKET: join(folder, "socket"), PATH: `${folder}${delimiter}${process.env["PATH"]}` };
  const member = await startMember(t, join(folder, "d"), [], env);
  while (!existsSync(join(folder, "told")) || readFileSync(join(folder, "told"), "utf8") === "") {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(readFileSync(join(folder, "told"), "utf8"), `--ready --pid=${member.child.pid} ${env.NOTIFY_SOCKET}\n`);
});

/** Runs the program with every module that it loads listed on standard error. */
async function modulesOf(args: readonly string[], folder: string, until?: string): Promise<string> {
  const [hooks, register] = [join(folder, "hooks.mjs"), join(folder, "register.mjs")];
  const load =
    "export function load(url, context, next) { writeSync(2, 'loads ' + url + String.fromCharCode(10)); return next(url, context); }";
  writeFileSync(hooks, `import { writeSync } from "node:fs";\n${load}\n`);
  writeFileSync(
    register,
    `import { register } from "node:module";\nregister(${JSON.stringify(pathToFileURL(hooks))});\n`,
  );
  const { stderr } = await runQuorate(args, {
    env: { NODE_OPTIONS: `--import=${pathToFileURL(register)}` },
    onStart: (child) => {
      if (until === undefined) return;
      child.stderr!.on("data", (chunk: Buffer) => {
        if (chunk.includes(until)) child.kill("SIGTERM");
      });
    },
  });
  assert.match(stderr, /loads file:/);
  return stderr;
}

test("client commands load no server, and a member loads nothing that it does not need", async (t) => {
  const folder = scratch(t);
  const { flags, url } = await memberFlags(join(folder, "d"));
  const client = await modulesOf(["--endpoints", url, "--dial-timeout=1ms", "get", "a"], folder);
  const inServer =
    /loads .*(\/lmdb\/|\/prom-client\/|\/yargs\/|\/yaml\/|\/dist\/server\/(?!cli|config)|\/dist\/recipes\/)/;
  assert.doesNotMatch(client, inServer);
  const member = await modulesOf(flags, folder, readyText);
  assert.match(member, /loads .*\/dist\/server\/server\.js/);
  assert.doesNotMatch(
    member,
    /loads .*(\/yargs\/|\/yaml\/|\/dist\/sdk\/|\/dist\/recipes\/|\/dist\/server\/cli\/(client|commands|printers)\/(?!parse-command|global-flags|command-error|command-description))/,
  );
});
