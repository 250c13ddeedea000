// Changes of who belongs to the cluster while it is in use, planned and forced; and disks that fill up.
import { type ClusterMember, pause } from "../cluster/cluster.ts";
import { anyMember, between, chooseRole, type Fault, type FaultScene } from "./fault.ts";

const changeMsMax = 25_000;

/** One that can go: not the one with the small disk, which is needed for its own fault. */
async function removable(scene: FaultScene): Promise<ClusterMember | undefined> {
  const leader = await chooseRole(scene, "leader");
  const candidates = scene.cluster.members.filter(({ volume }) => !volume.canFill);
  if (scene.random.below(3) === 0 && leader !== undefined && candidates.includes(leader)) return leader;
  return candidates[scene.random.below(Math.max(1, candidates.length))];
}

/** Adds a member, trying again until the cluster takes it. */
async function addMember(scene: FaultScene, isLearner: boolean): Promise<ClusterMember | undefined> {
  const endMs = performance.now() + changeMsMax;
  while (performance.now() < endMs) {
    const through = anyMember(scene);
    const added = through === undefined ? undefined : await scene.cluster.add(through, isLearner);
    if (added !== undefined) return added;
    await pause(300);
  }
  return undefined;
}

async function promote({ cluster }: FaultScene, member: ClusterMember): Promise<boolean> {
  const endMs = performance.now() + changeMsMax;
  while (performance.now() < endMs) {
    await cluster.callAny("Cluster/MemberPromote", { ID: member.id });
    const listed = (await cluster.listMembers())?.find(({ ID }) => ID === member.id);
    if (listed?.isLearner === false) return true;
    await pause(300);
  }
  return false;
}

/** A learner joins, is promoted, and takes the place of another member. */
const replaceByLearner: Fault = {
  kind: "learner added, promoted, another removed",
  lane: "members",
  weight: 2,
  async run(scene) {
    const gone = await removable(scene);
    if (gone === undefined) return undefined;
    const added = await addMember(scene, true);
    if (added === undefined) throw new Error("no learner could be added");
    if (!(await promote(scene, added))) throw new Error(`${added.name} was not promoted\n${added.process.logTail}`);
    if (!(await scene.cluster.remove(gone.name, changeMsMax))) throw new Error(`${gone.name} was not removed`);
    return `${added.name} for ${gone.name}`;
  },
};

/** A member has lost its disk: it is removed, and another added with an empty folder. */
const dataLost: Fault = {
  kind: "data directory lost, member replaced",
  lane: "members",
  weight: 2,
  async run(scene) {
    const victim = await removable(scene);
    if (victim === undefined) return undefined;
    await victim.process.kill();
    victim.volume.wipe();
    if (!(await scene.cluster.remove(victim.name, changeMsMax))) throw new Error(`${victim.name} was not removed`);
    const added = await addMember(scene, false);
    if (added === undefined) throw new Error("no member could be added in the place of one that lost its data");
    if (!(await added.process.untilReady(changeMsMax))) {
      throw new Error(`${added.name} does not serve\n${added.process.logTail}`);
    }
    return `${added.name} for ${victim.name}`;
  },
};

/** The disk is full for a while; then there is room again. */
const diskFull: Fault = {
  kind: "disk full",
  lane: "members",
  weight: 2,
  async run(scene) {
    const member = scene.cluster.members.find(({ volume }) => volume.canFill);
    if (member === undefined) return undefined;
    member.volume.fill(scene.random.below(64 * 1024));
    await pause(between(scene.random, 1000, 4000));
    // Starting on a full disk is another thing than running on one.
    const restarts = scene.random.below(3) === 0;
    if (restarts) {
      await member.process.kill();
      member.process.start();
      member.process.expectEnd();
      await pause(1500);
    }
    member.volume.free();
    await pause(500);
    member.process.start();
    if (!(await member.process.untilReady(changeMsMax))) {
      throw new Error(`${member.name} does not come back from a full disk\n${member.process.logTail}`);
    }
    await clearAlarm(scene);
    return `${member.name}${restarts ? ", restarted on it" : ""}`;
  },
};

/** The alarm outlives its reason until somebody clears it, as in etcd. */
async function clearAlarm({ cluster }: FaultScene): Promise<void> {
  const endMs = performance.now() + changeMsMax;
  while (performance.now() < endMs) {
    const answer = await cluster.callAny("Maintenance/Alarm", { action: 0 });
    const alarms = (answer as { readonly alarms: readonly { memberID: bigint; alarm: number }[] } | undefined)?.alarms;
    if (alarms?.length === 0) return;
    for (const { memberID, alarm } of alarms ?? [])
      await cluster.callAny("Maintenance/Alarm", { action: 2, memberID, alarm });
    await pause(200);
  }
  throw new Error("the alarm of a full disk could not be cleared");
}

export const membershipFaults: readonly Fault[] = [replaceByLearner, dataLost, diskFull];
