// What a seed draws before anything happens: how large the cluster is, how it is set, how bad network and disks are,
// which faults there will be and how often. Many seeds leave whole kinds of faults out: what one fault hides, a run
// without it may show.
import type { Random } from "../../server/lib/random.ts";
import type { WatchLimits } from "../../server/watch/watch-stream.ts";

/** What the world does to the members, each with its weight; 0 for never. */
export const faultKinds = [
  "crash",
  "crash-all",
  "crash-in-write",
  "crash-in-flush",
  "crash-in-install",
  "kill",
  "restart",
  "partition-one",
  "partition-halves",
  "partition-one-way",
  "partition-bridge",
  "pause",
  "slow-disk",
  "disk-full",
  "disk-error",
  "slow-network",
  "transfer",
  "campaign",
  "add-learner",
  "promote",
  "remove",
  "add-voter",
  "damage-log",
  "lose-disk",
  "churn-leaders",
  "vote-storm",
  "lag-behind-snapshot",
  "stall-before-snapshot",
  "stall-in-flush",
  "wake-apart",
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Weather {
  readonly voters: number;
  readonly learners: number;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly preVote: boolean;
  readonly strictReconfigCheck: boolean;
  readonly catchUpEntries: number;
  readonly segmentBytes: number;
  readonly cacheBytes: number;
  /**
   * How many bytes each byte counts that waits for the store. Heavy ones are flushed after a few writes, and a store
   * that is slow makes applying wait, as it does with hundreds of megabytes.
   */
  readonly storeWeight: number;
  readonly watchLimits: WatchLimits;
  readonly network: {
    readonly delayMinMs: number;
    readonly delayMaxMs: number;
    readonly lossChance: number;
    readonly duplicateChance: number;
    /** Of messages that come much later than those sent after them, and by how much. */
    readonly lateChance: number;
    readonly lateMaxMs: number;
    /** Messages go through the peers' codec. */
    readonly isEncoded: boolean;
  };
  readonly disk: { readonly delayMinMs: number; readonly delayMaxMs: number };
  readonly faultWeights: { readonly [K in FaultKind]: number };
  /** Mean time from one fault to the next. */
  readonly faultIntervalMs: number;
  readonly stormMs: number;
  readonly clients: number;
  readonly thinkMs: number;
  /** After this many requests clients get slow: a run is not to be long only because its disks are fast. */
  readonly requestsMax: number;
  readonly leaseHolders: number;
  readonly watchers: number;
  readonly keyCount: number;
  readonly hasLongKeys: boolean;
  readonly valueBytes: number;
  readonly compactWeight: number;
}

const oneOf = <T>(random: Random, choices: readonly T[]): T => choices[random.below(choices.length)] as T;
const between = (random: Random, min: number, max: number): number => min + random.next() * (max - min);

const usualWeights: { readonly [K in FaultKind]: number } = {
  crash: 6,
  "crash-all": 2,
  "crash-in-write": 4,
  "crash-in-flush": 1,
  "crash-in-install": 3,
  kill: 2,
  restart: 2,
  "partition-one": 4,
  "partition-halves": 2,
  "partition-one-way": 3,
  "partition-bridge": 1,
  pause: 4,
  "slow-disk": 3,
  "disk-full": 1,
  "disk-error": 2,
  "slow-network": 2,
  transfer: 3,
  campaign: 1,
  "add-learner": 3,
  promote: 4,
  remove: 2,
  "add-voter": 1,
  "damage-log": 1.5,
  "lose-disk": 0.7,
  "churn-leaders": 2,
  "vote-storm": 3,
  "lag-behind-snapshot": 2,
  "stall-before-snapshot": 2,
  "stall-in-flush": 5,
  "wake-apart": 3,
};

/** @param favourite The kind of fault to make frequent, instead of one by chance. */
export function drawWeather(random: Random, favourite?: FaultKind): Weather {
  const [heartbeatIntervalMs, electionTimeoutMs] = oneOf(random, [
    [100, 1000],
    [100, 1000],
    [50, 500],
    [100, 500],
    [150, 1500],
  ] as const);
  const isRough = random.below(3) > 0;
  return {
    voters: oneOf(random, [1, 2, 3, 3, 3, 3, 3, 4, 5, 5]),
    learners: oneOf(random, [0, 0, 0, 1]),
    heartbeatIntervalMs,
    electionTimeoutMs,
    preVote: random.below(6) > 0,
    strictReconfigCheck: random.below(3) > 0,
    catchUpEntries: oneOf(random, [5, 5, 20, 50, 200]),
    segmentBytes: oneOf(random, [4096, 8192, 16384, 65536]),
    cacheBytes: oneOf(random, [512, 4096, 65536, 1 << 20]),
    watchLimits: {
      queueBytesMax: oneOf(random, [300, 2000, 100_000]),
      queueMessagesMax: 10_000,
      joinBytesMax: oneOf(random, [1, 200, 10_000]),
      catchUpRevisionsMax: oneOf(random, [1, 5, 1000]),
      catchUpBytesMax: oneOf(random, [500, 1 << 20]),
    },
    network: {
      delayMinMs: between(random, 0.1, 1),
      delayMaxMs: oneOf(random, [1, 3, 10, 40]),
      lossChance: isRough ? oneOf(random, [0, 0.005, 0.02, 0.08]) : 0,
      duplicateChance: isRough ? oneOf(random, [0, 0.02, 0.2]) : 0,
      lateChance: isRough ? oneOf(random, [0, 0.005, 0.03]) : 0,
      lateMaxMs: oneOf(random, [100, 1000, 4000]),
      isEncoded: random.below(3) === 0,
    },
    disk: { delayMinMs: between(random, 0.05, 1), delayMaxMs: oneOf(random, [0.5, 3, 12]) },
    faultWeights: drawWeights(random, favourite),
    faultIntervalMs: oneOf(random, [400, 900, 1500, 3000]),
    stormMs: oneOf(random, [12_000, 16_000, 24_000]),
    clients: oneOf(random, [3, 5, 8, 12]),
    thinkMs: oneOf(random, [5, 20, 60, 150]),
    requestsMax: oneOf(random, [600, 1200, 2000]),
    leaseHolders: oneOf(random, [0, 1, 2, 3]),
    watchers: oneOf(random, [1, 2, 4]),
    keyCount: oneOf(random, [2, 5, 10, 24]),
    hasLongKeys: random.below(5) === 0,
    valueBytes: oneOf(random, [0, 0, 60, 400]),
    compactWeight: oneOf(random, [0, 0.3, 1, 3]),
    storeWeight: oneOf(random, [1, 4000, 16_000, 64_000, 64_000]),
  };
}

/** Leaves each kind of fault out now and then, and makes one of them frequent. */
function drawWeights(random: Random, chosen: FaultKind | undefined): { readonly [K in FaultKind]: number } {
  const drawn = oneOf(random, faultKinds);
  const favourite = chosen ?? drawn;
  const weightOf = (kind: FaultKind): number => {
    const isOut = random.below(5) < 2;
    if (kind === favourite) return usualWeights[kind] * 4 + 2;
    return isOut ? 0 : usualWeights[kind];
  };
  return Object.fromEntries(faultKinds.map((kind) => [kind, weightOf(kind)])) as { [K in FaultKind]: number };
}
