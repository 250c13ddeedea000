// What happens to processes: they die, stand still, stutter, and are stopped and started in order.
import { pause } from "../cluster/cluster.ts";
import { anyMember, between, chooseRole, type Fault, type FaultScene } from "./fault.ts";

/** After this long a restarted member may still wait for a quorum, when the network is broken too. */
const readyMsMax = 20_000;

function kill(role: "leader" | "follower", weight: number): Fault {
  return {
    kind: `kill ${role}`,
    lane: "members",
    weight,
    async run(scene) {
      const member = await chooseRole(scene, role);
      if (member === undefined) return undefined;
      await member.process.kill();
      await pause(between(scene.random, 0, 2500));
      member.process.start();
      await member.process.untilReady(readyMsMax);
      return member.name;
    },
  };
}

const killAll: Fault = {
  kind: "kill all",
  lane: "members",
  async run({ cluster, random }) {
    const running = cluster.members.filter(({ process }) => process.state === "running");
    await Promise.all(running.map(({ process }) => process.kill()));
    await pause(between(random, 0, 1000));
    for (const { process } of running) {
      process.start();
      await pause(between(random, 0, 300));
    }
    await Promise.all(running.map(({ process }) => process.untilReady(readyMsMax)));
    return running.map(({ name }) => name).join();
  },
};

function freeze(role: "leader" | "follower", weight: number): Fault {
  return {
    kind: `freeze ${role}`,
    lane: "members",
    weight,
    async run(scene) {
      const member = await chooseRole(scene, role);
      if (member === undefined) return undefined;
      const frozenMs = between(scene.random, 200, 5000);
      member.process.freeze();
      await pause(frozenMs);
      member.process.thaw();
      return `${member.name} for ${frozenMs} ms`;
    },
  };
}

const stutter: Fault = {
  kind: "stutter",
  lane: "members",
  async run(scene) {
    const member = anyMember(scene);
    if (member === undefined) return undefined;
    for (let round = 0; round < 12; round++) {
      member.process.freeze();
      await pause(between(scene.random, 20, 250));
      member.process.thaw();
      await pause(between(scene.random, 20, 100));
    }
    return member.name;
  },
};

const rollingRestart: Fault = {
  kind: "rolling restart",
  lane: "members",
  async run({ cluster }) {
    for (const { process } of cluster.members) {
      await process.stop();
      process.start();
      await process.untilReady(readyMsMax);
    }
    return cluster.members.map(({ name }) => name).join();
  },
};

/** Down for so long that the log does not reach back far enough, and a snapshot is needed. */
const fallBehind: Fault = {
  kind: "fall behind, snapshot",
  lane: "members",
  weight: 2,
  async run(scene) {
    const member = await chooseRole(scene, "follower");
    if (member === undefined) return undefined;
    await member.process.kill();
    await compact(scene);
    await pause(between(scene.random, 3000, 5000));
    member.process.start();
    await member.process.untilReady(readyMsMax);
    // In the middle of the installation, or just behind it.
    if (scene.random.below(2) === 0) {
      await member.process.kill();
      member.process.start();
      await member.process.untilReady(readyMsMax);
    }
    return member.name;
  },
};

const moveLeader: Fault = {
  kind: "move leader",
  lane: "members",
  weight: 2,
  async run(scene) {
    const leader = await chooseRole(scene, "leader");
    const target = await chooseRole(scene, "follower");
    if (leader === undefined || target === undefined || leader === target) return undefined;
    await leader.wire.call("Maintenance/MoveLeader", { targetID: target.id }, { deadlineMs: 3000 });
    // The target may die of it.
    if (scene.random.below(4) === 0) {
      await target.process.kill();
      target.process.start();
      await target.process.untilReady(readyMsMax);
    }
    return `${leader.name} to ${target.name}`;
  },
};

/** Something that the member does to itself when it gets a signal, begun and, where it lasts, ended by one. */
function trouble(kind: string, signal: NodeJS.Signals, lastsMs: readonly [number, number] | undefined): Fault {
  return {
    kind,
    lane: "members",
    async run(scene) {
      const leader = await chooseRole(scene, "leader");
      const chosen = scene.random.below(2) === 0 ? leader : anyMember(scene);
      const member = chosen?.canTrouble ? chosen : scene.cluster.members.find(({ canTrouble }) => canTrouble);
      if (member === undefined || !member.process.isReady) return undefined;
      const life = member.process.lives;
      process.kill(member.process.pid, signal);
      if (lastsMs === undefined) return member.name;
      await pause(between(scene.random, ...lastsMs));
      // A new life has none of it.
      if (member.process.isReady && member.process.lives === life) process.kill(member.process.pid, signal);
      return member.name;
    },
  };
}

async function compact({ cluster, random, recorder, truth, knownTo }: FaultScene): Promise<string | undefined> {
  const revision = knownTo() - random.below(50);
  const last = truth.compactions.at(-1)?.revision ?? 1;
  const member = anyMember({ cluster, random } as FaultScene);
  if (revision <= last || member === undefined) return undefined;
  truth.noteCompaction(revision, recorder.now);
  await recorder.record("operator", { kind: "compact", revision }, async () => {
    const message = { revision: BigInt(revision), physical: random.below(2) === 0 };
    const answer = await member.wire.call("KV/Compact", message, { deadlineMs: 5000 });
    if (!("response" in answer)) return { kind: "unknown" };
    const { header } = answer.response as { readonly header: { readonly revision: bigint } };
    return { kind: "returned", result: { kind: "compact", revision: Number(header.revision) } };
  });
  return `to ${revision}`;
}

const compaction: Fault = { kind: "compaction", lane: "members", weight: 2, run: compact };

export const processFaults: readonly Fault[] = [
  kill("leader", 4),
  kill("follower", 2),
  killAll,
  freeze("leader", 3),
  freeze("follower", 1),
  stutter,
  rollingRestart,
  fallBehind,
  moveLeader,
  compaction,
  trouble("slow disk", "SIGWINCH", [1000, 5000]),
  trouble("event loop blocked", "SIGUSR2", undefined),
  trouble("wall clock jumps", "SIGIO", [200, 3000]),
];
