// Membership changes: the shared vectors, the bytes of an entry, and what must hold for any change.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import {
  type ConfChange,
  type ConfChangeRefusal,
  type ConfChangeStep,
  changeConfiguration,
  changeSimply,
  enterJoint,
  isJoint,
  leaveJoint,
} from "../../server/raft/conf-change.ts";
import { decodeConfChange, encodeConfChange } from "../../server/raft/conf-change-codec.ts";
import type { Progress } from "../../server/raft/progress.ts";
import { Tracker } from "../../server/raft/tracker.ts";
import { type ConfState, emptyConfState, noBytes } from "../../server/raft/types.ts";
import { runStory, type StoryCommand, storyFlag } from "../support/datadriven.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { findShared } from "../support/shared.ts";

const refusalTexts: Readonly<Record<ConfChangeRefusal, string>> = {
  "already-joint": "config is already joint",
  joint: "can't apply simple config change in joint config",
  "not-joint": "can't leave a non-joint config",
  "no-voters": "can't make a zero-voter config joint",
  "removed-all-voters": "removed all voters",
  "several-voters-changed": "more than one voter changed without entering joint config",
};

const stepKinds: Readonly<Record<string, ConfChangeStep["kind"]>> = {
  v: "add-voter",
  l: "add-learner",
  r: "remove",
  u: "update",
};

const parseSteps = (text: string): ConfChangeStep[] =>
  text
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word) => ({ kind: stepKinds[word[0] as string] as ConfChangeStep["kind"], id: BigInt(word.slice(1)) }));

function drawConfState(confState: ConfState): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = confState;
  const parts = [`voters=(${voters.join(" ")})${votersOutgoing.length > 0 ? `&&(${votersOutgoing.join(" ")})` : ""}`];
  if (learners.length > 0) parts.push(`learners=(${learners.join(" ")})`);
  if (learnersNext.length > 0) parts.push(`learners_next=(${learnersNext.join(" ")})`);
  if (autoLeave) parts.push("autoleave");
  return parts.join(" ");
}

const stateNames: Readonly<Record<Progress["state"], string>> = {
  probe: "StateProbe",
  replicate: "StateReplicate",
  snapshot: "StateSnapshot",
};

const drawProgress = (progress: Progress, confState: ConfState): string =>
  `${progress.id}: ${stateNames[progress.state]} match=${progress.match} next=${progress.next}` +
  (confState.learners.includes(progress.id) ? " learner" : "");

/** One story's configuration. Each command counts as one more entry in the log, which is where new members start. */
function createConfChangeRunner(): (command: StoryCommand) => string {
  const tracker = new Tracker({ inflightMessagesMax: 10, inflightBytesMax: 1000 });
  let lastIndex = 0;
  return (command) => {
    const steps = parseSteps(command.input);
    const next = Math.max(lastIndex++, 1);
    const results = {
      simple: () => changeSimply(tracker.confState, steps),
      "enter-joint": () => enterJoint(tracker.confState, storyFlag(command, "autoleave"), steps),
      "leave-joint": () => leaveJoint(tracker.confState),
    };
    const result = results[command.name as keyof typeof results]();
    if (result.kind === "refused") return refusalTexts[result.reason];
    tracker.reconfigure(result.confState, next, 0);
    return [
      drawConfState(tracker.confState),
      ...tracker.members.map((progress) => drawProgress(progress, tracker.confState)),
    ].join("\n");
  };
}

test("membership change vectors", (t) => {
  const folder = findShared("spec/raft-vectors/confchange");
  if (folder === undefined) {
    t.diagnostic("left out: the shared membership change vectors are not beside this checkout");
    return;
  }
  const files = readdirSync(folder);
  assert(files.length > 0, folder);
  for (const file of files) runStory(join(folder, file), createConfChangeRunner(), false);
});

/** Whether some majority of one list shares no member with some majority of the other. */
function canSplit(left: readonly bigint[], right: readonly bigint[]): boolean {
  const subsets = (ids: readonly bigint[]): bigint[][] =>
    Array.from({ length: 1 << ids.length }, (_, mask) => ids.filter((_id, i) => (mask >> i) & 1));
  const majorities = (ids: readonly bigint[]): bigint[][] =>
    subsets(ids).filter((subset) => subset.length * 2 > ids.length);
  return majorities(left).some((a) => majorities(right).some((b) => !a.some((id) => b.includes(id))));
}

test("every change keeps the lists apart and leaves majorities that overlap with those before it", () => {
  const seed = seedFromEnvironment();
  const random = createRandom(seed);
  let changed = 0;
  for (let story = 0; story < 60; story++) {
    let confState: ConfState = { ...emptyConfState, voters: [1n] };
    for (let move = 0; move < 25; move++) {
      const steps = Array.from({ length: random.below(4) }, () => ({
        kind: (["add-voter", "add-learner", "remove"] as const)[random.below(3)] as ConfChangeStep["kind"],
        id: BigInt(1 + random.below(5)),
      }));
      const change: ConfChange = {
        transition: random.below(2) === 0 ? "auto" : "joint-explicit",
        steps,
        context: noBytes,
      };
      const result = changeConfiguration(confState, change);
      if (result.kind === "refused") continue;
      changed++;
      const next = result.confState;
      const where = `seed ${seed}, story ${story}: ${drawConfState(confState)} -> ${drawConfState(next)}`;
      assert(next.voters.length > 0, where);
      for (const id of next.learners) assert(![...next.voters, ...next.votersOutgoing].includes(id), where);
      for (const id of next.learnersNext) assert(next.votersOutgoing.includes(id) && !next.voters.includes(id), where);
      // Between a joint and a plain configuration they share a half; between two plain ones any majorities must meet.
      if (!isJoint(confState) && !isJoint(next)) assert(!canSplit(confState.voters, next.voters), where);
      if (!isJoint(confState) && isJoint(next)) assert.deepEqual(next.votersOutgoing, confState.voters, where);
      if (isJoint(confState)) assert.deepEqual(next.voters, confState.voters, where);
      confState = next;
    }
  }
  assert(changed > 300, `only ${changed} changes were legal`);
});

test("a change survives its bytes, and other bytes are refused", () => {
  const change: ConfChange = {
    transition: "joint-explicit",
    steps: [
      { kind: "add-voter", id: 0xffff_ffff_ffff_fffen },
      { kind: "remove", id: 7n },
      { kind: "update", id: 1n },
      { kind: "add-learner", id: 2n },
    ],
    context: new TextEncoder().encode("http://127.0.0.1:2380"),
  };
  const bytes = encodeConfChange(change);
  assert.deepEqual(decodeConfChange(bytes), change);
  const leave: ConfChange = { transition: "auto", steps: [], context: noBytes };
  assert.deepEqual(decodeConfChange(encodeConfChange(leave)), leave);
  for (const broken of [noBytes, bytes.slice(0, 12), bytes.with(0, 9), bytes.with(1, 3), bytes.with(4, 4)])
    assert.equal(decodeConfChange(broken), undefined);
});
