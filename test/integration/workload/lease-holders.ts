// Clients that hold leases: grant one, attach a key, renew it for a while through any member, then revoke it or fall
// silent. When each one ended is learnt from the deletion of its key.
import type { Random } from "../../../server/lib/random.ts";
import type { LeaseRecord } from "../../linearizability/lease-check.ts";
import { type Cluster, pause } from "../cluster/cluster.ts";
import { askWire } from "./ask.ts";
import { chooseMember } from "./clients.ts";
import type { Recorder } from "./recorder.ts";

interface Renewal {
  readonly asked: number;
  readonly answered: number | undefined;
  readonly ttlSeconds: number | undefined;
}

interface HeldLease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  readonly asked: number;
  readonly answered: number;
  readonly renewals: Renewal[];
  hasKey: boolean;
  isRevoked: boolean;
  endedAt: number | undefined;
}

const deadlineMs = 3000;
const keyOf = (id: bigint): string => `lease/${id}`;
/** Keys of leases. */
export const leaseKeyPrefix = "lease/";

export class LeaseHolders {
  readonly #cluster: Cluster;
  readonly #recorder: Recorder;
  readonly #random: Random;
  readonly #leases = new Map<bigint, HeldLease>();

  constructor(options: { readonly cluster: Cluster; readonly recorder: Recorder; readonly random: Random }) {
    this.#cluster = options.cluster;
    this.#recorder = options.recorder;
    this.#random = options.random;
  }

  get count(): number {
    return this.#leases.size;
  }

  /** A watch saw that the key of a lease is gone. Whoever sees it first counts. */
  onKeyGone(key: string, now: number): void {
    const lease = this.#leases.get(BigInt(key.slice(leaseKeyPrefix.length)));
    if (lease !== undefined) lease.endedAt ??= now;
  }

  async run(name: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const lease = await this.#grant(name);
      if (lease === undefined) await pause(300);
      else await this.#hold(name, lease, signal);
    }
  }

  async #ask(name: string, request: Parameters<Recorder["record"]>[1]) {
    const member = chooseMember(this.#cluster, this.#random);
    if (member === undefined) return undefined;
    return this.#recorder.record(name, request, () => askWire(member.wire, request, deadlineMs));
  }

  async #grant(name: string): Promise<HeldLease | undefined> {
    const id = BigInt(1 + this.#random.below(0x7fff_ffff)) * 0x1_0000n + BigInt(this.#leases.size);
    const ttlSeconds = 4 + this.#random.below(5);
    const asked = this.#recorder.now;
    const answer = await this.#ask(name, { kind: "lease-grant", id, ttlSeconds });
    if (answer?.kind !== "returned" || answer.result.kind !== "lease-grant") {
      // It may exist all the same, with no key, and run out unseen.
      return undefined;
    }
    // Not before its time to live is over, on any clock; the rules of leases say more, and are checked apart.
    this.#recorder.expect("cluster", { kind: "lease-expiry", id }, asked + ttlSeconds * 1000);
    const answered = this.#recorder.now;
    const times = { asked, answered, renewals: [] };
    const lease: HeldLease = { id, ttlSeconds, ...times, hasKey: false, isRevoked: false, endedAt: undefined };
    this.#leases.set(id, lease);
    const request = { kind: "put", key: keyOf(id), value: name, lease: id } as const;
    const put = await this.#ask(name, request);
    lease.hasKey = put?.kind === "returned" && put.result.kind === "put";
    return lease;
  }

  async #hold(name: string, lease: HeldLease, signal: AbortSignal): Promise<void> {
    const rounds = this.#random.below(6);
    for (let round = 0; round < rounds && !signal.aborted; round++) {
      await pause((lease.ttlSeconds * 1000) / 3);
      if (!(await this.#renew(lease))) return;
    }
    if (this.#random.below(2) === 0 || signal.aborted) return;
    lease.isRevoked = true;
    await this.#ask(name, { kind: "lease-revoke", id: lease.id });
  }

  /** False once it is gone. */
  async #renew(lease: HeldLease): Promise<boolean> {
    const member = chooseMember(this.#cluster, this.#random);
    if (member === undefined) return true;
    const asked = this.#recorder.now;
    const stream = member.wire.open("Lease/LeaseKeepAlive");
    stream.send({ ID: lease.id });
    const [answer] = (await stream.take(1, deadlineMs)) as readonly { readonly TTL: bigint }[];
    stream.cancel();
    const answered = answer === undefined ? undefined : this.#recorder.now;
    lease.renewals.push({ asked, answered, ttlSeconds: answer === undefined ? undefined : Number(answer.TTL) });
    return answer === undefined || answer.TTL > 0n;
  }

  /** What is known of those whose end would have been seen. */
  records(): readonly LeaseRecord[] {
    return [...this.#leases.values()]
      .filter(({ hasKey }) => hasKey)
      .map(({ id, ttlSeconds, asked, answered, renewals, isRevoked, endedAt }) => ({
        id,
        ttlSeconds,
        grantedAt: { asked, answered },
        renewals,
        end: endedAt === undefined ? undefined : { at: endedAt, kind: isRevoked ? "revoked" : "expired" },
      }));
  }

  /** Leases with a key whose end has not been seen. */
  get alive(): number {
    return [...this.#leases.values()].filter(({ hasKey, endedAt }) => hasKey && endedAt === undefined).length;
  }
}
