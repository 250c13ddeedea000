// Leases over many lives of a member: some are kept alive, the others left to end.
import { setTimeout as sleep } from "node:timers/promises";
import { checkLease, type LeaseRecord } from "../linearizability/lease-check.ts";

interface Book {
  readonly id: bigint;
  readonly ttlSeconds: number;
  readonly isKept: boolean;
  readonly grantedAt: LeaseRecord["grantedAt"];
  readonly renewals: { asked: number; answered: number | undefined; ttlSeconds: number | undefined }[];
  end: LeaseRecord["end"];
}

const keyPrefix = "lease/";

export function isLeaseKey(key: string): boolean {
  return key.startsWith(keyPrefix);
}

export function leaseKeyOf(id: bigint): string {
  return `${keyPrefix}${id}`;
}

export class LeaseBook {
  readonly #books = new Map<string, Book>();
  #lastId = 1000n;

  nextId(): bigint {
    this.#lastId++;
    return this.#lastId;
  }

  get size(): number {
    return this.#books.size;
  }

  noteGrant(id: bigint, ttlSeconds: number, isKept: boolean, asked: number): void {
    const grantedAt = { asked, answered: performance.now() };
    this.#books.set(leaseKeyOf(id), { id, ttlSeconds, isKept, grantedAt, renewals: [], end: undefined });
  }

  /** The watch saw that a lease's key is gone. */
  noteEnd(key: string): void {
    const book = this.#books.get(key);
    if (book !== undefined) book.end ??= { at: performance.now(), kind: "expired" };
  }

  /** Renews those that are to be kept, one round. @param renew Resolves with the TTL that was answered. */
  async renewAll(renew: (id: bigint) => Promise<number>): Promise<void> {
    for (const { id, isKept, renewals, end } of this.#books.values()) {
      if (!isKept || end !== undefined) continue;
      const renewal: (typeof renewals)[number] = {
        asked: performance.now(),
        answered: undefined,
        ttlSeconds: undefined,
      };
      renewals.push(renewal);
      renewal.ttlSeconds = await renew(id);
      renewal.answered = performance.now();
    }
  }

  /** Waits until all of them have ended, or `withinMs` are over. */
  async untilEnded(withinMs: number): Promise<void> {
    const endMs = performance.now() + withinMs;
    const live = (): boolean => [...this.#books.values()].some(({ end }) => end === undefined);
    while (live() && performance.now() < endMs) await sleep(20);
  }

  /** @param stableSince Since when the last life of the member served. */
  violations(stableSince: number, electionTimeoutMs: number): readonly string[] {
    const bounds = { now: performance.now(), stableSince, electionTimeoutMs };
    return [...this.#books.values()].flatMap((book) => checkLease(book, bounds));
  }
}
