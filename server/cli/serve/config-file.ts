// etcd's YAML file as settings: the same names as the flags, except that TLS, discovery and socket options sit in maps
// of their own, and durations may be whole nanoseconds. An unknown key is a warning: etcd's own sample has some.
import { readFileSync } from "node:fs";
import { isMap, isScalar, isSeq, type Node, parseDocument, type YAMLMap } from "yaml";
import { flagsByName } from "./flags-table.ts";
import { nearestName } from "./parse-flags.ts";
import type { Problem, Setting, Settings } from "./setting.ts";

const tlsKeys = ["cert-file", "key-file", "client-cert-file", "client-key-file", "client-cert-auth"];
const tlsOf = (prefix: string, allowed: string): [string, string][] => [
  ...[...tlsKeys, "trusted-ca-file", "auto-tls", "skip-client-san-verification"].map((key): [string, string] => [
    key,
    prefix + key,
  ]),
  ["allowed-cn", `${allowed}-allowed-cn`],
  ["allowed-hostname", `${allowed}-allowed-hostname`],
];
const same = (prefix: string, keys: readonly string[]): [string, string][] => keys.map((key) => [key, prefix + key]);

/** Flags that sit in maps: dotted path in the file to the flag's name. */
const nested: ReadonlyMap<string, string> = new Map([
  ...tlsOf("", "client-cert").map(([key, flag]): [string, string] => [`client-transport-security.${key}`, flag]),
  ...tlsOf("peer-", "peer-cert").map(([key, flag]): [string, string] => [`peer-transport-security.${key}`, flag]),
  ["socket-options.reuse-port", "socket-reuse-port"],
  ["socket-options.reuse-address", "socket-reuse-address"],
  ["discovery-config.token", "discovery-token"],
  ...same("discovery-", ["endpoints", "dial-timeout", "request-timeout", "keepalive-time", "keepalive-timeout"]).map(
    ([key, flag]): [string, string] => [`discovery-config.client.${key}`, flag],
  ),
  ...same("discovery-", ["cert", "key", "cacert", "insecure-transport", "insecure-skip-tls-verify"]).map(
    ([key, flag]): [string, string] => [`discovery-config.client.secure.${key}`, flag],
  ),
  ["discovery-config.client.auth.username", "discovery-user"],
  ["discovery-config.client.auth.password", "discovery-password"],
  ["experimental-snapshot-catch-up-entries", "experimental-snapshot-catchup-entries"],
]);
const mapNames = new Set(
  [...nested.keys()].flatMap((path) => path.split(".").map((_, at, all) => all.slice(0, at).join("."))),
);

/** Flags that the file cannot set. */
const notInFile = new Set([
  "config-file",
  "client-crl-file",
  "peer-crl-file",
  "raft-read-timeout",
  "raft-write-timeout",
]);

export function readConfigFile(path: string, label: string): Settings {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const found = `${path}: ${(error as Error).message}`;
    const problem = { label, found, expected: "a YAML file that can be read", type: `${label}=FILE` };
    return { settings: [], problems: [problem], warnings: [] };
  }
  return parseConfig(text, path);
}

export function parseConfig(text: string, path: string): Settings {
  const settings: Setting[] = [];
  const problems: Problem[] = [];
  const warnings: string[] = [];
  const document = parseDocument(text);
  for (const { message } of document.errors) {
    problems.push({ label: path, found: message.split("\n")[0] ?? "", expected: "YAML", type: "name: default" });
  }
  const root = document.contents;
  if (problems.length > 0 || root === null) return { settings, problems, warnings };
  if (!isMap(root)) {
    problems.push({ label: path, found: "no keys", expected: "keys with values", type: "name: default" });
    return { settings, problems, warnings };
  }
  const visit = (map: YAMLMap, above: string): void => {
    for (const pair of map.items) {
      const key = String(isScalar(pair.key) ? pair.key.value : pair.key);
      const at = above + key;
      const label = `${at} in ${path}`;
      const value = pair.value as Node | null;
      if (value === null || (isScalar(value) && (value.value === null || value.value === ""))) continue;
      if (mapNames.has(at) && isMap(value)) {
        visit(value, `${at}.`);
        continue;
      }
      const flag = flagsByName.get(nested.get(at) ?? (above === "" ? key : ""));
      if (flag === undefined || flag.isCommandLineOnly || notInFile.has(flag.name)) {
        const near = notInFile.has(at) ? undefined : nearestName(key, namesBelow(above));
        warnings.push(`${label} is no setting of a file and is ignored${near === undefined ? "" : `; ${near} is one`}`);
        continue;
      }
      const found = textOf(value, flag.type === "duration");
      if (found !== undefined) settings.push({ flag, text: found, source: "file", label });
      else problems.push({ label, found: "keys below it", expected: "a value or a list", type: `${key}: ...` });
    }
  };
  visit(root, "");
  return { settings, problems, warnings };
}

/** A value as it would be typed on the command line, not as YAML understands it: `1e3` and `007` stay what they are. */
function textOf(value: Node, isDuration: boolean): string | undefined {
  if (isSeq(value)) {
    const parts = value.items.map((item) => (isScalar(item) ? (item.source ?? String(item.value)) : undefined));
    return parts.includes(undefined) ? undefined : parts.join(",");
  }
  if (!isScalar(value)) return undefined;
  const text = value.source ?? String(value.value);
  return isDuration && typeof value.value === "number" ? `${text}ns` : text;
}

/** The keys that a map of the file may have; `above` is its path with a dot at the end, empty for the whole file. */
function namesBelow(above: string): readonly string[] {
  if (above === "") return [...flagsByName.keys()].filter((name) => !notInFile.has(name));
  return [...nested.keys()].filter((path) => path.startsWith(above)).map((path) => path.slice(above.length));
}
