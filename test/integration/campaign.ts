// One run: a cluster, clients, faults, and at the end the question whether all of it was right.
import { createRandom, type Random } from "../../server/lib/random.ts";
import { audit } from "./audit.ts";
import { Cluster, pause, troubledMember } from "./cluster/cluster.ts";
import type { Fault, FaultScene, Lane } from "./faults/fault.ts";
import { membershipFaults } from "./faults/membership-faults.ts";
import { networkFaults } from "./faults/network-faults.ts";
import { processFaults } from "./faults/process-faults.ts";
import { compareStores } from "./store-digest.ts";
import { judge, type Verdict } from "./verdict.ts";
import { type ClientOptions, runReader, runSdkClient, runWireClient } from "./workload/clients.ts";
import { Follower } from "./workload/follower.ts";
import { LeaseHolders, leaseKeyPrefix } from "./workload/lease-holders.ts";
import { Recorder } from "./workload/recorder.ts";
import { Truth } from "./workload/truth.ts";

export const allFaults: readonly Fault[] = [...processFaults, ...networkFaults, ...membershipFaults];

/** How many of each there are. */
export interface Clients {
  readonly sdk: number;
  readonly wire: number;
  readonly readers: number;
  readonly holders: number;
  /** Most of a pause between two requests of a client. */
  readonly thinkMs: number;
}

export interface CampaignOptions {
  readonly seed: number;
  /** A lane goes on past it until each of its faults was tried once: a slow machine injures as many kinds as a fast one. */
  readonly durationMs: number;
  /** Members of the cluster. Default 3. */
  readonly size?: number;
  readonly faults?: readonly Fault[];
  /** Most of a pause between two faults of a lane. */
  readonly restMs?: number;
  readonly clients?: Clients;
  /** Whatever else belongs to the run: a bug to be found. */
  readonly besides?: (options: ClientOptions) => Promise<void>;
  readonly program?: (name: string) => readonly string[] | undefined;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
  readonly elapsedMs: number;
  readonly operations: number;
  readonly faults: ReadonlyMap<string, number>;
  /** What is being done to the cluster now. */
  readonly current: string;
}

export interface Report extends Verdict {
  readonly seed: number;
  readonly seconds: number;
  readonly faults: { readonly [kind: string]: number };
  readonly snapshotsInstalled: number;
  readonly leaderChanges: number;
}

const clientsDefault: Clients = { sdk: 4, wire: 5, readers: 4, holders: 4, thinkMs: 60 };
const smallDiskName = "m3";
const smallDiskBytes = 384 * 1024 * 1024;
const leaseEndMs = 60_000;
const allSeenMs = 60_000;

export async function runCampaign(options: CampaignOptions): Promise<Report> {
  const startedMs = performance.now();
  const random = createRandom(options.seed);
  await using cluster = await Cluster.start({
    size: options.size ?? 3,
    args: ["--snapshot-catchup-entries", "400"],
    smallDisk: { name: smallDiskName, sizeBytes: smallDiskBytes },
    // One runs what users run and nothing else.
    program: options.program ?? ((name) => (name === smallDiskName ? undefined : [troubledMember])),
  });
  const run = new Run(cluster, random, options, startedMs);
  return await run.play();
}

class Run {
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #options: CampaignOptions;
  readonly #startedMs: number;
  readonly #recorder = new Recorder();
  readonly #truth = new Truth();
  readonly #counts = new Map<string, number>();
  readonly #current = new Map<Lane, string>();
  readonly #stopClients = new AbortController();
  readonly #stopWatches = new AbortController();
  readonly #holders: LeaseHolders;
  readonly #followers: readonly Follower[];
  readonly #problems: string[] = [];

  constructor(cluster: Cluster, random: Random, options: CampaignOptions, startedMs: number) {
    this.#cluster = cluster;
    this.#random = random;
    this.#options = options;
    this.#startedMs = startedMs;
    this.#holders = new LeaseHolders({ cluster, recorder: this.#recorder, random: random.fork("holders") });
    this.#followers = [0, 1, 2].map(
      (at) =>
        new Follower({
          name: `watch ${at}`,
          cluster,
          random: random.fork(`watch ${at}`),
          signal: this.#stopWatches.signal,
          wantsPrevious: at === 1,
          onRevision: (changes, now) => {
            if (!this.#truth.note(changes)) return;
            for (const { kind, keyValue } of changes.changes)
              if (kind === "delete" && keyValue.key.startsWith(leaseKeyPrefix))
                this.#holders.onKeyGone(keyValue.key, now);
          },
        }),
    );
  }

  async play(): Promise<Report> {
    const watching = this.#followers.map((follower) => follower.run());
    const asking = this.#startClients();
    const endMs = performance.now() + this.#options.durationMs;
    const progress = setInterval(() => this.#tellProgress(), 1000);
    await Promise.all([this.#injure("members", endMs), this.#injure("network", endMs)]);
    this.#current.clear();
    await this.#cluster.heal();
    const healedAt = this.#recorder.now;
    // Clients go on for a while in peace, so that it is seen that service has returned.
    await pause(2000);
    this.#stopClients.abort();
    await Promise.all(asking);
    await this.#untilLeasesEnd();
    await this.#untilAllSeen();
    const endedAt = this.#recorder.now;
    this.#stopWatches.abort();
    await Promise.all(watching);
    clearInterval(progress);
    const compacted = Math.max(0, ...this.#truth.compactions.map(({ revision }) => revision));
    try {
      this.#problems.push(...(await audit(this.#cluster, this.#truth, compacted)));
      this.#problems.push(...(await compareStores(this.#cluster, this.#truth.completeTo, compacted)));
    } catch (error) {
      this.#problems.push(`the members could not be compared: ${(error as Error).message}`);
    }
    for (const { name, how, logTail } of this.#cluster.unexpectedEnds)
      this.#problems.push(`${name} ended by itself with ${how}:\n${logTail}`);
    const verdict = judge({
      recorder: this.#recorder,
      truth: this.#truth,
      followers: this.#followers,
      holders: this.#holders,
      healedAt,
      endedAt,
    });
    const logs = this.#cluster.logs().join("\n");
    return {
      seed: this.#options.seed,
      seconds: Math.round((performance.now() - this.#startedMs) / 1000),
      faults: Object.fromEntries(this.#counts),
      snapshotsInstalled: logs.split("installed a snapshot").length - 1,
      leaderChanges: new Set([...logs.matchAll(/"role":"leader","term":(\d+)/g)].map(([, term]) => term)).size,
      ...verdict,
      problems: [...this.#problems, ...verdict.problems],
    };
  }

  #startClients(): readonly Promise<void>[] {
    const { sdk, wire, readers, holders, thinkMs } = this.#options.clients ?? clientsDefault;
    const { signal } = this.#stopClients;
    const of = (name: string): ClientOptions => ({
      cluster: this.#cluster,
      recorder: this.#recorder,
      random: this.#random.fork(name),
      signal,
      thinkMs,
    });
    const each = (count: number, start: (at: number) => Promise<void>) =>
      Array.from({ length: count }, (_, at) => start(at));
    return [
      ...each(sdk, (at) => runSdkClient(`s${at}`, of(`s${at}`))),
      ...each(wire, (at) => runWireClient(`w${at}`, of(`w${at}`))),
      ...each(readers, (at) => runReader(`r${at}`, of(`r${at}`))),
      ...each(holders, (at) => this.#holders.run(`h${at}`, signal)),
      ...(this.#options.besides === undefined ? [] : [this.#options.besides(of("besides"))]),
    ];
  }

  /** One fault of a lane after the other, until it is time. */
  async #injure(lane: Lane, endMs: number): Promise<void> {
    const random = this.#random.fork(lane);
    const faults = (this.#options.faults ?? allFaults).filter((fault) => fault.lane === lane);
    const scene: FaultScene = {
      cluster: this.#cluster,
      random,
      recorder: this.#recorder,
      truth: this.#truth,
      knownTo: () => Math.min(this.#truth.completeTo, (this.#followers[0] as Follower).nextRevision - 1),
    };
    const draw = createDraw(faults, random);
    for (let drawn = 0; drawn < faults.length || (performance.now() < endMs && faults.length > 0); drawn++) {
      const fault = draw();
      this.#current.set(lane, fault.kind);
      try {
        const done = await fault.run(scene);
        if (done !== undefined) this.#counts.set(fault.kind, (this.#counts.get(fault.kind) ?? 0) + 1);
      } catch (error) {
        this.#problems.push(`${fault.kind}: ${(error as Error).message}`);
        return;
      }
      this.#current.set(lane, "");
      await pause(random.below(this.#options.restMs ?? 1500));
    }
  }

  /** Nobody renews any more: every lease must end. */
  async #untilLeasesEnd(): Promise<void> {
    const endMs = performance.now() + leaseEndMs;
    while (performance.now() < endMs) {
      // Also those of whose grant nobody was told: one that ran out during the audit would make members differ.
      const answer = await this.#cluster.callAny("Lease/LeaseLeases", {});
      const left = (answer as { readonly leases: readonly unknown[] } | undefined)?.leases.length;
      if (this.#holders.alive === 0 && left === 0) return;
      await pause(200);
    }
  }

  async #untilAllSeen(): Promise<void> {
    const endMs = performance.now() + allSeenMs;
    while (performance.now() < endMs) {
      // Linearizable: no member is ahead of it.
      const answer = await this.#cluster.callAny("KV/Range", { key: Buffer.from("k"), countOnly: true }, 10_000);
      const header = (answer as { readonly header: { readonly revision: bigint } } | undefined)?.header;
      const revision = header === undefined ? Number.POSITIVE_INFINITY : Number(header.revision);
      if (this.#followers.every(({ nextRevision }) => nextRevision > revision)) return;
      await pause(100);
    }
  }

  #tellProgress(): void {
    this.#options.onProgress?.({
      elapsedMs: performance.now() - this.#startedMs,
      operations: this.#recorder.operations.length,
      faults: this.#counts,
      current: [...this.#current.values()].filter((kind) => kind !== "").join(" and "),
    });
  }
}

/** Draws by weight, but each kind once before any comes a second time. */
function createDraw(faults: readonly Fault[], random: Random): () => Fault {
  let round = [...faults];
  return () => {
    if (round.length === 0) round = faults.flatMap((fault) => Array.from({ length: fault.weight ?? 1 }, () => fault));
    return round.splice(random.below(round.length), 1)[0] as Fault;
  };
}
