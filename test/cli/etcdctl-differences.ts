// Where our commands answer otherwise than etcdctl 3.5 on purpose, each with its reason.
import type { Answered } from "./etcdctl-rows.ts";

interface Difference {
  readonly row: RegExp;
  readonly reason: string;
  /** Whether this is the difference that is meant. */
  isMeant(ours: Answered, theirs: Answered): boolean;
}

const differences: readonly Difference[] = [
  {
    row: /txn <<< "(\\nlease|foo|mod)/,
    reason: "says what is wrong with the line, where etcdctl repeats it or its usage",
    isMeant: (ours, theirs) => isAlikeButErrors(ours, theirs) && ours.error.startsWith("Error: "),
  },
  {
    row: /--cacert/,
    reason: "says which file cannot be read in Node's words",
    isMeant: (ours, theirs) => isAlikeButErrors(ours, theirs) && ours.error.includes("/nonexistent"),
  },
  {
    row: /./,
    reason: "of an error that is none of etcd's own, etcdctl shows the gRPC status, too",
    isMeant: (ours, theirs) => isAlikeButErrors(ours, theirs) && ours.error === theirs.error.replace(grpcStatus, ""),
  },
];

/** Only what is said on standard error may differ, never what is printed or how the command ends. */
const isAlikeButErrors = (ours: Answered, theirs: Answered): boolean =>
  ours.status === theirs.status && ours.stdout === theirs.stdout;

const grpcStatus = /rpc error: code = \w+ desc = /g;

export function allowed(row: string, ours: Answered, theirs: Answered): boolean {
  return differences.some((difference) => difference.row.test(row) && difference.isMeant(ours, theirs));
}
