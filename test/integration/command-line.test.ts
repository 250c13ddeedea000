// A cluster as an operator works with it on the command line: looked at, extended, shrunk, led elsewhere, written through
// one member and read through another. With our own client commands, and with etcdctl where there is one.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { runProgram } from "../cli/run-program.ts";
import { freePorts } from "../support/free-ports.ts";
import { quorateProgram } from "../support/paths.ts";
import { findEtcd } from "../support/server-under-test.ts";
import { Cluster, pause } from "./cluster/cluster.ts";
import { MemberProcess, type UnexpectedEnd } from "./cluster/member-process.ts";

/** Runs a command and returns what it printed. */
type Tool = (endpoint: string, ...args: readonly string[]) => Promise<string>;

function toolOf(program: readonly string[]): Tool {
  return async (endpoint, ...args) => {
    const [command, ...before] = program as [string, ...string[]];
    const ended = await runProgram(command, [...before, "--endpoints", endpoint, ...args], {
      env: { ETCDCTL_API: "3" },
    });
    assert.equal(ended.status, 0, `${args.join(" ")}: ${ended.stderr}`);
    // etcdctl tells of some things, like health, on its standard error.
    return `${ended.stdout.toString()}${ended.stderr}`;
  };
}

const tools: readonly (readonly [string, Tool])[] = [
  ["quorate", toolOf([process.execPath, quorateProgram])],
  ...(findEtcd("etcdctl") === undefined ? [] : [["etcdctl", toolOf([findEtcd("etcdctl") as string])] as const]),
];

/** Tries until it works: a learner that was just started is not ready to be promoted. */
async function patiently<T>(what: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await what();
    } catch (error) {
      if (tries === 60) throw error;
      await pause(250);
    }
  }
}

interface FourthMember extends AsyncDisposable {
  readonly endpoint: string;
  readonly peerUrl: string;
  readonly process: MemberProcess;
  readonly unexpectedEnds: readonly UnexpectedEnd[];
}

/** A member that learns everything from a YAML file. */
async function createFourth(cluster: Cluster, electionTimeout: string): Promise<FourthMember> {
  const [clientPort, peerPort] = await freePorts(2);
  const [endpoint, peerUrl] = [`http://127.0.0.1:${clientPort}`, `http://127.0.0.1:${peerPort}`];
  const initial = [...cluster.members.map((member) => `${member.name}=${member.peerUrl}`), `fourth=${peerUrl}`].join(
    ",",
  );
  const file = join(cluster.folder, "fourth.yaml");
  writeFileSync(
    file,
    [
      "name: fourth",
      `data-dir: ${join(cluster.folder, "fourth")}`,
      `listen-client-urls: ${endpoint}`,
      `advertise-client-urls: ${endpoint}`,
      `listen-peer-urls: ${peerUrl}`,
      `initial-advertise-peer-urls: ${peerUrl}`,
      `initial-cluster: ${initial}`,
      "initial-cluster-state: existing",
      `election-timeout: ${electionTimeout}`,
      "",
    ].join("\n"),
  );
  const unexpectedEnds: UnexpectedEnd[] = [];
  const process = new MemberProcess({
    name: "fourth",
    args: ["--config-file", file],
    logFile: join(cluster.folder, "fourth.log"),
    onUnexpectedEnd: (end) => unexpectedEnds.push(end),
  });
  return { endpoint, peerUrl, process, unexpectedEnds, [Symbol.asyncDispose]: () => process.kill() };
}

async function operate(t: TestContext, run: Tool): Promise<void> {
  // Long enough for a busy machine: leadership is to move when it is told to, and not in between.
  const electionTimeout = "4000";
  await using cluster = await Cluster.start({ size: 3, args: ["--election-timeout", electionTimeout] });
  const [m1, m2, m3] = cluster.members as [Member, Member, Member];
  const all = cluster.members.map(({ endpoint }) => endpoint).join();

  const rowsOf = (text: string): readonly string[] => text.split("\n").filter((line) => /^[|│] +http/.test(line));
  // A leader may change between two lines on a busy machine; in quiet there is one.
  await patiently(async () => {
    const rows = rowsOf(await run(m1.endpoint, "endpoint", "status", "--cluster", "-w", "table"));
    assert.equal(rows.length, 3);
    assert.equal(rows.filter((row) => /[|│] +true [|│] +false [|│]/.test(row)).length, 1, rows.join("\n"));
  });
  const health = await patiently(() => run(m1.endpoint, "endpoint", "health", "--cluster"));
  assert.equal(health.match(/is healthy: successfully committed proposal/g)?.length, 3, health);

  assert.match(await run(m1.endpoint, "put", "through", "m1"), /OK/);
  assert.match(await run(m3.endpoint, "get", "through"), /through\nm1/);

  await using fourth = await createFourth(cluster, electionTimeout);
  const added = await run(all, "member", "add", "fourth", "--learner", `--peer-urls=${fourth.peerUrl}`);
  assert.match(added, /Member +[0-9a-f]+ added to cluster/);
  assert.match(added, /ETCD_INITIAL_CLUSTER_STATE="existing"/);
  const id = /Member +([0-9a-f]+) added/.exec(added)?.[1] as string;
  fourth.process.start();
  assert(await fourth.process.untilReady(20_000), fourth.process.logTail);
  await patiently(() => run(all, "member", "promote", id));
  const listed = await run(all, "member", "list");
  assert(listed.includes(`${id}, started, fourth, ${fourth.peerUrl}, ${fourth.endpoint}, false`), listed);
  assert.match(await run(fourth.endpoint, "get", "through"), /through\nm1/);
  assert.match(await run(fourth.endpoint, "put", "back", "fourth"), /OK/);
  assert.match(await run(m2.endpoint, "get", "back"), /back\nfourth/);

  const leader = await cluster.untilLeader();
  const target = cluster.members.find((member) => member !== leader) as Member;
  const moved = await run(all, "move-leader", target.id.toString(16));
  assert.match(moved, new RegExp(`Leadership transferred from ${leader.id.toString(16)} to ${target.id.toString(16)}`));
  assert.equal((await cluster.untilLeader()).name, target.name);

  assert.match(await run(all, "member", "remove", id), new RegExp(`Member +${id} removed from cluster`));
  await fourth.process.exited;
  assert.deepEqual(fourth.unexpectedEnds, [], "a removed member ends as one that was told to");
  fourth.process.start();
  fourth.process.expectEnd();
  await fourth.process.exited;
  assert.match(fourth.process.logTail, /was removed from its cluster/);

  // The way that works stays open beside the new one.
  const more = "http://127.0.0.1:1";
  await run(all, "member", "update", m1.id.toString(16), `--peer-urls=${m1.peerUrl},${more}`);
  const updated = (await run(all, "member", "list")).split("\n").find((line) => line.includes(", m1, ")) ?? "";
  assert(updated.includes(m1.peerUrl) && updated.includes(more), updated);
  assert.match(await run(m1.endpoint, "put", "after", "all"), /OK/);
  assert.match(await run(m2.endpoint, "get", "after"), /after\nall/);
  assert.deepEqual(cluster.unexpectedEnds, []);
  t.diagnostic("nobody ended by itself");
}

type Member = Cluster["members"][number];

if (tools.length === 1) console.log("# no etcdctl on PATH or in QUORATE_ETCD_DIR: our own client commands only");
for (const [name, run] of tools) test(`three members and a fourth, with ${name}`, (t) => operate(t, run));
