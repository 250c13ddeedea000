// What a member says when it serves, and in which form: JSON for machines, a few words for somebody who started it by
// hand and wants to know what to type next.
import type { MemberConfig } from "../../config.ts";
import type { Logger } from "../../lib/logger.ts";
import type { LogFormat } from "../../lib/system-logger.ts";
import type { Member } from "../../server.ts";
import { programName } from "../program-name.ts";
import type { LogSettings, WriteLine } from "./log-output.ts";

/** JSON unless somebody asked for something else, or sits in front of it. */
export function chooseFormat({ format, outputs }: LogSettings, isTerminal: boolean): LogFormat {
  if (format !== undefined) return format;
  return isTerminal && outputs.join() === "stderr" ? "friendly" : "json";
}

/** People are shown what they must know; `--log-level=debug` shows them everything. */
export const leastLevel = ({ level }: LogSettings, format: LogFormat): LogSettings["level"] =>
  format === "friendly" && level === "info" ? "warn" : level;

export interface Voice {
  readonly logger: Logger;
  readonly format: LogFormat;
  readonly write: WriteLine;
}

/** Says that the member serves. The one line that others wait for is the same in every form. */
export function announce(member: Member, { name, dataDir }: MemberConfig, { logger, format, write }: Voice): void {
  logger.log("info", "ready to serve client requests", {
    name,
    "data-dir": dataDir,
    "local-member-id": member.memberId.toString(16),
    "cluster-id": member.clusterId.toString(16),
    "client-urls": member.clientUrls,
    "metrics-urls": member.metricsUrls,
    pid: process.pid,
  });
  if (format === "friendly") write(welcome({ name, dataDir, ...member }, programName()));
  // Whoever types `npm start` is a person, wherever the output goes; the log is on standard error.
  else if (process.env["npm_lifecycle_event"] === "start") {
    process.stdout.write(welcome({ name, dataDir, ...member }, programName()));
  }
}

interface Welcomed {
  readonly name: string;
  readonly dataDir: string;
  readonly clientUrls: readonly string[];
  readonly metricsUrls: readonly string[];
}

/** Where it listens, and what to type next. `program`: how the user calls it. */
export function welcome({ name, dataDir, clientUrls, metricsUrls }: Welcomed, program: string): string {
  const [url = ""] = clientUrls;
  const isUsual = /^http:\/\/(localhost|127\.0\.0\.1):2379\/?$/.test(url);
  const command = isUsual ? program : `${program} --endpoints=${url.replace("0.0.0.0", "127.0.0.1")}`;
  const metrics = metricsUrls.length === 0 ? "" : `\n  metrics    ${metricsUrls.join(", ")}`;
  return `
Quorate member "${name}" is ready to serve client requests.

  clients    ${clientUrls.join(", ")}${metrics}
  data       ${dataDir}

Try it from another terminal:

  ${command} put greeting hello
  ${command} get greeting
  ${command} watch greeting

Ctrl-C stops it; the data stays. ${program} --help tells more.

`;
}
