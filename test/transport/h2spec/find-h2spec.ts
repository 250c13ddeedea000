// Where h2spec is, a tester of HTTP/2 servers written in Go; built where it is missing and Go is there.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

const source = "github.com/summerwind/h2spec/cmd/h2spec@latest";

function cacheFolder(): string {
  const root = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return join(root, "quorate", "bin");
}

/** The program, in `$QUORATE_H2SPEC`, on PATH, or where {@link buildH2spec} left it. */
export function findH2spec(): string | undefined {
  const named = process.env["QUORATE_H2SPEC"];
  if (named !== undefined && named !== "") return named;
  const folders = [...(process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== ""), cacheFolder()];
  return folders.map((folder) => join(folder, "h2spec")).find(existsSync);
}

/**
 * Builds it into the user's cache folder, which takes a network the first time.
 *
 * @throws Error when there is no Go, or Go cannot build it.
 */
export function buildH2spec(): string {
  const folder = cacheFolder();
  mkdirSync(folder, { recursive: true });
  const { error, status, stderr } = spawnSync("go", ["install", source], {
    env: { ...process.env, GOBIN: folder },
    encoding: "utf8",
  });
  if (error !== undefined) {
    throw new Error(`h2spec is neither on PATH nor in $QUORATE_H2SPEC, and there is no Go to build it with`, {
      cause: error,
    });
  }
  if (status !== 0) throw new Error(`go install ${source} failed:\n${stderr}`);
  return join(folder, "h2spec");
}
