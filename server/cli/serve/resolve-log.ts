// The log's flags: outputs, level, format and rotation.
import type { LogLevel } from "../../lib/logger.ts";
import type { LogRotation, LogSettings } from "./log-output.ts";
import type { Problem } from "./setting.ts";
import { type SettingsTable, typedAs } from "./settings-table.ts";

const mebibyte = 1024 * 1024;
const rotationKeys = ["maxsize", "maxage", "maxbackups", "localtime", "compress"] as const;

export function resolveLog(table: SettingsTable): { readonly log: LogSettings; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const outputs = table.list("log-outputs").map((output) => (output === "default" ? "stderr" : output));
  const { label = "--log-outputs" } = table.setting("log-outputs") ?? {};
  if (outputs.some((output) => output.startsWith("systemd/"))) {
    const expected = "stderr, which systemd puts into its journal, stdout or files";
    problems.push({ label, found: "systemd/journal", expected, type: typedAs(label, "stderr") });
  }
  if (outputs.length === 0) {
    problems.push({ label, found: "no output", expected: "at least one", type: typedAs(label, "default") });
  }
  const level = table.text("log-level");
  const formatSetting = table.setting("log-format");
  return {
    log: {
      level: level === "panic" ? "fatal" : (level as LogLevel),
      format: formatSetting === undefined ? undefined : (formatSetting.text as "json" | "console"),
      outputs: [...new Set(outputs)],
      rotation: table.boolean("enable-log-rotation") ? resolveRotation(table, outputs, problems) : undefined,
    },
    problems,
  };
}

function resolveRotation(
  table: SettingsTable,
  outputs: readonly string[],
  problems: Problem[],
): LogRotation | undefined {
  const files = outputs.filter((output) => output !== "stderr" && output !== "stdout");
  if (outputs.length !== 1 || files.length !== 1) {
    problems.push({
      label: table.setting("enable-log-rotation")?.label ?? "--enable-log-rotation",
      found: `the outputs ${outputs.join(", ")}`,
      expected: "one file as the only output",
      type: "--log-outputs=quorate.log",
    });
  }
  const name = "log-rotation-config-json";
  const label = table.setting(name)?.label ?? `--${name}`;
  const fail = (found: string, expected: string): undefined => {
    problems.push({ label, found, expected, type: typedAs(label, `'{"maxsize": 100, "maxbackups": 5}'`) });
  };
  let config: unknown;
  try {
    config = JSON.parse(table.text(name));
  } catch (error) {
    return fail((error as Error).message, "a JSON object");
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    return fail(table.text(name), "a JSON object");
  }
  const values = config as { readonly [key: string]: unknown };
  const numberOf = (key: (typeof rotationKeys)[number]): number => {
    const value = values[key] ?? 0;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    fail(`${key}: ${JSON.stringify(value)}`, "a whole number from 0 on");
    return 0;
  };
  for (const key of Object.keys(values)) {
    if (!rotationKeys.some((known) => known === key)) fail(`the key ${key}`, `only ${rotationKeys.join(", ")}`);
  }
  if (values["compress"] === true) fail("compress: true", "false: old log files are not compressed here");
  const megabytes = numberOf("maxsize");
  return {
    sizeBytesMax: (megabytes === 0 ? 100 : megabytes) * mebibyte,
    ageDaysMax: numberOf("maxage"),
    backupsMax: numberOf("maxbackups"),
    isLocalTime: values["localtime"] === true,
  };
}
