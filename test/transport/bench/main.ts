// Compares this transport with @grpc/grpc-js, both behind a unary method that does nothing, under the same load from
// h2load: `node dist/test/transport/bench/main.js [ROUNDS]`. Rounds alternate between the two, so that a noisy machine is
// noisy for both; the table shows medians. Requests per second say little on another machine, ratios say more.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PutRequest } from "../../../proto/gen/etcdserverpb/rpc.ts";
import { grpcMessage } from "../support/wire.ts";

const servers = ["transport", "grpc-js"] as const;
/** Connections, streams of each, and requests per round for either server. */
const loads = [
  { connections: 1, streams: 1, requests: { transport: 20_000, "grpc-js": 10_000 } },
  { connections: 10, streams: 1, requests: { transport: 100_000, "grpc-js": 20_000 } },
  { connections: 100, streams: 1, requests: { transport: 100_000, "grpc-js": 20_000 } },
  { connections: 500, streams: 1, requests: { transport: 100_000, "grpc-js": 20_000 } },
  { connections: 10, streams: 50, requests: { transport: 500_000, "grpc-js": 50_000 } },
] as const;

const folder = mkdtempSync(join(tmpdir(), "quorate-bench-"));
const body = join(folder, "put.bin");
const request = PutRequest.fromPartial({ key: Buffer.alloc(22, "k"), value: Buffer.alloc(256, "v") });
writeFileSync(body, grpcMessage(PutRequest.encode(request).finish()));

function start(mode: string): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const program = join(dirname(fileURLToPath(import.meta.url)), "do-nothing-server.js");
  const child = spawn(process.execPath, [program, mode], { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve) => {
    child.stdout!.once("data", (line: Buffer) => resolve({ child, port: Number(line.toString()) }));
  });
}

/** Requests per second, as h2load counts them. */
function load(port: number, connections: number, streams: number, requests: number): number {
  const headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
  const shape = ["-n", String(requests), "-c", String(connections), "-m", String(streams), "-t", "1"];
  const url = `http://127.0.0.1:${port}/etcdserverpb.KV/Put`;
  const result = spawnSync("h2load", [...shape, "-d", body, ...headers, url], { encoding: "utf8" });
  if (result.error !== undefined) throw new Error("h2load is needed (nghttp2-client)", { cause: result.error });
  const succeeded = /(\d+) succeeded/.exec(result.stdout)?.[1];
  if (Number(succeeded) !== requests) throw new Error(`only ${succeeded} of ${requests} succeeded:\n${result.stdout}`);
  return Number(/([\d.]+) req\/s/.exec(result.stdout)?.[1]);
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

const rounds = Number(process.argv[2] ?? 5);
const running = await Promise.all(servers.map(start));
try {
  for (const { port } of running) load(port, 10, 50, 20_000);
  console.log(`requests per second, medians of ${rounds} rounds\n`);
  console.log(["load", ...servers, "ratio"].map((head) => head.padStart(12)).join(""));
  for (const { connections, streams, requests } of loads) {
    const results = servers.map((): number[] => []);
    for (let round = 0; round < rounds; round++) {
      for (const [i, { port }] of running.entries()) {
        results[i]!.push(load(port, connections, streams, requests[servers[i]!]));
      }
    }
    const [ours, theirs] = results.map(median) as [number, number];
    const cells = [`${connections}x${streams}`, ours.toFixed(0), theirs.toFixed(0), (ours / theirs).toFixed(1)];
    console.log(cells.map((cell) => cell.padStart(12)).join(""));
  }
} finally {
  for (const { child } of running) child.kill("SIGTERM");
  rmSync(folder, { recursive: true, force: true });
}
