// Watches everything from the first revision on, from member to member: when one falls silent or ends the watch, the next
// is asked for exactly what is missing. Records what each said, for the checker.
import { WatchCreateRequest, type WatchResponse as WireWatchResponse } from "../../../proto/gen/etcdserverpb/rpc.ts";
import type { Random } from "../../../server/lib/random.ts";
import type { WireStream } from "../../conformance/wire-client.ts";
import type { RevisionChanges } from "../../linearizability/operation.ts";
import type { WatchedChange, WatchRecord, WatchRequest, WatchResponse } from "../../linearizability/watch-check.ts";
import { type Cluster, type ClusterMember, pause } from "../cluster/cluster.ts";
import { chooseMember } from "./clients.ts";
import { takeSome } from "./take-some.ts";
import { toWatchedChange } from "./wire.ts";

export interface FollowerOptions {
  readonly name: string;
  readonly cluster: Cluster;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly wantsPrevious: boolean;
  /** Called with the changes of each revision, once and in order. */
  readonly onRevision: (changes: RevisionChanges, now: number) => void;
}

interface OpenRecord extends WatchRecord {
  readonly responses: { readonly time: number; readonly response: WatchResponse }[];
}

const silenceMs = 1500;
const everything = { kind: "interval", from: "a", to: undefined } as const;

export class Follower {
  /** One list per watch that went on without a seam; a compaction that overtakes it begins another. */
  readonly watches: OpenRecord[][] = [[]];
  readonly #options: FollowerOptions;
  #next = 1;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /** Every revision before this one was seen. */
  get nextRevision(): number {
    return this.#next;
  }

  async run(): Promise<void> {
    const { cluster, random, signal } = this.#options;
    let last: ClusterMember | undefined;
    while (!signal.aborted) {
      let member = chooseMember(cluster, random);
      if (member === last) member = chooseMember(cluster, random);
      last = member;
      if (member !== undefined) await this.#watch(member);
      await pause(50);
    }
  }

  async #watch(member: ClusterMember): Promise<void> {
    const { name, signal, wantsPrevious } = this.#options;
    const request: WatchRequest = {
      keys: everything,
      startRevision: this.#next,
      wantsPuts: true,
      wantsDeletes: true,
      wantsPrevious,
    };
    const watches = this.watches.at(-1) as OpenRecord[];
    const record: OpenRecord = { name: `${name} on ${member.name}`, request, responses: [] };
    watches.push(record);
    const stream = member.wire.open("Watch/Watch");
    stream.send({ requestUnion: { $case: "createRequest", value: createRequest(request) } });
    let isProbed = false;
    while (!signal.aborted) {
      const responses = await takeSome<WireWatchResponse>(stream, silenceMs);
      const now = performance.now();
      for (const response of responses) if (!this.#take(record, response, now)) return void stream.cancel();
      if (responses.length > 0) {
        isProbed = false;
        continue;
      }
      if (isProbed || (await isOver(stream))) break;
      // Nothing may have happened; a member that is there will say so.
      isProbed = true;
      stream.send({ requestUnion: { $case: "progressRequest", value: {} } });
    }
    stream.cancel();
  }

  /** False when the watch is over. */
  #take(record: OpenRecord, wire: WireWatchResponse, now: number): boolean {
    const response = toResponse(wire);
    record.responses.push({ time: now, response });
    switch (response.kind) {
      case "changes":
        this.#takeChanges(response.changes, now);
        return true;
      case "progress":
        this.#next = Math.max(this.#next, response.revision + 1);
        return true;
      case "canceled":
        if (response.compactRevision > 0) {
          this.#next = Math.max(this.#next, response.compactRevision);
          this.watches.push([]);
        }
        return false;
      default:
        return true;
    }
  }

  #takeChanges(changes: readonly WatchedChange[], now: number): void {
    for (let from = 0; from < changes.length; ) {
      const revision = (changes[from] as WatchedChange).keyValue.modRevision;
      let to = from;
      while (changes[to]?.keyValue.modRevision === revision) to++;
      const whole = changes.slice(from, to).map(({ kind, keyValue }) => ({ kind, keyValue }));
      this.#options.onRevision({ revision, changes: whole }, now);
      this.#next = Math.max(this.#next, revision + 1);
      from = to;
    }
  }
}

async function isOver(stream: WireStream): Promise<boolean> {
  return (await stream.ended(0)) !== undefined;
}

function createRequest({ keys, startRevision, wantsPrevious }: WatchRequest): WatchCreateRequest {
  return WatchCreateRequest.fromPartial({
    key: Buffer.from(keys.kind === "key" ? keys.key : keys.from),
    rangeEnd: Uint8Array.of(0),
    startRevision: BigInt(startRevision),
    prevKv: wantsPrevious,
  });
}

function toResponse(wire: WireWatchResponse): WatchResponse {
  const revision = Number(wire.header?.revision ?? 0n);
  if (wire.canceled) return { kind: "canceled", compactRevision: Number(wire.compactRevision) };
  if (wire.created) return { kind: "created", revision };
  if (wire.events.length === 0) return { kind: "progress", revision };
  return { kind: "changes", revision, changes: wire.events.map(toWatchedChange), isPart: wire.fragment };
}
