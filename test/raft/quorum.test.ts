// Majorities and joint majorities: the shared vectors, and the clever rules against naive ones over random inputs.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createRandom } from "../../server/lib/random.ts";
import { type JointConfig, jointReached, jointVote, majorityReached, majorityVote } from "../../server/raft/quorum.ts";
import type { MemberId } from "../../server/raft/types.ts";
import { runStory, type StoryCommand, storyValues } from "../support/datadriven.ts";
import { seedFromEnvironment } from "../support/seed.ts";
import { findShared } from "../support/shared.ts";

const uniqueIds = (...lists: readonly (readonly MemberId[])[]): MemberId[] => [...new Set(lists.flat())];
const byId = (a: MemberId, b: MemberId): number => (a < b ? -1 : a > b ? 1 : 0);

/** Draws how far each member has come; `?` has told nothing, the bar's length is how many are behind. */
function drawReached(ids: readonly MemberId[], reached: ReadonlyMap<MemberId, number>): string {
  if (ids.length === 0) return "<empty majority quorum>";
  const sorted = [...ids].sort((a, b) => (reached.get(a) ?? 0) - (reached.get(b) ?? 0) || byId(a, b));
  const lines = [...ids].sort(byId).map((id) => {
    const behind = sorted.filter((other) => (reached.get(other) ?? 0) < (reached.get(id) ?? 0)).length;
    const bar = reached.has(id)
      ? `${"x".repeat(behind)}>${" ".repeat(ids.length - behind)}`
      : `?${" ".repeat(ids.length)}`;
    return `${bar} ${String(reached.get(id) ?? 0).padStart(5)}    (id=${id})\n`;
  });
  return `${" ".repeat(ids.length)}    idx\n${lines.join("")}`;
}

/** The highest index for which counting heads finds a majority. */
function naiveMajorityReached(config: readonly MemberId[], reached: (id: MemberId) => number): number {
  if (config.length === 0) return Number.POSITIVE_INFINITY;
  const holds = (index: number): boolean => config.filter((id) => reached(id) >= index).length * 2 > config.length;
  return Math.max(0, ...config.map(reached).filter(holds));
}

function runQuorumCommand(command: StoryCommand): string {
  const ids = (key: string): MemberId[] =>
    (storyValues(command, key) ?? []).filter((word) => word !== "zero").map((word) => BigInt(word));
  const config: JointConfig = { incoming: ids("cfg").sort(byId), outgoing: ids("cfgj").sort(byId) };
  // Values are listed in the order of cfg, then of those only in cfgj.
  const members = uniqueIds(ids("cfg"), ids("cfgj"));
  const isJoint = storyValues(command, "cfgj") !== undefined;
  const values = <T>(key: string, parse: (word: string) => T): Map<MemberId, T> =>
    new Map(
      (storyValues(command, key) ?? []).flatMap((word, i) =>
        word === "_" ? [] : [[members[i] as MemberId, parse(word)]],
      ),
    );
  if (command.name === "vote") {
    const votes = values("votes", (word) => word === "y");
    const vote = (id: MemberId): boolean | undefined => votes.get(id);
    const result = isJoint ? jointVote(config, vote) : majorityVote(config.incoming, vote);
    return { pending: "VotePending", won: "VoteWon", lost: "VoteLost" }[result];
  }
  assert.equal(command.name, "committed", command.at);
  const indexes = values("idx", Number);
  const reached = (id: MemberId): number => indexes.get(id) ?? 0;
  const result = isJoint ? jointReached(config, reached) : majorityReached(config.incoming, reached);
  return drawReached(members, indexes) + (result === Number.POSITIVE_INFINITY ? "∞" : String(result));
}

test("quorum vectors", (t) => {
  const folder = findShared("spec/raft-vectors/quorum");
  if (folder === undefined) {
    t.diagnostic("left out: the shared quorum vectors are not beside this checkout");
    return;
  }
  const files = readdirSync(folder);
  assert(files.length > 0, folder);
  for (const file of files) runStory(join(folder, file), runQuorumCommand, false);
});

test("what is committed agrees with counting heads, plain and joint", () => {
  const seed = seedFromEnvironment();
  const random = createRandom(seed);
  const draw = (): MemberId[] =>
    Array.from({ length: random.below(8) }, () => BigInt(1 + random.below(9)))
      .filter((id, i, all) => all.indexOf(id) === i)
      .sort(byId);
  for (let round = 0; round < 20_000; round++) {
    const config: JointConfig = { incoming: draw(), outgoing: draw() };
    const indexes = new Map(uniqueIds(config.incoming, config.outgoing).map((id) => [id, random.below(6)]));
    const reached = (id: MemberId): number => indexes.get(id) as number;
    const naive = Math.min(
      naiveMajorityReached(config.incoming, reached),
      naiveMajorityReached(config.outgoing, reached),
    );
    const numbers = `seed ${seed}, round ${round}: ${JSON.stringify([[...indexes].map(String), config.incoming.map(String)])}`;
    assert.equal(jointReached(config, reached), naive, numbers);
    assert.equal(jointReached({ incoming: config.outgoing, outgoing: config.incoming }, reached), naive, numbers);
    assert.equal(
      jointReached({ incoming: config.incoming, outgoing: config.incoming }, reached),
      majorityReached(config.incoming, reached),
      numbers,
    );
  }
});

test("a vote is won exactly when no missing vote can change it any more", () => {
  const seed = seedFromEnvironment();
  const random = createRandom(seed);
  for (let round = 0; round < 5_000; round++) {
    const draw = (): MemberId[] => [1n, 2n, 3n, 4n, 5n].filter(() => random.below(2) === 0);
    const config: JointConfig = { incoming: draw(), outgoing: draw() };
    const members = uniqueIds(config.incoming, config.outgoing);
    const votes = new Map(
      members.flatMap((id) => (random.below(3) === 0 ? [] : [[id, random.below(2) === 0] as const])),
    );
    const wonBy = (granting: (id: MemberId) => boolean): boolean =>
      [config.incoming, config.outgoing].every(
        (half) => half.length === 0 || half.filter(granting).length * 2 > half.length,
      );
    // Won: even if all missing votes refuse. Lost: even if all of them grant.
    const expected = wonBy((id) => votes.get(id) ?? false)
      ? "won"
      : wonBy((id) => votes.get(id) ?? true)
        ? "pending"
        : "lost";
    assert.equal(
      jointVote(config, (id) => votes.get(id)),
      expected,
      `seed ${seed}, round ${round}`,
    );
  }
});
