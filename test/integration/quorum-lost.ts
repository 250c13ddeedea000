// A cluster of three of which two are gone: what is asked of the one that is left fails in time and by name, what it can
// answer alone it answers, it does not fill its memory with what cannot be done, and when the others are back all goes on.
// `node dist/test/integration/quorum-lost.js [--seconds 60]` prints what it found.
import { readFileSync } from "node:fs";
import { Cluster, type ClusterMember, pause } from "./cluster/cluster.ts";

export interface QuorumLost {
  readonly survivor: "leader" | "follower";
  /** How often which answer was given to writes, and to linearizable reads. */
  readonly writes: ReadonlyMap<string, number>;
  readonly reads: ReadonlyMap<string, number>;
  readonly serializableReads: number;
  readonly serializableFailures: number;
  readonly rssBeforeMebibytes: number;
  readonly rssMaxMebibytes: number;
  /** From the return of the others to the first acknowledged write. */
  readonly backMs: number;
  /** Acknowledged before, and there afterwards. */
  readonly isKept: boolean;
}

const mebibyte = 1024 * 1024;
const writersCount = 64;
const valueBytes = 64 * 1024;
/** Writers that are refused at once do not spin. */
const restMs = 20;

/** How many bytes of a process are in memory. */
function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;
}

/** @param deadlineMs What clients give each request; with more than the member's own patience, the member answers. */
export async function loseQuorum(
  cluster: Cluster,
  survivor: "leader" | "follower",
  options: { readonly lastsMs: number; readonly deadlineMs: number },
): Promise<QuorumLost> {
  const leader = await cluster.untilLeader();
  const left = survivor === "leader" ? leader : (cluster.members.find((member) => member !== leader) as ClusterMember);
  const others = cluster.members.filter((member) => member !== left);
  const key = Buffer.from("quorum/kept");
  const kept = await left.wire.call("KV/Put", { key, value: Buffer.from("kept") });
  if (!("response" in kept)) throw new Error(`no write before the loss: ${kept.status.message}`);
  await Promise.all(others.map(({ process }) => process.kill()));

  const rssBefore = residentBytes(left.process.pid);
  let rssMax = rssBefore;
  const watching = setInterval(() => {
    rssMax = Math.max(rssMax, residentBytes(left.process.pid));
  }, 100);
  const writes = new Map<string, number>();
  const reads = new Map<string, number>();
  const stop = new AbortController();
  const count = (counts: Map<string, number>, what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);
  const ask = async (counts: Map<string, number>, method: string, request: object): Promise<void> => {
    while (!stop.signal.aborted) {
      const answer = await left.wire.call(method, request, { deadlineMs: options.deadlineMs });
      if ("response" in answer) count(counts, "yes");
      else
        count(
          counts,
          `${answer.status.code} ${answer.status.message.replace(/^Deadline exceeded.*/, "deadline exceeded")}`,
        );
      await pause(restMs);
    }
  };
  const value = Buffer.alloc(valueBytes, 1);
  const asking = [
    ...Array.from({ length: writersCount }, (_, at) =>
      ask(writes, "KV/Put", { key: Buffer.from(`quorum/${at}`), value }),
    ),
    ...Array.from({ length: 4 }, () => ask(reads, "KV/Range", { key })),
  ];
  const alone = { yes: 0, no: 0 };
  for (const endMs = performance.now() + options.lastsMs; performance.now() < endMs; ) {
    const answer = await left.wire.call("KV/Range", { key, serializable: true }, { deadlineMs: options.deadlineMs });
    if ("response" in answer) alone.yes += 1;
    else alone.no += 1;
    await pause(50);
  }
  clearInterval(watching);
  stop.abort();
  await Promise.all(asking);

  for (const { process } of others) process.start();
  const backMs = await untilWritten(left);
  let read = await left.wire.call("KV/Range", { key });
  // Those who come back may elect once more.
  for (const endMs = performance.now() + backMsMax; !("response" in read) && performance.now() < endMs; ) {
    await pause(100);
    read = await left.wire.call("KV/Range", { key });
  }
  return {
    survivor,
    writes,
    reads,
    serializableReads: alone.yes,
    serializableFailures: alone.no,
    rssBeforeMebibytes: rssBefore / mebibyte,
    rssMaxMebibytes: rssMax / mebibyte,
    backMs,
    isKept: "response" in read && (read.response as { readonly kvs: readonly unknown[] }).kvs.length === 1,
  };
}

const backMsMax = 60_000;

async function untilWritten(member: ClusterMember): Promise<number> {
  const startedMs = performance.now();
  while (performance.now() - startedMs < backMsMax) {
    const request = { key: Buffer.from("quorum/back"), value: Buffer.from("back") };
    const answer = await member.wire.call("KV/Put", request, { deadlineMs: 5000 });
    if ("response" in answer) return performance.now() - startedMs;
    await pause(50);
  }
  throw new Error(`no write was acknowledged within ${backMsMax} ms of the others' return`);
}

if (process.argv[1]?.endsWith("quorum-lost.js")) {
  const at = process.argv.indexOf("--seconds");
  const lastsMs = (at === -1 ? 60 : Number(process.argv[at + 1])) * 1000;
  for (const survivor of ["leader", "follower"] as const) {
    await using cluster = await Cluster.start({ size: 3, hasNetwork: false });
    const found = await loseQuorum(cluster, survivor, { lastsMs, deadlineMs: 5000 });
    console.log(
      `the ${survivor} is left, for ${lastsMs / 1000} s, with ${writersCount} writers of ${valueBytes} bytes`,
    );
    for (const [what, times] of found.writes) console.log(`  writes: ${times} x ${what}`);
    for (const [what, times] of found.reads) console.log(`  linearizable reads: ${times} x ${what}`);
    console.log(`  serializable reads: ${found.serializableReads} answered, ${found.serializableFailures} not`);
    console.log(
      `  memory: ${found.rssBeforeMebibytes.toFixed(0)} MiB before, ${found.rssMaxMebibytes.toFixed(0)} MiB at most`,
    );
    console.log(`  back: a write ${found.backMs.toFixed(0)} ms after the others were started; kept: ${found.isKept}`);
    if (found.serializableFailures > 0 || !found.isKept) process.exitCode = 1;
  }
}
