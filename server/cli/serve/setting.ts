// A flag that somebody set, where, and to what; and what can be wrong about it.
import type { Flag } from "./flag.ts";

/** Where settings come from; an earlier one wins over a later one. */
export const sources = ["command line", "QUORATE_ environment", "ETCD_ environment", "file"] as const;
export type Source = (typeof sources)[number];

export interface Setting {
  readonly flag: Flag;
  readonly text: string;
  readonly source: Source;
  /** How it is written there: `--name`, `QUORATE_NAME`, `name in etcd.conf.yml`. */
  readonly label: string;
}

/** Something that keeps the member from starting: enough to put it right without looking anything up. */
export interface Problem {
  readonly label: string;
  readonly found: string;
  readonly expected: string;
  /** What to type instead. */
  readonly type: string;
}

/** What a source yields. Warnings do not keep the member from starting. */
export interface Settings {
  readonly settings: readonly Setting[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly string[];
}

/** All problems as a text for a person. */
export function formatProblems(problems: readonly Problem[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const blocks = problems.map(
    ({ label, found, expected, type }) =>
      `\n  ${label}\n    found:     ${found}\n    expected:  ${expected}\n    type:      ${type}\n`,
  );
  return `quorate cannot start: ${count}.\n${blocks.join("")}\n\`quorate serve --help\` lists every flag.\n`;
}
