// Starts a real server for a test: our own member, and etcd where it is found, with the same flags. Each gets free ports
// of 127.0.0.1 and a data directory of its own, and ends with the test.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { freePorts } from "./free-ports.ts";
import { quorateProgram, repositoryRoot } from "./paths.ts";

export interface StartOptions {
  /** More flags, in etcd's spelling. */
  readonly args?: readonly string[];
  readonly env?: { readonly [name: string]: string };
  /** Default: a new one below the system's temporary folder, removed at the end. */
  readonly dataDir?: string;
  readonly name?: string;
}

/** A program that can be started as a server. */
export interface Target {
  readonly name: "quorate" | "etcd";
  /** False while the program can only run alone. */
  readonly canCluster: boolean;
  start(options?: StartOptions): Promise<ServerUnderTest>;
  /** Starts members of one cluster, named m1, m2 and so on. */
  startCluster(size: number, options?: Omit<StartOptions, "name" | "dataDir">): Promise<readonly ServerUnderTest[]>;
}

const readyText = "ready to serve client requests";
const startTimeoutMs = 30_000;
const stopTimeoutMs = 10_000;
const startAttempts = 3;
const logLinesMax = 400;

/** The etcd program: in `$QUORATE_ETCD_DIR`, else on PATH. */
export function findEtcd(program: "etcd" | "etcdctl" = "etcd"): string | undefined {
  const folders = [process.env["QUORATE_ETCD_DIR"] ?? "", ...(process.env["PATH"] ?? "").split(delimiter)];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, program))
    .find(existsSync);
}

let isAbsenceTold = false;

/**
 * The servers that a test can run against: our own member as soon as it serves, and etcd where there is one. Says so
 * once when a comparison with etcd is left out.
 */
export function targets(): readonly Target[] {
  const found: Target[] = [];
  const servingParts = [join("server", "server.js"), join("server", "cli", "serve", "serve.js")];
  if (servingParts.every((part) => existsSync(join(repositoryRoot, "dist", part)))) {
    found.push(createTarget("quorate", process.execPath, [quorateProgram]));
  }
  const etcd = findEtcd();
  if (etcd !== undefined) found.push(createTarget("etcd", etcd, []));
  else if (!isAbsenceTold) {
    isAbsenceTold = true;
    console.log("# no etcd on PATH or in QUORATE_ETCD_DIR: tests that also run against etcd run against quorate only");
  }
  return found;
}

function createTarget(name: "quorate" | "etcd", program: string, programArgs: readonly string[]): Target {
  const create = (options: StartOptions, member: MemberPlan): ServerUnderTest =>
    new ServerUnderTest(name, program, programArgs, options, member);
  return {
    name,
    canCluster: name === "etcd" || existsSync(join(repositoryRoot, "dist", "server", "peers", "peer-transport.js")),
    start: async (options = {}) => {
      const [server] = await startAll(async () => [create(options, (await plan([options.name ?? "default"]))[0]!)]);
      return server!;
    },
    startCluster: async (size, options = {}) => {
      const names = Array.from({ length: size }, (_, index) => `m${index + 1}`);
      return startAll(async () => (await plan(names)).map((member) => create(options, member)));
    },
  };
}

/** What one member of a cluster must be told. */
interface MemberPlan {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  readonly initialCluster: string;
}

async function plan(names: readonly string[]): Promise<readonly MemberPlan[]> {
  const ports = await freePorts(names.length * 2);
  const url = (port: number | undefined): string => `http://127.0.0.1:${port}`;
  const peerUrls = names.map((_, index) => url(ports[index * 2 + 1]));
  const initialCluster = names.map((name, index) => `${name}=${peerUrls[index]}`).join(",");
  return names.map((name, index) => ({
    name,
    clientUrl: url(ports[index * 2]),
    peerUrl: peerUrls[index]!,
    initialCluster,
  }));
}

async function startAll(create: () => Promise<readonly ServerUnderTest[]>): Promise<readonly ServerUnderTest[]> {
  for (let attempt = 1; ; attempt++) {
    const servers = await create();
    const started = await Promise.allSettled(servers.map((server) => server.start()));
    const failed = started.find((result) => result.status === "rejected");
    if (failed === undefined) return servers;
    // Another process may have taken a port between the search and the start.
    const isPortTaken = servers.some((server) => /address already in use|EADDRINUSE/.test(server.log));
    await Promise.all(servers.map((server) => server.dispose()));
    if (!isPortTaken || attempt === startAttempts) throw failed.reason;
  }
}

/** A started server. Dispose of it at the end; that also removes its data, unless its directory was given. */
export class ServerUnderTest implements AsyncDisposable {
  readonly target: "quorate" | "etcd";
  /** Where it listens for clients: `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** Where it listens for members. */
  readonly peerUrl: string;
  readonly dataDir: string;
  readonly #program: string;
  readonly #args: readonly string[];
  readonly #env: { readonly [name: string]: string };
  readonly #ownsDataDir: boolean;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  readonly #lines: string[] = [];
  #lineCount = 0;

  constructor(
    target: "quorate" | "etcd",
    program: string,
    programArgs: readonly string[],
    options: StartOptions,
    member: MemberPlan,
  ) {
    const { name, peerUrl, initialCluster } = member;
    this.target = target;
    this.endpoint = member.clientUrl;
    this.peerUrl = peerUrl;
    this.#ownsDataDir = options.dataDir === undefined;
    this.dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), `quorate-test-${target}-`));
    this.#program = program;
    this.#env = options.env ?? {};
    this.#args = [
      ...programArgs,
      ...["--name", name, "--data-dir", this.dataDir],
      ...["--listen-client-urls", this.endpoint, "--advertise-client-urls", this.endpoint],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", initialCluster],
      ...(options.args ?? []),
    ];
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The last lines that it wrote, for the message of a failing test. */
  get log(): string {
    return this.#lines.join("\n");
  }

  /** Lines that it wrote so far. */
  get logLineCount(): number {
    return this.#lineCount;
  }

  /** Starts the process and waits until it says that it serves clients. */
  async start(): Promise<void> {
    const child = spawn(this.#program, this.#args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...this.#env },
    });
    this.#child = child;
    const killWithUs = (): void => {
      child.kill("SIGKILL");
    };
    process.on("exit", killWithUs);
    this.#exited = new Promise((resolve) => {
      child.once("error", () => resolve());
      child.once("exit", () => {
        process.removeListener("exit", killWithUs);
        resolve();
      });
    });
    await this.#untilReady(child);
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${this.target} ${why}\n${this.log}`));
      const timer = setTimeout(() => fail(`was not ready within ${startTimeoutMs} ms`), startTimeoutMs);
      child.once("error", (error) => fail(`could not be started: ${error.message}`));
      child.once("exit", (code, signal) => {
        clearTimeout(timer);
        fail(`ended with ${signal ?? `status ${code}`} before it was ready`);
      });
      let rest = "";
      child.stderr!.setEncoding("utf8").on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        this.#lines.push(...lines);
        this.#lineCount += lines.length;
        if (this.#lines.length > logLinesMax) this.#lines.splice(0, this.#lines.length - logLinesMax);
        if (lines.some((line) => line.includes(readyText))) {
          clearTimeout(timer);
          resolve();
        }
      });
    });
  }

  /** Asks it to end and waits until it has; by force if it takes too long. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** Sends a signal, by default one that leaves it no time for anything, and waits for the end. */
  async kill(signal: "SIGKILL" | "SIGTERM" | "SIGINT" = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  /** Starts it again, on the same ports and data; stops it first if it runs. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Freezes the process; connections to it stay open. */
  pause(): void {
    this.#child?.kill("SIGSTOP");
  }

  /** Lets a frozen process go on. */
  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  async dispose(): Promise<void> {
    await this.stop();
    if (this.#ownsDataDir) rmSync(this.dataDir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** Runs etcdctl against an endpoint and returns what it wrote; throws when it fails or is not there. */
export function etcdctl(endpoint: string, ...args: readonly string[]): string {
  const program = findEtcd("etcdctl");
  if (program === undefined) throw new Error("etcdctl is not on PATH or in QUORATE_ETCD_DIR");
  const result = spawnSync(program, ["--endpoints", endpoint, ...args], { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`etcdctl ${args.join(" ")}: ${result.stderr}`);
  return result.stdout;
}
