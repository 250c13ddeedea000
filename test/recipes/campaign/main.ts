// Runs campaigns of any length from the command line:
//
//   node dist/test/recipes/campaign/main.js [--mode MODE] [--target quorate|etcd] [--sections N] [--minutes M]
//     [--fault-pause MS]
//
// Without --mode all of them, one after the other; QUORATE_SEED chooses the weather. The exit status is 0 if nothing was
// lost where nothing may be, and something was where that is expected.
import { parseArgs } from "node:util";
import { seedFromEnvironment } from "../../support/seed.ts";
import { targets } from "../../support/server-under-test.ts";
import { type CampaignReport, runCampaign } from "./campaign.ts";
import { isExpectedToFail, type Mode, modes } from "./protocol.ts";

const { values } = parseArgs({
  options: {
    mode: { type: "string" },
    target: { type: "string", default: "quorate" },
    sections: { type: "string", default: "100000" },
    minutes: { type: "string", default: "20" },
    "fault-pause": { type: "string", default: "3000" },
  },
});
const target = targets().find(({ name }) => name === values.target);
if (target === undefined) throw new Error(`no server called ${values.target} was found`);
const chosen = values.mode === undefined ? modes : modes.filter((mode) => mode === values.mode);
if (chosen.length === 0) throw new Error(`--mode: expected one of ${modes.join(", ")}`);
const seed = seedFromEnvironment(Math.floor(Math.random() * 2 ** 31));

function describe({ outcomes, faults, ...report }: CampaignReport): string {
  const entries = Object.entries({ ...report, elapsedMs: Math.round(report.elapsedMs) });
  const counts = (of: object): string =>
    Object.entries(of)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ");
  return [
    ...entries.map(([name, value]) => `${name.padEnd(14)} ${typeof value === "number" ? Math.round(value) : value}`),
    `sections       ${counts(outcomes)}`,
    `faults         ${counts(faults)}`,
  ].join("\n");
}

let isGood = true;
for (const mode of chosen) {
  const isUnsafe = isExpectedToFail(mode);
  const report = await runCampaign(target, {
    mode: mode as Mode,
    seed,
    sections: isUnsafe ? Math.min(2000, Number(values.sections)) : Number(values.sections),
    untilLost: isUnsafe,
    limitMs: Number(values.minutes) * 60_000,
    faultPauseMs: isUnsafe ? 450 : Number(values["fault-pause"]),
    workers: 4,
    loops: 8,
    names: 16,
  });
  const isAsExpected = isUnsafe === report.violations > 0;
  isGood &&= isAsExpected;
  console.log(`${describe(report)}\n${isAsExpected ? "as expected" : "NOT AS EXPECTED"}\n`);
}
process.exit(isGood ? 0 : 1);
