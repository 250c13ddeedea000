// Files that lie beside a checkout and not in it: facts to test against that this project does not own. A test that
// wants one goes without, and says so, when it is not there.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "./paths.ts";

/** The path of a shared file or folder below QUORATE_SHARED (default `../shared`), or `undefined` when there is none. */
export function findShared(path: string): string | undefined {
  const found = join(process.env["QUORATE_SHARED"] ?? join(repositoryRoot, "..", "shared"), path);
  return existsSync(found) ? found : undefined;
}
