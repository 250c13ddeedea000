// Operations prepared for the search: what is known of each before any order is tried.
import { drawRequest, drawResult } from "./draw.ts";
import type { Operation, Request, Result, TxnStepResult } from "./operation.ts";
import { touchedBy } from "./touched.ts";

/**
 * What taking an operation does:
 * - `none`: it reads, or was refused, or found nothing to change.
 * - `revision`: it makes the next revision.
 * - `silent`: it changes leases or the compact revision, and no key.
 * - `unclear`: what came back does not tell; trying it does.
 */
export type Effect = "none" | "revision" | "silent" | "unclear";

export interface Entry {
  /** Position in the search's list. */
  readonly at: number;
  readonly operation: Operation;
  readonly request: Request;
  readonly invokedAt: number;
  /** Whether it was carried out for sure, since its client was told so. */
  readonly isCertain: boolean;
  /** Infinity unless it is certain. */
  readonly returnedAt: number;
  /** What it came to, if that is known. */
  readonly told: Result | undefined;
  /** The store's revision after it, as the client was told. */
  readonly revision: number | undefined;
  readonly effect: Effect;
  /** Leases that it names. */
  readonly leases: ReadonlySet<bigint>;
  /** The request, written out: equal for equal requests. */
  readonly text: string;
  /** How much else it might come to, in another state. */
  readonly breadth: number;
}

/** Entries of a history, in the order they were invoked. What certainly did not happen is left out. */
export function entriesOf(history: readonly Operation[], usesRevisions: boolean): Entry[] {
  return history
    .filter(({ outcome }) => outcome.kind !== "failed")
    .sort((a, b) => a.invokedAt - b.invokedAt || a.id - b.id)
    .map((operation, at) => entryOf(operation, at, usesRevisions));
}

function entryOf(operation: Operation, at: number, usesRevisions: boolean): Entry {
  const { request, outcome, invokedAt } = operation;
  const isCertain = outcome.kind === "returned";
  const told = outcome.kind === "returned" ? outcome.result : outcome.kind === "unknown" ? outcome.told : undefined;
  return {
    at,
    operation,
    request,
    invokedAt,
    isCertain,
    returnedAt: outcome.kind === "returned" ? outcome.time : Number.POSITIVE_INFINITY,
    told,
    revision: usesRevisions && told !== undefined && told.kind !== "refused" ? told.revision : undefined,
    effect: told === undefined ? "unclear" : effectOf(told),
    leases: touchedBy(request).leases,
    text: isCertain ? "" : `${drawRequest(request)} ${told === undefined ? "" : drawResult(told)}`,
    breadth: breadthOf(request),
  };
}

function effectOf(told: Result): Effect {
  switch (told.kind) {
    case "refused":
    case "range":
      return "none";
    case "lease-grant":
    case "compact":
      return "silent";
    case "lease-revoke":
      return "unclear";
    default:
      return changesKeys(told) ? "revision" : "none";
  }
}

function changesKeys(told: TxnStepResult): boolean {
  if (told.kind === "put") return true;
  if (told.kind === "delete") return told.deleted > 0;
  return told.kind === "txn" && told.results.some(changesKeys);
}

function breadthOf(request: Request): number {
  if (request.kind === "txn") return 3;
  if (request.kind === "lease-revoke" || request.kind === "lease-expiry") return 2;
  return request.kind === "delete" && request.keys.kind === "interval" ? 1 : 0;
}
