// What starting costs: CPU time of a member until it says that it serves, and of a whole client command.
// `node dist/test/cli/start-cost.js [rounds]`.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpuTimeOf } from "../bench/lib/process-usage.ts";
import { freePorts } from "../support/free-ports.ts";
import { quorateProgram } from "../support/paths.ts";
import { cleanEnvironment, runQuorate } from "./run-program.ts";

const rounds = Number(process.argv[2] ?? 7);

/** Makes a process say at its end how much CPU time it took. */
const tellCost = `data:text/javascript,${encodeURIComponent(
  'process.on("exit", () => { const { user, system } = process.cpuUsage(); process.stderr.write("cpu " + (user + system)); });',
)}`;

interface Cost {
  readonly startMs: number;
  readonly getMs: number;
}

async function measure(dataDir: string): Promise<Cost> {
  const [clientPort, peerPort] = await freePorts(2);
  const url = `http://127.0.0.1:${clientPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const flags = ["--listen-client-urls", url, "--advertise-client-urls", url, "--data-dir", dataDir];
  const peerFlags = ["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl];
  const child = spawn(process.execPath, [quorateProgram, ...flags, ...peerFlags], {
    stdio: ["ignore", "ignore", "pipe"],
    env: cleanEnvironment(),
  });
  const startMs = await new Promise<number>((resolve) => {
    let log = "";
    child.stderr.on("data", (chunk: Buffer) => {
      log += chunk;
      if (!log.includes("ready to serve client requests")) return;
      const { user, system } = cpuTimeOf(child.pid!);
      resolve((user + system) * 1000);
    });
  });
  const { stderr } = await runQuorate(["--endpoints", url, "get", "a"], {
    env: { NODE_OPTIONS: `--import=${tellCost}` },
  });
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("close", resolve));
  return { startMs, getMs: Number(/cpu (\d+)/.exec(stderr)?.[1]) / 1000 };
}

function line(name: string, values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b).map(Math.round);
  return `${name.padEnd(32)} median ${sorted[Math.floor(sorted.length / 2)]} ms, all ${sorted.join(" ")}`;
}

const folder = mkdtempSync(join(tmpdir(), "quorate-start-cost-"));
try {
  const fresh: Cost[] = [];
  const again: Cost[] = [];
  for (let round = 0; round < rounds; round++) {
    fresh.push(await measure(join(folder, `d${round}`)));
    again.push(await measure(join(folder, `d${round}`)));
  }
  console.log(`CPU time, user and system; Node.js ${process.version}, ${rounds} rounds`);
  console.log(
    line(
      "member, empty folder",
      fresh.map(({ startMs }) => startMs),
    ),
  );
  console.log(
    line(
      "member, started before",
      again.map(({ startMs }) => startMs),
    ),
  );
  console.log(
    line(
      "quorate get",
      [...fresh, ...again].map(({ getMs }) => getMs),
    ),
  );
} finally {
  rmSync(folder, { recursive: true });
}
