// How long a cluster of three is without service when its leader dies: from the SIGKILL to the next write that is
// acknowledged, at default timeouts. `node dist/test/integration/failover.js [--kills 20]` prints a table.
import { type Client, connect } from "../../sdk/index.ts";
import { Cluster, pause } from "./cluster/cluster.ts";

export interface Failover {
  readonly killed: string;
  readonly next: string;
  /** From the kill to the first acknowledgement of a write that was sent after it. */
  readonly ms: number;
  /** The same for one client that sends one write after the other, each as soon as the one before has failed. */
  readonly oneByOneMs: number;
}

export const failoverMsMax = 3000;
export const failoverMedianMsMax = 1500;

const settleMs = 1500;
/** Somebody writes this often. */
const everyMs = 20;

/** Kills the leader so many times; it comes back each time before the next. */
export async function measureFailovers(
  cluster: Cluster,
  kills: number,
  onEach: (failover: Failover) => void = () => undefined,
): Promise<readonly Failover[]> {
  const endpoints = cluster.members.map(({ endpoint }) => endpoint);
  const options = { endpoints, balance: "rotate", deadline: 5000 } as const;
  await using many = await connect(options);
  await using one = await connect(options);
  const found: Failover[] = [];
  for (let at = 0; at < kills; at++) {
    const leader = await cluster.untilLeader();
    await Promise.all([many, one].map((client) => client.kv.put("failover/before", String(at))));
    // Not in step with heartbeats.
    await pause(settleMs + Math.random() * 200);
    await leader.process.kill();
    const killedMs = performance.now();
    const [ms, oneByOneMs] = await Promise.all([firstWriteOfMany(many), firstWriteOneByOne(one)]).then((times) =>
      times.map((time) => time - killedMs),
    );
    const next = await cluster.untilLeader();
    const failover = { killed: leader.name, next: next.name, ms: ms as number, oneByOneMs: oneByOneMs as number };
    found.push(failover);
    onEach(failover);
    leader.process.start();
    if (!(await leader.process.untilReady(20_000))) throw new Error(`${leader.name}\n${leader.process.logTail}`);
  }
  return found;
}

/** Writes on and on, whether or not anybody answers; the time of the first answer that is a yes. */
async function firstWriteOfMany(client: Client): Promise<number> {
  let answeredMs: number | undefined;
  while (answeredMs === undefined) {
    client.kv.put("failover/many", "after").then(
      () => {
        answeredMs ??= performance.now();
      },
      () => undefined,
    );
    await pause(everyMs);
  }
  return answeredMs;
}

async function firstWriteOneByOne(client: Client): Promise<number> {
  for (;;) {
    try {
      await client.kv.put("failover/one-by-one", "after");
      return performance.now();
    } catch {
      // What is measured.
      await pause(everyMs);
    }
  }
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}

if (process.argv[1]?.endsWith("failover.js")) {
  const at = process.argv.indexOf("--kills");
  const kills = at === -1 ? 20 : Number(process.argv[at + 1]);
  await using cluster = await Cluster.start({ size: 3, hasNetwork: false });
  console.log("kill  killed  next  ms until a write was acknowledged  ms for a client that writes one by one");
  let count = 0;
  const found = await measureFailovers(cluster, kills, ({ killed, next, ms, oneByOneMs }) => {
    const times = [ms, oneByOneMs].map((time, column) => time.toFixed(0).padStart(column === 0 ? 33 : 38));
    console.log(`${String(++count).padStart(4)}  ${killed.padEnd(6)}  ${next.padEnd(4)}  ${times.join("")}`);
  });
  const times = found.map(({ ms }) => ms);
  const [median, max] = [quantile(times, 0.5), Math.max(...times)];
  const limits = `at most ${failoverMedianMsMax} and ${failoverMsMax} ms are allowed`;
  console.log(`median ${median.toFixed(0)} ms, max ${max.toFixed(0)} ms; ${limits}`);
  process.exitCode = median <= failoverMedianMsMax && max <= failoverMsMax ? 0 : 1;
}
