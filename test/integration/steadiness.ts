// What must not shake a cluster: one member whose event loop stands still, a leader whose disk is slow, a large snapshot
// on its way to a new member. While it happens somebody writes without end and somebody holds leases; afterwards it is
// told whether leadership moved, whether leases were lost, and how long writes took.
// `node dist/test/integration/steadiness.js [--mebibytes 200]` prints a table.
import { type Client, connect, type LeaseHandle } from "../../sdk/index.ts";
import { Cluster, pause, troubledMember } from "./cluster/cluster.ts";
import { quantile } from "./failover.ts";

export interface Steadiness {
  readonly what: string;
  readonly seconds: number;
  /** Terms that began meanwhile. */
  readonly elections: number;
  readonly leasesHeld: number;
  readonly leasesLost: number;
  readonly writes: number;
  readonly failedWrites: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const leaseCount = 20;
/** The shortest that the SDK grants at default election timeouts. */
const leaseTtlMs = 4000;
const everyMs = 10;

/** A cluster whose members can be troubled. */
export function startTroubled(args: readonly string[] = []): Promise<Cluster> {
  return Cluster.start({ size: 3, hasNetwork: false, args, program: () => [troubledMember] });
}

/** Does something to a cluster that is in use, and tells what came of it. */
export async function watchSteadiness(
  cluster: Cluster,
  what: string,
  trouble: () => Promise<void>,
): Promise<Steadiness> {
  const endpoints = cluster.members.map(({ endpoint }) => endpoint);
  await using client = await connect({ endpoints, balance: "rotate" });
  const leader = await cluster.untilLeader();
  const before = await cluster.statusOf(leader);
  const leases: LeaseHandle[] = [];
  for (let at = 0; at < leaseCount; at++) {
    const lease = await client.lease.open({ ttl: leaseTtlMs });
    await client.kv.put(`steady/lease-${at}`, "held", { leaseId: lease.id });
    leases.push(lease);
  }
  const startedMs = performance.now();
  const stop = new AbortController();
  const writing = writeOn(client, stop.signal);
  try {
    await trouble();
    // What follows from it may take a moment to show.
    await pause(leaseTtlMs);
  } finally {
    stop.abort();
  }
  const times = await writing;
  const seconds = (performance.now() - startedMs) / 1000;
  const after = await cluster.statusOf(await cluster.untilLeader(), 5000);
  const held = await client.kv.count({ prefix: "steady/lease-" });
  const leasesLost = Math.max(leaseCount - held, leases.filter(({ lost }) => lost !== undefined).length);
  await Promise.all(leases.map((lease) => lease.revoke()));
  return {
    what,
    seconds,
    elections: (after?.term ?? 0) - (before?.term ?? 0),
    leasesHeld: leaseCount,
    leasesLost,
    writes: times.taken.length,
    failedWrites: times.failed,
    medianMs: quantile(times.taken, 0.5),
    p99Ms: quantile(times.taken, 0.99),
    maxMs: Math.max(0, ...times.taken),
  };
}

/** Begins a write every so often, whether or not the ones before it were answered. */
async function writeOn(client: Client, signal: AbortSignal): Promise<{ taken: number[]; failed: number }> {
  const result = { taken: [] as number[], failed: 0 };
  const underWay = new Set<Promise<void>>();
  while (!signal.aborted) {
    const startedMs = performance.now();
    const write = client.kv.put("steady/write", "on").then(
      () => {
        result.taken.push(performance.now() - startedMs);
      },
      () => {
        result.failed += 1;
      },
    );
    underWay.add(write);
    void write.then(() => underWay.delete(write));
    await pause(everyMs);
  }
  await Promise.all(underWay);
  return result;
}

/** A follower stands still for two seconds: the whole process, or its event loop alone. */
export async function followerStalls(cluster: Cluster, how: "process" | "event loop"): Promise<Steadiness> {
  const leader = await cluster.untilLeader();
  const follower = cluster.members.find((member) => member !== leader)!.process;
  return watchSteadiness(cluster, `follower's ${how} stands still for 2 s`, async () => {
    if (how === "event loop") {
      process.kill(follower.pid, "SIGUSR2");
      await pause(2500);
    } else {
      follower.freeze();
      await pause(2000);
      follower.thaw();
    }
  });
}

/** The leader stands still: an election is needed, once; but no lease may be lost over it. */
export async function leaderStalls(cluster: Cluster): Promise<Steadiness> {
  const leader = await cluster.untilLeader();
  return watchSteadiness(cluster, "leader's event loop stands still for 2 s", async () => {
    process.kill(leader.process.pid, "SIGUSR2");
    await pause(3000);
  });
}

/** Each sync of the leader's log takes half a second. */
export async function leaderDiskIsSlow(cluster: Cluster, lastsMs: number): Promise<Steadiness> {
  const leader = await cluster.untilLeader();
  return watchSteadiness(cluster, "leader's disk takes 500 ms", async () => {
    process.kill(leader.process.pid, "SIGWINCH");
    await pause(lastsMs);
    process.kill(leader.process.pid, "SIGWINCH");
    await pause(1000);
  });
}

/** Fills the store, then adds a member, which gets all of it as a snapshot. */
export async function snapshotOf(cluster: Cluster, mebibytes: number): Promise<Steadiness> {
  await fill(cluster, mebibytes);
  const through = await cluster.untilLeader();
  let joined = false;
  const found = await watchSteadiness(cluster, `a snapshot of ${mebibytes} MiB to a new member`, async () => {
    const added = await cluster.add(through, false);
    joined = (await added?.process.untilReady(120_000)) ?? false;
    if (!joined) throw new Error(`the new member does not serve\n${added?.process.logTail}`);
    const status = await cluster.statusOf(added!, 30_000);
    const leader = await cluster.statusOf(through, 5000);
    if (status === undefined || status.revision < (leader?.revision ?? 0) - 1000)
      throw new Error(`the new member is at revision ${status?.revision}, the leader at ${leader?.revision}`);
  });
  return found;
}

async function fill(cluster: Cluster, mebibytes: number): Promise<void> {
  await using client = await connect({ endpoints: cluster.members.map(({ endpoint }) => endpoint) });
  const value = "v".repeat(256 * 1024);
  for (let at = 0; at < mebibytes * 4; at += 8) {
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => client.kv.put(`fill/${at + i}`, value, { deadline: 30_000 })),
    );
  }
}

export function drawSteadiness(rows: readonly Steadiness[]): string {
  const head = "elections  leases lost   writes   failed   median ms   p99 ms   max ms   seconds";
  const lines = rows.map((row) => {
    const cells = [
      String(row.elections).padStart(9),
      `${row.leasesLost} of ${row.leasesHeld}`.padStart(13),
      String(row.writes).padStart(9),
      String(row.failedWrites).padStart(9),
      row.medianMs.toFixed(1).padStart(12),
      row.p99Ms.toFixed(0).padStart(9),
      row.maxMs.toFixed(0).padStart(9),
      row.seconds.toFixed(0).padStart(10),
    ];
    return `${row.what.padEnd(46)}${cells.join("")}`;
  });
  return [`${"".padEnd(46)}${head}`, ...lines].join("\n");
}

if (process.argv[1]?.endsWith("steadiness.js")) {
  const at = process.argv.indexOf("--mebibytes");
  const mebibytes = at === -1 ? 200 : Number(process.argv[at + 1]);
  const rows: Steadiness[] = [];
  {
    await using cluster = await startTroubled();
    rows.push(await followerStalls(cluster, "process"));
    rows.push(await followerStalls(cluster, "event loop"));
    rows.push(await leaderStalls(cluster));
    rows.push(await leaderDiskIsSlow(cluster, 10_000));
    rows.push(await snapshotOf(cluster, mebibytes));
  }
  console.log(drawSteadiness(rows));
  const isSteady = ({ what, elections, leasesLost }: Steadiness): boolean =>
    leasesLost === 0 && elections <= (what.startsWith("leader's event loop") ? 1 : 0);
  process.exitCode = rows.every(isSteady) ? 0 : 1;
}
