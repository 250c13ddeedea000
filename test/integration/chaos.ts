// `npm run chaos -- --minutes 10 [--seed S] [--members 3] [--json] [--only WORDS] [--mutants NAMES]`: a cluster of real
// processes under faults. Exit status 0 only if nothing that was acknowledged was lost, every history is legal, and all
// members are equal at the end. `--only kill,partition` has only faults with such a word in their name; `--mutants
// raft/read-without-quorum` has members with these planted bugs, to see that they are found.
import { parseArgs } from "node:util";
import { allFaults, type Progress, type Report, runCampaign } from "./campaign.ts";
import { troubledMember } from "./cluster/cluster.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string" },
    members: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    mutants: { type: "string", default: "" },
  },
});

const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
const durationMs = Number(values.minutes) * 60_000;
const size = Number(values.members);
const words = values.only.split(",");
const faults = allFaults.filter(({ kind }) => words.some((word) => kind.includes(word)));
if (!Number.isSafeInteger(seed) || !(durationMs > 0) || !(size >= 3) || faults.length === 0) {
  process.stderr.write(
    "usage: chaos [--minutes 10] [--seed WHOLE-NUMBER] [--members 3] [--json] [--only WORD,WORD] [--mutants NAME,NAME]\n",
  );
  process.exit(2);
}

// An exit ends members and unmounts their disks; a signal by itself would not.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));

const isTerminal = process.stderr.isTTY === true;

function tell({ elapsedMs, operations, faults, current }: Progress): void {
  const count = [...faults.values()].reduce((sum, each) => sum + each, 0);
  const clock = `${Math.floor(elapsedMs / 60_000)}:${String(Math.floor(elapsedMs / 1000) % 60).padStart(2, "0")}`;
  const line = `${clock}  ${operations} operations, ${count} faults of ${faults.size} kinds  ${current}`;
  process.stderr.write(`\r${line.slice(0, process.stderr.columns).padEnd(process.stderr.columns - 1)}`);
}

function table(report: Report): string {
  const rows: [string, string | number][] = [
    ...Object.entries(report.faults).sort((a, b) => b[1] - a[1]),
    ["", ""],
    ["faults", Object.values(report.faults).reduce((sum, each) => sum + each, 0)],
    ["kinds of faults", Object.keys(report.faults).length],
    ["leader changes", report.leaderChanges],
    ["snapshots installed", report.snapshotsInstalled],
    ["operations", report.operations],
    ["serializable reads", report.serializableReads],
    ["acknowledged writes", report.acknowledgedWrites],
    ["writes of unknown outcome", report.unknownWrites],
    ["revisions watched", report.watchedRevisions],
    ["leases", report.leases],
    ["acknowledged writes lost", report.lostWrites],
    ["history", report.history],
    ["problems", report.problems.length],
    ["seconds", report.seconds],
    ["seed", report.seed],
  ];
  return rows.map(([name, value]) => (name === "" ? "" : `${name.padEnd(44)} ${String(value).padStart(9)}`)).join("\n");
}

if (!values.json) process.stdout.write(`seed ${seed}, ${values.minutes} minutes\n`);
process.env["TROUBLED_MEMBER_MUTANTS"] = values.mutants;
const report = await runCampaign({
  seed,
  durationMs,
  size,
  faults,
  ...(isTerminal ? { onProgress: tell } : {}),
  ...(values.mutants === "" ? {} : { program: () => [troubledMember] }),
});
if (isTerminal) process.stderr.write("\n");
if (values.json) process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
else {
  process.stdout.write(`${table(report)}\n`);
  for (const problem of report.problems.slice(0, 40)) process.stdout.write(`\n${problem}\n`);
  process.stdout.write(report.problems.length === 0 ? "\nall was right\n" : `\nfailed; --seed ${seed}\n`);
}
process.exit(report.problems.length === 0 ? 0 : 1);
