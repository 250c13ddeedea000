// Records a real etcd's answers: to the whole table for 3.5, for a later line to the cases that are compared with it. The
// table runs twice, and nothing is written where the two runs differ: an answer that comes out differently from one run
// to the next cannot be expected of anybody.
import { isDeepStrictEqual } from "node:util";
import { differenceOf } from "./allowed-differences.ts";
import { digestOf, type Line, type RecordedCase, recordedFile, writeRecorded } from "./recorded.ts";
import { findEtcd } from "./server-process.ts";
import { sweepProgram } from "./sweep.ts";
import { caseName, groups } from "./table.ts";

const lines: readonly Line[] = ["3.5", "3.6", "3.7"];

const program = findEtcd();
if (program === undefined) throw new Error("no etcd on PATH or in $QUORATE_ETCD_DIR");
const line = lines.find((candidate) => program.version?.startsWith(`${candidate}.`));
if (line === undefined)
  throw new Error(`this is etcd ${program.version}; the table is recorded from ${lines.join(", ")}`);

function isRecordedFrom(name: string): boolean {
  const difference = differenceOf(name);
  return line === "3.5" || (difference?.kind === "as a later etcd" && difference.line === line);
}

const first = await sweepProgram(program, groups, isRecordedFrom);
const second = await sweepProgram(program, groups, isRecordedFrom);

const cases: { [name: string]: RecordedCase } = {};
const problems: string[] = [];
for (const group of groups) {
  for (const item of group.cases) {
    const name = caseName(group, item);
    if (!isRecordedFrom(name)) continue;
    const [one, other] = [first.outcomes.get(name), second.outcomes.get(name)];
    if (cases[name] !== undefined) problems.push(`${name}: two cases have this name`);
    if (item.notOn35 !== undefined && line === "3.5") cases[name] = { digest: digestOf(item), answers: [], end: null };
    else if (one === undefined || other === undefined) problems.push(`${name}: not run`);
    else if ("problem" in one || "problem" in other) problems.push(`${name}: ${JSON.stringify([one, other])}`);
    else if (!isDeepStrictEqual(one, other))
      problems.push(`${name}: two runs differ\n  ${JSON.stringify(one)}\n  ${JSON.stringify(other)}`);
    else cases[name] = { digest: digestOf(item), ...one.answers };
  }
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
else {
  writeRecorded(line, { etcd: first.version, cases });
  console.log(`${Object.keys(cases).length} cases of etcd ${first.version} written to ${recordedFile(line)}`);
}
