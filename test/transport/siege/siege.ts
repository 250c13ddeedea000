// A siege: every attack at once against a real member, and honest clients that put, get and watch all along, by plain
// HTTP/2, TLS and a unix socket. Says how they fared and how much memory the member took.
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, connect } from "../../../sdk/index.ts";
import { until } from "../../sdk/harness.ts";
import { freePorts } from "../../support/free-ports.ts";
import type { ServerUnderTest } from "../../support/server-under-test.ts";
import { TestPki } from "../support/certificates.ts";
import { startMember } from "../support/member.ts";

export interface SiegeReport {
  /** Connections that each attack made, by its name. */
  readonly connections: ReadonlyMap<string, number>;
  /** Puts, gets and events of honest clients, each of which was answered and right. */
  readonly served: number;
  /** What honest clients were told that they should not have been. */
  readonly faults: readonly string[];
  /** Of honest puts and gets, in ascending order. */
  readonly latenciesMs: readonly number[];
  readonly memoryBytes: { readonly before: number; readonly most: number };
  /** What the member wrote to its log, in lines a second. */
  readonly logLinesPerSecond: number;
}

const attackersProgram = fileURLToPath(new URL("./attackers.js", import.meta.url));
const readyLine = "ready\n";
const largeKeys = 30;

/** Attackers and member share the machine's cores, so honest clients may wait; they must be served all the same. */
const patience = {
  deadline: "60s",
  connectTimeout: "60s",
  liveness: { probeAfter: "30s", deadAfter: "60s" },
} as const;

export async function siege(durationMs: number): Promise<SiegeReport> {
  using pki = new TestPki();
  const authority = pki.authority("authority");
  const { certFile, keyFile } = authority.issue({ commonName: "member", hosts: ["localhost", "127.0.0.1"] });
  const [plainPort, tlsPort] = await freePorts(2);
  const endpoints = [
    `http://127.0.0.1:${plainPort}`,
    `https://127.0.0.1:${tlsPort}`,
    `unix://${join(pki.folder, "member.sock")}`,
  ];
  await using member = await startMember({
    clientUrls: endpoints.join(","),
    args: ["--cert-file", certFile, "--key-file", keyFile],
  });
  const clients = await Promise.all(
    endpoints.map((endpoint) => connect({ ...patience, endpoints: endpoint, tls: { ca: authority.certPem } })),
  );
  try {
    await prepare(clients[0]!);
    const honest = clients.map((client, index) => new HonestClient(client, `honest/${index}`));
    // Compilers and caches warm up first: what counts is what the attacks add.
    await live(honest, 1_000);
    const before = memoryOf(member);
    const filesBefore = await openFilesOf(endpoints[0]!);
    const linesBefore = member.logLineCount;
    const attackers = await startAttackers(plainPort!, tlsPort!);
    const memory = watchMemory(member);
    await live(honest, durationMs);
    const most = memory.stop();
    const connections = await attackers.stop();
    const lines = member.logLineCount - linesBefore;
    await until("the attackers' connections are gone", async () => {
      return (await openFilesOf(endpoints[0]!)) < filesBefore + 5;
    });
    await live(honest, 200);
    return {
      connections,
      served: honest.reduce((sum, { served }) => sum + served, 0),
      faults: honest.flatMap(({ faults }) => faults),
      latenciesMs: honest.flatMap(({ latenciesMs }) => latenciesMs).sort((a, b) => a - b),
      memoryBytes: { before, most },
      logLinesPerSecond: lines / (durationMs / 1000),
    };
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

/** What the attackers ask for. */
async function prepare(client: Client): Promise<void> {
  await client.kv.put("small", "s");
  for (let index = 0; index < largeKeys; index++) await client.kv.put(`large/${index}`, "l".repeat(1_000_000));
}

const live = (honest: readonly HonestClient[], forMs: number): Promise<unknown> =>
  Promise.all(honest.map((client) => client.live(forMs)));

/** Puts, reads back what it put, and sees it come through its watch. */
class HonestClient {
  served = 0;
  readonly faults: string[] = [];
  readonly latenciesMs: number[] = [];
  readonly #client: Client;
  readonly #key: string;
  #value = 0;

  constructor(client: Client, key: string) {
    this.#client = client;
    this.#key = key;
  }

  async live(forMs: number): Promise<void> {
    const { kv } = this.#client;
    await using watch = this.#client.watch(this.#key);
    await watch.ready;
    for (const endMs = performance.now() + forMs; performance.now() < endMs; ) {
      const value = String(++this.#value);
      try {
        await this.#timed(() => kv.put(this.#key, value));
        const found = await this.#timed(() => kv.get(this.#key));
        if (found?.value !== value) this.faults.push(`read ${found?.value} after ${value} was put`);
        const { value: batch } = await watch.next();
        const event = batch?.events[0];
        if (event?.type !== "put" || event.kv.value !== value) this.faults.push(`${value} did not come by the watch`);
        this.served += 3;
      } catch (error) {
        this.faults.push(String(error));
      }
    }
  }

  async #timed<T>(act: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    const result = await act();
    this.latenciesMs.push(performance.now() - startMs);
    return result;
  }
}

/** Resident memory, in bytes. */
function memoryOf({ pid }: ServerUnderTest): number {
  return Number(spawnSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" }).stdout) * 1024;
}

function watchMemory(member: ServerUnderTest): { stop(): number } {
  let most = memoryOf(member);
  const timer = setInterval(() => {
    most = Math.max(most, memoryOf(member));
  }, 250);
  return {
    stop() {
      clearInterval(timer);
      return Math.max(most, memoryOf(member));
    },
  };
}

/** Starts the attackers. `stop` resolves with the connections that each attack made. */
async function startAttackers(
  plainPort: number,
  tlsPort: number,
): Promise<{ stop(): Promise<ReadonlyMap<string, number>> }> {
  const child = spawn(process.execPath, [attackersProgram, String(plainPort), String(tlsPort)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  // Before that, the signal that ends them would find nobody who answers it.
  await until("the attackers are ready", () => output.startsWith(readyLine));
  return {
    async stop() {
      child.kill("SIGTERM");
      await ended;
      return new Map(Object.entries(JSON.parse(output.slice(readyLine.length)) as { readonly [name: string]: number }));
    },
  };
}

/** The member's open files, connections among them. */
async function openFilesOf(endpoint: string): Promise<number> {
  const metrics = await (await fetch(`${endpoint}/metrics`)).text();
  return Number(/^process_open_fds (\d+)$/m.exec(metrics)?.[1]);
}
