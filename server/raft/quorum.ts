// The arithmetic of majorities, plain and joint: what is committed, who won a vote. Pure functions over sets of ids.
import type { MemberId } from "./types.ts";

/** Members that decide by majority. Sorted, without doubles. Empty decides nothing and stands in nobody's way. */
export type MajorityConfig = readonly MemberId[];

/** Two majorities that must both agree (Raft §6). With `outgoing` empty: a plain majority of `incoming`. */
export type JointConfig = { readonly incoming: MajorityConfig; readonly outgoing: MajorityConfig };

export type VoteResult = "pending" | "won" | "lost";

/** How many members make a majority. */
export function majoritySize(memberCount: number): number {
  return Math.floor(memberCount / 2) + 1;
}

/**
 * The highest value that a majority has reached. Members without a value count as 0. An empty configuration gives
 * Infinity, so that it never holds back the other half of a joint one.
 *
 * The value may be a log index (what is committed), the number of a quorum round or a time in ticks.
 */
export function majorityReached(config: MajorityConfig, reached: (id: MemberId) => number): number {
  if (config.length === 0) return Number.POSITIVE_INFINITY;
  // Configurations have a handful of members and this runs for every acknowledgement: insertion sort, descending.
  const sorted: number[] = [];
  for (const id of config) {
    const value = reached(id);
    let at = sorted.length;
    while (at > 0 && (sorted[at - 1] as number) < value) {
      sorted[at] = sorted[at - 1] as number;
      at--;
    }
    sorted[at] = value;
  }
  return sorted[majoritySize(config.length) - 1] as number;
}

/** The highest value that a majority of either half has reached. */
export function jointReached(config: JointConfig, reached: (id: MemberId) => number): number {
  return Math.min(majorityReached(config.incoming, reached), majorityReached(config.outgoing, reached));
}

/**
 * How a vote stands. `votes` gives a member's vote, or `undefined` while it has not voted. An empty configuration has
 * always won, so that it never holds back the other half of a joint one.
 */
export function majorityVote(config: MajorityConfig, votes: (id: MemberId) => boolean | undefined): VoteResult {
  if (config.length === 0) return "won";
  let granted = 0;
  let missing = 0;
  for (const id of config) {
    const vote = votes(id);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const needed = majoritySize(config.length);
  if (granted >= needed) return "won";
  return granted + missing >= needed ? "pending" : "lost";
}

/** Won when both halves have won, lost as soon as one half has lost. */
export function jointVote(config: JointConfig, votes: (id: MemberId) => boolean | undefined): VoteResult {
  const incoming = majorityVote(config.incoming, votes);
  const outgoing = majorityVote(config.outgoing, votes);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}
