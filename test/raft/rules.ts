// All rules, in the order of the paper.
import { commitRules } from "./commit-rules.ts";
import { electionRules } from "./election-rules.ts";
import { logRules } from "./log-rules.ts";
import { memberRules } from "./member-rules.ts";
import { readRules } from "./read-rules.ts";
import type { Rule } from "./rule.ts";
import { snapshotRules } from "./snapshot-rules.ts";

export const rules: readonly Rule[] = [
  ...electionRules,
  ...logRules,
  ...snapshotRules,
  ...readRules,
  ...commitRules,
  ...memberRules,
];
