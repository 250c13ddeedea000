// Judges a case's answers: equal to the recorded ones, or different in exactly the way that allowed-differences.ts says.
import { isDeepStrictEqual } from "node:util";
import { differenceOf } from "./allowed-differences.ts";
import type { Case, Step } from "./case.ts";
import { type Json, toJson } from "./normalise.ts";
import { digestOf, type RecordedCase, recordedCase } from "./recorded.ts";
import type { CaseAnswers } from "./runner.ts";

/** Whose answers are judged: our member may differ where that is written down, an etcd of the recorded line may not. */
export type Party = "member" | "etcd";

const hasAnswer = (step: Step): boolean =>
  !["open", "send", "half-close", "restart", "rebase", "sleep"].includes(step.kind);

/** Error texts taken out, codes left: {"error":"Internal: ..."} and "ended, Internal: ...". */
const withoutWords = (answer: Json): string =>
  JSON.stringify(answer).replace(/"((?:ended, )?[A-Z][A-Za-z]+: )(?:[^"\\]|\\.)*"/g, '"$1"');

const isUnimplemented = (answer: Json): boolean => /"(?:ended, )?Unimplemented: .+"/.test(JSON.stringify(answer));

const stepLine = (step: Step): string => {
  const { kind, ...rest } = toJson(step) as { readonly [key: string]: Json };
  return `    ${String(kind)} ${JSON.stringify(rest)}`;
};

const mismatch = (want: Json, have: Json): string =>
  `    expected ${JSON.stringify(want)}\n    got      ${JSON.stringify(have)}`;

/** The answers that the party must give. */
function expectedOf(name: string, party: Party): RecordedCase | undefined {
  const difference = party === "member" ? differenceOf(name) : undefined;
  return recordedCase(difference?.kind === "as a later etcd" ? difference.line : "3.5", name);
}

/** Readable account of what is wrong with the case's answers; empty where nothing is. */
export function problemsOf(name: string, item: Case, got: CaseAnswers, party: Party): string[] {
  const expected = expectedOf(name, party);
  if (expected === undefined || expected.digest !== digestOf(item))
    return [`${name}: not recorded in this form; run record.js`];
  const difference = party === "member" ? differenceOf(name) : undefined;
  const allowed = difference?.kind;
  const own = difference?.kind === "answers of our own" ? difference.answers : {};
  const problems: string[] = [];
  const agree = (want: Json, have: Json): boolean =>
    isDeepStrictEqual(want, have) || (allowed === "other words" && withoutWords(want) === withoutWords(have));

  for (const [index, step] of item.steps.filter(hasAnswer).entries()) {
    const want = own[index] ?? expected.answers[index] ?? "nothing recorded";
    const have = got.answers[index] ?? "no answer";
    // What follows a step that is not served may rest on it.
    if (allowed === "not served yet" && isUnimplemented(have)) return [];
    if (!agree(want, have)) problems.push(`  answer ${index}, of ${stepLine(step).trim()}\n${mismatch(want, have)}`);
  }
  const end = own["end"] ?? expected.end;
  if (!agree(end, got.end)) problems.push(`  state when the case was over\n${mismatch(end, got.end)}`);
  if (problems.length === 0) return [];

  const script = [...(item.setup ?? []), ...item.steps].map(stepLine).join("\n");
  const note = item.note === undefined ? "" : `\n  note: ${item.note}`;
  return [`${name} (${item.rows.join(", ")})${note}\n  script:\n${script}`, ...problems];
}
