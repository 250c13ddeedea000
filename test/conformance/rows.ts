// The rows of the behaviour table (KV, Watch, Lease) that cases name, and those that no case can show, with the reason.

const numbered = (letter: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${letter}${i + 1}`);

export const rowsOfTheSurface: readonly string[] = [...numbered("KV", 29), ...numbered("W", 19), ...numbered("L", 13)];

export const rowsNotCovered: { readonly [row: string]: string } = {
  W15: "needs the Auth service",
  W16: "needs the Auth service",
  L6: "a switch for waiting less; nothing of it shows in answers",
  L7: "needs a member that loses its leadership, and the Auth service",
  L11: "needs a change of leaders",
  L12: "needs five minutes, and a restart",
};

/** Error texts that KV, Txn, Watch and Lease can produce on one healthy member without the Auth service. */
export const errorsOfTheSurface: readonly string[] = [
  "InvalidArgument: etcdserver: key is not provided",
  "InvalidArgument: etcdserver: key not found",
  "InvalidArgument: etcdserver: value is provided",
  "InvalidArgument: etcdserver: lease is provided",
  "InvalidArgument: etcdserver: too many operations in txn request",
  "InvalidArgument: etcdserver: duplicate key given in txn request",
  "InvalidArgument: etcdserver: invalid sort option",
  "InvalidArgument: etcdserver: request is too large",
  "OutOfRange: etcdserver: mvcc: required revision has been compacted",
  "OutOfRange: etcdserver: mvcc: required revision is a future revision",
  "OutOfRange: etcdserver: too large lease TTL",
  "ResourceExhausted: etcdserver: mvcc: database space exceeded",
  "NotFound: etcdserver: requested lease not found",
  "FailedPrecondition: etcdserver: lease already exists",
  "DataLoss: etcdserver: corrupt cluster",
  "mvcc: watcher range is empty",
  "mvcc: duplicate watch ID provided on the WatchStream",
  "etcdserver: mvcc: required revision has been compacted",
];
