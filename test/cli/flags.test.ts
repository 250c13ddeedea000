// The flags of a member: that each of etcd's is known, how their text is read, where they come from and which source
// wins, and that every problem is told at once.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "../../server/cli/serve/config-file.ts";
import type { Environment } from "../../server/cli/serve/environment.ts";
import { faultOf, parseBoolean, parseDurationMs, parseInteger } from "../../server/cli/serve/flag-value.ts";
import { featureGates, flagGroups, flagsByName, ignoredFlags, olderFlags } from "../../server/cli/serve/flags-table.ts";
import { serveHelp } from "../../server/cli/serve/help.ts";
import { type Resolved, resolveConfig, type ServeConfig } from "../../server/cli/serve/resolve-config.ts";
import { formatProblems, type Problem } from "../../server/cli/serve/setting.ts";
import { findShared } from "../support/shared.ts";
import { etcdFlags, etcdGates, etcdIgnored } from "./etcd-flags.ts";

const resolve = (args: readonly string[], environment: Environment = {}): Promise<Resolved> =>
  resolveConfig(args, environment);

async function configOf(args: readonly string[], environment: Environment = {}): Promise<ServeConfig> {
  const resolved = await resolve(args, environment);
  assert(resolved.kind === "config", resolved.kind === "problems" ? formatProblems(resolved.problems) : resolved.kind);
  return resolved.config;
}

async function problemsOf(args: readonly string[], environment: Environment = {}): Promise<readonly Problem[]> {
  const resolved = await resolve(args, environment);
  assert(resolved.kind === "problems", `expected problems, found ${resolved.kind}`);
  return resolved.problems;
}

/** Runs `body` with a configuration file of this content. */
async function withFile<T>(content: string, body: (path: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "quorate-test-cli-"));
  try {
    const path = join(folder, "etcd.conf.yml");
    writeFileSync(path, content);
    return await body(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("every flag and feature of etcd is known, and nothing twice", () => {
  const all = [...flagGroups.flatMap(({ flags }) => flags), ...olderFlags, ...ignoredFlags].map(({ name }) => name);
  assert.equal(new Set(all).size, all.length);
  const own = ["help"];
  assert.deepEqual(all.toSorted(), [...etcdFlags, ...etcdIgnored, ...own].toSorted());
  assert.deepEqual(featureGates.map(({ name }) => name).toSorted(), etcdGates.toSorted());
  const page = findShared("spec/etcd-surface.md");
  if (page === undefined) {
    console.log("# the page with etcd's flags is not there: its copy in etcd-flags.ts is checked alone");
    return;
  }
  const rows = [...readFileSync(page, "utf8").matchAll(/^\| `--([a-z0-9-]+)` \|/gm)].map(([, name]) => name!);
  assert.deepEqual(etcdFlags.toSorted(), rows.toSorted());
});

test("every default is a value of its flag, and older spellings lead somewhere", () => {
  for (const flag of flagsByName.values()) {
    const { effect } = flag;
    if (effect.kind === "renamed") {
      const target = flagsByName.get(effect.target);
      assert(target !== undefined && target.effect.kind !== "renamed", flag.name);
      if (effect.gate === undefined) assert.equal(flag.type, target.type, flag.name);
      else assert(etcdGates.includes(effect.gate), flag.name);
    } else assert.equal(faultOf(flag, flag.default), undefined, flag.name);
  }
});

test("defaults are etcd's, with our folder", async () => {
  const { member, log, warnings } = await configOf([]);
  assert.deepEqual(member, {
    name: "default",
    dataDir: "default.quorate",
    listenClientUrls: ["http://localhost:2379"],
    advertiseClientUrls: ["http://localhost:2379"],
    listenMetricsUrls: [],
    listenPeerUrls: ["http://localhost:2380"],
    initialAdvertisePeerUrls: ["http://localhost:2380"],
    initialCluster: [{ name: "default", peerUrls: ["http://localhost:2380"] }],
    initialClusterState: "new",
    initialClusterToken: "etcd-cluster",
    strictReconfigCheck: true,
    learnersMax: 1,
    preVote: true,
    snapshotCatchUpEntries: 5000,
    clientTls: undefined,
    peerTls: undefined,
    heartbeatIntervalMs: 100,
    electionTimeoutMs: 1000,
    txnOperationsMax: 128,
    requestBytesMax: 1572864,
    quotaBytes: 2 * 1024 ** 3,
    autoCompaction: undefined,
    watchProgressIntervalMs: 600_000,
    apiVersion: "3.6.0",
  });
  assert.deepEqual(log, { level: "info", format: undefined, outputs: ["stderr"], rotation: undefined });
  assert.deepEqual(warnings, []);
});

test("flags are read in each of Go's forms, and the last of a repeated one counts", async () => {
  const both = (url: string) => ["--advertise-client-urls", url];
  for (const args of [["--name=a"], ["--name", "a"], ["-name=a"], ["-name", "a"], ["--name=b", "--name", "a"]]) {
    assert.equal((await configOf(args)).member.name, "a", args.join(" "));
  }
  const { member } = await configOf(["--listen-client-urls=http://127.0.0.1:1,http://[::1]:2", ...both("http://a:1")]);
  assert.deepEqual(member.listenClientUrls, ["http://127.0.0.1:1", "http://[::1]:2"]);
  assert.equal((await configOf(["--data-dir=-x="])).member.dataDir, "-x=");
  assert.equal((await configOf(["--data-dir="])).member.dataDir, "");
  assert.equal((await configOf(["--pre-vote=f"])).member.preVote, false);
  assert.equal((await configOf(["--pre-vote=f", "--pre-vote"])).member.preVote, true);
  assert.equal((await problemsOf(["--pre-vote", "false"]))[0]?.type, "--pre-vote=false");
});

test("auto-compaction keeps hours, a time, or revisions", async () => {
  const autoCompactionOf = async (...args: string[]) =>
    (await configOf(args.map((arg) => `--auto-compaction-${arg}`))).member.autoCompaction;
  const hourMs = 3_600_000;
  assert.equal(await autoCompactionOf("mode=revision"), undefined);
  assert.equal(await autoCompactionOf("retention=0s"), undefined);
  assert.deepEqual(await autoCompactionOf("retention=8"), { mode: "periodic", retentionMs: 8 * hourMs });
  assert.deepEqual(await autoCompactionOf("retention=90m"), { mode: "periodic", retentionMs: 1.5 * hourMs });
  const revisions = await autoCompactionOf("mode=revision", "retention=1000");
  assert.deepEqual(revisions, { mode: "revision", retentionRevisions: 1000 });
  for (const args of [["retention=-1"], ["retention=soon"], ["mode=revision", "retention=5m"]]) {
    const problems = await problemsOf(args.map((arg) => `--auto-compaction-${arg}`));
    assert.deepEqual(
      problems.map(({ label }) => label),
      ["--auto-compaction-retention"],
    );
  }
});

test("texts become values as in Go", () => {
  for (const text of ["1", "t", "T", "true", "True", "TRUE"]) assert.equal(parseBoolean(text), true);
  for (const text of ["0", "f", "F", "false", "False", "FALSE"]) assert.equal(parseBoolean(text), false);
  for (const text of ["", "yes", "tRUE", "01"]) assert.equal(parseBoolean(text), undefined);
  assert.deepEqual(["0", "-5", "+7", "0x1f", "1572864"].map(parseInteger), [0, -5, 7, 31, 1572864]);
  assert.deepEqual(["", "1.5", "1e3", "abc", "99999999999999999999"].map(parseInteger), Array(5).fill(undefined));
  const durations = {
    "1h30m": 5_400_000,
    "1.5s": 1500,
    "100ms": 100,
    "250us": 0.25,
    "0": 0,
    "-2s": -2000,
    ".5m": 30_000,
  };
  for (const [text, ms] of Object.entries(durations)) assert.equal(parseDurationMs(text), ms, text);
  for (const text of ["", "5", "s", "5 s", "1d", "5sec"]) assert.equal(parseDurationMs(text), undefined, text);
});

test("the command line wins over QUORATE_, that over ETCD_, that over the file, that over the default", async () => {
  const file =
    "name: from-file\ndata-dir: file-dir\nmax-txn-ops: 5\nheartbeat-interval: 50\ninitial-cluster-token: t\n";
  await withFile(file, async (path) => {
    const environment = {
      ETCD_CONFIG_FILE: path,
      ETCD_NAME: "from-etcd",
      ETCD_DATA_DIR: "etcd-dir",
      ETCD_MAX_TXN_OPS: "6",
      QUORATE_NAME: "from-quorate",
      QUORATE_DATA_DIR: "quorate-dir",
      QUORATE_HEARTBEAT_INTERVAL: "",
    };
    const { member } = await configOf(["--name=from-flag"], environment);
    assert.equal(member.name, "from-flag");
    assert.equal(member.dataDir, "quorate-dir");
    assert.equal(member.txnOperationsMax, 6);
    assert.equal(member.heartbeatIntervalMs, 50, "an empty variable is none");
    assert.equal(member.initialClusterToken, "t");
    assert.equal(member.electionTimeoutMs, 1000);
    const other = await configOf(["--config-file", path]);
    assert.equal(other.member.name, "from-file");
  });
});

test("unknown variables are warned of, with the name that is meant", async () => {
  const { warnings } = await configOf([], {
    ETCD_NAM: "x",
    QUORATE_VERSION: "1",
    ETCDCTL_API: "3",
    ETCD_VERIFY: "all",
  });
  assert.deepEqual(warnings, [
    "environment variable QUORATE_VERSION is no flag",
    "environment variable ETCD_NAM is no flag; ETCD_NAME is one",
  ]);
});

test("the API version can be set for test suites, by a variable alone", async () => {
  assert.equal((await configOf([], { QUORATE_API_VERSION: "3.5.7" })).member.apiVersion, "3.5.7");
  assert.equal((await problemsOf([], { QUORATE_API_VERSION: "new" }))[0]?.label, "QUORATE_API_VERSION");
});

test("a file has etcd's keys: maps for TLS, lists or commas, nanoseconds; unknown keys are warned of", async () => {
  const content = `
name: 007
data-dir:
initial-cluster-token: 1e3
listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
advertise-client-urls:
  - http://a:1
  - http://b:2
watch-progress-notify-interval: 5000000000
initial-cluster: "007=http://localhost:2380"
client-transport-security:
  cert-file:
  client-cert-auth: false
peer-transport-security:
  cert-file: ""
  allowed-cn: []
  nonsense: 1
log-outputs: [stderr, default]
discovery-proxy:
proxy: 'off'
nmae: x
`;
  await withFile(content, async (path) => {
    const { member, log, warnings } = await configOf(["--config-file", path]);
    assert.equal(member.name, "007");
    assert.equal(member.dataDir, "007.quorate");
    assert.equal(member.initialClusterToken, "1e3");
    assert.deepEqual(member.listenClientUrls, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    assert.deepEqual(member.advertiseClientUrls, ["http://a:1", "http://b:2"]);
    assert.equal(member.watchProgressIntervalMs, 5000);
    assert.deepEqual(log.outputs, ["stderr"]);
    assert.deepEqual(warnings, [
      `peer-transport-security.nonsense in ${path} is no setting of a file and is ignored`,
      `nmae in ${path} is no setting of a file and is ignored; name is one`,
    ]);
  });
});

test("a file's TLS, discovery and socket maps mean the flags that they mean in etcd", () => {
  const content = `
client-transport-security: {cert-file: c, key-file: k, trusted-ca-file: ca, client-cert-auth: true, auto-tls: true, allowed-hostname: [h1, h2]}
peer-transport-security: {cert-file: pc, allowed-cn: [x], allowed-hostname: [y], skip-client-san-verification: true}
discovery-config: {token: t, client: {endpoints: [e1, e2], dial-timeout: 1000000, secure: {cert: dc, insecure-transport: true}, auth: {username: u, password: p}}}
socket-options: {reuse-port: true, reuse-address: false}
experimental-snapshot-catch-up-entries: 7
`;
  const { settings, problems, warnings } = parseConfig(content, "f");
  assert.deepEqual([problems, warnings], [[], []]);
  assert.deepEqual(Object.fromEntries(settings.map(({ flag, text }) => [flag.name, text])), {
    "cert-file": "c",
    "key-file": "k",
    "trusted-ca-file": "ca",
    "client-cert-auth": "true",
    "auto-tls": "true",
    "client-cert-allowed-hostname": "h1,h2",
    "peer-cert-file": "pc",
    "peer-cert-allowed-cn": "x",
    "peer-cert-allowed-hostname": "y",
    "peer-skip-client-san-verification": "true",
    "discovery-token": "t",
    "discovery-endpoints": "e1,e2",
    "discovery-dial-timeout": "1000000ns",
    "discovery-cert": "dc",
    "discovery-insecure-transport": "true",
    "discovery-user": "u",
    "discovery-password": "p",
    "socket-reuse-port": "true",
    "socket-reuse-address": "false",
    "experimental-snapshot-catchup-entries": "7",
  });
});

test("a file that cannot be read, is no YAML or has values of the wrong kind is told", async () => {
  const missing = await problemsOf(["--config-file", "/nonexistent/etcd.yml"]);
  assert.match(missing[0]?.found ?? "", /ENOENT/);
  await withFile("name: [a\n", async (path) => {
    assert.equal((await problemsOf(["--config-file", path]))[0]?.label, path);
  });
  await withFile("- a\n", async (path) => {
    assert.equal((await problemsOf(["--config-file", path]))[0]?.found, "no keys");
  });
  await withFile("max-txn-ops: {a: 1}\nheartbeat-interval: soon\n", async (path) => {
    const labels = (await problemsOf(["--config-file", path])).map(({ label }) => label);
    assert.deepEqual(labels, [`max-txn-ops in ${path}`, `heartbeat-interval in ${path}`]);
  });
});

test("every problem is told at once, with what was found, what is expected and what to type", async () => {
  await withFile("max-txn-ops: 0\n", async (path) => {
    const problems = await problemsOf(
      [
        "--heartbeat-interval=abc",
        "--lisen-client-urls=x",
        "stray",
        "--listen-client-urls=http://example.com:1",
        "--wal-dir=w",
        "--feature-gates=Nope=true,LeaseCheckpoint=maybe",
        "--election-timeout=60000",
        "--log-level=loud",
        "--config-file",
        path,
      ],
      { ETCD_ENABLE_PPROF: "true", QUORATE_GRPC_KEEPALIVE_TIMEOUT: "soon" },
    );
    const labels = problems.map(({ label }) => label).toSorted();
    const expected = [
      "--advertise-client-urls",
      "--election-timeout",
      "--feature-gates",
      "--feature-gates",
      "--heartbeat-interval",
      "--lisen-client-urls",
      "--listen-client-urls",
      "--log-level",
      "--wal-dir",
      "ETCD_ENABLE_PPROF",
      "QUORATE_GRPC_KEEPALIVE_TIMEOUT",
      `max-txn-ops in ${path}`,
      "stray",
    ];
    assert.deepEqual(labels, expected.toSorted());
    for (const { found, expected: wanted, type } of problems) assert(found !== "" && wanted !== "" && type !== "");
    const text = formatProblems(problems);
    assert.match(text, /^quorate cannot start: 13 problems\.\n/);
    assert.match(
      text,
      /--heartbeat-interval\n {4}found: {5}"abc"\n {4}expected: {2}a whole number\n {4}type: {6}--heartbeat-interval=100\n/,
    );
  });
});

test("a flag without its value is told, not given the next flag as one", async () => {
  const problems = await problemsOf(["--name", "--data-dir", "d"]);
  assert.deepEqual(
    problems.map(({ label, found }) => [label, found]),
    [["--name", "no value"]],
  );
  assert.equal((await problemsOf(["--data-dir"]))[0]?.found, "no value");
});

test("what has no effect is warned of when set to something else, what is not offered is refused", async () => {
  const harmless = ["--max-wals=9", "--grpc-keepalive-min-time=7s", "--metrics=extensive", "--snapshot=1"];
  assert.equal((await configOf(harmless)).warnings.length, 4);
  const defaults = ["--max-wals=5", "--grpc-keepalive-interval=2h", "--enable-v2=false", "--proxy=off", "--cors=*"];
  assert.deepEqual((await configOf(defaults)).warnings, []);
  for (const flag of [...flagsByName.values()].filter(({ effect }) => effect.kind === "not-offered")) {
    const other = flag.choices?.find((choice) => choice !== flag.default) ?? otherThan(flag.type);
    const [problem] = await problemsOf([`--${flag.name}=${other}`]);
    assert.equal(problem?.label, `--${flag.name}`);
    assert.match(problem.expected, /: ./, "says why");
  }
});

function otherThan(type: string): string {
  if (type === "boolean") return "true";
  return type === "duration" ? "7s" : type === "integer" ? "7" : "x";
}

test("older spellings do what the newer ones do, and a newer one given later wins", async () => {
  const old = "--experimental-watch-progress-notify-interval";
  assert.equal((await configOf([`${old}=2s`])).member.watchProgressIntervalMs, 2000);
  const { member } = await configOf([`${old}=2s`, "--watch-progress-notify-interval=3s"]);
  assert.equal(member.watchProgressIntervalMs, 3000);
  assert.equal(
    (await problemsOf(["--experimental-corrupt-check-time=5m"]))[0]?.label,
    "--experimental-corrupt-check-time",
  );
  assert.equal((await configOf(["--experimental-enable-lease-checkpoint"])).warnings.length, 1);
});

test("feature gates are taken and checked", async () => {
  assert.deepEqual((await configOf(["--feature-gates=FastLeaseKeepAlive=true, LeaseCheckpoint=false"])).warnings, []);
  assert.equal((await configOf(["--feature-gates=AllAlpha=true,LeaseCheckpoint=true"])).warnings.length, 1);
  assert.equal((await problemsOf(["--feature-gates=LeaseCheckpoint"])).length, 1);
});

test("listen URLs need an address, and advertised ones come along", async () => {
  const bad = ["http://example.com:1", "http://127.0.0.1", "ftp://127.0.0.1:1", "127.0.0.1:1", "https://127.0.0.1:1"];
  for (const url of [...bad, "http://127.0.0.1:99999", "http://127.0.0.1:1/path"]) {
    const problems = await problemsOf([`--listen-client-urls=${url}`, "--advertise-client-urls=http://a:1"]);
    assert.deepEqual(
      problems.map(({ label }) => label),
      ["--listen-client-urls"],
      url,
    );
  }
  for (const url of [
    "http://127.0.0.1:0",
    "http://[::1]:1",
    "http://localhost:1",
    "unix://a.sock",
    "http://0.0.0.0:1",
  ]) {
    await configOf([`--listen-client-urls=${url}`, "--advertise-client-urls=http://example.com:1"]);
  }
  const missing = await problemsOf([], { ETCD_LISTEN_CLIENT_URLS: "http://127.0.0.1:1" });
  assert.equal(missing[0]?.type, "--advertise-client-urls=http://127.0.0.1:1");
});

test("the first cluster follows the name and the peer URLs, and must agree with them when it is given", async () => {
  assert.deepEqual((await configOf(["--name=a"])).member.initialCluster, [
    { name: "a", peerUrls: ["http://localhost:2380"] },
  ]);
  const peer = "--initial-advertise-peer-urls=http://127.0.0.1:5";
  assert.deepEqual((await configOf([peer])).member.initialCluster, [
    { name: "default", peerUrls: ["http://127.0.0.1:5"] },
  ]);
  const problemIn = async (cluster: string) => (await problemsOf([peer, `--initial-cluster=${cluster}`]))[0]?.label;
  for (const cluster of ["b=http://127.0.0.1:5", "default=http://127.0.0.1:6", "http://127.0.0.1:5", ","]) {
    assert.equal(await problemIn(cluster), "--initial-cluster", cluster);
  }
  await configOf([peer, "--initial-cluster=default=http://127.0.0.1:5"]);
});

test("timing follows etcd's bounds", async () => {
  await configOf(["--heartbeat-interval=200", "--election-timeout=1000"]);
  await configOf(["--heartbeat-interval=10000", "--election-timeout=50000"]);
  assert.equal((await problemsOf(["--heartbeat-interval=201"]))[0]?.label, "--election-timeout");
  assert.equal((await problemsOf(["--election-timeout=50001"]))[0]?.label, "--election-timeout");
  assert.equal((await problemsOf(["--heartbeat-interval=0"]))[0]?.label, "--heartbeat-interval");
  assert.equal((await configOf(["--watch-progress-notify-interval=1ms"])).member.watchProgressIntervalMs, 100);
  assert.equal((await configOf(["--quota-backend-bytes=-1"])).member.quotaBytes, 0);
  assert.equal((await configOf(["--quota-backend-bytes=5"])).member.quotaBytes, 5);
});

test("the log's flags: outputs, level, rotation", async () => {
  const { log } = await configOf([
    "--log-outputs=a.log",
    "--log-level=debug",
    "--log-format=console",
    "--enable-log-rotation",
    '--log-rotation-config-json={"maxsize": 1, "maxbackups": 3}',
  ]);
  assert.deepEqual(log, {
    level: "debug",
    format: "console",
    outputs: ["a.log"],
    rotation: { sizeBytesMax: 1024 * 1024, backupsMax: 3, ageDaysMax: 0, isLocalTime: false },
  });
  assert.equal((await problemsOf(["--enable-log-rotation"])).length, 1);
  const rotating = ["--enable-log-rotation", "--log-outputs=a.log"];
  for (const json of ["{", "[]", '{"maxsize": -1}', '{"compress": true}', '{"what": 1}']) {
    assert.equal((await problemsOf([...rotating, `--log-rotation-config-json=${json}`])).length, 1, json);
  }
});

test("help tells every flag, in groups, with defaults", async () => {
  const text = await serveHelp(true);
  for (const [name, { effect }] of flagsByName) if (effect.kind !== "ignored") assert(text.includes(`--${name}`), name);
  for (const { title } of flagGroups.filter(({ flags }) => flags.some(({ effect }) => effect.kind === "used"))) {
    assert(text.includes(`${title}:`), title);
  }
  assert.match(text, /--election-timeout .*\[default: 1000\]/);
  assert.equal((await resolve(["--help", "--nonsense"])).kind, "help");
  assert.equal((await resolve(["-h"])).kind, "help");
  assert.equal((await resolve(["--version"])).kind, "version");
});
