// Decides small histories by trying everything: every choice of the operations of unknown outcome, in every order that
// respects real time. Slow, short, and shares nothing with the checker but the model of the store.
import type { Operation } from "./operation.ts";
import { isSameResult } from "./same-result.ts";
import { StoreModel } from "./store-model.ts";

export function isLegalByForce(history: readonly Operation[], ignoresRevisions = false): boolean {
  return extend(
    history.filter(({ outcome }) => outcome.kind !== "failed"),
    [],
    ignoresRevisions,
  );
}

function extend(left: readonly Operation[], order: readonly Operation[], ignoresRevisions: boolean): boolean {
  if (!answersFit(order, ignoresRevisions)) return false;
  if (left.every(({ outcome }) => outcome.kind === "unknown")) return true;
  return left.some((next) => {
    const isTooEarly = left.some(({ outcome }) => outcome.kind === "returned" && outcome.time < next.invokedAt);
    return (
      !isTooEarly &&
      extend(
        left.filter((other) => other !== next),
        [...order, next],
        ignoresRevisions,
      )
    );
  });
}

function answersFit(order: readonly Operation[], ignoresRevisions: boolean): boolean {
  const store = new StoreModel();
  return order.every(({ request, outcome }) => {
    const { result } = store.apply(request);
    return outcome.kind !== "returned" || isSameResult(outcome.result, result, { ignoresRevisions });
  });
}
