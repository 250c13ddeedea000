// Servers with flags of their own: small limits, a small quota, quick progress notifications.
import type { Group, Step } from "../case.ts";
import {
  all,
  call,
  cancel,
  cmp,
  compact,
  create,
  del,
  grant,
  keepAlive,
  leases,
  op,
  openKeepAlive,
  openWatch,
  put,
  range,
  receive,
  rev,
  revoke,
  silent,
  timeToLive,
  txn,
} from "../steps.ts";

const everything = { rangeEnd: "\x00" } as const;
const KiB = 1024;

export const smallLimits: Group = {
  name: "small-limits",
  flags: ["--max-txn-ops=3", "--max-request-bytes=4096"],
  cases: [
    {
      name: "three operations and four",
      rows: ["KV17"],
      steps: [
        txn({ success: [op.put("a", "1"), op.put("b", "1"), op.put("c", "1")] }),
        txn({ success: [op.put("a", "1"), op.put("b", "1"), op.put("c", "1"), op.put("d", "1")] }),
        txn({ when: Array.from({ length: 4 }, () => cmp.version("a", "=", 1n)) }),
        txn({ success: [op.txn({ success: [op.put("a", "1"), op.put("b", "1")] })] }),
        txn({ success: [op.txn({ success: [op.put("a", "1"), op.put("b", "1"), op.put("c", "1")] })] }),
      ],
    },
    {
      name: "requests of more than 4 KiB",
      rows: ["N1"],
      steps: [put("a", "x".repeat(3900)), put("a", "x".repeat(4100)), range("a")],
    },
    {
      name: "messages of more than the limit and 512 KiB",
      rows: ["N2", "X7"],
      steps: [range("x".repeat(400 * KiB)), range("x".repeat(600 * KiB))],
    },
    {
      name: "fragments are of the same size",
      rows: ["W10"],
      setup: Array.from({ length: 150 }, (_, index) => put(`a${String(index).padStart(3, "0")}`, "x".repeat(3700))),
      steps: [
        openWatch(),
        create("a", { ...everything, fragment: true, prevKv: true }),
        receive(1),
        del("a", everything),
        receive(2),
      ],
    },
  ],
};

export const quickProgress: Group = {
  name: "quick-progress",
  flags: ["--watch-progress-notify-interval=1s"],
  flagsOn35: ["--experimental-watch-progress-notify-interval=1s"],
  cases: [
    {
      name: "an idle watcher hears of progress",
      rows: ["W11", "W13"],
      setup: [put("a", "1")],
      steps: [
        openWatch(),
        create("b", { progressNotify: true, watchId: 3n }),
        receive(1),
        receive(1),
        put("x", "1"),
        receive(1),
        cancel(3n),
        receive(1),
      ],
    },
    {
      name: "a watcher that did not ask hears nothing",
      rows: ["W11"],
      steps: [openWatch(), create("b"), receive(1), silent("w", 1500)],
    },
    {
      name: "a watcher of the future hears nothing",
      rows: ["W11"],
      steps: [
        openWatch(),
        create("b", { progressNotify: true, startRevision: rev(100) }),
        receive(1),
        silent("w", 1500),
      ],
    },
  ],
};

const kv = { when: [cmp.version("a", "=", 1n)] } as const;

export const smallQuota: Group = {
  name: "small-quota",
  flags: ["--quota-backend-bytes=2000000"],
  cases: [
    {
      name: "a full store",
      rows: ["KV27"],
      note: "how many puts fit is the store's own affair; afterwards revisions count from there",
      setup: [grant(100n, 5n), put("a", "1", { lease: 5n }), put("b", "1"), put("c", "1")],
      steps: [
        { kind: "until-error", method: "KV/Put", request: { key: "big", value: "x".repeat(100_000) }, timesMax: 1000 },
        { kind: "rebase" },
        put("a", "2"),
        put("tiny", ""),
        grant(100n, 6n),
        txn({ success: [op.put("a", "2")] }),
        txn({ ...kv, success: [op.range("b")], failure: [op.put("a", "2")] }),
        txn({ success: [op.range("b", { keysOnly: true, countOnly: true })] }),
        txn({ success: [op.del("b"), op.range("b")] }),
        range("b"),
        del("c"),
        put("", "names the key first"),
        put("a", "2", { lease: 99n }),
        grant(100n, 5n),
        del("big"),
        timeToLive(5n, true),
        openKeepAlive(),
        keepAlive(5n),
        receive(1, "ka"),
        revoke(5n),
        compact(rev(3)),
        put("a", "after all"),
        all(),
      ],
    },
    {
      name: "a put inside a nested txn of a full store",
      rows: ["KV27"],
      note: "etcd counts the puts of the outermost lists only",
      steps: [
        { kind: "until-error", method: "KV/Put", request: { key: "big", value: "x".repeat(100_000) }, timesMax: 1000 },
        { kind: "until-error", method: "KV/DeleteRange", request: { key: "big" }, timesMax: 1 },
        { kind: "rebase" },
        txn({ success: [op.put("n", "2")] }),
        txn({ success: [op.txn({ success: [op.put("n", "2")] })] }),
      ],
    },
  ],
};

const NOSPACE = 1;
const CORRUPT = 2;
const alarm = (action: number, type: number): Step =>
  call("Maintenance/Alarm", { action, alarm: type, memberID: 4242n });

export const alarms: Group = {
  name: "alarms",
  flags: [],
  cases: [
    {
      name: "no space",
      rows: ["KV27", "M1"],
      setup: [put("a", "1")],
      steps: [
        alarm(1, NOSPACE),
        put("a", "2"),
        grant(100n, 6n),
        txn({ success: [op.put("a", "2")] }),
        txn({ success: [op.range("a")] }),
        range("a"),
        del("a"),
        alarm(0, 0),
        alarm(2, NOSPACE),
        put("a", "3"),
      ],
    },
    {
      name: "corrupt",
      rows: ["KV28", "M1"],
      setup: [put("a", "1"), grant(100n, 5n)],
      steps: [
        alarm(1, CORRUPT),
        put("a", "2"),
        del("a"),
        txn({ success: [op.put("a", "2")] }),
        txn({ success: [op.range("a")] }),
        compact(rev(1)),
        grant(100n, 6n),
        revoke(5n),
        range("a"),
        range("a", { serializable: true }),
        timeToLive(5n),
        leases(),
        openKeepAlive(),
        keepAlive(5n),
        receive(1, "ka"),
        openWatch(),
        create("a"),
        receive(1),
        alarm(2, CORRUPT),
        put("a", "3"),
        receive(1),
      ],
    },
  ],
};
