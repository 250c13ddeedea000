// A member as its own process, with the listeners and flags that a test of the transport wants, and clients of it as
// other processes: etcdctl and curl where they are found, and our own program.
import { spawnSync } from "node:child_process";
import type { TestContext } from "node:test";
import { type Ended, runProgram, runQuorate } from "../../cli/run-program.ts";
import { freePorts } from "../../support/free-ports.ts";
import { quorateProgram } from "../../support/paths.ts";
import { findEtcd, ServerUnderTest } from "../../support/server-under-test.ts";

/** Short elections: a member serves sooner. */
const fastArgs = ["--heartbeat-interval", "20", "--election-timeout", "200"] as const;

export interface MemberOptions {
  readonly args?: readonly string[];
  readonly env?: { readonly [name: string]: string };
  readonly name?: string;
  /** Where it listens for clients, with commas between. Default: a free port. */
  readonly clientUrls?: string;
  /** Of the free port. Default: `http`. */
  readonly clientScheme?: "http" | "https";
  readonly peerUrl?: string;
  readonly initialCluster?: string;
  readonly dataDir?: string;
}

/** A member that is not started yet. */
export async function planMember(options: MemberOptions = {}): Promise<ServerUnderTest> {
  return memberAt(await freePorts(2), options);
}

function memberAt([clientPort, peerPort]: readonly number[], options: MemberOptions): ServerUnderTest {
  const { name = "m1", args = [], env, dataDir } = options;
  const peerUrl = options.peerUrl ?? `http://127.0.0.1:${peerPort}`;
  return new ServerUnderTest(
    "quorate",
    process.execPath,
    [quorateProgram],
    {
      args: [...fastArgs, ...args],
      ...(env === undefined ? {} : { env }),
      ...(dataDir === undefined ? {} : { dataDir }),
    },
    {
      name,
      clientUrl: options.clientUrls ?? `${options.clientScheme ?? "http"}://127.0.0.1:${clientPort}`,
      peerUrl,
      initialCluster: options.initialCluster ?? `${name}=${peerUrl}`,
    },
  );
}

export async function startMember(options: MemberOptions = {}): Promise<ServerUnderTest> {
  const member = await planMember(options);
  try {
    await member.start();
    return member;
  } catch (error) {
    await member.dispose();
    throw error;
  }
}

export interface ClusterOptions {
  readonly size: number;
  /** How clients call. Default: plainly. */
  readonly clientScheme?: "http" | "https";
  /** How members call each other. Default: plainly. */
  readonly peerScheme?: "http" | "https";
  readonly args?: (index: number) => readonly string[];
  /** Those that are started; the others stay plans, with their places in the cluster. Default: all. */
  readonly started?: number;
}

/** Who says when it is over: a test, or a program that has no tests. */
export interface TestOwner {
  after(end: () => Promise<unknown>): void;
}

/** Members of one cluster, named m1, m2 and so on, that end with their owner. */
export async function startCluster(owner: TestOwner, options: ClusterOptions): Promise<readonly ServerUnderTest[]> {
  const { size, started = size } = options;
  for (let attempt = 1; ; attempt++) {
    const members = await planCluster(options);
    owner.after(() => Promise.all(members.map((member) => member.dispose())));
    const results = await Promise.allSettled(members.slice(0, started).map((member) => member.start()));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return members;
    // Another process may have taken a port between the search and the start.
    await Promise.all(members.map((member) => member.stop()));
    if (attempt === 3 || !members.some((member) => member.log.includes("EADDRINUSE"))) throw failed.reason;
  }
}

async function planCluster(options: ClusterOptions): Promise<readonly ServerUnderTest[]> {
  const { size, clientScheme = "http", peerScheme = "http", args } = options;
  // All at once: ports that are looked for one after the other may be the same.
  const ports = await freePorts(size * 2);
  const names = Array.from({ length: size }, (_, index) => `m${index + 1}`);
  const peerUrls = names.map((_, index) => `${peerScheme}://127.0.0.1:${ports[size + index]}`);
  const initialCluster = names.map((name, index) => `${name}=${peerUrls[index]}`).join(",");
  return names.map((name, index) =>
    memberAt([ports[index]!], {
      name,
      clientScheme,
      peerUrl: peerUrls[index]!,
      initialCluster,
      args: args?.(index) ?? [],
    }),
  );
}

/** The lines of its log that tell this, so far. */
export function logLines(member: ServerUnderTest, message: string): readonly { readonly [field: string]: unknown }[] {
  return member.log
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { readonly [field: string]: unknown })
    .filter(({ msg }) => msg === message);
}

/** The program's path, or undefined and a word in the test's report that it goes without. */
export function findProgram(t: TestContext, name: "etcdctl" | "curl"): string | undefined {
  const found = name === "etcdctl" ? findEtcd("etcdctl") : name;
  if (found !== undefined && spawnSync(found, [name === "curl" ? "--version" : "version"]).error === undefined) {
    return found;
  }
  t.diagnostic(`${name} is not installed: what it would show was left out`);
  return undefined;
}

/** A command line client: takes arguments, says what came of it. */
export type Command = (...args: readonly string[]) => Promise<Ended>;

export const quorate: Command = (...args) => runQuorate(args);

export const commandOf =
  (program: string): Command =>
  (...args) =>
    runProgram(program, args, { env: { ETCDCTL_API: "3" } });
