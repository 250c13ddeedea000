// Starts a whole member on a folder in this process, reads one key through its client port, and says how long that took
// and what is on the heap afterwards. Run by in-process/open-store.ts, with the garbage collector exposed.
import { performance } from "node:perf_hooks";
import { RangeResponse } from "../../../proto/gen/etcdserverpb/rpc.ts";
import { resolveConfig } from "../../../server/cli/serve/resolve-config.ts";
import { type MemberConfig, silentLogger, startMember } from "../../../server/index.ts";
import { freePorts } from "../../support/free-ports.ts";
import { H2Client } from "../load/h2-client.ts";
import { keyText, paths, rangeMessage } from "../load/messages.ts";
import { unaryCall } from "../load/unary-call.ts";

export interface OpenSpec {
  readonly dataDir: string;
  /** The key that is read, by number; undefined where the store is empty. */
  readonly key: number | undefined;
}

export interface OpenResult {
  /** From the call that starts the member to the answer of the first read. */
  readonly openMs: number;
  /** Heap, and buffers outside it, after garbage collection. */
  readonly heapBytes: number;
}

async function run({ dataDir, key }: OpenSpec): Promise<OpenResult> {
  const config = await configFor(dataDir);
  const startMs = performance.now();
  const member = await startMember(config, {
    logger: silentLogger,
    onFailed: (error) => {
      throw error;
    },
  });
  const { hostname, port } = new URL(member.clientUrls[0]!);
  const client = await H2Client.open(hostname, Number(port), () => undefined);
  const answer = unaryCall(client, paths.range, rangeMessage({ key: keyText(key ?? 0) }));
  client.flush();
  const { count } = RangeResponse.decode(await answer);
  const openMs = performance.now() - startMs;
  if (count !== (key === undefined ? 0n : 1n)) throw new Error(`the first read found ${count} keys in ${dataDir}`);
  client.close();
  // Let what the start left behind settle before it is collected.
  await new Promise((resolve) => setTimeout(resolve, 200));
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  await member.close();
  return { openMs, heapBytes: heapUsed + external };
}

/** What the program would start it with. */
async function configFor(dataDir: string): Promise<MemberConfig> {
  const [port] = await freePorts(1);
  const peerUrl = `http://127.0.0.1:${port}`;
  const flags = {
    name: "m1",
    "data-dir": dataDir,
    "listen-client-urls": "http://127.0.0.1:0",
    "advertise-client-urls": "http://127.0.0.1:0",
    "listen-peer-urls": peerUrl,
    "initial-advertise-peer-urls": peerUrl,
    // Only the very first start reads it.
    "initial-cluster": `m1=${peerUrl}`,
    "quota-backend-bytes": String(8 * 2 ** 30),
  };
  const resolved = await resolveConfig(
    Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    {},
  );
  if (resolved.kind !== "config") throw new Error(`the member's settings are no good: ${JSON.stringify(resolved)}`);
  return resolved.config.member;
}

process.once("message", (spec: OpenSpec) => {
  run(spec).then(
    (result) => process.send?.(result, () => process.disconnect()),
    (error: unknown) => {
      process.stderr.write(`${(error as Error).stack}\n`);
      // Not by exit(): that waits for the store's writer thread, which may be in the middle of something.
      process.kill(process.pid, "SIGKILL");
    },
  );
});
