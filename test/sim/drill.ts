// Disturbances with a known end, in calm weather. One follower is cut off, or hears nothing, or does not reach the
// leader: it asks before it campaigns, cannot win, and must not cost the others their leader. Or the leader is cut off:
// then it must stop leading, and another one begin. Or it is to hand leadership to a member that it cannot reach.
import type { Random } from "../../server/lib/random.ts";
import type { SimMember } from "./sim-member.ts";
import { leaderOf, pick, type World } from "./world.ts";

const drills = ["follower-cut-off", "follower-deaf", "follower-without-leader", "leader-cut-off", "transfer"] as const;

/** Rejects when the cluster did not behave. */
export async function drill(world: World, random: Random): Promise<void> {
  const leader = leaderOf(world);
  const { voters } = leader?.core?.replica.raftStatus().confState ?? { voters: [] };
  if (leader?.core === undefined || voters.length < 3) return;
  const kind = pick(random, drills);
  const follower = pick(
    random,
    voters.filter((id) => id !== leader.id),
  );
  if (kind === "leader-cut-off") await cutLeader(world, leader);
  else if (kind === "transfer") await transferToNobody(world, leader, follower);
  else if (world.weather.preVote) await disturb(world, leader, follower, kind);
}

async function disturb(
  world: World,
  leader: SimMember,
  follower: bigint,
  kind: (typeof drills)[number],
): Promise<void> {
  const { weather, scheduler, network } = world;
  const term = leader.core?.replica.roleState.term;
  for (const { id } of kind === "follower-without-leader" ? [leader] : world.members.values()) {
    if (id === follower) continue;
    network.cut(id, follower);
    if (kind !== "follower-deaf") network.cut(follower, id);
  }
  const check = (when: string): void => {
    const now = leaderOf(world);
    const state = now?.core?.replica.roleState;
    if (now?.id === leader.id && state?.term === term) return;
    throw new Error(
      `${kind}: ${when} member ${follower} was disturbed, leader ${leader.id} of term ${term} was replaced by ` +
        `${now?.id ?? "nobody"} of term ${state?.term ?? "none"}`,
    );
  };
  await scheduler.sleep(weather.electionTimeoutMs * 4);
  check("while");
  network.healAll();
  await scheduler.sleep(weather.electionTimeoutMs * 3);
  check("after");
}

/** A transfer to a member that is out of reach is given up, and the leader works on. */
async function transferToNobody(world: World, leader: SimMember, target: bigint): Promise<void> {
  const { weather, scheduler, network, door } = world;
  for (const [from, to] of [
    [leader.id, target],
    [target, leader.id],
  ] as const)
    network.cut(from, to);
  // That it did not come about is what is wanted here.
  leader.core?.replica.leaderTransfer.moveTo(target).catch(() => undefined);
  await scheduler.sleep(weather.electionTimeoutMs * 2.5);
  const put = { kind: "put", key: "drill", value: "works", lease: 0n } as const;
  const result = await door.execute("drill", leader, put, 5000);
  if (result?.kind !== "put") throw new Error(`member ${leader.name} takes no writes after a transfer that failed`);
  network.healAll();
  await scheduler.sleep(weather.electionTimeoutMs);
}

async function cutLeader(world: World, leader: SimMember): Promise<void> {
  const { weather, scheduler, network, members } = world;
  for (const { id } of members.values()) {
    if (id === leader.id) continue;
    network.cut(id, leader.id);
    network.cut(leader.id, id);
  }
  await scheduler.sleep(weather.electionTimeoutMs * 2.5);
  if (leader.core?.replica.roleState.role === "leader")
    throw new Error(`member ${leader.name} was cut off, and takes itself for the leader still`);
  network.healAll();
  // Votes may be split, so it may take more than one try.
  for (let left = 20; left > 0 && leaderOf(world) === undefined; left--)
    await scheduler.sleep(weather.electionTimeoutMs);
  if (leaderOf(world) === undefined) throw new Error("nobody leads after the leader was cut off");
  await scheduler.sleep(weather.electionTimeoutMs * 2);
}
