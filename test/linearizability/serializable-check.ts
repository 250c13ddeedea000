// Reads that may be answered from what their member has applied: never older than that was when they were asked for,
// never going back within a life of the member, and always a state that really was.
import { drawOperation, drawResult } from "./draw.ts";
import type { Operation } from "./operation.ts";
import { readRange } from "./range-model.ts";
import { isSameResult } from "./same-result.ts";
import { StoreModel } from "./store-model.ts";

export interface SerializableRead {
  /** A range that asks for the current revision. */
  readonly operation: Operation;
  /** The member that answered, and which of its lives. */
  readonly life: string;
  /** What the member had applied when it was asked; undefined when nobody could look. */
  readonly appliedRevision: number | undefined;
}

/** The store as it is after operations that are known to have happened in this order. */
export function replay(order: readonly Operation[]): StoreModel {
  const store = new StoreModel();
  for (const { request } of order) store.apply(request);
  return store;
}

/** @param store What {@link replay} gave; it knows every older state. */
export function checkSerializableReads(reads: readonly SerializableRead[], store: StoreModel): readonly string[] {
  const violations: string[] = [];
  /** The newest answered read of each life, by when it was answered. */
  const seen = new Map<string, { readonly time: number; readonly revision: number }[]>();
  const sorted = reads
    .flatMap((read) => (read.operation.outcome.kind === "returned" ? [{ ...read, ...read.operation.outcome }] : []))
    .sort((a, b) => a.operation.invokedAt - b.operation.invokedAt);
  for (const { operation, life, appliedRevision, result, time } of sorted) {
    if (operation.request.kind !== "range" || result.kind !== "range" || result.revision === undefined) continue;
    const { revision } = result;
    const before = (seen.get(life) ?? []).filter((earlier) => earlier.time < operation.invokedAt);
    const newest = Math.max(0, ...before.map((earlier) => earlier.revision));
    // Of what was answered before this was asked only the newest counts from here on.
    const later = (seen.get(life) ?? []).filter((earlier) => earlier.time >= operation.invokedAt);
    seen.set(life, [...later, { time: operation.invokedAt, revision: newest }, { time, revision }]);
    const read = drawOperation(operation);
    if (revision > store.revision) violations.push(`read from the future, there are ${store.revision}: ${read}`);
    else if (appliedRevision !== undefined && revision < appliedRevision)
      violations.push(`older than the ${appliedRevision} that member ${life} had applied: ${read}`);
    else if (revision < newest) violations.push(`member ${life} had shown ${newest} before: ${read}`);
    else {
      const found = revision <= 1 ? [] : store.at(operation.request.keys, revision);
      const expected = { kind: "range", revision, ...readRange(operation.request, found) } as const;
      if (!isSameResult(result, expected, { ignoresRevisions: false }))
        violations.push(`never was the state: ${read}; at that revision it was ${drawResult(expected)}`);
    }
  }
  return violations;
}
