// What a request has to do with: the keys it reads or writes, and the leases it names.
import { includesKey, type Keys, type Request, type TxnStep } from "./operation.ts";

export interface Touched {
  readonly keys: readonly Keys[];
  readonly leases: ReadonlySet<bigint>;
}

export function touchedBy(request: Request): Touched {
  const keys: Keys[] = [];
  const leases = new Set<bigint>();
  const visit = (step: TxnStep): void => {
    if (step.kind === "txn") {
      keys.push(...step.compares.map((compare) => compare.keys));
      for (const compare of step.compares) if (compare.operand.target === "lease") leases.add(compare.operand.lease);
      for (const inner of [...step.success, ...step.failure]) visit(inner);
    } else if (step.kind === "put") {
      keys.push({ kind: "key", key: step.key });
      if (step.lease !== 0n) leases.add(step.lease);
    } else keys.push(step.keys);
  };
  if (request.kind === "compact") return { keys, leases };
  if (request.kind === "lease-grant" || request.kind === "lease-revoke" || request.kind === "lease-expiry")
    leases.add(request.id);
  else visit(request);
  return { keys, leases };
}

/** Whether two requests can have to do with each other, but for the order of revisions. */
export function haveInCommon(a: Touched, b: Touched): boolean {
  return a.keys.some((x) => b.keys.some((y) => overlap(x, y))) || [...a.leases].some((id) => b.leases.has(id));
}

function overlap(a: Keys, b: Keys): boolean {
  if (a.kind === "key") return includesKey(b, a.key);
  if (b.kind === "key") return includesKey(a, b.key);
  return (a.to === undefined || b.from < a.to) && (b.to === undefined || a.from < b.to);
}
