// Whether what a client was told is what the model says. What a client was not told, or did not ask for, is not compared.
import type { KeyValue, Result, TxnStepResult } from "./operation.ts";

export interface Comparison {
  /** Leaves revisions out: of the header, and those of creation and change of a key. */
  readonly ignoresRevisions: boolean;
}

export function isSameResult(told: Result, expected: Result, comparison: Comparison): boolean {
  if (told.kind === "refused" || expected.kind === "refused") {
    return told.kind === "refused" && expected.kind === "refused" && told.reason === expected.reason;
  }
  if (!isSameRevision(told.revision, expected.revision, comparison)) return false;
  switch (told.kind) {
    case "put":
      return expected.kind === "put" && isSameKeyValue(told.previous, expected.previous, comparison);
    case "delete":
      return (
        expected.kind === "delete" &&
        told.deleted === expected.deleted &&
        areSameKeyValues(told.previous ?? [], expected.previous ?? [], comparison)
      );
    case "range":
      return (
        expected.kind === "range" &&
        told.count === expected.count &&
        told.hasMore === expected.hasMore &&
        areSameKeyValues(told.keyValues, expected.keyValues, comparison)
      );
    case "txn":
      return (
        expected.kind === "txn" &&
        told.succeeded === expected.succeeded &&
        told.results.length === expected.results.length &&
        told.results.every((result, at) => isSameResult(result, expected.results[at] as TxnStepResult, comparison))
      );
    default:
      return told.kind === expected.kind;
  }
}

function isSameRevision(told: number | undefined, expected: number | undefined, comparison: Comparison): boolean {
  return told === undefined || expected === undefined || comparison.ignoresRevisions || told === expected;
}

function areSameKeyValues(told: readonly KeyValue[], expected: readonly KeyValue[], comparison: Comparison): boolean {
  return told.length === expected.length && told.every((item, at) => isSameKeyValue(item, expected[at], comparison));
}

export function isSameKeyValue(
  told: KeyValue | undefined,
  expected: KeyValue | undefined,
  comparison: Comparison,
): boolean {
  if (told === undefined || expected === undefined) return told === expected;
  return (
    told.key === expected.key &&
    told.value === expected.value &&
    told.version === expected.version &&
    told.lease === expected.lease &&
    (comparison.ignoresRevisions ||
      (told.modRevision === expected.modRevision && told.createRevision === expected.createRevision))
  );
}
