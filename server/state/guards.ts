// What is refused whatever the command says, because of the state the cluster is in. One order, the same on every
// member.
import type { AlarmTable } from "./cluster/alarm-table.ts";
import type { Command, Operation, TxnOperation } from "./command.ts";
import { StateError } from "./errors.ts";

/** @throws StateError `corrupt`, `no-space` */
export function checkAlarms(alarms: AlarmTable, command: Command): void {
  if (alarms.isRaised("corrupt") && changesKeysOrLeases(command)) throw new StateError("corrupt");
  if (alarms.isRaised("no-space") && addsToStore(command)) throw new StateError("no-space");
}

const changing: ReadonlySet<Command["kind"]> = new Set([
  "put",
  "delete-range",
  "txn",
  "compact",
  "lease-grant",
  "lease-revoke",
]);

function changesKeysOrLeases(command: Command): boolean {
  return changing.has(command.kind);
}

/** Whether a command may make the store larger. A txn may if either branch has a put. */
export function addsToStore(command: Command): boolean {
  if (command.kind === "txn") return txnAdds(command);
  return command.kind === "put" || command.kind === "lease-grant";
}

function txnAdds(txn: TxnOperation): boolean {
  return txn.success.some(operationAdds) || txn.failure.some(operationAdds);
}

function operationAdds(operation: Operation): boolean {
  return operation.kind === "txn" ? txnAdds(operation) : operation.kind === "put";
}
