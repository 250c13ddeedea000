// A data folder with very many keys, built once by a real member under load and kept for the next bench: in the folder
// for data, under a name that changes with the code that wrote it.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../../support/paths.ts";
import { quorateContender, RunningContender } from "../contender.ts";
import { Progress } from "../lib/progress.ts";
import { formatCount } from "../lib/text-table.ts";
import { fill } from "../measure.ts";

/** Code whose change may change what a data folder looks like. */
const formatFolders = ["log", "state", "storage", "raft"];

/** The folder of such a store, built if there is none, or if `isFresh`. */
export async function findLargeStore(dataFolder: string, keys: number, isFresh: boolean): Promise<string> {
  const folder = join(dataFolder, `store-${keys}-${codeDigest()}`);
  if (isFresh) rmSync(folder, { recursive: true, force: true });
  if (existsSync(folder)) return folder;
  removeOthers(dataFolder, keys);
  const progress = new Progress(`building a store of ${formatCount(keys)} keys`);
  await using running = await RunningContender.start(quorateContender(), { members: 1, dataFolder });
  const startMs = Date.now();
  await fill(running, keys, (done) => {
    const seconds = (Date.now() - startMs) / 1000;
    progress.update(done / keys, `${formatCount(done)} keys, ${formatCount(done / seconds)}/s`);
  });
  progress.done();
  await running.stop();
  renameSync(running.dataDirs[0]!, folder);
  return folder;
}

/** A store of another version's making is of no use any more, and large. */
function removeOthers(dataFolder: string, keys: number): void {
  for (const name of readdirSync(dataFolder)) {
    if (name.startsWith(`store-${keys}-`)) rmSync(join(dataFolder, name), { recursive: true, force: true });
  }
}

function codeDigest(): string {
  const hash = createHash("sha256");
  for (const folder of formatFolders) {
    const root = join(repositoryRoot, "dist", "server", folder);
    const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
    for (const file of files.sort()) hash.update(readFileSync(join(root, file)));
  }
  return hash.digest("hex").slice(0, 12);
}
