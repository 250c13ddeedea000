// The recorded answers of a real etcd: one file, one line per answer, in the table's order, so that a change of the table
// shows as the lines it changed.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "../support/paths.ts";
import type { Case } from "./case.ts";
import { sha256, toJson } from "./normalise.ts";
import type { CaseAnswers } from "./runner.ts";

/** 3.5 has every case; later lines have those that allowed-differences.ts takes from them. */
export type Line = "3.5" | "3.6" | "3.7";

export const recordedFile = (line: Line): string =>
  join(repositoryRoot, "test", "conformance", `etcd-${line}.recorded.json`);

export interface RecordedCase extends CaseAnswers {
  // A case that etcd 3.5 cannot be asked has no answers and null for an end.
  /** Of the case's data: tells an answer to another question from an answer to this one. */
  readonly digest: string;
}

export interface Recorded {
  /** The version that answered. */
  readonly etcd: string;
  readonly cases: { readonly [name: string]: RecordedCase };
}

const digests = new WeakMap<Case, string>();

/** Rows and notes may change without asking the server again. */
export function digestOf(item: Case): string {
  const digest =
    digests.get(item) ?? sha256(JSON.stringify(toJson({ setup: item.setup ?? [], steps: item.steps }))).slice(0, 12);
  digests.set(item, digest);
  return digest;
}

const read = new Map<Line, Recorded>();

export function readRecorded(line: Line): Recorded {
  const recorded = read.get(line) ?? (JSON.parse(readFileSync(recordedFile(line), "utf8")) as Recorded);
  read.set(line, recorded);
  return recorded;
}

export const recordedCase = (line: Line, name: string): RecordedCase | undefined => readRecorded(line).cases[name];

export function writeRecorded(line: Line, recorded: Recorded): void {
  const cases = Object.entries(recorded.cases).map(([name, { digest, answers, end }]) => {
    const lines = answers.map((answer) => `    ${JSON.stringify(answer)}`).join(",\n");
    const list = answers.length === 0 ? "[]" : `[\n${lines}\n  ]`;
    return `  ${JSON.stringify(name)}: {"digest":"${digest}","answers":${list},"end":${JSON.stringify(end)}}`;
  });
  writeFileSync(recordedFile(line), `{"etcd":${JSON.stringify(recorded.etcd)},"cases":{\n${cases.join(",\n")}\n}}\n`);
}
