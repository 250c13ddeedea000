// The store as it should be, written for clarity: every version of every key in a map. It answers requests one at a
// time, and can go back to an earlier moment, so that a checker can try one order after another.
import type {
  Change,
  Compare,
  Keys,
  KeyValue,
  Refusal,
  Request,
  Result,
  RevisionChanges,
  TxnRequest,
  TxnStep,
  TxnStepResult,
} from "./operation.ts";
import { includesKey } from "./operation.ts";
import { readRange } from "./range-model.ts";

/** One version of a key; no value means that the key was deleted. */
interface Version {
  readonly revision: number;
  readonly keyValue: KeyValue | undefined;
}

/** What a request comes to. */
export interface Answer {
  readonly result: Result;
  /** What it changed; undefined when the revision stays. */
  readonly changes: RevisionChanges | undefined;
  /** Whether anything is different now: changes of keys, leases or the compact revision. */
  readonly isChanged: boolean;
}

class RefusedError extends Error {
  readonly reason: Refusal;

  constructor(reason: Refusal) {
    super(reason);
    this.reason = reason;
  }
}

/** A txn with its branch chosen, inner ones too, before anything is written. */
interface Path {
  readonly succeeded: boolean;
  readonly steps: readonly TxnStep[];
  readonly inner: ReadonlyMap<TxnStep, Path>;
}

const noValue = { value: "", createRevision: 0, version: 0, lease: 0n } as const;

export class StoreModel {
  /** A fresh store is at 1; the first change makes 2. */
  #revision: number;
  #compactRevision = -1;
  /** Two halves of a number that stands for all changes of keys, in order. */
  #digestHigh = 0;
  #digestLow = 0;
  /** Stands for the set of leases. */
  #leaseDigest = 0;
  readonly #versions = new Map<string, Version[]>();
  /** Keys that ever existed, in byte order. */
  readonly #keys: string[] = [];
  readonly #leases = new Set<bigint>();
  #undo: (() => void)[] = [];
  #changes: Change[] = [];

  constructor(revision = 1) {
    this.#revision = revision;
  }

  get revision(): number {
    return this.#revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** Equal for equal states: those that came about by the same changes in the same order. */
  get digest(): string {
    return `${this.#digestHigh}/${this.#digestLow}/${this.#leaseDigest}/${this.#compactRevision}`;
  }

  hasLease(id: bigint): boolean {
    return this.#leases.has(id);
  }

  /** Names the present moment for {@link goBack}. */
  mark(): number {
    return this.#undo.length;
  }

  /** Undoes everything since `mark`. */
  goBack(mark: number): void {
    while (this.#undo.length > mark) (this.#undo.pop() as () => void)();
  }

  /** Nobody will go back behind the present any more. */
  forgetPast(): void {
    this.#undo = [];
  }

  /** Carries a request out. */
  apply(request: Request): Answer {
    const compactBefore = this.#compactRevision;
    const leasesBefore = this.#leases.size;
    let result: Result;
    try {
      result = this.#run(request);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      return { result: { kind: "refused", reason: error.reason }, changes: undefined, isChanged: false };
    }
    const changes = this.#commit();
    const isChanged =
      changes !== undefined || compactBefore !== this.#compactRevision || leasesBefore !== this.#leases.size;
    return { result, changes, isChanged };
  }

  /** What a request would come to, without doing it. */
  preview(request: Request): Answer {
    const mark = this.mark();
    const answer = this.apply(request);
    this.goBack(mark);
    return answer;
  }

  #run(request: Request): Result {
    switch (request.kind) {
      case "lease-grant":
        if (this.#leases.has(request.id)) throw new RefusedError("lease-exists");
        this.#setLease(request.id, true);
        return { kind: "lease-grant", revision: this.#revision };
      case "lease-revoke":
      case "lease-expiry":
        if (!this.#leases.has(request.id)) throw new RefusedError("lease-not-found");
        for (const keyValue of this.#live({ kind: "interval", from: "", to: undefined })) {
          if (keyValue.lease === request.id) this.#delete(keyValue);
        }
        this.#setLease(request.id, false);
        return { kind: "lease-revoke", revision: this.#readRevision };
      case "compact":
        if (request.revision <= this.#compactRevision) throw new RefusedError("compacted");
        if (request.revision > this.#revision) throw new RefusedError("future-revision");
        this.#setCompactRevision(request.revision);
        return { kind: "compact", revision: this.#revision };
      case "range":
        this.#checkRevision(request.revision ?? 0);
        return this.#runStep(request, undefined);
      case "txn": {
        const path = this.#choosePath(request);
        this.#checkPath(path);
        return this.#runPath(path);
      }
      default:
        this.#checkStep(request);
        return this.#runStep(request, undefined);
    }
  }

  /** Every comparison, those of inner txns too, looks at the state before the first write. */
  #choosePath(txn: TxnRequest): Path {
    const succeeded = txn.compares.every((compare) => this.#holds(compare));
    const steps = succeeded ? txn.success : txn.failure;
    const inner = new Map<TxnStep, Path>();
    for (const step of steps) if (step.kind === "txn") inner.set(step, this.#choosePath(step));
    return { succeeded, steps, inner };
  }

  /** The first step that cannot run refuses the whole. */
  #checkPath(path: Path): void {
    for (const step of path.steps) {
      if (step.kind === "txn") this.#checkPath(path.inner.get(step) as Path);
      else if (step.kind === "range") this.#checkRevision(step.revision ?? 0);
      else this.#checkStep(step);
    }
  }

  #runPath(path: Path): Extract<TxnStepResult, { kind: "txn" }> {
    const results = path.steps.map((step) => this.#runStep(step, path));
    return { kind: "txn", revision: this.#readRevision, succeeded: path.succeeded, results };
  }

  #checkRevision(revision: number): void {
    if (revision > this.#revision) throw new RefusedError("future-revision");
    if (revision > 0 && revision < this.#compactRevision) throw new RefusedError("compacted");
  }

  #checkStep(step: TxnStep): void {
    if (step.kind !== "put") return;
    if (step.lease !== 0n && !this.#leases.has(step.lease)) throw new RefusedError("lease-not-found");
    const needsKey = step.ignoresValue === true || step.ignoresLease === true;
    if (needsKey && this.#current(step.key) === undefined) throw new RefusedError("key-not-found");
  }

  #runStep(step: TxnStep, path: Path | undefined): TxnStepResult {
    switch (step.kind) {
      case "put":
        return this.#put(step);
      case "delete": {
        const gone = this.#live(step.keys);
        for (const keyValue of gone) this.#delete(keyValue);
        const previous = step.wantsPrevious === true ? gone : [];
        return { kind: "delete", revision: this.#readRevision, deleted: gone.length, previous };
      }
      case "range":
        return { kind: "range", revision: this.#readRevision, ...readRange(step, this.at(step.keys, step.revision)) };
      case "txn":
        return this.#runPath(path?.inner.get(step) as Path);
    }
  }

  #put(step: Extract<TxnStep, { kind: "put" }>): TxnStepResult {
    const before = this.#current(step.key);
    const revision = this.#revision + 1;
    const keyValue = {
      key: step.key,
      value: step.ignoresValue === true ? (before?.value ?? "") : step.value,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
      lease: step.ignoresLease === true ? (before?.lease ?? 0n) : step.lease,
    };
    this.#write(step.key, keyValue);
    this.#changes.push({ kind: "put", keyValue });
    return { kind: "put", revision, previous: step.wantsPrevious === true ? before : undefined };
  }

  #delete(keyValue: KeyValue): void {
    this.#write(keyValue.key, undefined);
    this.#changes.push({
      kind: "delete",
      keyValue: { ...noValue, key: keyValue.key, modRevision: this.#revision + 1 },
    });
  }

  /** The revision that reads see: that of the running txn once it has changed something. */
  get #readRevision(): number {
    return this.#changes.length > 0 ? this.#revision + 1 : this.#revision;
  }

  #commit(): RevisionChanges | undefined {
    if (this.#changes.length === 0) return undefined;
    const changes = this.#changes;
    this.#changes = [];
    const revision = this.#revision;
    this.#revision++;
    for (const { kind, keyValue } of changes) {
      this.#mix(`${kind} ${keyValue.key} ${keyValue.value} ${keyValue.lease} ${keyValue.version}`);
    }
    this.#undo.push(() => {
      this.#revision = revision;
    });
    return { revision: this.#revision, changes };
  }

  #holds(compare: Compare): boolean {
    const found = this.#live(compare.keys);
    if (found.length > 0) return found.every((keyValue) => holdsFor(compare, keyValue));
    // A missing key counts as zeros; it has no value to compare with.
    return compare.operand.target !== "value" && holdsFor(compare, undefined);
  }

  /** Versions of keys as they were at a revision, in key order; those of now when there is none. */
  at(keys: Keys, revision?: number): KeyValue[] {
    if (revision === undefined || revision <= 0) return this.#live(keys);
    return this.#keysIn(keys)
      .map((key) => (this.#versions.get(key) ?? []).findLast((version) => version.revision <= revision)?.keyValue)
      .filter((keyValue) => keyValue !== undefined);
  }

  #live(keys: Keys): KeyValue[] {
    return this.#keysIn(keys)
      .map((key) => this.#current(key))
      .filter((keyValue) => keyValue !== undefined);
  }

  #current(key: string): KeyValue | undefined {
    return this.#versions.get(key)?.at(-1)?.keyValue;
  }

  #keysIn(keys: Keys): string[] {
    return keys.kind === "key" ? [keys.key] : this.#keys.filter((key) => includesKey(keys, key));
  }

  #write(key: string, keyValue: KeyValue | undefined): void {
    let versions = this.#versions.get(key);
    if (versions === undefined) {
      // Stays in the list when undone: a key without versions is no key.
      versions = [];
      this.#versions.set(key, versions);
      const at = this.#keys.findIndex((other) => other > key);
      this.#keys.splice(at === -1 ? this.#keys.length : at, 0, key);
    }
    const written = versions;
    written.push({ revision: this.#revision + 1, keyValue });
    this.#undo.push(() => written.pop());
  }

  #setLease(id: bigint, exists: boolean): void {
    const flip = (isThere: boolean): void => {
      if (isThere) this.#leases.add(id);
      else this.#leases.delete(id);
      this.#leaseDigest ^= Math.imul(Number(BigInt.asIntN(32, id ^ (id >> 32n))), 0x9e3779b1);
    };
    flip(exists);
    this.#undo.push(() => flip(!exists));
  }

  #setCompactRevision(revision: number): void {
    const before = this.#compactRevision;
    this.#compactRevision = revision;
    this.#undo.push(() => {
      this.#compactRevision = before;
    });
  }

  /** Two FNV-1a hashes that start apart. */
  #mix(text: string): void {
    const high = this.#digestHigh;
    const low = this.#digestLow;
    let a = high ^ 0x811c9dc5;
    let b = low ^ 0x050c5d1f;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      a = Math.imul(a ^ code, 0x01000193);
      b = Math.imul(b ^ code, 0x01000193) ^ (b >>> 15);
    }
    this.#digestHigh = a;
    this.#digestLow = b;
    this.#undo.push(() => {
      this.#digestHigh = high;
      this.#digestLow = low;
    });
  }
}

function holdsFor(compare: Compare, keyValue: KeyValue | undefined): boolean {
  const { operand } = compare;
  let sign: number;
  if (operand.target === "value") sign = order(keyValue?.value ?? "", operand.value);
  else if (operand.target === "lease") sign = order(keyValue?.lease ?? 0n, operand.lease);
  else if (operand.target === "version") sign = order(keyValue?.version ?? 0, operand.number);
  else if (operand.target === "create") sign = order(keyValue?.createRevision ?? 0, operand.number);
  else sign = order(keyValue?.modRevision ?? 0, operand.number);
  switch (compare.result) {
    case "equal":
      return sign === 0;
    case "not-equal":
      return sign !== 0;
    case "greater":
      return sign > 0;
    case "less":
      return sign < 0;
  }
}

function order<T extends string | number | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
