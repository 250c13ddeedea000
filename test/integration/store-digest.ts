// What stopped members have on disk, table by table: what no request shows must be equal as well.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { noMetrics } from "../../server/lib/metrics.ts";
import { systemClock } from "../../server/lib/system-clock.ts";
import { LmdbStore } from "../../server/storage/lmdb-store.ts";
import { type TableName, tableNames } from "../../server/storage/tables.ts";
import type { Cluster } from "./cluster/cluster.ts";

/** Rows of the member itself: how far it has come, which it may say differently. */
const ownTables: readonly TableName[] = ["meta"];
const revisionBytes = 6;
const attempts = 4;

interface Digest {
  /** The newest change that is on disk. */
  readonly revision: number;
  readonly tables: ReadonlyMap<TableName, { readonly rows: number; readonly hash: string }>;
}

/**
 * Stops all members and compares their stores. What a compaction has made superfluous is left out: each member sweeps it
 * away at its own pace.
 */
export async function compareStores(
  cluster: Cluster,
  revision: number,
  compactRevision: number,
): Promise<readonly string[]> {
  for (let attempt = 1; ; attempt++) {
    for (const { process } of cluster.members) await process.stop();
    const digests = await Promise.all(
      cluster.members.map(async ({ name, volume }) => ({ name, ...(await digestOf(volume.folder, compactRevision)) })),
    );
    const behind = digests.filter((digest) => digest.revision < revision);
    // One that had to stop before its last flush has the rest in its log, and brings it to disk in its next life.
    if (behind.length > 0 && attempt < attempts) {
      await cluster.heal();
      continue;
    }
    const problems = behind.map(({ name, revision: found }) => `${name} has ${found} of ${revision} on disk`);
    const [first, ...others] = digests;
    for (const other of others) {
      for (const [table, found] of other.tables) {
        const expected = first!.tables.get(table);
        if (expected?.hash === found.hash) continue;
        problems.push(
          `${table} of ${first!.name} (${expected?.rows} rows) and ${other.name} (${found.rows}) differ on disk`,
        );
      }
    }
    return problems;
  }
}

async function digestOf(dataDir: string, compactRevision: number): Promise<Digest> {
  const folder = join(dataDir, "member", "store");
  const store = new LmdbStore({ folder, clock: systemClock, metrics: noMetrics });
  try {
    let revision = 1;
    const tables: [TableName, { rows: number; hash: string }][] = [];
    for (const table of tableNames.filter((name) => !ownTables.includes(name))) {
      const hash = createHash("sha256");
      let rows = 0;
      for (const { key, value } of store.scan(table, "", undefined)) {
        const at = revisionOf(table, key);
        if (table === "events") revision = Math.max(revision, at ?? 0);
        if (at !== undefined && at <= compactRevision) continue;
        rows += 1;
        hash.update(`${key.length} ${value.length} `).update(Buffer.from(key, "latin1")).update(value);
      }
      tables.push([table, { rows, hash: hash.digest("hex") }]);
    }
    return { revision, tables: new Map(tables) };
  } finally {
    await store.close();
  }
}

/** The revision that a row is about, in tables that a compaction thins out. */
function revisionOf(table: TableName, key: string): number | undefined {
  if (table === "events") return Buffer.from(key, "latin1").readUIntBE(0, revisionBytes);
  if (table !== "history" && table !== "longHistory") return undefined;
  return Buffer.from(key.slice(-revisionBytes), "latin1").readUIntBE(0, revisionBytes);
}
