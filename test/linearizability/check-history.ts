// The checker's front: is there an order of these operations that a single store could have followed, with every answer
// as its client got it and no operation before it was asked for or after it was answered?
import { type Counterexample, findCounterexample } from "./counterexample.ts";
import { entriesOf } from "./entry.ts";
import type { Operation, RevisionChanges } from "./operation.ts";
import { partition } from "./partition.ts";
import { Search, type SearchVerdict } from "./search.ts";

export interface HistoryOptions {
  /**
   * `told` (the default): headers, creation and modification revisions must be right, store-wide. `ignored`: they are
   * not looked at, for histories of clients that do not get to see them; what has no key and no lease in common is
   * then checked apart, which is sound since linearizability is a property of each object.
   */
  readonly revisions?: "told" | "ignored";
  /** What watchers saw, if all of it is known: every revision must then be explained, by an operation that fits. */
  readonly changes?: ReadonlyMap<number, RevisionChanges>;
  /** Choices that the search tries before it gives up. 1,000,000 by default. */
  readonly triesMax?: number;
}

export type HistoryVerdict =
  /** `order` is one that explains the history; operations of unknown outcome that are not in it did not happen. */
  | { readonly kind: "legal"; readonly order: readonly Operation[] }
  | { readonly kind: "illegal"; readonly counterexample: Counterexample }
  | { readonly kind: "undecided" };

const triesMaxDefault = 1_000_000;
const exhaustiveTriesMax = 50_000;

export function checkHistory(history: readonly Operation[], options: HistoryOptions = {}): HistoryVerdict {
  const usesRevisions = options.revisions !== "ignored";
  const parts = usesRevisions ? [history] : partition(history);
  const order: Operation[] = [];
  for (const part of parts) {
    const verdict = checkPart(part, options);
    if (verdict.kind !== "legal") return verdict;
    order.push(...verdict.order);
  }
  return { kind: "legal", order };
}

function checkPart(history: readonly Operation[], options: HistoryOptions): HistoryVerdict {
  const usesRevisions = options.revisions !== "ignored";
  const triesMax = options.triesMax ?? triesMaxDefault;
  const changes = usesRevisions ? options.changes : undefined;
  const explainedTo = changes === undefined ? 0 : Math.max(0, ...changes.keys());
  const check = (operations: readonly Operation[], isExhaustive: boolean, explained: number): SearchVerdict =>
    new Search(entriesOf(operations, usesRevisions), {
      ignoresRevisions: !usesRevisions,
      changes,
      explainedTo: explained,
      isExhaustive,
      triesMax: isExhaustive ? Math.min(triesMax, exhaustiveTriesMax) : triesMax,
    }).run();
  const quick = check(history, false, explainedTo);
  if (quick.kind === "legal") return { kind: "legal", order: quick.order.map(({ operation }) => operation) };
  if (quick.kind === "undecided") return quick;
  // The quick search leaves some orders out, so its no is confirmed by one that does not, on the little that matters.
  const counterexample = findCounterexample(
    history,
    (operations, isExhaustive) => check(operations, isExhaustive, 0),
    (operations, isExhaustive) => check(operations, isExhaustive, explainedTo),
  );
  if (counterexample !== undefined) return { kind: "illegal", counterexample };
  const thorough = check(history, true, explainedTo);
  if (thorough.kind === "legal") return { kind: "legal", order: thorough.order.map(({ operation }) => operation) };
  if (thorough.kind === "undecided") return thorough;
  return { kind: "illegal", counterexample: { operations: history, deadEnd: thorough.deadEnd, isProven: true } };
}
