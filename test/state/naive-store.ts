// The key-value store, leases and watch history as etcd describes them, on plain arrays that are searched from end to
// end. Shares no code with the server but its types; what it cannot know is how to be fast.
import type {
  Command,
  Compare,
  DeleteRangeOperation,
  Operation,
  PutOperation,
  RangeOperation,
  TxnOperation,
} from "../../server/state/command.ts";
import type { KeyRange } from "../../server/state/key-range.ts";

export interface NaiveVersion {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: string;
  readonly lease: bigint;
}

/** A change of a key: to a version, or to nothing. */
export interface NaiveEvent {
  readonly revision: number;
  readonly key: string;
  readonly version: NaiveVersion | undefined;
}

export class NaiveError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** What a command or a read came to. Key-values are versions. */
export type NaiveResult =
  | { readonly kind: "refused"; readonly code: string }
  | { readonly kind: "put"; readonly revision: number; readonly previous: NaiveVersion | undefined }
  | {
      readonly kind: "delete-range";
      readonly revision: number;
      readonly deleted: number;
      readonly previous: readonly NaiveVersion[];
    }
  | NaiveRange
  | {
      readonly kind: "txn";
      readonly revision: number;
      readonly succeeded: boolean;
      readonly results: readonly NaiveResult[];
    }
  | { readonly kind: "compact"; readonly revision: number }
  | { readonly kind: "lease-grant"; readonly revision: number }
  | { readonly kind: "lease-revoke"; readonly revision: number }
  | { readonly kind: "lease-checkpoint" };

export interface NaiveRange {
  readonly kind: "range";
  readonly revision: number;
  readonly keyValues: readonly NaiveVersion[];
  readonly count: number;
  readonly hasMore: boolean;
}

const byKey = (a: { readonly key: string }, b: { readonly key: string }): number => (a.key < b.key ? -1 : 1);
const byteText = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

export function isInRange(range: KeyRange, key: string): boolean {
  if (range.kind === "key") return key === range.key;
  return key >= range.from && (range.to === undefined || key < range.to);
}

export class NaiveStore {
  /** All changes ever made, oldest first. */
  readonly events: NaiveEvent[] = [];
  readonly leases = new Map<bigint, { readonly ttlSeconds: number; remainingSeconds: number }>();
  revision = 1;
  compactRevision = -1;
  /** Set while a txn runs, once it has changed something. */
  #writing: number | undefined;
  // What is there now, by key; everything else is found in the events.
  readonly #current = new Map<string, NaiveVersion>();
  readonly #eventsByKey = new Map<string, NaiveEvent[]>();

  /** The keys of a range as they were at a revision. */
  at(revision: number, range: KeyRange): NaiveVersion[] {
    if (revision >= this.#readRevision) {
      return [...this.#current.values()].filter(({ key }) => isInRange(range, key)).sort(byKey);
    }
    const found: NaiveVersion[] = [];
    for (const [key, events] of this.#eventsByKey) {
      if (!isInRange(range, key)) continue;
      const version = events.findLast((event) => event.revision <= revision)?.version;
      if (version !== undefined) found.push(version);
    }
    return found.sort(byKey);
  }

  get #readRevision(): number {
    return this.#writing ?? this.revision;
  }

  keysOfLease(id: bigint): string[] {
    return [...this.#current.values()]
      .filter(({ lease }) => lease === id)
      .map(({ key }) => key)
      .sort();
  }

  /** The version of a key before a revision, if it can still be read. */
  before(revision: number, key: string): NaiveVersion | undefined {
    return this.at(revision - 1, { kind: "key", key })[0];
  }

  apply(command: Command): NaiveResult {
    try {
      return this.#apply(command);
    } catch (error) {
      if (error instanceof NaiveError) return { kind: "refused", code: error.code };
      throw error;
    }
  }

  #apply(command: Command): NaiveResult {
    switch (command.kind) {
      case "put":
        this.#checkPut(command);
        return this.#transaction(() => this.#put(command));
      case "delete-range":
        return this.#transaction(() => this.#delete(command));
      case "txn": {
        const chosen = this.#choose(command);
        this.#check(chosen);
        return this.#transaction(() => this.#run(chosen));
      }
      case "compact":
        if (command.revision <= this.compactRevision) throw new NaiveError("compacted");
        if (command.revision > this.revision) throw new NaiveError("future-revision");
        this.compactRevision = command.revision;
        return { kind: "compact", revision: this.revision };
      case "lease-grant":
        if (this.leases.has(command.id)) throw new NaiveError("lease-exists");
        this.leases.set(command.id, { ttlSeconds: command.ttlSeconds, remainingSeconds: command.ttlSeconds });
        return { kind: "lease-grant", revision: this.revision };
      case "lease-revoke": {
        if (!this.leases.has(command.id)) throw new NaiveError("lease-not-found");
        const keys = this.keysOfLease(command.id);
        this.leases.delete(command.id);
        return this.#transaction(() => {
          for (const key of keys) this.#change(key, undefined);
          return { kind: "lease-revoke", revision: this.#readRevision };
        });
      }
      case "lease-checkpoint":
        for (const { id, remainingTtlSeconds } of command.checkpoints) {
          const lease = this.leases.get(id);
          if (lease !== undefined) lease.remainingSeconds = remainingTtlSeconds;
        }
        return { kind: "lease-checkpoint" };
      default:
        throw new Error(`the naive store knows no ${command.kind}`);
    }
  }

  #transaction(body: () => NaiveResult): NaiveResult {
    const result = body();
    if (this.#writing !== undefined) this.revision = this.#writing;
    this.#writing = undefined;
    return result;
  }

  #change(key: string, version: NaiveVersion | undefined): void {
    this.#writing = this.revision + 1;
    const event = { revision: this.#writing, key, version };
    this.events.push(event);
    const ofKey = this.#eventsByKey.get(key);
    if (ofKey === undefined) this.#eventsByKey.set(key, [event]);
    else ofKey.push(event);
    if (version === undefined) this.#current.delete(key);
    else this.#current.set(key, version);
  }

  #checkPut({ key, lease, ignoresLease, ignoresValue }: PutOperation): void {
    if (lease !== 0n && !this.leases.has(lease)) throw new NaiveError("lease-not-found");
    if ((ignoresLease || ignoresValue) && !this.#current.has(key)) throw new NaiveError("key-not-found");
  }

  #put(operation: PutOperation): NaiveResult {
    const { key, ignoresValue, ignoresLease, wantsPrevious } = operation;
    const previous = this.#current.get(key);
    const revision = this.revision + 1;
    this.#change(key, {
      key,
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0) + 1,
      value: ignoresValue ? (previous?.value ?? "") : byteText(operation.value),
      lease: ignoresLease ? (previous?.lease ?? 0n) : operation.lease,
    });
    return { kind: "put", revision, previous: wantsPrevious ? previous : undefined };
  }

  #delete({ range, wantsPrevious }: DeleteRangeOperation): NaiveResult {
    const found = this.at(this.#readRevision, range);
    for (const { key } of found) this.#change(key, undefined);
    const previous = wantsPrevious ? found : [];
    return { kind: "delete-range", revision: this.#readRevision, deleted: found.length, previous };
  }

  /** A read outside of any command. */
  read(operation: RangeOperation): NaiveRange {
    if (operation.revision > this.#readRevision) throw new NaiveError("future-revision");
    if (operation.revision > 0 && operation.revision < this.compactRevision) throw new NaiveError("compacted");
    return this.#range(operation);
  }

  #range(operation: RangeOperation): NaiveRange {
    const { revision, limit, isCountOnly, isKeysOnly } = operation;
    const all = this.at(revision <= 0 ? this.#readRevision : revision, operation.range);
    const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = operation;
    let kept = all.filter(
      (version) =>
        (minModRevision === 0 || version.modRevision >= minModRevision) &&
        (maxModRevision === 0 || version.modRevision <= maxModRevision) &&
        (minCreateRevision === 0 || version.createRevision >= minCreateRevision) &&
        (maxCreateRevision === 0 || version.createRevision <= maxCreateRevision),
    );
    const isFiltered = [minModRevision, maxModRevision, minCreateRevision, maxCreateRevision].some((r) => r !== 0);
    // Without an order the limit is taken in key order, and only what it leaves is sorted.
    const cutsFirst = operation.sortOrder === "none" && !isFiltered;
    const hasMore = !isCountOnly && limit > 0 && kept.length > limit;
    // One key more than the limit is read, sorted with the others, and then cut off.
    if (cutsFirst && limit > 0) kept = kept.slice(0, limit + 1);
    kept = sorted(kept, operation);
    if (limit > 0) kept = kept.slice(0, limit);
    if (isCountOnly) kept = [];
    if (isKeysOnly) kept = kept.map((version) => ({ ...version, value: "" }));
    return { kind: "range", revision: this.#readRevision, keyValues: kept, count: all.length, hasMore };
  }

  /** A txn's branch, and those of the txns inside it, as the state stands before any of them writes. */
  #choose(txn: TxnOperation): Chosen {
    const succeeded = txn.compares.every((compare) => this.#holds(compare));
    const operations = (succeeded ? txn.success : txn.failure).map((operation) =>
      operation.kind === "txn" ? this.#choose(operation) : operation,
    );
    return { kind: "chosen", succeeded, operations };
  }

  #check({ operations }: Chosen): void {
    for (const operation of operations) {
      if (operation.kind === "chosen") this.#check(operation);
      if (operation.kind === "put") this.#checkPut(operation);
      if (operation.kind !== "range" || operation.revision === 0) continue;
      if (operation.revision > this.revision) throw new NaiveError("future-revision");
      if (operation.revision < this.compactRevision) throw new NaiveError("compacted");
    }
  }

  #run({ succeeded, operations }: Chosen): NaiveResult {
    const results = operations.map((operation): NaiveResult => {
      switch (operation.kind) {
        case "put":
          return this.#put(operation);
        case "delete-range":
          return this.#delete(operation);
        case "range":
          return this.#range(operation);
        case "chosen":
          return this.#run(operation);
        default:
          throw new Error(`no ${operation.kind} here`);
      }
    });
    return { kind: "txn", revision: this.#readRevision, succeeded, results };
  }

  #holds({ range, operand, result }: Compare): boolean {
    const found = this.at(this.revision, range);
    if (found.length === 0 && operand.target === "value") return false;
    const versions: readonly (NaiveVersion | undefined)[] = found.length === 0 ? [undefined] : found;
    return versions.every((version) => {
      let [left, right]: [number | bigint | string, number | bigint | string] = [0, 0];
      if (operand.target === "version") [left, right] = [version?.version ?? 0, operand.number];
      if (operand.target === "create") [left, right] = [version?.createRevision ?? 0, operand.number];
      if (operand.target === "mod") [left, right] = [version?.modRevision ?? 0, operand.number];
      if (operand.target === "lease") [left, right] = [version?.lease ?? 0n, operand.lease];
      if (operand.target === "value") [left, right] = [version?.value ?? "", byteText(operand.value)];
      if (result === "equal") return left === right;
      if (result === "not-equal") return left !== right;
      return result === "greater" ? left > right : left < right;
    });
  }
}

interface Chosen {
  readonly kind: "chosen";
  readonly succeeded: boolean;
  readonly operations: readonly (Exclude<Operation, TxnOperation> | Chosen)[];
}

function sorted(versions: readonly NaiveVersion[], { sortOrder, sortTarget }: RangeOperation): NaiveVersion[] {
  const keyOf = (version: NaiveVersion): number | string => {
    if (sortTarget === "version") return version.version;
    if (sortTarget === "create") return version.createRevision;
    if (sortTarget === "mod") return version.modRevision;
    return sortTarget === "value" ? version.value : version.key;
  };
  const sign = sortOrder === "descend" ? -1 : 1;
  // Sorting is stable, here and there: what is alike stays in key order.
  return [...versions].sort((a, b) => (keyOf(a) < keyOf(b) ? -sign : keyOf(a) > keyOf(b) ? sign : 0));
}
