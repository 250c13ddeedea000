// What `--version` and `version` print.
import { readFileSync } from "node:fs";
import { arch, platform } from "node:process";

/** The version in package.json, which lies three folders above the compiled program's. */
export function packageVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}

/** Four lines, as etcd has them. */
export function versionText(apiVersion: string): string {
  return [
    `Quorate Version: ${packageVersion()}`,
    `etcd Version: ${apiVersion}`,
    `Node.js Version: ${process.version}`,
    `OS/Arch: ${platform}/${arch}`,
    "",
  ].join("\n");
}
