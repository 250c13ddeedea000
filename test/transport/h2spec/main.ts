// Runs h2spec against the client port of a member, with TLS and without: `npm run h2spec`. Ends with status 1 when a
// case failed or was skipped, and names it.
import { formatTable } from "../../bench/lib/text-table.ts";
import { checkedPath, checkMember } from "./check-member.ts";
import { buildH2spec, findH2spec } from "./find-h2spec.ts";
import type { H2specReport, Section } from "./run-h2spec.ts";

async function main(): Promise<number> {
  const program = findH2spec() ?? buildH2spec();
  console.log(`${program} --strict against ${checkedPath} of a member\n`);
  const plain = await checkMember(program, false);
  const secure = await checkMember(program, true);
  console.log(tableOf(plain, secure));
  const remarks = [...plain.remarks.map((text) => `without TLS, ${text}`), ...secure.remarks.map((t) => `TLS, ${t}`)];
  console.log(remarks.length === 0 ? "\nEvery case applies and passes; none is left out." : "");
  for (const remark of remarks) console.log(remark);
  return remarks.length === 0 ? 0 : 1;
}

function tableOf(plain: H2specReport, secure: H2specReport): string {
  const totals = [plain, secure].map(({ sections }) => sumOf("", "all", sections));
  const rows = plain.sections.map((section, index) => rowOf(section, secure.sections[index]));
  const columns = [
    { title: "section", align: "left" },
    { title: "title", align: "left" },
    { title: "cases" },
    { title: "passed" },
    { title: "passed with TLS" },
  ] as const;
  return formatTable(columns, [...rows.filter(([, , cases]) => cases !== "0"), rowOf(totals[0]!, totals[1])]);
}

const rowOf = (plain: Section, secure: Section | undefined): readonly string[] => [
  plain.id,
  plain.title,
  String(plain.cases),
  passedOf(plain),
  secure === undefined ? "-" : passedOf(secure),
];

const passedOf = ({ cases, failed, skipped }: Section): string => String(cases - failed - skipped);

function sumOf(id: string, title: string, sections: readonly Section[]): Section {
  const sum = (of: (section: Section) => number): number => sections.map(of).reduce((total, value) => total + value, 0);
  const [cases, failed, skipped] = [sum((s) => s.cases), sum((s) => s.failed), sum((s) => s.skipped)];
  return { id, title, cases, failed, skipped };
}

process.exitCode = await main();
