// Conditions of a txn.
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  type Compare as WireCompare,
} from "../proto/gen/etcdserverpb/rpc.ts";
import { type Codec, encodeValue, string } from "./codec.ts";
import { copyOfKeys, isRange, type KeyOrRange, keyBytes, keyText, toWireRange } from "./keys.ts";
import type { OpContext } from "./op.ts";

export type CompareOperator = "==" | "!=" | "<" | ">";

const results = {
  "==": Compare_CompareResult.EQUAL,
  "!=": Compare_CompareResult.NOT_EQUAL,
  "<": Compare_CompareResult.LESS,
  ">": Compare_CompareResult.GREATER,
} as const;

/** One condition, made by {@link compare}. For a range it must hold for every key in it. */
export class Compare {
  /** @internal */
  readonly toWire: (context: OpContext) => WireCompare;

  /** @internal */
  constructor(toWire: (context: OpContext) => WireCompare) {
    this.toWire = toWire;
  }
}

/** What about a key can be compared. */
export interface CompareBuilder {
  /** Compares the value in byte order. A key that does not exist has no value: this is then false, even for `!=`. */
  value(operator: CompareOperator, value: string): Compare;
  value<In>(operator: CompareOperator, value: NoInfer<In>, options: { readonly codec: Codec<unknown, In> }): Compare;
  /** Compares the number of puts since creation; 0 for a key that does not exist. */
  version(operator: CompareOperator, version: bigint): Compare;
  /** Compares the revision that created the key; 0 for a key that does not exist. */
  createRevision(operator: CompareOperator, revision: bigint): Compare;
  /** Compares the revision of the last put; 0 for a key that does not exist. */
  modRevision(operator: CompareOperator, revision: bigint): Compare;
  /** Compares the lease that the key is attached to; 0 for none. */
  leaseId(operator: CompareOperator, leaseId: bigint): Compare;
  /** The key exists. */
  exists(): Compare;
  /** The key does not exist; for a range, no key in it does. */
  missing(): Compare;
}

/**
 * Starts a condition on a key or a range.
 *
 * @example
 * client.txn().if(compare("jobs/7").missing()).then(op.put("jobs/7", "queued"));
 */
export function compare(keys: KeyOrRange): CompareBuilder {
  const own = copyOfKeys(keys);
  const make = (
    target: WireCompare["target"],
    operator: CompareOperator,
    targetUnion: NonNullable<WireCompare["targetUnion"]>,
  ): Compare =>
    new Compare((context) => ({
      ...toWireRange(own, context.namespace),
      result: results[operator],
      target,
      targetUnion,
    }));
  const createRevision: CompareBuilder["createRevision"] = (operator, value) =>
    make(Compare_CompareTarget.CREATE, operator, { $case: "createRevision", value });
  return {
    createRevision,
    value: <In>(operator: CompareOperator, value: In, options?: { readonly codec: Codec<unknown, In> }) => {
      const name = isRange(keys) ? "a range" : keyText(keyBytes(keys));
      const bytes = encodeValue(options?.codec ?? (string as Codec<unknown>), value, name);
      return make(Compare_CompareTarget.VALUE, operator, { $case: "value", value: bytes });
    },
    version: (operator, value) => make(Compare_CompareTarget.VERSION, operator, { $case: "version", value }),
    modRevision: (operator, value) => make(Compare_CompareTarget.MOD, operator, { $case: "modRevision", value }),
    leaseId: (operator, value) => make(Compare_CompareTarget.LEASE, operator, { $case: "lease", value }),
    exists: () => createRevision(">", 0n),
    missing: () => createRevision("==", 0n),
  };
}
