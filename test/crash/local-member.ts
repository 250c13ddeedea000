// A member in this process, on real files: quick to start, to stop and to start again on what was done to its files.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { resolveConfig } from "../../server/cli/serve/resolve-config.ts";
import { silentLogger } from "../../server/lib/logger.ts";
import { type Member, startMember } from "../../server/server.ts";

/** A folder that goes with the test. */
export function scratchFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "quorate-test-crash-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a member and resolves once it serves, on ports that are free. */
export async function startHere(
  dataDir: string,
  onFailed: (error: unknown) => void = (error) => assert.fail(String(error)),
): Promise<Member> {
  const url = "http://127.0.0.1:0";
  const flags = ["--data-dir", dataDir, "--listen-client-urls", url, "--advertise-client-urls", url];
  const resolved = await resolveConfig([...flags, "--listen-peer-urls", url], {});
  assert(resolved.kind === "config");
  return startMember(resolved.config.member, { logger: silentLogger, onFailed });
}

/** Everything below a folder, to see whether anything has changed. Locks come and go with processes. */
export function contentOf(folder: string): string {
  const names = readdirSync(folder, { recursive: true }) as string[];
  return names
    .filter((name) => !/(^|\/)(lock|lock\.pid|lock\.mdb|spare\.tmp)$/.test(name))
    .sort()
    .map((name) => {
      const path = join(folder, name);
      return statSync(path).isFile() ? `${name} ${readFileSync(path).toString("base64")}` : name;
    })
    .join("\n");
}

/** A copy of a folder, without what only a running process has. */
export function copyOf(from: string, to: string): string {
  cpSync(from, to, { recursive: true, filter: (path) => !/\/lock(\.pid)?$/.test(path) });
  return to;
}
