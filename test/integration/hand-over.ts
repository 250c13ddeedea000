// What clients notice when leadership is handed over while many writes are under way: on request (MoveLeader), and when
// the leader stops (SIGTERM). `node dist/test/integration/hand-over.js [--rounds 5] [--writes 1000]` prints a table.
import { Cluster, type ClusterMember, pause } from "./cluster/cluster.ts";

export interface HandOver {
  /** How many writes were answered, by what they heard; "" for a yes. */
  readonly answers: ReadonlyMap<string, number>;
  /** Writes that were under way when leadership moved. */
  readonly underWay: number;
  /** Keys that an acknowledged write did not leave behind, and keys that were written more than once. */
  readonly lost: readonly string[];
  readonly repeated: readonly string[];
}

export interface HandOverOptions {
  readonly how: "move" | "stop";
  /** Writes under way at any time, at all members alike. */
  readonly writes: number;
}

const beforeMs = 400;
const afterMs = 800;
const deadlineMs = 15_000;
let rounds = 0;

/** Keeps `writes` puts under way, each of a key of its own, and hands leadership over in the middle of it. */
export async function handOverUnderLoad(cluster: Cluster, { how, writes }: HandOverOptions): Promise<HandOver> {
  const prefix = `hand-over/${++rounds}/`;
  const leader = await cluster.untilLeader();
  const others = cluster.members.filter((member) => member !== leader);
  const answers = new Map<string, number>();
  const acknowledged = new Set<string>();
  let targets: readonly ClusterMember[] = cluster.members;
  let isOver = false;
  let sent = 0;
  let underWay = 0;
  const write = async (): Promise<void> => {
    while (!isOver) {
      const key = `${prefix}${String(++sent).padStart(7, "0")}`;
      const { wire } = targets[sent % targets.length] as ClusterMember;
      underWay++;
      const result = await wire.call("KV/Put", { key: Buffer.from(key), value: Buffer.from("x") }, { deadlineMs });
      underWay--;
      if ("response" in result) acknowledged.add(key);
      const said = "response" in result ? "" : `${result.status.code} ${result.status.message}`;
      answers.set(said, (answers.get(said) ?? 0) + 1);
    }
  };
  const working = Promise.all(Array.from({ length: writes }, write));
  await pause(beforeMs);
  const underWayThen = underWay;
  if (how === "move") {
    const moved = await leader.wire.call("Maintenance/MoveLeader", { targetID: others[0]?.id }, { deadlineMs });
    if (!("response" in moved)) throw new Error(`leadership was not moved: ${moved.status.message}`);
  } else {
    // Clients with a choice do not go to a member that is about to stop; what it has taken, it answers.
    targets = others;
    await leader.process.stop();
  }
  await pause(afterMs);
  isOver = true;
  await working;
  const { lost, repeated } = await compare(cluster, others[0] as ClusterMember, prefix, acknowledged);
  if (how === "stop") {
    leader.process.start();
    if (!(await leader.process.untilReady(20_000))) throw new Error(`${leader.name}\n${leader.process.logTail}`);
  }
  return { answers, underWay: underWayThen, lost, repeated };
}

async function compare(
  cluster: Cluster,
  { wire }: ClusterMember,
  prefix: string,
  acknowledged: ReadonlySet<string>,
): Promise<Pick<HandOver, "lost" | "repeated">> {
  await cluster.untilLeader();
  const range = { key: Buffer.from(prefix), rangeEnd: Buffer.from(`${prefix.slice(0, -1)}0`), keysOnly: true };
  const found = await wire.call("KV/Range", range, { deadlineMs });
  if (!("response" in found)) throw new Error(`the keys cannot be read: ${found.status.message}`);
  const { kvs } = found.response as { readonly kvs: readonly { readonly key: Uint8Array; readonly version: bigint }[] };
  const kept = new Map(kvs.map(({ key, version }) => [String(Buffer.from(key)), version]));
  return {
    lost: [...acknowledged].filter((key) => !kept.has(key)),
    repeated: [...kept].filter(([, version]) => version !== 1n).map(([key]) => key),
  };
}

if (process.argv[1]?.endsWith("hand-over.js")) {
  const numberAfter = (flag: string, usual: number): number => {
    const at = process.argv.indexOf(flag);
    return at === -1 ? usual : Number(process.argv[at + 1]);
  };
  const writes = numberAfter("--writes", 1000);
  await using cluster = await Cluster.start({ size: 3, hasNetwork: false });
  for (const how of ["move", "stop"] as const) {
    for (let round = numberAfter("--rounds", 5); round > 0; round--) {
      const found = await handOverUnderLoad(cluster, { how, writes });
      const said = [...found.answers].map(([words, count]) => `${count} ${words === "" ? "yes" : words}`).join("; ");
      console.log(`${how}: ${found.underWay} under way; ${said}`);
      if (found.lost.length + found.repeated.length > 0) {
        console.log(`  LOST ${found.lost.length}, REPEATED ${found.repeated.length}`);
        process.exitCode = 1;
      }
    }
  }
}
