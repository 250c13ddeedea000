// The servers that are compared, and a fresh start of one: new processes on new data, one member or several.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { StatusResponse } from "../../proto/gen/etcdserverpb/rpc.ts";
import { freePorts } from "../support/free-ports.ts";
import { quorateProgram } from "../support/paths.ts";
import { ServerUnderTest } from "../support/server-under-test.ts";
import { peakMemoryBytes, totalCpuSeconds } from "./lib/process-usage.ts";
import { H2Client } from "./load/h2-client.ts";
import type { LoadTarget } from "./load/load-run.ts";
import { paths } from "./load/messages.ts";
import { unaryCall } from "./load/unary-call.ts";

export interface Contender {
  /** Short, for column titles. */
  readonly name: string;
  readonly kind: "quorate" | "etcd";
  readonly program: string;
  readonly programArgs: readonly string[];
  readonly version: string;
  readonly env?: { readonly [name: string]: string };
}

/** Our member: this checkout's, or another build's `dist/server/cli/main.js`. */
export function quorateContender(name = "quorate", main = quorateProgram): Contender {
  const path = resolve(main);
  if (!existsSync(path)) throw new Error(`there is no program ${path}`);
  const version = firstLine(process.execPath, [path, "--version"]);
  return { name, kind: "quorate", program: process.execPath, programArgs: [path], version };
}

/** @param folder Holds the program `etcd`. */
export function etcdContender(folder: string): Contender {
  const program = resolve(folder, "etcd");
  if (!existsSync(program)) throw new Error(`there is no etcd in ${resolve(folder)}`);
  return { name: "etcd", kind: "etcd", program, programArgs: [], version: firstLine(program, ["--version"]) };
}

function firstLine(program: string, args: readonly string[]): string {
  const { stdout, status } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed`);
  return stdout.split("\n")[0]!.trim();
}

/** Both servers get the same: room for what a long run of puts leaves behind. */
const commonArgs = ["--quota-backend-bytes", String(8 * 2 ** 30)];

export interface ContenderOptions {
  readonly members: number;
  /** Folder below which the data is kept. */
  readonly dataFolder: string;
}

/** Running servers of one kind, on data of their own. */
export class RunningContender implements AsyncDisposable {
  readonly contender: Contender;
  readonly #servers: readonly ServerUnderTest[];
  readonly #folder: string;
  /** The leader. */
  #leader: ServerUnderTest;

  private constructor(contender: Contender, servers: readonly ServerUnderTest[], folder: string) {
    this.contender = contender;
    this.#servers = servers;
    this.#folder = folder;
    this.#leader = servers[0]!;
  }

  static async start(contender: Contender, { members, dataFolder }: ContenderOptions): Promise<RunningContender> {
    const folder = mkdtempSync(join(dataFolder, `${contender.name}-`));
    const ports = await freePorts(members * 2);
    const urls = ports.map((port) => `http://127.0.0.1:${port}`);
    const names = Array.from({ length: members }, (_, i) => `m${i + 1}`);
    const initialCluster = names.map((name, i) => `${name}=${urls[i * 2 + 1]}`).join(",");
    const servers = names.map((name, i) => {
      const options = { dataDir: join(folder, name), args: commonArgs, env: contender.env ?? {} };
      const plan = { name, clientUrl: urls[i * 2]!, peerUrl: urls[i * 2 + 1]!, initialCluster };
      return new ServerUnderTest(contender.kind, contender.program, contender.programArgs, options, plan);
    });
    const running = new RunningContender(contender, servers, folder);
    try {
      await Promise.all(servers.map((server) => server.start()));
      if (members > 1) await running.#findLeader();
    } catch (error) {
      await running[Symbol.asyncDispose]();
      throw error;
    }
    return running;
  }

  /** The client URL of the leader, which takes the load. */
  get endpoint(): string {
    return this.#leader.endpoint;
  }

  get target(): LoadTarget {
    const { hostname, port } = new URL(this.endpoint);
    return { host: hostname, port: Number(port) };
  }

  /** Where each member keeps its data. */
  get dataDirs(): readonly string[] {
    return this.#servers.map(({ dataDir }) => dataDir);
  }

  get pids(): readonly number[] {
    return this.#servers.map(({ pid }) => pid ?? 0);
  }

  /** The process that takes the load. */
  get leaderPid(): number {
    return this.#leader.pid ?? 0;
  }

  /** CPU time of all members so far. */
  cpuSeconds(): number {
    return totalCpuSeconds(this.pids);
  }

  /** Peak resident memory of the largest member; pages of the store that are mapped count too, for both servers. */
  peakMemoryBytes(): number {
    return Math.max(...this.pids.map(peakMemoryBytes));
  }

  async #findLeader(): Promise<void> {
    const deadlineMs = Date.now() + 10_000;
    for (;;) {
      for (const server of this.#servers) {
        if (!(await isLeader(server.endpoint))) continue;
        this.#leader = server;
        return;
      }
      if (Date.now() > deadlineMs) throw new Error(`${this.contender.name}: no leader after 10 s`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Asks the servers to end, as an operator would; the data stays until disposal. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
  }

  /** Ends the processes at once, nothing in their data matters any more, and removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.kill()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function isLeader(endpoint: string): Promise<boolean> {
  const { hostname, port } = new URL(endpoint);
  const client = await H2Client.open(hostname, Number(port), () => undefined);
  try {
    const answer = unaryCall(client, paths.status, Buffer.alloc(0));
    client.flush();
    const { header, leader } = StatusResponse.decode(await answer);
    return leader !== 0n && leader === header?.memberId;
  } finally {
    client.close();
  }
}
