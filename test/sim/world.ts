// What everybody in the simulation shares: time, members, wires, the truth, and a notebook for what was seen.
import type { Random } from "../../server/lib/random.ts";
import type { ClientDoor } from "./client-door.ts";
import type { Network } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimMember } from "./sim-member.ts";
import type { Truth } from "./truth.ts";
import type { Weather } from "./weather.ts";

export interface World {
  readonly scheduler: Scheduler;
  readonly weather: Weather;
  readonly network: Network;
  readonly truth: Truth;
  readonly door: ClientDoor;
  /** Every member there ever was, by id. */
  readonly members: Map<bigint, SimMember>;
  /** The storm goes on: clients keep asking, and faults keep coming. */
  readonly isStormy: () => boolean;
  /** Who wants to know at once when a member has sent a vote. */
  readonly hooks: { onVote: ((voter: SimMember) => void) | undefined };
  /** Something worth knowing has happened. */
  readonly note: (probe: string) => void;
}

/** Members that answer clients now. */
export function serving(world: World): readonly SimMember[] {
  return [...world.members.values()].filter(({ life }) => life?.isServing === true);
}

/** Members whose process runs. */
export function running(world: World): readonly SimMember[] {
  return [...world.members.values()].filter(({ isUp }) => isUp);
}

/** Whoever takes itself for the leader, in the highest term if there are two. */
export function leaderOf(world: World): SimMember | undefined {
  let leader: SimMember | undefined;
  let highest = -1;
  for (const member of world.members.values()) {
    const state = member.core?.replica.roleState;
    if (state?.role !== "leader" || state.term <= highest) continue;
    leader = member;
    highest = state.term;
  }
  return leader;
}

export function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random.below(choices.length)] as T;
}
