// Makes a violation small enough to read: leaves out what the violation does not need, and says what is left.
//
// Only steps are taken that keep a legal history legal, so what is illegal in the end proves the whole illegal: reads
// and refusals go; of a write it is forgotten that it was carried out, but not what it came to; the end is cut off.
// What changes leases or compacts stays as it is: of unknown outcome it could come anywhere and make the search long.
import { drawOperation, drawResult } from "./draw.ts";
import type { Operation, Request } from "./operation.ts";
import type { DeadEnd, SearchVerdict } from "./search.ts";
import { haveInCommon, touchedBy } from "./touched.ts";

export interface Counterexample {
  /** What is left of the history. */
  readonly operations: readonly Operation[];
  readonly deadEnd: DeadEnd;
  /** Whether every order was tried. Otherwise so many operations have an unknown outcome that the likely ones were. */
  readonly isProven: boolean;
}

type Check = (operations: readonly Operation[], isExhaustive: boolean) => SearchVerdict;

/** Lines of one kind to show. */
const drawnMax = 12;

/** Undefined when it turns out that there is an order after all. */
export function findCounterexample(
  history: readonly Operation[],
  check: Check,
  checkWithAllExplained: Check,
): Counterexample | undefined {
  const isIllegal = (operations: readonly Operation[]): boolean => check(operations, false).kind === "illegal";
  // Without the demand that all revisions are explained nothing is wrong: then that is the violation, of the whole.
  if (!isIllegal(history)) return confirm(history, checkWithAllExplained);
  return confirm(weaken(cutEnd(history, isIllegal), isIllegal), check);
}

/** Tries again with every order, unless the quick search has done so: it passes over silent operations only. */
function confirm(operations: readonly Operation[], check: Check): Counterexample | undefined {
  const quick = check(operations, false);
  if (quick.kind !== "illegal") return undefined;
  const { deadEnd } = quick;
  if (!operations.some(({ outcome, request }) => outcome.kind === "unknown" && isSilent(request)))
    return { operations, deadEnd, isProven: true };
  const thorough = check(operations, true);
  if (thorough.kind === "legal") return undefined;
  return { operations, deadEnd, isProven: thorough.kind === "illegal" };
}

function isSilent({ kind }: Request): boolean {
  return kind === "compact" || kind.startsWith("lease-");
}

/** The shortest beginning that is illegal. */
function cutEnd(
  history: readonly Operation[],
  isIllegal: (operations: readonly Operation[]) => boolean,
): readonly Operation[] {
  const times = history
    .flatMap(({ outcome }) => (outcome.kind === "returned" ? [outcome.time] : []))
    .sort((a, b) => a - b);
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isIllegal(until(history, times[middle] as number))) high = middle;
    else low = middle + 1;
  }
  return until(history, times[low] ?? Number.POSITIVE_INFINITY);
}

function until(history: readonly Operation[], end: number): readonly Operation[] {
  return history
    .filter(({ invokedAt }) => invokedAt <= end)
    .map((operation) => (hasReturnedBy(operation, end) ? operation : { ...operation, outcome: { kind: "unknown" } }));
}

function hasReturnedBy({ outcome }: Operation, end: number): boolean {
  return outcome.kind !== "returned" || outcome.time <= end;
}

/** Weakens pieces of the history, larger ones first, as long as it stays illegal. */
function weaken(
  history: readonly Operation[],
  isIllegal: (operations: readonly Operation[]) => boolean,
): readonly Operation[] {
  let rest = [...history];
  for (let size = Math.ceil(rest.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < rest.length; ) {
      const weaker = [
        ...rest.slice(0, from),
        ...rest.slice(from, from + size).flatMap(weakerThan),
        ...rest.slice(from + size),
      ];
      const isWeaker = weaker.length < rest.length || weaker.some((operation, at) => operation !== rest[at]);
      const isTaken = isWeaker && isIllegal(weaker);
      // What stays, if only weaker, is passed over; what went makes room for the next piece.
      if (!isTaken || weaker.length === rest.length) from += size;
      if (isTaken) rest = weaker;
    }
  }
  return rest;
}

function weakerThan(operation: Operation): readonly Operation[] {
  const { outcome, request } = operation;
  if (outcome.kind === "failed" || request.kind === "range") return [];
  if (outcome.kind === "returned" && outcome.result.kind === "refused") return [];
  if (outcome.kind === "unknown" || isSilent(request)) return [operation];
  return [{ ...operation, outcome: { kind: "unknown", told: outcome.result } }];
}

/** The violation as a text to read. */
export function drawCounterexample({ operations, deadEnd, isProven }: Counterexample): string {
  const waiting = deadEnd.blocked.map(({ entry }) => touchedBy(entry.request));
  const isAbout = ({ request }: Operation): boolean => {
    const touched = touchedBy(request);
    return request.kind === "compact" || waiting.length === 0 || waiting.some((other) => haveInCommon(touched, other));
  };
  const told = operations.filter((operation) => operation.outcome.kind === "returned");
  const unknown = operations.filter(({ outcome }) => outcome.kind === "unknown");
  const helpers = deadEnd.taken.map(({ operation }) => operation).filter((taken) => unknown.includes(taken));
  const lines = ["No order of these operations explains what their clients were told:"];
  for (const operation of told.filter((item) => !isSilent(item.request) || isAbout(item)))
    lines.push(`  ${drawOperation(operation)}`);
  if (unknown.length > 0) lines.push(`nor with any of ${unknown.length} that may have been carried out, among them:`);
  for (const operation of helpers.filter(isAbout).slice(-drawnMax)) lines.push(`  ${drawOperation(operation)}`);
  const order = deadEnd.taken.slice(-drawnMax).map(({ operation }) => `#${operation.id}`);
  const rest = deadEnd.taken.length - order.length;
  if (rest > 0) order.unshift(`${rest} others`);
  lines.push(`Furthest order: ${order.join(", ") || "none"}; the store is then at revision ${deadEnd.revision}.`);
  for (const { entry, wouldAnswer } of deadEnd.blocked)
    lines.push(`  #${entry.operation.id} would now answer: ${drawResult(wouldAnswer.result)}`);
  if (deadEnd.blocked.length === 0) lines.push("  No operation explains the next revision that watchers saw.");
  if (!isProven) lines.push("Not every order was tried: too many outcomes are unknown.");
  return lines.join("\n");
}
