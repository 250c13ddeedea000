// The last good configuration on disk, for starts while the cluster cannot be reached or says something unusable. Only
// what came from the cluster is kept: the other sources are there when the program starts.
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type ConfigTree, isTree } from "./config-tree.ts";

/** What one live source said. */
export interface SavedSource {
  readonly name: string;
  readonly clusterId: bigint;
  readonly revision: bigint;
  readonly tree: ConfigTree;
}

export interface SavedConfig {
  readonly savedAt: string;
  readonly sources: readonly SavedSource[];
}

const formatVersion = 1;

/**
 * Writes it so that a crash leaves either the old file or the new one. Only its owner may read it: there may be secrets
 * in it.
 */
export async function saveLastGood(path: string, sources: readonly SavedSource[]): Promise<void> {
  const stored = {
    version: formatVersion,
    savedAt: new Date().toISOString(),
    sources: sources.map(({ name, clusterId, revision, tree }) => ({
      name,
      clusterId: String(clusterId),
      revision: String(revision),
      tree,
    })),
  };
  await mkdir(dirname(path), { recursive: true });
  const scratch = `${path}.${randomUUID()}`;
  try {
    const handle = await open(scratch, "wx", 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(stored, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(scratch, path);
  } catch (error) {
    await rm(scratch, { force: true });
    throw error;
  }
}

/** Reads it; `undefined` when there is none. Throws for a file that is not one of these. */
export async function loadLastGood(path: string): Promise<SavedConfig | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const stored: unknown = JSON.parse(text);
  if (!isTree(stored) || stored["version"] !== formatVersion || !Array.isArray(stored["sources"])) {
    throw new TypeError(`${path}: expected a configuration of format ${formatVersion}`);
  }
  const sources = (stored["sources"] as readonly unknown[]).map((source) => {
    const { name, clusterId, revision, tree } = isTree(source) ? source : {};
    if (typeof name !== "string" || !isTree(tree)) throw new TypeError(`${path}: expected a source with a name`);
    return { name, clusterId: BigInt(String(clusterId)), revision: BigInt(String(revision)), tree };
  });
  return { savedAt: String(stored["savedAt"]), sources };
}
