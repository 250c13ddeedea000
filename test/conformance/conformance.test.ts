// The table against our member and, where one is found, against a real etcd: both must give the recorded answers, ours
// with the differences that allowed-differences.ts names.
import assert from "node:assert/strict";
import { test } from "node:test";
import { allowedDifferences, differenceOf } from "./allowed-differences.ts";
import { type Party, problemsOf } from "./compare.ts";
import { digestOf, readRecorded, recordedCase } from "./recorded.ts";
import { errorsOfTheSurface, rowsNotCovered, rowsOfTheSurface } from "./rows.ts";
import { findEtcd, findMember, type Program } from "./server-process.ts";
import { sweepProgram } from "./sweep.ts";
import { caseName, groups } from "./table.ts";

const recorded = readRecorded("3.5");
const cases = groups.flatMap((group) => group.cases.map((item) => ({ name: caseName(group, item), item })));
const requestCount = cases
  .flatMap(({ item }) => [...(item.setup ?? []), ...item.steps])
  .filter(({ kind }) => kind === "call" || kind === "send" || kind === "until-error").length;

test("the table covers the surface and is recorded", (t) => {
  const names = cases.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, "two cases have one name");
  assert.deepEqual(Object.keys(recorded.cases).sort(), [...names].sort(), "run record.js");
  assert(cases.length >= 200, `${cases.length} cases`);

  const covered = new Set(cases.flatMap(({ item }) => item.rows));
  const missing = rowsOfTheSurface.filter((row) => !covered.has(row) && rowsNotCovered[row] === undefined);
  assert.deepEqual(missing, [], "rows that no case covers");
  const needless = Object.keys(rowsNotCovered).filter((row) => covered.has(row));
  assert.deepEqual(needless, [], "rows said to be out of reach that a case covers");

  for (const { name, item } of cases) {
    const difference = differenceOf(name);
    const line = difference?.kind === "as a later etcd" ? difference.line : "3.5";
    const said = recordedCase(line, name);
    assert.equal(said?.digest, digestOf(item), `${name} is not recorded from etcd ${line} in this form: run record.js`);
    assert(said.end !== null, `${name} has no answers to be compared with: ${item.notOn35}`);
  }
  const known = new Set([...names, ...groups.map((group) => `${group.name}: *`)]);
  assert.deepEqual(
    [...timedCases].filter((name) => !names.includes(name)),
    [],
    "timed cases that are not there",
  );
  const strange = allowedDifferences.flatMap((difference) => difference.cases).filter((name) => !known.has(name));
  assert.deepEqual(strange, [], "allowed differences of cases that are not there");
  const errors = JSON.stringify(recorded) + JSON.stringify(readRecorded("3.6"));
  assert.deepEqual(
    errorsOfTheSurface.filter((text) => !errors.includes(text)),
    [],
    "error texts that no case brings out",
  );
  t.diagnostic(`${cases.length} cases, ${requestCount} requests, recorded from etcd ${recorded.etcd}`);
  for (const [row, reason] of Object.entries(rowsNotCovered)) t.diagnostic(`row ${row} is not covered: ${reason}`);
});

/**
 * Here a lease runs out, or a server's clock ticks, between two requests. On a machine that stands still for a second or
 * two at that moment it is another story that was told, by either server; so these are told again, a few times at most.
 */
const timedCases: ReadonlySet<string> = new Set([
  "lease-keep-alive: keep-alive renews",
  "lease-expiry: an expired lease takes its keys in one revision",
  "lease-expiry: an expired lease without keys is no revision",
  "lease-expiry: two leases that expire, one after the other",
  "restart: a lease that runs out afterwards",
  "quick-progress: an idle watcher hears of progress",
]);
const triesMax = 4;

async function judge(program: Program, party: Party): Promise<{ readonly version: string; readonly passed: number }> {
  const { version, outcomes } = await sweepProgram(program, groups, () => true);
  const problems: string[] = [];
  let failed = 0;
  for (const { name, item } of cases) {
    if (party === "etcd" && item.notOn35 !== undefined) continue;
    const problemsIn = (found: typeof outcomes): readonly string[] => {
      const outcome = found.get(name) ?? { problem: "not run" };
      if ("problem" in outcome) return [`${name} could not be run: ${outcome.problem}`];
      return problemsOf(name, item, outcome.answers, party);
    };
    let found = problemsIn(outcomes);
    for (let tries = 1; found.length > 0 && timedCases.has(name) && tries < triesMax; tries++) {
      found = problemsIn((await sweepProgram(program, groups, (wanted) => wanted === name)).outcomes);
    }
    if (found.length > 0) failed += 1;
    problems.push(...found);
  }
  assert(failed === 0, `${failed} of ${cases.length} cases differ\n\n${problems.join("\n")}`);
  return { version, passed: cases.length };
}

test("our member answers as recorded", async (t) => {
  const member = findMember();
  if (member === undefined) {
    t.diagnostic("left out: this checkout has no server yet (dist/server/server.js)");
    return;
  }
  const { version, passed } = await judge(member, "member");
  t.diagnostic(`${passed} cases pass on our member, which says it is ${version}`);
});

test("a real etcd still answers as recorded", async (t) => {
  const etcd = findEtcd();
  if (etcd === undefined) {
    t.diagnostic("left out: no etcd on PATH or in $QUORATE_ETCD_DIR");
    return;
  }
  if (etcd.version?.startsWith("3.5.") !== true) {
    t.diagnostic(`left out: the etcd found is ${etcd.version}, the table is recorded from 3.5`);
    return;
  }
  const { version, passed } = await judge(etcd, "etcd");
  t.diagnostic(`${passed} cases pass on etcd ${version}`);
});
