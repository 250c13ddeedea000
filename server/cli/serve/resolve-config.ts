// From everything that was set to what a member is started with. All rules that join several flags are here; every
// breach is reported, not only the first.
import { isIP } from "node:net";
import { apiVersionDefault, type MemberConfig, quotaBytesDefault } from "../../config.ts";
import { parseListenUrl } from "../../transport/listen-url.ts";
import type { Environment } from "./environment.ts";
import { parseEnvironment } from "./environment.ts";
import type { LogSettings } from "./log-output.ts";
import { parseFlags } from "./parse-flags.ts";
import { resolveAutoCompaction } from "./resolve-auto-compaction.ts";
import { resolveLog } from "./resolve-log.ts";
import { resolveTls } from "./resolve-tls.ts";
import type { Problem, Settings } from "./setting.ts";
import { mergeSettings, type SettingsTable, typedAs } from "./settings-table.ts";

export interface ServeConfig {
  readonly member: MemberConfig;
  readonly log: LogSettings;
  readonly warnings: readonly string[];
}

export type Resolved =
  | { readonly kind: "help" | "version" }
  | { readonly kind: "problems"; readonly problems: readonly Problem[] }
  | { readonly kind: "config"; readonly config: ServeConfig };

const electionTimeoutMsMax = 50_000;
const watchProgressMsDefault = 600_000;
const watchProgressMsMin = 100;

/** Reads everything and decides. Looks at the file that `--config-file` names and at nothing else. */
export async function resolveConfig(args: readonly string[], environment: Environment): Promise<Resolved> {
  const flags = parseFlags(args);
  const asked = flags.settings.filter(({ text }) => text === "true").map(({ flag }) => flag.name);
  if (asked.includes("help") || args.includes("-h")) return { kind: "help" };
  if (asked.includes("version")) return { kind: "version" };

  const variables = parseEnvironment(environment);
  const file = await fileSettings([flags, variables]);
  const all = [flags, variables, file];
  const merged = mergeSettings(all.flatMap(({ settings }) => settings));
  const problems = [...all.flatMap((part) => part.problems), ...merged.problems];
  const warnings = [...all.flatMap((part) => part.warnings), ...merged.warnings];
  const { member, problems: memberProblems } = resolveMember(merged.table, environment);
  const { log, problems: logProblems } = resolveLog(merged.table);
  problems.push(...memberProblems, ...logProblems);
  if (problems.length > 0) return { kind: "problems", problems };
  return { kind: "config", config: { member, log, warnings } };
}

async function fileSettings(parts: readonly Settings[]): Promise<Settings> {
  const { table } = mergeSettings(parts.flatMap(({ settings }) => settings));
  const setting = table.setting("config-file");
  if (setting === undefined || setting.text === "") return { settings: [], problems: [], warnings: [] };
  // Only now: reading YAML takes time that a start without a file need not spend.
  const { readConfigFile } = await import("./config-file.ts");
  return readConfigFile(setting.text, setting.label);
}

interface ResolvedMember {
  readonly member: MemberConfig;
  readonly problems: readonly Problem[];
}

function resolveMember(table: SettingsTable, environment: Environment): ResolvedMember {
  const problems: Problem[] = [];
  const labelOf = (name: string): string => table.setting(name)?.label ?? `--${name}`;
  const expect = (isGood: boolean, name: string, expected: string, example: string): void => {
    const found = `"${table.text(name)}"`;
    if (!isGood) problems.push({ label: labelOf(name), found, expected, type: typedAs(labelOf(name), example) });
  };

  const name = table.text("name");
  const peerUrls = table.list("initial-advertise-peer-urls");
  const initialCluster = table.setting("initial-cluster") === undefined ? [{ name, peerUrls }] : parseCluster(table);
  checkUrls(table, problems);

  const heartbeatIntervalMs = table.integer("heartbeat-interval");
  const electionTimeoutMs = table.integer("election-timeout");
  expect(heartbeatIntervalMs > 0, "heartbeat-interval", "at least 1 millisecond", "100");
  if (electionTimeoutMs < 5 * heartbeatIntervalMs) {
    const least = 5 * heartbeatIntervalMs;
    expect(false, "election-timeout", `at least five times --heartbeat-interval, which is ${least}`, `${least}`);
  }
  expect(electionTimeoutMs <= electionTimeoutMsMax, "election-timeout", `at most ${electionTimeoutMsMax}`, "1000");
  expect(table.integer("max-txn-ops") > 0, "max-txn-ops", "at least 1", "128");
  expect(table.integer("max-request-bytes") > 0, "max-request-bytes", "at least 1", "1572864");
  expect(name !== "" && !/[=,]/.test(name), "name", 'a name without "=" and ","', "a");
  if (table.setting("initial-cluster") !== undefined) checkCluster(table, initialCluster, problems);
  if (table.setting("listen-client-urls") !== undefined && table.setting("advertise-client-urls") === undefined) {
    problems.push({
      label: "--advertise-client-urls",
      found: `nothing, while ${labelOf("listen-client-urls")} is set`,
      expected: "the URLs by which clients reach this member, since they cannot be told from where it listens",
      type: `--advertise-client-urls=${table.text("listen-client-urls")}`,
    });
  }
  const progressMs = table.durationMs("watch-progress-notify-interval");
  const member: MemberConfig = {
    name,
    dataDir: table.setting("data-dir")?.text ?? `${name}.quorate`,
    listenClientUrls: table.list("listen-client-urls"),
    advertiseClientUrls: table.list("advertise-client-urls"),
    listenMetricsUrls: table.list("listen-metrics-urls"),
    listenPeerUrls: table.list("listen-peer-urls"),
    initialAdvertisePeerUrls: peerUrls,
    initialCluster,
    initialClusterState: table.text("initial-cluster-state") === "existing" ? "existing" : "new",
    initialClusterToken: table.text("initial-cluster-token"),
    strictReconfigCheck: table.boolean("strict-reconfig-check"),
    learnersMax: table.integer("max-learners"),
    preVote: table.boolean("pre-vote"),
    snapshotCatchUpEntries: table.integer("snapshot-catchup-entries"),
    clientTls: resolveTls(table, "client", problems),
    peerTls: resolveTls(table, "peer", problems),
    heartbeatIntervalMs,
    electionTimeoutMs,
    txnOperationsMax: table.integer("max-txn-ops"),
    requestBytesMax: table.integer("max-request-bytes"),
    quotaBytes: quotaOf(table.integer("quota-backend-bytes")),
    autoCompaction: resolveAutoCompaction(table, problems),
    watchProgressIntervalMs: progressMs <= 0 ? watchProgressMsDefault : Math.max(watchProgressMsMin, progressMs),
    apiVersion: apiVersionOf(environment, problems),
  };
  return { member, problems };
}

/** etcd's reading: 0 is the default, below it there is no limit, for which a member's config has 0. */
function quotaOf(flag: number): number {
  if (flag === 0) return quotaBytesDefault;
  return Math.max(0, flag);
}

/** The API version to report: test suites may ask for another one through the environment. */
export function apiVersionOf(environment: Environment, problems: Problem[] = []): string {
  const label = "QUORATE_API_VERSION";
  const text = environment[label] ?? "";
  if (text === "") return apiVersionDefault;
  if (!/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(text)) {
    problems.push({ label, found: `"${text}"`, expected: "a version", type: `${label}=${apiVersionDefault}` });
  }
  return text;
}

function parseCluster(table: SettingsTable): MemberConfig["initialCluster"] {
  const urlsByName = new Map<string, string[]>();
  for (const part of table.list("initial-cluster")) {
    const at = part.indexOf("=");
    const name = at < 0 ? "" : part.slice(0, at);
    urlsByName.set(name, [...(urlsByName.get(name) ?? []), part.slice(at + 1)]);
  }
  return [...urlsByName].map(([name, peerUrls]) => ({ name, peerUrls }));
}

function checkCluster(table: SettingsTable, cluster: MemberConfig["initialCluster"], problems: Problem[]): void {
  const { label = "--initial-cluster", text = "" } = table.setting("initial-cluster") ?? {};
  const name = table.text("name");
  const advertised = table.list("initial-advertise-peer-urls");
  const type = typedAs(label, advertised.map((url) => `${name}=${url}`).join(","));
  const report = (found: string, expected: string): void => {
    problems.push({ label, found, expected, type });
  };
  const own = cluster.find((member) => member.name === name);
  if (cluster.length === 0 || cluster.some((member) => member.name === "")) {
    report(`"${text}"`, "name=url for each member, with commas between");
  } else if (own === undefined) report(`no member named "${name}"`, "this member, by its --name, among the others");
  else if ([...own.peerUrls].sort().join() !== [...advertised].sort().join()) {
    const expected = `the URLs of --initial-advertise-peer-urls, ${advertised.join(",")}`;
    report(`${own.peerUrls.join(",")} for this member`, expected);
  }
}

const listenFlags = ["listen-client-urls", "listen-peer-urls", "listen-metrics-urls"];
const advertiseFlags = ["advertise-client-urls", "initial-advertise-peer-urls"];

function checkUrls(table: SettingsTable, problems: Problem[]): void {
  for (const name of [...listenFlags, ...advertiseFlags]) {
    const urls = table.list(name);
    const setting = table.setting(name);
    const label = setting?.label ?? `--${name}`;
    const example = name.includes("peer") ? "http://127.0.0.1:2380" : "http://127.0.0.1:2379";
    const type = typedAs(label, example);
    if (urls.length === 0 && name !== "listen-metrics-urls") {
      problems.push({ label, found: "no URL", expected: "at least one URL", type });
    }
    for (const url of urls) {
      const expected = listenFlags.includes(name) ? faultOfListenUrl(url) : faultOfUrl(url);
      if (expected !== undefined) problems.push({ label, found: url, expected, type });
    }
  }
}

function faultOfUrl(url: string): string | undefined {
  try {
    const { isTls, target } = parseListenUrl(url);
    // Others may be told of https when something in front of this member speaks it.
    return target.kind === "tcp" && target.host === "" && !isTls ? "a URL with a host" : undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** etcd's rule: names may mean several addresses, so only `localhost` is taken. */
function faultOfListenUrl(url: string): string | undefined {
  try {
    const { target } = parseListenUrl(url);
    if (target.kind === "unix" || target.host === "localhost" || isIP(target.host) !== 0) return undefined;
    return "an IP address or localhost as the host";
  } catch (error) {
    return (error as Error).message;
  }
}
