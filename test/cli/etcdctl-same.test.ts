// Our client commands print what etcdctl 3.5 prints and end as it ends: on our member and, where one is found, on a real
// etcd. Each program has a server of its own, and both servers get the same commands. Without etcdctl, what it printed on
// a real etcd is compared, from etcdctl-3.5.recorded.json.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { repositoryRoot } from "../support/paths.ts";
import { findEtcd, type Target, targets } from "../support/server-under-test.ts";
import { allowed } from "./etcdctl-differences.ts";
import { type Answered, answer, type Row, readRows } from "./etcdctl-rows.ts";

interface Recorded {
  readonly version: string;
  readonly answers: { readonly [row: string]: readonly Answered[] };
}

const rows = readRows();
const etcdctl = findEtcd("etcdctl");
const recorded = JSON.parse(
  readFileSync(join(repositoryRoot, "test", "cli", "etcdctl-3.5.recorded.json"), "utf8"),
) as Recorded;

test("every row is recorded", () => {
  for (const { text } of rows) assert(recorded.answers[text] !== undefined, `record anew: ${text}`);
});

for (const target of targets()) {
  // What never reaches a server is the same on every one.
  const some = target.name === "quorate" ? rows : rows.filter(({ isLocal }) => !isLocal);
  test(`quorate answers as etcdctl ${etcdctl === undefined ? `${recorded.version} did` : "does"}, on ${target.name}`, async (t) => {
    const { differences, leftOut } = await compare(target, some);
    if (leftOut.length > 0) t.diagnostic(`left out, since the member does not offer them: ${leftOut.join("; ")}`);
    assert.deepEqual(differences, []);
  });
}

async function compare(target: Target, some: readonly Row[]) {
  // The version that a member reports is shown, so ours reports the recorded one.
  const env = { QUORATE_API_VERSION: recorded.version };
  await using ours = await target.start({ env });
  await using theirs = etcdctl === undefined ? undefined : await target.start({ env });
  const differences: unknown[] = [];
  const leftOut: string[] = [];
  const seen = new Map<string, number>();
  for (const row of some) {
    const nth = seen.get(row.text) ?? 0;
    seen.set(row.text, nth + 1);
    const [found, expected] = await Promise.all([
      answer(undefined, ours.endpoint, row),
      theirs === undefined || etcdctl === undefined
        ? recorded.answers[row.text]![nth]!
        : answer(etcdctl, theirs.endpoint, row),
    ]);
    if (isSame(found, expected) || allowed(row.text, found, expected)) continue;
    // A recording knows what etcd offers, not what our member does.
    if (theirs === undefined && /not offered|not implemented/i.test(found.error)) leftOut.push(row.text);
    else differences.push({ row: row.text, found, expected });
  }
  return { differences, leftOut };
}

const isSame = (a: Answered, b: Answered): boolean =>
  a.status === b.status && a.stdout === b.stdout && a.error === b.error;
