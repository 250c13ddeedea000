// Draws requests of every kind, for histories and for the simulated clients. Values are never drawn twice, so that what
// is read tells who wrote it.
import type { Random } from "../../server/lib/random.ts";
import type { Compare, Keys, RangeRequest, Request, TxnRequest, TxnStep } from "./operation.ts";

/** What the requests are about, and how often each kind comes. Weights of 0 switch a kind off. */
export interface RequestMix {
  readonly keys: readonly string[];
  readonly weights: {
    readonly put: number;
    readonly delete: number;
    readonly range: number;
    readonly txn: number;
    readonly grant: number;
    readonly revoke: number;
    readonly compact: number;
  };
  /** Of ranges, how many are serializable; from 0 to 1. */
  readonly serializableShare: number;
  /** Bytes that values are filled up to. */
  readonly valueBytes: number;
  readonly ttlSecondsMin: number;
  readonly ttlSecondsMax: number;
}

/** What the drawing client knows. */
export interface Surroundings {
  /** A recent revision of the store. */
  readonly revision: number;
  /** Leases that may exist, or not any more. */
  readonly leases: readonly bigint[];
  /** Something no other value contains. */
  nextValue(): string;
  nextLease(): bigint;
}

const compareResults = ["equal", "greater", "less", "not-equal"] as const;
const compareTargets = ["version", "create", "mod", "value", "lease"] as const;
const sortTargets = ["key", "version", "create", "mod", "value"] as const;

export function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random.below(choices.length)] as T;
}

export class RequestDrawer {
  readonly #random: Random;
  readonly #mix: RequestMix;

  constructor(random: Random, mix: RequestMix) {
    this.#random = random;
    this.#mix = mix;
  }

  draw(surroundings: Surroundings): Request {
    const kinds = Object.entries(this.#mix.weights) as [keyof RequestMix["weights"], number][];
    const total = kinds.reduce((sum, [, weight]) => sum + weight, 0);
    let at = this.#random.next() * total;
    const kind = kinds.find(([, weight]) => (at -= weight) < 0)?.[0] ?? "put";
    return this.#drawKind(kind, surroundings);
  }

  #drawKind(kind: keyof RequestMix["weights"], surroundings: Surroundings): Request {
    const { ttlSecondsMin, ttlSecondsMax } = this.#mix;
    switch (kind) {
      case "put":
      case "delete":
      case "range":
        return this.#drawStep(kind, this.#mix.keys, surroundings);
      case "txn":
        return this.#drawTxn(this.#mix.keys, surroundings, 2);
      case "grant":
        return {
          kind: "lease-grant",
          // Now and then one that exists, or did.
          id:
            this.#chance(0.05) && surroundings.leases.length > 0
              ? this.#anyLease(surroundings)
              : surroundings.nextLease(),
          ttlSeconds: ttlSecondsMin + this.#random.below(ttlSecondsMax - ttlSecondsMin + 1),
        };
      case "revoke":
        return { kind: "lease-revoke", id: this.#anyLease(surroundings) };
      case "compact":
        return { kind: "compact", revision: Math.max(1, surroundings.revision - this.#random.below(20)) };
    }
  }

  #chance(chance: number): boolean {
    return this.#random.next() < chance;
  }

  #anyLease({ leases }: Surroundings): bigint {
    return leases.length === 0 ? 99n : pick(this.#random, leases);
  }

  #drawStep(kind: "put" | "delete" | "range", keys: readonly string[], surroundings: Surroundings): TxnStep {
    const random = this.#random;
    if (kind === "delete") return { kind, keys: this.#drawKeys(keys, 0.2), wantsPrevious: this.#chance(0.3) };
    if (kind === "range") return this.#drawRange(keys, surroundings);
    const key = pick(random, keys);
    const wantsPrevious = this.#chance(0.3);
    if (this.#chance(0.05)) return { kind, key, value: "", lease: 0n, wantsPrevious, ignoresValue: true };
    const value = surroundings.nextValue().padEnd(this.#mix.valueBytes, ".");
    if (this.#chance(0.05)) return { kind, key, value, lease: 0n, wantsPrevious, ignoresLease: true };
    const lease = this.#chance(0.15) && surroundings.leases.length > 0 ? this.#anyLease(surroundings) : 0n;
    return { kind, key, value, lease, wantsPrevious };
  }

  #drawRange(keys: readonly string[], surroundings: Surroundings): RangeRequest {
    const random = this.#random;
    const isSerializable = this.#chance(this.#mix.serializableShare);
    const isOld = !isSerializable && this.#chance(0.1);
    return {
      kind: "range",
      keys: this.#drawKeys(keys, 0.3),
      revision: isOld ? Math.max(1, surroundings.revision + 2 - random.below(20)) : 0,
      limit: this.#chance(0.2) ? 1 + random.below(3) : 0,
      isCountOnly: this.#chance(0.1),
      isKeysOnly: this.#chance(0.1),
      isSerializable,
      ...(this.#chance(0.2) && { sort: { target: pick(random, sortTargets), isDescending: this.#chance(0.5) } }),
    };
  }

  #drawKeys(keys: readonly string[], intervalChance: number): Keys {
    if (!this.#chance(intervalChance)) return { kind: "key", key: pick(this.#random, keys) };
    const [a, b] = [pick(this.#random, keys), pick(this.#random, keys)];
    const [from, to] = a < b ? [a, b] : [b, a];
    return { kind: "interval", from, to: this.#chance(0.2) ? undefined : `${to}\0` };
  }

  /** Both branches put keys of a part of their own, so that no key is put twice or deleted and put. */
  #drawTxn(keys: readonly string[], surroundings: Surroundings, depth: number): TxnRequest {
    const compares = Array.from({ length: this.#random.below(3) }, () => this.#drawCompare(keys, surroundings));
    const branch = (): TxnStep[] => this.#drawBranch(keys, surroundings, depth);
    return { kind: "txn", compares, success: branch(), failure: branch() };
  }

  #drawBranch(keys: readonly string[], surroundings: Surroundings, depth: number): TxnStep[] {
    const random = this.#random;
    const free = [...keys];
    const take = (): string => free.splice(random.below(free.length), 1)[0] as string;
    const steps: TxnStep[] = [];
    for (let count = random.below(4); count > 0 && free.length > 0; count--) {
      const kind = pick(random, ["put", "put", "delete", "range", "txn"] as const);
      if (kind === "range") steps.push(this.#drawRange(keys, surroundings));
      else if (kind === "put") steps.push(this.#drawStep("put", [take()], surroundings));
      else if (kind === "delete") steps.push({ kind, keys: { kind: "key", key: take() }, wantsPrevious: true });
      else if (depth > 0) {
        const inner = free.splice(0, Math.ceil(free.length / 2));
        steps.push(this.#drawTxn(inner, surroundings, depth - 1));
      }
    }
    return steps;
  }

  #drawCompare(keys: readonly string[], surroundings: Surroundings): Compare {
    const random = this.#random;
    const target = pick(random, compareTargets);
    const range = this.#drawKeys(keys, 0.15);
    const result = pick(random, compareResults);
    if (target === "value") return { keys: range, result, operand: { target, value: surroundings.nextValue() } };
    if (target === "lease")
      return { keys: range, result, operand: { target, lease: pick(random, [0n, ...surroundings.leases]) } };
    const number = target === "version" ? random.below(3) : Math.max(0, surroundings.revision - random.below(6));
    return { keys: range, result, operand: { target, number: this.#chance(0.3) ? 0 : number } };
  }
}
