// What can go wrong, as things that begin and end. Each kind is done to a cluster that is in use, and leaves it as it
// was: processes running, network whole, disks with room, as many members as before.
import type { Random } from "../../../server/lib/random.ts";
import type { Cluster, ClusterMember } from "../cluster/cluster.ts";
import type { Recorder } from "../workload/recorder.ts";
import type { Truth } from "../workload/truth.ts";

export interface FaultScene {
  readonly cluster: Cluster;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly truth: Truth;
  /** Up to where the log of what happened is safe elsewhere, so that it may be compacted. */
  readonly knownTo: () => number;
}

/**
 * Two faults can be under way at once, one of each lane: what is done to processes, disks and membership, and what is
 * done to the network.
 */
export type Lane = "members" | "network";

export interface Fault {
  readonly kind: string;
  readonly lane: Lane;
  /** How often it is drawn, against the others of its lane. Default 1. */
  readonly weight?: number;
  /** Does it and undoes it. Says what was done, to whom; undefined when it could not be done now. */
  run(scene: FaultScene): Promise<string | undefined>;
}

export const between = (random: Random, low: number, high: number): number => low + random.below(high - low);

/** Any member whose process runs. */
export function anyMember({ cluster, random }: FaultScene): ClusterMember | undefined {
  const running = cluster.members.filter(({ process }) => process.state === "running");
  return running[random.below(Math.max(1, running.length))];
}

/** The leader, or some other member. */
export async function chooseRole(scene: FaultScene, role: "leader" | "follower"): Promise<ClusterMember | undefined> {
  const leader = await scene.cluster.leader();
  if (role === "leader") return leader;
  const { cluster, random } = scene;
  const followers = cluster.members.filter((member) => member !== leader && member.process.state === "running");
  return followers[random.below(Math.max(1, followers.length))];
}
