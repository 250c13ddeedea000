// Clients that watch: each follows a range of keys for the whole run, goes to another member when its own fails or by
// whim, asks there for what comes after the last it heard, and writes everything down.
import { Event } from "../../proto/gen/mvccpb/kv.ts";
import type { Random } from "../../server/lib/random.ts";
import type { MemberCore } from "../../server/member-core.ts";
import type { WatchMessage, WatchStream } from "../../server/watch/watch-stream.ts";
import type { Keys, KeyValue } from "../linearizability/operation.ts";
import type { WatchedChange, WatchRecord, WatchResponse } from "../linearizability/watch-check.ts";
import type { Common } from "./clients.ts";
import type { Life } from "./sim-member.ts";
import { pick, serving, type World } from "./world.ts";

type WireKeyValue = NonNullable<Event["kv"]>;

export class WatchingClient {
  readonly #world: World;
  readonly #random: Random;
  readonly #name: string;
  readonly #keys: Keys;
  readonly #wants: { readonly wantsPuts: boolean; readonly wantsDeletes: boolean; readonly wantsPrevious: boolean };
  /** How slow it reads. */
  #readDelayMs: number;
  /** Watches without a seam, each a list of watchers on one member after another. */
  readonly chains: WatchRecord[][] = [];
  #chain: WatchRecord[] = [];
  #nextRevision = 0;
  #isOver = false;
  #compactRevision = 0;
  events = 0;

  constructor(world: World, name: string, random: Random, common: Common) {
    this.#world = world;
    this.#name = name;
    this.#random = random;
    const key = pick(random, common.keys);
    this.#keys = random.below(3) === 0 ? { kind: "key", key } : { kind: "interval", from: "key", to: undefined };
    this.#wants = {
      wantsPuts: random.below(8) > 0,
      wantsDeletes: random.below(8) > 0,
      wantsPrevious: random.below(2) === 0,
    };
    this.#readDelayMs = pick(random, [0, 0, 5, 200, 800]);
  }

  /** Watches until told to stop. */
  async run(isOver: () => boolean): Promise<void> {
    const { scheduler } = this.#world;
    this.#begin();
    while (!isOver()) {
      const members = serving(this.#world).filter(({ core }) => core?.replica.roleState.leader !== undefined);
      const life = members.length === 0 ? undefined : pick(this.#random, members).life;
      if (life?.core === undefined) await scheduler.sleep(100);
      else await this.#watchAt(life, life.core, isOver);
    }
  }

  /** @param resumeFrom Where a client goes on that was told that what it needs was compacted. */
  #begin(resumeFrom = 0): void {
    this.#chain = [];
    this.chains.push(this.#chain);
    this.#isOver = false;
    const { truth } = this.#world;
    // Now, from the past that may be compacted, or from a future that is still to come.
    const choice = this.#random.below(6);
    if (resumeFrom > 0 && choice > 2) {
      this.#nextRevision = resumeFrom;
      return;
    }
    this.#nextRevision =
      choice === 0 ? Math.max(1, truth.revision - 20) : choice === 1 ? truth.revision + this.#random.below(30) : 0;
  }

  async #watchAt(life: Life, { hub, replica }: MemberCore, isOver: () => boolean): Promise<void> {
    const hasNoLeader = (): boolean => replica.roleState.leader === undefined;
    const { scheduler } = this.#world;
    const random = this.#random;
    const request = { keys: this.#keys, startRevision: this.#nextRevision, ...this.#wants };
    const responses: { time: number; response: WatchResponse }[] = [];
    this.#chain.push({ name: `${this.#name}.${this.#chain.length}`, request, responses });
    const stream = await this.#create(life, hub, request);
    const wantsLeader = random.below(2) === 0;
    const leaveAt = scheduler.nowMs + (random.below(4) === 0 ? random.next() * 3000 : random.next() * 40_000);
    while (!isOver() && !life.process.isDead && scheduler.nowMs < leaveAt && !this.#isOver) {
      // What has left the member reaches the client, even if the member dies a moment later.
      await scheduler.sleep(1 + this.#readDelayMs * random.next());
      // In calm weather even the slowest client reads what there is.
      if (!this.#world.isStormy()) this.#readDelayMs = 0;
      if (life.process.isPaused) continue;
      // Who wants a leader, as clients should, leaves a member that has none: it may have been removed and not know.
      if (hasNoLeader() && (wantsLeader || !this.#world.isStormy()) && random.below(50) === 0) break;
      for (let room = this.#readDelayMs === 0 ? 1000 : 1 + random.below(3); room > 0; room--) {
        const message = life.process.isDead ? undefined : stream.take();
        if (message === undefined) break;
        const response = toResponse(message);
        if (response !== undefined) responses.push({ time: scheduler.nowMs, response });
        if (response !== undefined) this.#note(response);
      }
      if (life.isServing && random.below(20) === 0) life.process.input(0, () => hub.requestProgress(stream));
    }
    if (!life.process.isDead) life.process.input(0, () => hub.closeStream(stream));
    if (this.#isOver) this.#begin(this.#compactRevision);
  }

  #create(life: Life, hub: MemberCore["hub"], request: WatchRecord["request"]): Promise<WatchStream> {
    return new Promise((resolve) => {
      const stream = hub.openStream(() => undefined);
      life.process.input(0.5, () => {
        const { keys, ...rest } = request;
        hub.create(stream, { ...rest, range: keys, watchId: 0n, wantsProgress: true, allowsFragments: false });
      });
      resolve(stream);
    });
  }

  /** Moves to where the watch has to go on. */
  #note(response: WatchResponse): void {
    if (response.kind === "canceled") {
      this.#isOver = true;
      this.#compactRevision = response.compactRevision;
      if (response.compactRevision > 0) this.#world.note("watch cancelled by compaction");
    } else if (response.kind === "created") {
      if (this.#chain.length > 1) this.#world.note("watch went on at another member");
      if (this.#nextRevision === 0) this.#nextRevision = response.revision + 1;
    } else if (response.kind === "progress") this.#nextRevision = Math.max(this.#nextRevision, response.revision + 1);
    else {
      this.events += response.changes.length;
      const last = response.changes.at(-1);
      if (last !== undefined) this.#nextRevision = Math.max(this.#nextRevision, last.keyValue.modRevision + 1);
    }
  }
}

function toResponse(message: WatchMessage): WatchResponse | undefined {
  switch (message.kind) {
    case "created":
      return { kind: "created", revision: message.revision };
    case "progress":
      return { kind: "progress", revision: message.revision };
    case "canceled":
      return { kind: "canceled", compactRevision: message.compactRevision };
    case "events":
      return { kind: "changes", revision: message.revision, changes: message.events.map(toChange), isPart: false };
  }
}

function toChange(bytes: Uint8Array): WatchedChange {
  const { type, kv, prevKv } = Event.decode(bytes);
  return {
    kind: type === 1 ? "delete" : "put",
    keyValue: fromWire(kv as WireKeyValue),
    previous: prevKv === undefined ? undefined : fromWire(prevKv),
  };
}

function fromWire({ key, value, createRevision, modRevision, version, lease }: WireKeyValue): KeyValue {
  return {
    key: Buffer.from(key).toString("latin1"),
    value: Buffer.from(value).toString("latin1"),
    createRevision: Number(createRevision),
    modRevision: Number(modRevision),
    version: Number(version),
    lease,
  };
}
