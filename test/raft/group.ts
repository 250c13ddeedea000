// A few members on a perfect network that moves only when a test says so. For scenes with a handful of steps; the
// simulation next door is for chance.
import assert from "node:assert/strict";
import { bootstrapSnapshot, type RaftOptions } from "../../server/raft/config.ts";
import type { Message } from "../../server/raft/message.ts";
import type { MemberId, SnapshotMeta } from "../../server/raft/types.ts";
import { Host, type HostObserver } from "./host.ts";

export type GroupOptions = {
  readonly voters: readonly MemberId[];
  readonly learners?: readonly MemberId[];
  readonly raft?: Partial<RaftOptions>;
  readonly observer?: HostObserver;
};

export class Group {
  readonly hosts = new Map<MemberId, Host>();
  readonly #options: GroupOptions;
  readonly #cut = new Set<string>();
  /** Members whose saves wait until a test completes them. */
  readonly slowDisks = new Set<MemberId>();
  /** Every message that was handed to the network, delivered or not. */
  readonly trace: Message[] = [];
  /** What becomes of a message on its way; `undefined` loses it. */
  intercept: (message: Message) => Message | undefined = (message) => message;

  constructor(options: GroupOptions) {
    this.#options = options;
    const { voters, learners = [] } = options;
    for (const id of [...voters, ...learners]) this.#create(id, bootstrapSnapshot(voters, learners));
  }

  /** Adds a member that knows nothing yet and belongs to nothing. */
  join(id: MemberId): Host {
    return this.#create(id, undefined);
  }

  host(id: MemberId): Host {
    const host = this.hosts.get(id);
    assert(host !== undefined, `no member ${id}`);
    return host;
  }

  /** Cuts the way from one member to another. */
  cut(from: MemberId, to: MemberId): void {
    this.#cut.add(`${from}>${to}`);
  }

  /** Cuts a member off from all others, both ways. */
  isolate(id: MemberId): void {
    for (const other of this.hosts.keys()) {
      if (other === id) continue;
      this.cut(id, other);
      this.cut(other, id);
    }
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Lets saves, applies and messages run until nothing moves any more. */
  settle(): void {
    for (let round = 0; this.#move(); round++) assert(round < 10_000, "the group does not come to rest");
  }

  /** One tick for each member, and what follows from it; `count` times. */
  tick(count = 1): void {
    for (let i = 0; i < count; i++) {
      for (const host of this.hosts.values()) if (host.isUp) host.node.tick();
      this.settle();
    }
  }

  /** Makes a member leader, by its own request. */
  elect(id: MemberId): void {
    assert.deepEqual(this.host(id).node.campaign(), { kind: "accepted" });
    this.settle();
    assert.equal(this.host(id).node.status().role, "leader", `member ${id} was not elected`);
  }

  /** Proposes text at a member and lets it spread. */
  propose(id: MemberId, text: string): void {
    const outcome = this.host(id).node.propose(new TextEncoder().encode(text));
    assert.notEqual(outcome.kind, "refused", `${text} was refused`);
    this.settle();
  }

  /** The texts a member has applied, in order. */
  applied(id: MemberId): readonly string[] {
    return this.host(id)
      .history.filter(({ kind }) => kind === "normal")
      .map(({ data }) => new TextDecoder().decode(data));
  }

  /** Members that take themselves for leaders. */
  get leaders(): readonly MemberId[] {
    return [...this.hosts.values()]
      .filter((host) => host.isUp && host.node.status().role === "leader")
      .map(({ id }) => id);
  }

  #create(id: MemberId, bootstrap: SnapshotMeta | undefined): Host {
    const { raft, observer } = this.#options;
    const host = new Host({ id, bootstrap, ...(raft && { raft }), ...(observer && { observer }) });
    this.hosts.set(id, host);
    return host;
  }

  /** One round: every member does its work, then everything sent is delivered. Returns whether anything happened. */
  #move(): boolean {
    let moved = false;
    for (const host of this.hosts.values()) {
      if (!host.isUp) continue;
      if (this.slowDisks.has(host.id)) {
        host.applyNext();
        host.collect();
      } else host.settle();
    }
    for (const host of this.hosts.values()) {
      const messages = host.outgoing;
      host.outgoing = [];
      for (const message of messages) {
        moved = true;
        this.trace.push(message);
        this.#deliver(message);
      }
    }
    return moved;
  }

  #deliver(message: Message): void {
    const { from, to } = message;
    const arriving = this.intercept(message);
    const lost = this.#cut.has(`${from}>${to}`) || arriving === undefined || this.hosts.get(to)?.isUp !== true;
    if (!lost) this.host(to).node.step(arriving);
    if (message.type === "snapshot" && this.host(from).isUp)
      this.host(from).node.reportSnapshot(to, lost ? "failed" : "finished");
  }
}
