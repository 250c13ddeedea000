// Damages a legal history in one place, in the ways that real violations look: a wrong answer, a stale one, a lost or a
// doubled write, an answer out of its time. The result may still be legal; whoever uses it must ask.
import type { Random } from "../../server/lib/random.ts";
import type { KeyValue, Operation, Result } from "./operation.ts";
import { pick } from "./random-requests.ts";

type Damage = (random: Random, history: readonly Operation[]) => readonly Operation[];

export const damages: { readonly [name: string]: Damage } = {
  "an answer of another operation of its kind": (random, history) =>
    changeOne(random, history, (operation, result) => {
      const others = history.flatMap(({ outcome }) =>
        outcome.kind === "returned" && outcome.result.kind === result.kind ? [outcome.result] : [],
      );
      return returned(operation, pick(random, others));
    }),
  "a header that is off by one": (random, history) =>
    changeOne(random, history, (operation, result) =>
      result.kind === "refused" || result.revision === undefined
        ? operation
        : returned(operation, { ...result, revision: result.revision + pick(random, [-1, 1]) }),
    ),
  "a read of an older value": (random, history) =>
    changeOne(random, history, (operation, result) => {
      if (result.kind !== "range" || result.keyValues.length === 0) return operation;
      const older = history.flatMap(({ outcome }) =>
        outcome.kind === "returned" && outcome.result.kind === "range" ? [...outcome.result.keyValues] : [],
      );
      const at = random.below(result.keyValues.length);
      const old = pick(random, older.filter(({ key }) => key === result.keyValues[at]?.key) as KeyValue[]);
      return returned(operation, { ...result, keyValues: result.keyValues.map((item, i) => (i === at ? old : item)) });
    }),
  "a write that was acknowledged and left out": (random, history) => {
    const { id } = pick(random, history);
    return history.filter((operation) => operation.id !== id);
  },
  "a failure that was none": (random, history) =>
    changeOne(random, history, (operation) => ({ ...operation, outcome: { kind: "failed" } })),
  "an answer before its time": (random, history) =>
    changeOne(random, history, (operation, result) => {
      const time = Math.max(0, operation.invokedAt - random.below(20));
      return { ...operation, invokedAt: Math.max(0, time - 1), outcome: { kind: "returned", time, result } };
    }),
  "a question after the answer to the next": (random, history) =>
    changeOne(random, history, (operation, result) => {
      const end = operation.outcome.kind === "returned" ? operation.outcome.time : 0;
      const invokedAt = end + random.below(20);
      return { ...operation, invokedAt, outcome: { kind: "returned", time: invokedAt + 1, result } };
    }),
  "two answers exchanged": (random, history) => {
    const [a, b] = [pick(random, history), pick(random, history)];
    if (a.outcome.kind !== "returned" || b.outcome.kind !== "returned") return history;
    const [left, right] = [a.outcome.result, b.outcome.result];
    return history.map((operation) =>
      operation.id === a.id ? returned(a, right) : operation.id === b.id ? returned(b, left) : operation,
    );
  },
};

/** One kind of damage, drawn. */
export function damage(random: Random, history: readonly Operation[]): readonly Operation[] {
  return pick(random, Object.values(damages))(random, history);
}

function changeOne(
  random: Random,
  history: readonly Operation[],
  change: (operation: Operation, result: Result) => Operation,
): readonly Operation[] {
  const chosen = pick(random, history);
  if (chosen.outcome.kind !== "returned") return history;
  const { result } = chosen.outcome;
  return history.map((operation) => (operation === chosen ? change(operation, result) : operation));
}

function returned(operation: Operation, result: Result): Operation {
  const time = operation.outcome.kind === "returned" ? operation.outcome.time : operation.invokedAt;
  return { ...operation, outcome: { kind: "returned", time, result } };
}
