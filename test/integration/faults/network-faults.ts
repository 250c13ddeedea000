// What happens between members, and between members and clients: silence in one direction or both, delay, narrowness,
// resets, and answers that are cut off.
import { pause } from "../cluster/cluster.ts";
import { anyMember, between, chooseRole, type Fault, type FaultScene } from "./fault.ts";

/** Now the leader, now anybody. */
async function victim(scene: FaultScene) {
  return scene.random.below(2) === 0 ? await chooseRole(scene, "leader") : anyMember(scene);
}

/** Something on the peer network that holds for a while. */
function disturbance(
  kind: string,
  weight: number,
  begin: (scene: FaultScene, name: string) => string | undefined,
): Fault {
  return {
    kind,
    lane: "network",
    weight,
    async run(scene) {
      const member = await victim(scene);
      if (member === undefined) return undefined;
      const what = begin(scene, member.name);
      const lastsMs = between(scene.random, 300, 5000);
      await pause(lastsMs);
      scene.cluster.network.heal();
      return `${what ?? member.name} for ${lastsMs} ms`;
    },
  };
}

const isolate = disturbance("partition", 3, ({ cluster }, name) => {
  cluster.network.isolate(name, "both");
  return name;
});

const sendsNothing = disturbance("one-way partition, sends lost", 2, ({ cluster }, name) => {
  cluster.network.isolate(name, "sends");
  return name;
});

const hearsNothing = disturbance("one-way partition, receives lost", 2, ({ cluster }, name) => {
  cluster.network.isolate(name, "receives");
  return name;
});

const oneLink = disturbance("one link, one way", 2, ({ cluster, random }, name) => {
  const others = cluster.members.filter((member) => member.name !== name);
  const other = others[random.below(others.length)]?.name ?? name;
  const [from, to] = random.below(2) === 0 ? [name, other] : [other, name];
  cluster.network.drop(from, to);
  return `${from} to ${to}`;
});

const delay = disturbance("delay", 2, ({ cluster, random }, name) => {
  const delayMs = between(random, 10, 400);
  cluster.network.delay(name, delayMs);
  return `${name} by ${delayMs} ms`;
});

const narrow = disturbance("narrow link", 1, ({ cluster, random }, name) => {
  const bytesPerSecond = between(random, 5_000, 100_000);
  cluster.network.throttle(name, bytesPerSecond);
  return `${name} to ${bytesPerSecond} bytes a second`;
});

const resets: Fault = {
  kind: "peer connections reset",
  lane: "network",
  weight: 2,
  async run(scene) {
    const member = await victim(scene);
    if (member === undefined) return undefined;
    for (let round = 0; round < 3; round++) {
      // Between two frames, and in the middle of one.
      if (scene.random.below(2) === 0) scene.cluster.network.reset(member.name);
      else scene.cluster.network.cutNext(member.name);
      await pause(between(scene.random, 50, 400));
    }
    return member.name;
  },
};

const clientResets: Fault = {
  kind: "client connections reset",
  lane: "network",
  weight: 2,
  async run(scene) {
    const member = anyMember(scene);
    if (member === undefined) return undefined;
    for (let round = 0; round < 3; round++) {
      // An answer that is cut off may have been a yes.
      if (scene.random.below(2) === 0) member.proxy.cut();
      else member.proxy.cutNext(scene.random.below(2) === 0 ? "toClient" : "toServer");
      await pause(between(scene.random, 50, 400));
    }
    return member.name;
  },
};

const clientSilence: Fault = {
  kind: "client connections silent",
  lane: "network",
  weight: 1,
  async run(scene) {
    const member = anyMember(scene);
    if (member === undefined) return undefined;
    member.proxy.blackhole(scene.random.below(2) === 0 ? "toClient" : "both");
    await pause(between(scene.random, 500, 4000));
    member.proxy.heal();
    return member.name;
  },
};

export const networkFaults: readonly Fault[] = [
  isolate,
  sendsNothing,
  hearsNothing,
  oneLink,
  delay,
  narrow,
  resets,
  clientResets,
  clientSilence,
];
