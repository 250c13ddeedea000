// The judge itself: whatever is changed in an answer must be noticed, and an allowed difference must allow nothing more.
import assert from "node:assert/strict";
import { test } from "node:test";
import { seedFromEnvironment } from "../support/seed.ts";
import { differenceOf } from "./allowed-differences.ts";
import { problemsOf } from "./compare.ts";
import type { Json } from "./normalise.ts";
import { recordedCase } from "./recorded.ts";
import type { CaseAnswers } from "./runner.ts";
import { caseName, groups } from "./table.ts";

/** A small generator, good enough to pick places. */
function createPicker(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

/** A copy that differs in one place, somewhere inside. */
function changed(value: Json, pick: (below: number) => number): Json {
  if (typeof value === "string") return `${value}x`;
  if (typeof value === "number") return value + 1;
  if (typeof value === "boolean") return !value;
  if (value === null) return 0;
  if (isList(value)) {
    if (value.length === 0) return ["x"];
    const at = pick(value.length);
    return value.map((item, index) => (index === at ? changed(item, pick) : item));
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return { x: 1 };
  const at = pick(entries.length);
  return Object.fromEntries(entries.map(([key, item], index) => [key, index === at ? changed(item, pick) : item]));
}

const cases = groups.flatMap((group) => group.cases.map((item) => ({ name: caseName(group, item), item })));

test("a change anywhere in an answer is noticed", (t) => {
  const seed = seedFromEnvironment();
  t.diagnostic(`seed ${seed}`);
  const pick = createPicker(seed);
  let changes = 0;
  for (const { name, item } of cases) {
    const recorded = recordedCase("3.5", name);
    if (recorded === undefined || recorded.end === null) continue;
    const { answers, end }: CaseAnswers = recorded;
    assert.deepEqual(problemsOf(name, item, { answers, end }, "etcd"), [], name);
    for (const [index, answer] of answers.entries()) {
      const other = answers.with(index, changed(answer, pick));
      assert.notDeepEqual(problemsOf(name, item, { answers: other, end }, "etcd"), [], `${name}, answer ${index}`);
      if (differenceOf(name) === undefined)
        assert.notDeepEqual(problemsOf(name, item, { answers: other, end }, "member"), [], `${name}, answer ${index}`);
      changes += 1;
    }
    assert.notDeepEqual(problemsOf(name, item, { answers, end: changed(end, pick) }, "etcd"), [], `${name}, the end`);
    assert.notDeepEqual(problemsOf(name, item, { answers: answers.slice(1), end }, "etcd"), [], `${name}, one too few`);
  }
  t.diagnostic(`${changes} changed answers`);
});

test("an allowed difference allows what it says and nothing more", () => {
  const answersOf = (name: string, line: "3.5" | "3.6" | "3.7"): CaseAnswers => {
    const { answers, end } = recordedCase(line, name) ?? { answers: [], end: null };
    return { answers, end };
  };
  const judge = (name: string, got: CaseAnswers): readonly string[] => {
    const found = cases.find((one) => one.name === name);
    assert(found !== undefined, name);
    return problemsOf(name, found.item, got, "member");
  };
  const sorted = "kv-sort: unknown sort order";
  assert.deepEqual(judge(sorted, answersOf(sorted, "3.6")), []);
  assert.notDeepEqual(judge(sorted, answersOf(sorted, "3.5")), []);

  const garbage = "kv-range: garbage in place of a request";
  const { end } = answersOf(garbage, "3.5");
  assert.deepEqual(judge(garbage, { answers: [{ error: "Internal: other words" }], end }), []);
  assert.notDeepEqual(judge(garbage, { answers: [{ error: "Unknown: other words" }], end }), []);
  assert.notDeepEqual(judge(garbage, { answers: ["no error"], end }), []);

  const absent = "services: Auth/UserList";
  assert.deepEqual(judge(absent, answersOf(absent, "3.5")), []);
  assert.deepEqual(judge(absent, { answers: [{ error: "Unimplemented: not served" }], end: {} }), []);
  assert.notDeepEqual(judge(absent, { answers: [{ error: "Unimplemented: " }], end: {} }), []);
  assert.notDeepEqual(judge(absent, { answers: [{ header: "+7" }], end: {} }), []);
});
