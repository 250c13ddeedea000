// Answers a range: walks the keys, filters, sorts, cuts and loads values, in the order that etcd does it, since the
// order shows in the answer. Can be cut into steps, so that a range over a million keys holds nobody up.

import type { RangeOperation } from "./command.ts";
import { StateError } from "./errors.ts";
import { encodeKeyValue } from "./mvcc/key-value.ts";
import type { MvccStore } from "./mvcc/mvcc-store.ts";
import type { RangeScan } from "./mvcc/range-scan.ts";
import type { KeyVersion } from "./mvcc/record.ts";

export interface RangeResult {
  /** mvccpb.KeyValue each, in wire form. */
  readonly keyValues: readonly Uint8Array[];
  /** The very same array may be answered again: what is made of it can be kept with it. */
  readonly isShared: boolean;
  /** Keys in the range, whatever limit and filters say. */
  readonly count: number;
  /** Whether the limit cut the answer. */
  readonly hasMore: boolean;
  /** Revision of the store when the range was read. */
  readonly revision: number;
}

// A step that has loaded this much ends, however few rows that were.
const stepBytesMax = 1024 * 1024;
const noValue = new Uint8Array(0);

export class RangeRead {
  readonly #store: MvccStore;
  readonly #operation: RangeOperation;
  readonly #headerRevision: number;
  readonly #generation: number;
  readonly #scan: RangeScan | undefined;
  #found: readonly KeyVersion[] | undefined;
  #selected: readonly KeyVersion[] | undefined;
  #hasMore = false;
  #count = 0;
  readonly #keyValues: Uint8Array[] = [];
  readonly #cached: readonly Uint8Array[] | undefined;
  readonly #keepsAnswer: boolean = false;

  /**
   * @param isCounted Whether to count what lies beyond the limit; otherwise the count has no meaning.
   * @throws StateError `future-revision`, `compacted`
   */
  constructor(store: MvccStore, operation: RangeOperation, { isCounted } = { isCounted: true }) {
    this.#store = store;
    this.#operation = operation;
    this.#headerRevision = store.readRevision;
    this.#generation = store.generation;
    const revision = store.resolveRevision(operation.revision);
    if (operation.range.kind === "key") {
      const version = store.versionAt(operation.range.key, revision);
      this.#found = version === undefined ? [] : [version];
      this.#count = this.#found.length;
    } else {
      const { from, to } = operation.range;
      const isCacheable = revision === this.#headerRevision && isPlain(operation);
      this.#cached = isCacheable ? store.rangeCache.find(from, to) : undefined;
      if (this.#cached !== undefined) return;
      this.#keepsAnswer = isCacheable && isWhole(operation);
      this.#scan = store.scan(operation.range, revision, { limit: scanLimit(operation), isCounted });
    }
  }

  /**
   * Does about `rowsMax` rows of work. Returns the answer once it is complete.
   * @throws StateError `compacted` when compaction went past the revision meanwhile, or a snapshot replaced the store.
   */
  step(rowsMax: number): RangeResult | undefined {
    if (this.#store.generation !== this.#generation) throw new StateError("compacted");
    if (this.#cached !== undefined) return this.#answerFrom(this.#cached);
    if (this.#found === undefined) {
      const scan = this.#scan as RangeScan;
      if (scan.revision < this.#store.compactRevision) throw new StateError("compacted");
      if (!scan.step(rowsMax)) return undefined;
      this.#count = scan.count;
      this.#found = scan.versions;
    }
    if (this.#selected === undefined) this.#selected = this.#operation.isCountOnly ? [] : this.#select(this.#found);
    if (!this.#load(this.#selected, rowsMax)) return undefined;
    if (this.#keepsAnswer) this.#keep(this.#selected);
    return this.#answer(this.#keyValues, this.#count);
  }

  #answer(keyValues: readonly Uint8Array[], count: number, isShared = false): RangeResult {
    return { keyValues, isShared, count, hasMore: this.#hasMore, revision: this.#headerRevision };
  }

  #answerFrom(keyValues: readonly Uint8Array[]): RangeResult {
    const { limit, isCountOnly } = this.#operation;
    const count = keyValues.length;
    if (isCountOnly) return this.#answer([], count);
    if (limit <= 0 || count <= limit) return this.#answer(keyValues, count, true);
    this.#hasMore = true;
    return this.#answer(keyValues.slice(0, limit), count);
  }

  /** Lets the store keep the answer, if it is still true. */
  #keep(versions: readonly KeyVersion[]): void {
    const { range } = this.#operation;
    const store = this.#store;
    if (range.kind === "key" || store.readRevision !== this.#headerRevision) return;
    if (!store.rangeCache.isWanted(range.from, range.to)) return;
    const keys = versions.map(({ key }) => key);
    store.rangeCache.keep(range.from, range.to, keys, this.#keyValues);
  }

  /** The answer in one go, for commands, which cannot be cut into steps. */
  run(): RangeResult {
    for (;;) {
      const result = this.step(Number.MAX_SAFE_INTEGER);
      if (result !== undefined) return result;
    }
  }

  #select(found: readonly KeyVersion[]): readonly KeyVersion[] {
    const { limit } = this.#operation;
    const filtered = hasFilters(this.#operation) ? found.filter((version) => passes(this.#operation, version)) : found;
    const sorted = this.#sort(filtered);
    if (limit <= 0 || sorted.length <= limit) return sorted;
    this.#hasMore = true;
    return sorted.slice(0, limit);
  }

  #sort(versions: readonly KeyVersion[]): readonly KeyVersion[] {
    const { sortOrder, sortTarget } = this.#operation;
    const isDescending = sortOrder === "descend";
    // The walk is in ascending key order already. A target without an order sorts ascending.
    if (sortTarget === "unknown") return versions;
    if (sortTarget === "key" && !isDescending) return versions;
    if (sortTarget === "value") {
      const values = versions.map((version) => ({ version, value: this.#store.valueOf(version) }));
      values.sort((a, b) => Buffer.compare(a.value, b.value) * (isDescending ? -1 : 1));
      return values.map(({ version }) => version);
    }
    const compare = comparators[sortTarget];
    return [...versions].sort(isDescending ? (a, b) => compare(b, a) : compare);
  }

  /** Loads values until the step is used up. Returns whether all are there. */
  #load(selected: readonly KeyVersion[], rowsMax: number): boolean {
    const end = Math.min(selected.length, this.#keyValues.length + rowsMax);
    let bytes = 0;
    for (let index = this.#keyValues.length; index < end && bytes < stepBytesMax; index++) {
      const keyValue = this.#keyValueOf(selected[index] as KeyVersion);
      this.#keyValues.push(keyValue);
      bytes += keyValue.length;
    }
    return this.#keyValues.length === selected.length;
  }

  #keyValueOf(version: KeyVersion): Uint8Array {
    // etcd 3.5 and 3.6 keep the lease in a keys-only answer, and so do we.
    if (this.#operation.isKeysOnly) return encodeKeyValue({ ...version, value: noValue });
    return this.#store.keyValueOf(version);
  }
}

/** Key-values as they are, in key order, of which the answer is all or the beginning. */
function isPlain(operation: RangeOperation): boolean {
  const { sortOrder, sortTarget } = operation;
  const isInKeyOrder =
    sortTarget === "unknown" ? sortOrder === "none" : sortTarget === "key" && sortOrder !== "descend";
  return isInKeyOrder && !operation.isKeysOnly && !hasFilters(operation);
}

/** A plain read that loads all there is. */
function isWhole(operation: RangeOperation): boolean {
  return operation.limit <= 0 && !operation.isCountOnly;
}

/** Versions to walk to: one more than wanted tells whether there are more; sorting and filtering need them all. */
function scanLimit(operation: RangeOperation): number {
  // A count alone needs no version, but a walk that collects none would have no limit.
  if (operation.isCountOnly) return 1;
  const isCutByOrder = operation.sortOrder !== "none" && !isKeyAscending(operation);
  if (operation.limit <= 0 || isCutByOrder || hasFilters(operation)) return 0;
  return operation.limit + 1;
}

function isKeyAscending(operation: RangeOperation): boolean {
  return operation.sortOrder === "ascend" && operation.sortTarget === "key";
}

function hasFilters(operation: RangeOperation): boolean {
  return (
    operation.minModRevision !== 0 ||
    operation.maxModRevision !== 0 ||
    operation.minCreateRevision !== 0 ||
    operation.maxCreateRevision !== 0
  );
}

function passes(operation: RangeOperation, version: KeyVersion): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = operation;
  return (
    (maxModRevision === 0 || version.modRevision <= maxModRevision) &&
    (minModRevision === 0 || version.modRevision >= minModRevision) &&
    (maxCreateRevision === 0 || version.createRevision <= maxCreateRevision) &&
    (minCreateRevision === 0 || version.createRevision >= minCreateRevision)
  );
}

const comparators = {
  key: (a: KeyVersion, b: KeyVersion) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
  version: (a: KeyVersion, b: KeyVersion) => a.version - b.version,
  create: (a: KeyVersion, b: KeyVersion) => a.createRevision - b.createRevision,
  mod: (a: KeyVersion, b: KeyVersion) => a.modRevision - b.modRevision,
} as const;
