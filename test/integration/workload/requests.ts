// What clients ask for: drawn at random over few keys, so that they meet, with values that nobody else writes, so that
// each write can be told from all others.
import type { Random } from "../../../server/lib/random.ts";
import type { Compare, Keys, KeyValue, TxnStep } from "../../linearizability/operation.ts";

const keysMax = 24;
const all: Keys = { kind: "interval", from: "k", to: "l" };

/** The keys that clients write. Leases have others. */
export const clientKeys = all;

export class RequestSource {
  readonly #random: Random;
  readonly #client: string;
  /** What this client saw last of a key: what comparisons are made of. */
  readonly #seen = new Map<string, KeyValue | undefined>();
  #values = 0;

  constructor(random: Random, client: string) {
    this.#random = random;
    this.#client = client;
  }

  saw(key: string, keyValue: KeyValue | undefined): void {
    this.#seen.set(key, keyValue);
  }

  next(): TxnStep {
    const draw = this.#random.below(100);
    if (draw < 36) return this.#put();
    if (draw < 58) return { kind: "range", keys: this.#key() };
    if (draw < 66) return { kind: "range", keys: all, limit: this.#random.below(2) === 0 ? 0 : 5 };
    if (draw < 72) return { kind: "delete", keys: this.#key(), wantsPrevious: true };
    if (draw < 88) return this.#compareAndSet();
    return this.#multi();
  }

  /** A linearizable read. */
  nextRead(): TxnStep {
    return { kind: "range", keys: this.#random.below(2) === 0 ? all : this.#key() };
  }

  /** A read that its member answers alone. */
  nextSerializable(): TxnStep {
    return { kind: "range", keys: this.#random.below(3) === 0 ? all : this.#key(), isSerializable: true };
  }

  #name(): string {
    return `k${String(this.#random.below(keysMax)).padStart(2, "0")}`;
  }

  #key(): Keys {
    return { kind: "key", key: this.#name() };
  }

  #put(key = this.#name()): Extract<TxnStep, { kind: "put" }> {
    const value = `${this.#client}/${++this.#values}`;
    return { kind: "put", key, value, lease: 0n, wantsPrevious: this.#random.below(3) === 0 };
  }

  #compareAndSet(): TxnStep {
    const key = this.#name();
    const keys = { kind: "key", key } as const;
    const seen = this.#seen.get(key);
    const compares: Compare[] = [{ keys, result: "equal", operand: { target: "mod", number: seen?.modRevision ?? 0 } }];
    if (seen !== undefined && this.#random.below(2) === 0)
      compares.push({ keys, result: "equal", operand: { target: "value", value: seen.value } });
    return { kind: "txn", compares, success: [this.#put(key)], failure: [{ kind: "range", keys }] };
  }

  /** Several keys in one revision, with a read behind the writes. */
  #multi(): TxnStep {
    const [first, second] = [this.#name(), this.#name()];
    const success: TxnStep[] = [this.#put(first)];
    if (second !== first) success.push(this.#random.below(2) === 0 ? this.#put(second) : remove(second));
    success.push({ kind: "range", keys: all });
    return { kind: "txn", compares: [], success, failure: [] };
  }
}

function remove(key: string): TxnStep {
  return { kind: "delete", keys: { kind: "key", key } };
}
