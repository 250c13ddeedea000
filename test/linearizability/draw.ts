// Operations and answers as lines to read.
import type {
  Change,
  Compare,
  Keys,
  KeyValue,
  Operation,
  Outcome,
  Request,
  Result,
  TxnStep,
  TxnStepResult,
} from "./operation.ts";

export function drawOperation({ id, client, request, invokedAt, outcome }: Operation): string {
  const from = round(invokedAt);
  const head = `#${id} ${client} [${from}, ${outcome.kind === "returned" ? round(outcome.time) : "?"}]`;
  return `${head} ${drawRequest(request)} -> ${drawOutcome(outcome)}`;
}

function drawOutcome(outcome: Outcome): string {
  if (outcome.kind === "returned") return drawResult(outcome.result);
  if (outcome.kind === "failed" || outcome.told === undefined) return outcome.kind;
  return `${drawResult(outcome.told)}, unless it was never carried out`;
}

export function drawRequest(request: Request): string {
  switch (request.kind) {
    case "put": {
      const extras = [
        request.lease === 0n ? "" : ` lease ${request.lease}`,
        request.ignoresValue === true ? " keeping its value" : "",
        request.ignoresLease === true ? " keeping its lease" : "",
        request.wantsPrevious === true ? " wanting the previous" : "",
      ];
      return `put ${text(request.key)} = ${text(request.value)}${extras.join("")}`;
    }
    case "delete":
      return `delete ${drawKeys(request.keys)}`;
    case "range": {
      const at = (request.revision ?? 0) > 0 ? ` at ${request.revision}` : "";
      return `range ${drawKeys(request.keys)}${at}${request.isSerializable === true ? " serializable" : ""}`;
    }
    case "txn": {
      const compares = request.compares.map(drawCompare).join(" and ");
      return `txn if (${compares}) then [${drawSteps(request.success)}] else [${drawSteps(request.failure)}]`;
    }
    case "lease-grant":
      return `grant lease ${request.id} for ${request.ttlSeconds} s`;
    case "lease-revoke":
      return `revoke lease ${request.id}`;
    case "lease-expiry":
      return `lease ${request.id} runs out`;
    case "compact":
      return `compact to ${request.revision}`;
  }
}

export function drawResult(result: Result): string {
  if (result.kind === "refused") return `refused: ${result.reason}`;
  const revision = result.revision === undefined ? "" : ` @${result.revision}`;
  switch (result.kind) {
    case "put":
      return `ok${result.previous === undefined ? "" : `, before ${drawKeyValue(result.previous)}`}${revision}`;
    case "delete":
      return `${result.deleted} deleted${result.previous?.map((item) => ` ${drawKeyValue(item)}`).join("") ?? ""}${revision}`;
    case "range":
      return `${result.count}: [${result.keyValues.map(drawKeyValue).join(", ")}]${result.hasMore ? " and more" : ""}${revision}`;
    case "txn": {
      const results = result.results.map((item: TxnStepResult) => drawResult(item)).join("; ");
      return `${result.succeeded ? "then" : "else"} [${results}]${revision}`;
    }
    default:
      return `ok${revision}`;
  }
}

export function drawKeyValue(keyValue: KeyValue): string {
  const { key, value, createRevision, modRevision, version, lease } = keyValue;
  const held = lease === 0n ? "" : ` lease ${lease}`;
  return `${text(key)}=${text(value)} (mod ${modRevision} create ${createRevision} version ${version}${held})`;
}

export function drawChange({ kind, keyValue }: Change): string {
  return kind === "put"
    ? `put ${drawKeyValue(keyValue)}`
    : `delete ${text(keyValue.key)} (mod ${keyValue.modRevision})`;
}

export function drawKeys(keys: Keys): string {
  if (keys.kind === "key") return text(keys.key);
  return `[${text(keys.from)}, ${keys.to === undefined ? "end" : text(keys.to)})`;
}

function drawCompare({ keys, result, operand }: Compare): string {
  const signs = { equal: "=", "not-equal": "!=", greater: ">", less: "<" } as const;
  const value =
    operand.target === "value" ? text(operand.value) : operand.target === "lease" ? operand.lease : operand.number;
  return `${operand.target} of ${drawKeys(keys)} ${signs[result]} ${value}`;
}

function drawSteps(steps: readonly TxnStep[]): string {
  return steps.map(drawRequest).join("; ");
}

function text(bytes: string): string {
  const short = bytes.length > 40 ? `${bytes.slice(0, 40)}...` : bytes;
  return /^[!-~]+$/.test(short) ? short : JSON.stringify(short);
}

function round(time: number): string {
  return Number.isInteger(time) ? String(time) : time.toFixed(3);
}
