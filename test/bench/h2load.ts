// Runs nghttp2's h2load, where it is installed, and reads what it says. It sends one constant request and takes HTTP
// status 200 for success, which a failed gRPC call has too; whoever uses it must check the answers otherwise.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Histogram } from "./lib/histogram.ts";
import type { Shape } from "./lib/shape.ts";
import type { UnaryWork } from "./load/load-spec.ts";

let isFound: boolean | undefined;

/** Whether h2load can be run here. */
export function hasH2load(): boolean {
  isFound ??= spawnSync("h2load", ["--version"]).status === 0;
  return isFound;
}

export interface H2loadRun {
  readonly endpoint: string;
  readonly shape: Shape;
  readonly work: UnaryWork;
  readonly seconds: number;
}

export interface H2loadResult {
  readonly operations: number;
  readonly requestsPerSecond: number;
  /** Requests that failed by h2load's own account. */
  readonly failed: number;
  /** Bytes of response bodies. */
  readonly bodyBytes: number;
  readonly latency: Histogram;
  readonly cpuSeconds: number;
}

/** Runs one load on one thread. */
export async function runH2load({ endpoint, shape, work, seconds }: H2loadRun): Promise<H2loadResult> {
  // The log of all requests is the only way to percentiles; in memory it does not disturb the servers' disk.
  const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "quorate-bench-h2load-"));
  try {
    const bodyFile = join(folder, "body");
    const logFile = join(folder, "log");
    writeFileSync(bodyFile, frame(Buffer.from(work.message, "base64")));
    const args = [
      ...["--clients", String(shape.connections), "--max-concurrent-streams", String(shape.streams)],
      ...["--threads", "1", "--duration", `${Math.round(seconds * 1000)}ms`, "--data", bodyFile, "--log-file", logFile],
      ...["--header", "content-type: application/grpc", "--header", "te: trailers", endpoint + work.path],
    ];
    const { output, errors } = await runTimed("h2load", args);
    const summary = parseH2load(output);
    const latency = new Histogram();
    addLog(readFileSync(logFile, "latin1"), latency);
    return { ...summary, latency, cpuSeconds: parseTimes(errors) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A message with the prefix that gRPC puts before it. */
function frame(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Runs a program under a shell that afterwards writes, as the last line of standard error, the CPU time it took. */
async function runTimed(program: string, args: readonly string[]): Promise<{ output: string; errors: string }> {
  const script = '"$0" "$@"; status=$?; times >&2; exit $status';
  const child = spawn("sh", ["-c", script, program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (status !== 0) throw new Error(`${program} ended with status ${status}: ${errors}${output}`);
  return { output, errors };
}

/** The numbers in h2load's summary. */
export function parseH2load(output: string): Omit<H2loadResult, "latency" | "cpuSeconds"> {
  const find = (pattern: RegExp): number => {
    const match = pattern.exec(output)?.[1];
    if (match === undefined) throw new Error(`h2load said something unexpected:\n${output}`);
    return Number(match);
  };
  return {
    operations: find(/requests: .* (\d+) succeeded/),
    requestsPerSecond: find(/finished in .*, ([\d.]+) req\/s/),
    failed: find(/ (\d+) failed/) + find(/ (\d+) errored/) + find(/ (\d+) timeout/),
    bodyBytes: find(/\((\d+)\) data/),
  };
}

/** Adds the third column of h2load's log, microseconds from sending to the end of the answer. */
export function addLog(log: string, latency: Histogram): void {
  for (let at = 0; at < log.length; ) {
    const end = log.indexOf("\n", at);
    if (end === -1) return;
    latency.add(Number(log.slice(log.lastIndexOf("\t", end) + 1, end)));
    at = end + 1;
  }
}

/** User and system seconds of the children, from what `times` prints: `0m1.230s 0m0.450s` on its second line. */
export function parseTimes(errors: string): number {
  const last = errors.trimEnd().split("\n").at(-1) ?? "";
  let seconds = 0;
  for (const [, minutes, rest] of last.matchAll(/(\d+)m([\d.]+)s/g)) seconds += Number(minutes) * 60 + Number(rest);
  return seconds;
}
