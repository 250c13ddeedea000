// Clients of the key-value store and of leases: each asks one thing after the other, of whichever member it is at, and
// writes down what it was told and when.
import type { Random } from "../../server/lib/random.ts";
import type { LeaseRecord } from "../linearizability/lease-check.ts";
import { RequestDrawer } from "../linearizability/random-requests.ts";
import type { SimMember } from "./sim-member.ts";
import { leaderOf, pick, serving, type World } from "./world.ts";

/** What clients know together: they read the same documentation of the same application. */
export interface Common {
  readonly keys: readonly string[];
  /** Leases that were asked for lately. */
  readonly leases: bigint[];
  nextValue(): string;
  nextLease(): bigint;
}

export function createCommon(world: World): Common {
  const { keyCount, hasLongKeys } = world.weather;
  let values = 0;
  let leases = 0;
  return {
    keys: Array.from({ length: keyCount }, (_, i) =>
      hasLongKeys && i % 2 === 1 ? `key${i}/`.padEnd(1000 + i, "long") : `key${i}`,
    ),
    leases: [],
    nextValue: () => `v${++values}`,
    nextLease: () => BigInt(1000 + ++leases),
  };
}

/** Which member a client talks to: the same one until something goes wrong, and then another. */
class Contact {
  readonly #world: World;
  readonly #random: Random;
  #member: SimMember | undefined;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  next(): SimMember | undefined {
    const random = this.#random;
    if (this.#member?.life?.isServing === true && random.below(30) > 0) return this.#member;
    const choices = serving(this.#world);
    const leader = leaderOf(this.#world);
    this.#member = leader !== undefined && random.below(3) === 0 ? leader : pick(random, choices);
    if (choices.length === 0) this.#member = undefined;
    return this.#member;
  }

  leave(): void {
    this.#member = undefined;
  }
}

/** Asks for this and that until the storm is over. */
export async function runKvClient(world: World, name: string, random: Random, common: Common): Promise<void> {
  const { scheduler, weather, door } = world;
  const contact = new Contact(world, random);
  const drawer = new RequestDrawer(random, {
    keys: common.keys,
    weights: {
      put: 10,
      delete: 1 + random.below(4),
      range: 2 + random.below(8),
      txn: random.below(6),
      grant: 0,
      revoke: 0.1,
      compact: weather.compactWeight / 4,
    },
    serializableShare: pick(random, [0, 0.1, 0.4]),
    valueBytes: weather.valueBytes,
    ttlSecondsMin: 1,
    ttlSecondsMax: 5,
  });
  const timeoutMs = pick(random, [600, 2500, 8000]);
  let revision = 1;
  while (world.isStormy()) {
    const member = contact.next();
    if (member === undefined) {
      await scheduler.sleep(50);
      continue;
    }
    const request = drawer.draw({
      revision,
      leases: common.leases,
      nextValue: common.nextValue,
      nextLease: common.nextLease,
    });
    const result = await door.execute(name, member, request, timeoutMs);
    if (result === undefined) contact.leave();
    else if (result.kind !== "refused") revision = Math.max(revision, result.revision ?? 0);
    const patience = door.asked > weather.requestsMax ? 1000 : weather.thinkMs;
    await scheduler.sleep(random.next() * patience);
  }
}

/** Takes leases, hangs keys on them, keeps them alive for a while, and lets most of them run out. */
export class LeaseHolder {
  readonly #world: World;
  readonly #random: Random;
  readonly #common: Common;
  readonly #name: string;
  readonly #contact: Contact;
  /** Times of leases that were granted, without their ends. */
  readonly records: Omit<LeaseRecord, "end">[] = [];

  constructor(world: World, name: string, random: Random, common: Common) {
    this.#world = world;
    this.#name = name;
    this.#random = random;
    this.#common = common;
    this.#contact = new Contact(world, random);
  }

  async run(): Promise<void> {
    const { scheduler, isStormy } = this.#world;
    while (isStormy()) {
      const member = this.#contact.next();
      if (member !== undefined) await this.#holdOne(member);
      await scheduler.sleep(100 + this.#random.next() * 500);
    }
  }

  async #holdOne(member: SimMember): Promise<void> {
    const { scheduler, door, isStormy } = this.#world;
    const random = this.#random;
    const id = this.#common.nextLease();
    const ttlSeconds = 1 + random.below(4);
    const asked = scheduler.nowMs;
    const granted = await door.execute(this.#name, member, { kind: "lease-grant", id, ttlSeconds }, 3000);
    this.#common.leases.push(id);
    if (this.#common.leases.length > 8) this.#common.leases.shift();
    if (granted?.kind !== "lease-grant") {
      this.#contact.leave();
      return;
    }
    const renewals: LeaseRecord["renewals"][number][] = [];
    this.records.push({ id, ttlSeconds, grantedAt: { asked, answered: scheduler.nowMs }, renewals });
    for (let i = random.below(3); i > 0; i--) {
      const key = pick(random, this.#common.keys);
      const value = this.#common.nextValue();
      await door.execute(this.#name, member, { kind: "put", key, value, lease: id }, 3000);
    }
    const restlessness = 1 + random.below(4);
    for (let left = random.below(12); left > 0 && isStormy(); left--) {
      await scheduler.sleep((ttlSeconds * 1000 * (0.3 + random.next())) / restlessness);
      if (!(await this.#renew(id, renewals))) return;
    }
    const last = this.#contact.next();
    if (random.below(4) === 0 && last !== undefined)
      await door.execute(this.#name, last, { kind: "lease-revoke", id }, 3000);
  }

  /** Returns whether the lease may still live. */
  async #renew(id: bigint, renewals: LeaseRecord["renewals"][number][]): Promise<boolean> {
    const { scheduler, door } = this.#world;
    const member = this.#contact.next();
    if (member === undefined) return true;
    const asked = scheduler.nowMs;
    const answer = await door.ask(member, 2000, ({ replica }) => replica.leaderCalls.renewLease(id));
    if (answer.kind !== "value") this.#contact.leave();
    else if (answer.value > 0 && leaderOf(this.#world) !== member) this.#world.note("lease renewed through a follower");
    renewals.push({
      asked,
      answered: answer.kind === "value" ? scheduler.nowMs : undefined,
      ttlSeconds: answer.kind === "value" ? answer.value : undefined,
    });
    return answer.kind !== "value" || answer.value > 0;
  }
}
