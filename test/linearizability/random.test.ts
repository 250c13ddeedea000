// Histories drawn by chance: legal ones must pass, and of small damaged ones the verdict must be that of brute force.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../server/lib/random.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { isLegalByForce } from "./brute-force.ts";
import { checkHistory, type HistoryOptions } from "./check-history.ts";
import { drawCounterexample } from "./counterexample.ts";
import { drawOperation } from "./draw.ts";
import type { Operation } from "./operation.ts";
import { damage } from "./perturb.ts";
import { drawHistory, type HistoryMix } from "./random-history.ts";

const seed = seedFromEnvironment();

const weights = { put: 4, delete: 2, range: 5, txn: 3, grant: 1, revoke: 0.5, compact: 0.3 };
const smallMix: HistoryMix = {
  keys: ["a", "b"],
  weights,
  serializableShare: 0,
  valueBytes: 0,
  ttlSecondsMin: 1,
  ttlSecondsMax: 5,
  clients: 3,
  operations: 6,
  lossChance: 0.2,
};

function describe(history: readonly Operation[], random: string): string {
  return `${random} (QUORATE_SEED=${seed})\n${history.map(drawOperation).join("\n")}`;
}

function expectLegal(history: readonly Operation[], options: HistoryOptions, name: string): void {
  const verdict = checkHistory(history, options);
  if (verdict.kind === "illegal") assert.fail(`${name}: ${drawCounterexample(verdict.counterexample)}`);
  assert.equal(verdict.kind, "legal", name);
}

test(`legal histories pass, with and without what watchers saw (seed ${seed})`, () => {
  for (let round = 0; round < 200; round++) {
    const random = createRandom(seed).fork(`legal ${round}`);
    const mix = { ...smallMix, keys: ["a", "b", "c"], operations: 10 + random.below(60), clients: 1 + random.below(5) };
    const { operations, changes } = drawHistory(random, mix);
    expectLegal(operations, { changes }, `round ${round}`);
    // Every lost answer doubles what may have been, so without the watchers' help there must be few.
    const clear = drawHistory(random, { ...mix, lossChance: 2 / mix.operations }).operations;
    expectLegal(clear, {}, `round ${round}, without changes`);
  }
});

test(`small histories, damaged or not, are judged as brute force judges them (seed ${seed})`, () => {
  const verdicts = { legal: 0, illegal: 0 };
  for (let round = 0; round < 1500; round++) {
    const random = createRandom(seed).fork(`small ${round}`);
    const mix = { ...smallMix, operations: 3 + random.below(5) };
    let history = drawHistory(random, mix).operations;
    for (let hits = random.below(3); hits > 0; hits--) history = damage(random, history);
    const expected = isLegalByForce(history) ? "legal" : "illegal";
    const verdict = checkHistory(history);
    assert.equal(verdict.kind, expected, describe(history, `round ${round}`));
    verdicts[expected]++;
  }
  assert(verdicts.legal > 200 && verdicts.illegal > 200, `too one-sided to say much: ${JSON.stringify(verdicts)}`);
});

test(`without revisions, cut into parts, the verdict is that of brute force as well (seed ${seed})`, () => {
  const verdicts = { legal: 0, illegal: 0 };
  for (let round = 0; round < 800; round++) {
    const random = createRandom(seed).fork(`unversioned ${round}`);
    let history: readonly Operation[] = drawHistory(random, {
      ...smallMix,
      operations: 3 + random.below(4),
    }).operations;
    for (let hits = random.below(3); hits > 0; hits--) history = damage(random, history);
    history = history.filter(({ request }) => request.kind !== "compact").map(withoutRevisions);
    const expected = isLegalByForce(history, true) ? "legal" : "illegal";
    const verdict = checkHistory(history, { revisions: "ignored" });
    assert.equal(verdict.kind, expected, describe(history, `round ${round}`));
    verdicts[expected]++;
  }
  assert(verdicts.legal > 50 && verdicts.illegal > 50, `too one-sided to say much: ${JSON.stringify(verdicts)}`);
});

test(`what is left of a violation is a violation, and small (seed ${seed})`, () => {
  let sizes = 0;
  let found = 0;
  for (let round = 0; found < 25; round++) {
    const random = createRandom(seed).fork(`counterexample ${round}`);
    const drawn = drawHistory(random, { ...smallMix, keys: ["a", "b", "c", "d"], operations: 120, clients: 5 });
    const verdict = checkHistory(damage(random, drawn.operations), { changes: drawn.changes });
    if (verdict.kind !== "illegal") continue;
    found++;
    const told = verdict.counterexample.operations.filter(({ outcome }) => outcome.kind === "returned");
    sizes += told.length;
    assert.notEqual(drawCounterexample(verdict.counterexample), "");
  }
  assert(sizes / found < 8, `violations are shown with ${sizes / found} answered operations on average`);
});

test(`thirty thousand operations are checked in moments (seed ${seed})`, () => {
  const random: Random = createRandom(seed).fork("large");
  const keys = Array.from({ length: 40 }, (_, at) => `key${String(at).padStart(2, "0")}`);
  const mix = {
    ...smallMix,
    keys,
    operations: 30_000,
    clients: 12,
    lossChance: 0.05,
    weights: { ...weights, compact: 0.01 },
  };
  const { operations, changes } = drawHistory(random, mix);
  expectLegal(operations, { changes }, "large");
});

/** The client is not told revisions, and does not ask by revision. */
function withoutRevisions(operation: Operation): Operation {
  const { request } = operation;
  return request.kind === "range" ? { ...operation, request: { ...request, revision: 0 } } : operation;
}
