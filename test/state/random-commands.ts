// Commands by chance, over few keys, so that they meet: short and long ones, with awkward bytes, prefixes of each other.
import type { Random } from "../../server/lib/random.ts";
import type { Command, Compare, CompareOperand, Operation, RangeOperation } from "../../server/state/command.ts";
import { compareResults, sortOrders, sortTargets } from "../../server/state/command.ts";
import type { KeyRange } from "../../server/state/key-range.ts";

const long = (text: string, length: number): string => text.repeat(Math.ceil(length / text.length)).slice(0, length);

export const shortKeys: readonly string[] = [
  "\0",
  "\0\0",
  "\0\x01",
  "\0\xff",
  "a",
  "a\0",
  "a\0b",
  "aa",
  "b",
  "b/1",
  "b/2",
  "b/\xff",
  "b0",
  "key",
  "key\xff",
  "\xff",
  "\xff\xff",
];

/** Around the lengths at which keys are divided into pieces, with shared beginnings. */
export const longKeys: readonly string[] = [
  long("a", 900),
  long("a", 901),
  long("a", 1800),
  long("a", 1801),
  long("a", 2701),
  `${long("a", 900)}\0`,
  `${long("a", 899)}b tail`,
  `${long("a", 1800)}\xff`,
  `${long("a", 900)}${long("\0", 900)}x`,
  long("\0", 1500),
  long("\xff", 2000),
  `b/${long("zig zag ", 950)}`,
];

export class RandomCommands {
  readonly #random: Random;
  readonly #keys: readonly string[];
  #value = 0;

  constructor(random: Random, keys: readonly string[] = [...shortKeys, ...longKeys]) {
    this.#random = random;
    this.#keys = keys;
  }

  #below(bound: number): number {
    return this.#random.below(bound);
  }

  #chance(percent: number): boolean {
    return this.#random.below(100) < percent;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)] as T;
  }

  key(): string {
    return this.#pick(this.#keys);
  }

  /** A key, or something close to one. */
  #bound(): string {
    const key = this.key();
    const kind = this.#below(5);
    if (kind === 0) return `${key}\0`;
    if (kind === 1) return key.slice(0, this.#below(key.length) + 1);
    if (kind === 2) return key + this.#pick(["\x01", "\xff", "b"]);
    return key;
  }

  range(): KeyRange {
    if (this.#chance(40)) return { kind: "key", key: this.key() };
    if (this.#chance(15)) return { kind: "interval", from: "\0", to: undefined };
    const [a, b] = [this.#bound(), this.#bound()].sort() as [string, string];
    if (this.#chance(10)) return { kind: "interval", from: b, to: a };
    return { kind: "interval", from: a, to: this.#chance(20) ? undefined : b };
  }

  lease(): bigint {
    return this.#chance(60) ? 0n : this.#pick([1n, 2n, 3n, 4n, -5n, 0x7fff_ffff_ffff_ffffn]);
  }

  value(): Uint8Array {
    const number = ++this.#value;
    if (this.#chance(30)) return Buffer.from(`value ${this.#below(5)}`);
    return Buffer.alloc(this.#pick([0, 3, 20, 20, 20, 200]), `value ${number} `);
  }

  /** @param revision The current one; operations look at those around and before it. */
  rangeOperation(revision: number, compactRevision: number): RangeOperation {
    const isOld = this.#chance(40);
    const oldest = Math.max(1, compactRevision - 2);
    return {
      kind: "range",
      range: this.range(),
      limit: this.#chance(60) ? 0 : this.#below(6) - 1,
      revision: isOld ? oldest + this.#below(Math.min(300, revision - oldest + 2)) : this.#chance(5) ? -1 : 0,
      sortOrder: this.#chance(60) ? "none" : this.#pick(sortOrders),
      sortTarget: this.#chance(60) ? "key" : this.#pick(sortTargets),
      isSerializable: this.#chance(20),
      isKeysOnly: this.#chance(15),
      isCountOnly: this.#chance(15),
      minModRevision: this.#filter(revision),
      maxModRevision: this.#filter(revision),
      minCreateRevision: this.#filter(revision),
      maxCreateRevision: this.#filter(revision),
    };
  }

  #filter(revision: number): number {
    return this.#chance(92) ? 0 : this.#below(revision + 2);
  }

  put(): Extract<Command, { kind: "put" }> {
    const ignoresValue = this.#chance(5);
    const ignoresLease = this.#chance(5);
    return {
      kind: "put",
      key: this.key(),
      value: ignoresValue ? new Uint8Array(0) : this.value(),
      lease: ignoresLease ? 0n : this.lease(),
      wantsPrevious: this.#chance(30),
      ignoresValue,
      ignoresLease,
    };
  }

  deleteRange(): Extract<Command, { kind: "delete-range" }> {
    const range: KeyRange = this.#chance(70) ? { kind: "key", key: this.key() } : this.range();
    return { kind: "delete-range", range, wantsPrevious: this.#chance(30) };
  }

  compare(revision: number): Compare {
    return { range: this.range(), result: this.#pick(compareResults), operand: this.#operand(revision) };
  }

  #operand(revision: number): CompareOperand {
    const target = this.#pick(["version", "create", "mod", "lease", "value"] as const);
    if (target === "lease") return { target, lease: this.lease() };
    if (target === "value") return { target, value: Buffer.from(this.#chance(30) ? "" : `value ${this.#below(5)}`) };
    const number = target === "version" ? this.#below(4) : this.#chance(30) ? 0 : this.#below(revision + 2);
    return { target, number };
  }

  txn(revision: number, compactRevision: number, depth = 0): Extract<Command, { kind: "txn" }> {
    const compares = Array.from({ length: this.#below(3) }, () => this.compare(revision));
    const operations = (): Operation[] =>
      Array.from({ length: this.#below(5) }, () => this.#operation(revision, compactRevision, depth));
    return { kind: "txn", compares, success: operations(), failure: operations() };
  }

  #operation(revision: number, compactRevision: number, depth: number): Operation {
    const kind = this.#below(100);
    if (kind < 30) return this.rangeOperation(revision, compactRevision);
    if (kind < 70) return this.put();
    if (kind < 88 || depth >= 3) return this.deleteRange();
    return this.txn(revision, compactRevision, depth + 1);
  }

  command(revision: number, compactRevision: number): Command {
    const kind = this.#below(1000);
    if (kind < 560) return this.put();
    if (kind < 700) return this.deleteRange();
    if (kind < 900) return this.txn(revision, compactRevision);
    if (kind < 930) return { kind: "lease-grant", id: this.lease() || 2n, ttlSeconds: 1 + this.#below(1000) };
    if (kind < 955) return { kind: "lease-revoke", id: this.lease() || 3n, expiry: undefined };
    if (kind < 960) {
      return { kind: "lease-checkpoint", checkpoints: [{ id: this.lease(), remainingTtlSeconds: this.#below(900) }] };
    }
    const newest = this.#chance(10) ? revision + 1 : revision;
    const oldest = Math.max(0, compactRevision - 1);
    return { kind: "compact", revision: oldest + this.#below(newest - oldest + 1), isPhysical: false };
  }
}
