// Runs the table against any endpoint and prints pass or fail for each case, compared with the recorded answers.
// Usage: node dist/test/conformance/run.js --endpoint HOST:PORT [--only WORD] [--as member|etcd]
// or, without --endpoint, --program member|etcd to start servers for it. WORD is part of a case's name or a row (KV7).
import { parseArgs } from "node:util";
import { type Party, problemsOf } from "./compare.ts";
import { readRecorded } from "./recorded.ts";
import { findEtcd, findMember } from "./server-process.ts";
import { type Sweep, sweepEndpoint, sweepProgram } from "./sweep.ts";
import { caseName, groups } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    endpoint: { type: "string" },
    program: { type: "string" },
    only: { type: "string", default: "" },
    as: { type: "string" },
  },
});
const party: Party = (options.as ?? options.program) === "etcd" ? "etcd" : "member";

const cases = new Map(groups.flatMap((group) => group.cases.map((item) => [caseName(group, item), item] as const)));
const wanted = (name: string): boolean =>
  name.toLowerCase().includes(options.only.toLowerCase()) ||
  (cases.get(name)?.rows.some((row) => row === options.only || row.replace(/\d+$/, "") === options.only) ?? false);

async function sweep(): Promise<Sweep & { readonly leftOut?: readonly string[] }> {
  if (options.endpoint !== undefined) return sweepEndpoint(options.endpoint, groups, wanted);
  const program = options.program === "etcd" ? findEtcd() : findMember();
  if (program === undefined) throw new Error(`no ${options.program ?? "member"} to run; give --endpoint HOST:PORT`);
  return sweepProgram(program, groups, wanted);
}

const started = Date.now();
const { version, outcomes, leftOut } = await sweep();
const recorded = readRecorded("3.5");
let failed = 0;
for (const [name, outcome] of outcomes) {
  const item = cases.get(name);
  let problems: readonly string[] = [];
  if ("problem" in outcome) problems = [`${name} could not be run: ${outcome.problem}`];
  else if (item !== undefined) problems = problemsOf(name, item, outcome.answers, party);
  console.log(`${problems.length === 0 ? "pass" : "FAIL"}  ${name}`);
  for (const problem of problems) console.log(`      ${problem.replaceAll("\n", "\n      ")}`);
  if (problems.length > 0) failed += 1;
}
for (const reason of leftOut ?? []) console.log(`left out  ${reason}`);
console.log(
  `${outcomes.size - failed} passed, ${failed} failed, in ${((Date.now() - started) / 1000).toFixed(1)} s; ` +
    `server version ${version}, recorded from etcd ${recorded.etcd}`,
);
process.exitCode = failed === 0 ? 0 : 1;
