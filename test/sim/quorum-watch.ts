// Sees to it that nobody goes on leading without a quorum: clients of such a leader would wait in vain, and its reads
// and leases would lean on nothing.
import type { SimMember } from "./sim-member.ts";
import type { World } from "./world.ts";

const lookMs = 100;

/** Looks until told to stop. Rejects when a leader without a quorum does not step down. */
export async function watchQuorums(world: World, isOver: () => boolean): Promise<void> {
  const { scheduler, weather } = world;
  // One timeout until the others give it up and say nothing more in its term, one until it notices, and what is late.
  const { lateChance, lateMaxMs } = weather.network;
  const aloneMsMax = weather.electionTimeoutMs * 3 + 500 + (lateChance > 0 ? lateMaxMs : 0);
  /** Since when each leader's life has been without a quorum. */
  const aloneSince = new Map<string, number>();
  while (!isOver()) {
    await scheduler.sleep(lookMs);
    const seen = new Set<string>();
    for (const member of world.members.values()) {
      if (!leadsAlone(world, member)) continue;
      const name = `${member.name} term ${member.core?.replica.roleState.term}`;
      seen.add(name);
      const since = aloneSince.get(name) ?? scheduler.nowMs;
      aloneSince.set(name, since);
      if (scheduler.nowMs - since > aloneMsMax)
        throw new Error(`member ${name} has led without a quorum for ${Math.round(scheduler.nowMs - since)} ms`);
    }
    for (const name of [...aloneSince.keys()]) if (!seen.has(name)) aloneSince.delete(name);
  }
}

function leadsAlone(world: World, member: SimMember): boolean {
  const { core, life } = member;
  if (core?.replica.roleState.role !== "leader" || life?.process.isPaused !== false) return false;
  const { voters } = core.replica.raftStatus().confState;
  const heard = voters.filter((id) => id === member.id || isHeard(world, member.id, id));
  return heard.length * 2 <= voters.length;
}

function isHeard({ network, members }: World, by: bigint, id: bigint): boolean {
  const process = members.get(id)?.life?.process;
  return process !== undefined && !process.isPaused && !network.isCut(id, by) && !network.isCut(by, id);
}
