// Flags from environment variables: QUORATE_ or ETCD_, and the flag's name in capitals with _ for -.
import { flagsByName } from "./flags-table.ts";
import { nearestName } from "./parse-flags.ts";
import type { Setting, Settings, Source } from "./setting.ts";

export type Environment = { readonly [name: string]: string | undefined };

// Variables that mean something else than a flag.
const others = new Set([
  "QUORATE_API_VERSION",
  "ETCD_UNSUPPORTED_ARCH",
  "ETCD_VERIFY",
  "ETCD_CLIENT_DEBUG",
  "ETCDCTL_API",
]);

const prefixes: readonly { readonly prefix: string; readonly source: Source }[] = [
  { prefix: "QUORATE_", source: "QUORATE_ environment" },
  { prefix: "ETCD_", source: "ETCD_ environment" },
];

const variableOf = (prefix: string, name: string): string => prefix + name.toUpperCase().replaceAll("-", "_");

/** An empty variable counts as unset. */
export function parseEnvironment(environment: Environment): Settings {
  const settings: Setting[] = [];
  const warnings: string[] = [];
  for (const { prefix, source } of prefixes) {
    const flags = new Map(
      [...flagsByName.values()]
        .filter((flag) => flag.isCommandLineOnly !== true && flag.effect.kind !== "ignored")
        .map((flag) => [variableOf(prefix, flag.name), flag]),
    );
    for (const label of Object.keys(environment).filter((name) => name.startsWith(prefix))) {
      const text = environment[label] ?? "";
      const flag = flags.get(label);
      if (flag !== undefined && text !== "") settings.push({ flag, text, source, label });
      else if (flag === undefined && !others.has(label)) {
        const near = nearestName(label, [...flags.keys()]);
        warnings.push(`environment variable ${label} is no flag${near === undefined ? "" : `; ${near} is one`}`);
      }
    }
  }
  return { settings, problems: [], warnings };
}
