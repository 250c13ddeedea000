// What --auto-compaction-mode and --auto-compaction-retention mean together.
import type { AutoCompaction } from "../../replica/auto-compactor.ts";
import { parseDurationMs, parseInteger } from "./flag-value.ts";
import type { Problem } from "./setting.ts";
import { type SettingsTable, typedAs } from "./settings-table.ts";

const hourMs = 60 * 60 * 1000;
const retentionName = "auto-compaction-retention";

/**
 * As etcd reads it: a plain number is hours, or revisions in revision mode. There etcd also takes a time, for as many
 * revisions as it has nanoseconds; that is reported here.
 */
export function resolveAutoCompaction(table: SettingsTable, problems: Problem[]): AutoCompaction | undefined {
  const text = table.text(retentionName);
  const isRevisions = table.text("auto-compaction-mode") === "revision";
  const count = parseInteger(text);
  const amount = isRevisions || count !== undefined ? count : parseDurationMs(text);
  if (amount === undefined || amount < 0) {
    const label = table.setting(retentionName)?.label ?? `--${retentionName}`;
    const expected = isRevisions
      ? "a number of revisions, or 0 to keep all"
      : "a number of hours, a time such as 90m, or 0 to keep all";
    problems.push({ label, found: `"${text}"`, expected, type: typedAs(label, isRevisions ? "10000" : "8") });
    return undefined;
  }
  if (amount === 0) return undefined;
  if (isRevisions) return { mode: "revision", retentionRevisions: amount };
  return { mode: "periodic", retentionMs: count === undefined ? amount : amount * hourMs };
}
