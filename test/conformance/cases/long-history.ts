// More revisions and watchers than one batch of etcd's catching up holds.
import type { Group } from "../case.ts";
import {
  compact,
  create,
  del,
  grant,
  op,
  openWatch,
  progress,
  put,
  range,
  receive,
  receiveAnyOrder,
  rev,
  revoke,
  timeToLive,
  txn,
} from "../steps.ts";

const everything = { rangeEnd: "\x00" } as const;
const revisions = 1100;
const watchers = 530;

/** Put in ten txns of 128, in an order that is not theirs. */
const manyKeysOf = (lease: bigint) =>
  Array.from({ length: 10 }, (_, batch) =>
    txn({
      success: Array.from({ length: 128 }, (_, index) =>
        op.put(
          `k${String(((batch * 128 + index) * 7919) % 10_007).padStart(8, "0")}`,
          `${(index * 31) % 128}-${batch}`,
          { lease },
        ),
      ),
    }),
  );

export const longHistory: Group = {
  name: "long-history",
  cases: [
    {
      name: "a catch-up batch holds 1000 revisions",
      rows: ["W7", "W18"],
      setup: Array.from({ length: revisions }, (_, index) => put(`k${index % 7}`, `${index}`)),
      steps: [
        openWatch(),
        create("k", { ...everything, startRevision: rev(1) }),
        receive(3),
        create("k", { ...everything, startRevision: rev(101) }),
        receive(2),
        create("k", { ...everything, startRevision: rev(102) }),
        receive(2),
        range("k3", { revision: rev(500) }),
        range("k", { ...everything, revision: rev(1000) }),
        compact(rev(1050)),
        create("k", { ...everything, startRevision: rev(1050) }),
        receive(2),
      ],
    },
    {
      name: "a batch counts revisions that the watcher sees, and never splits one",
      rows: ["W7", "W18"],
      setup: Array.from({ length: 520 }, (_, index) =>
        txn({ success: [op.put("a", `${index}`), op.put("b", `${index}`), op.put("c", `${index}`)] }),
      ),
      steps: [
        openWatch(),
        create("a", { rangeEnd: "c", startRevision: rev(1) }),
        receive(2),
        create("c", { startRevision: rev(1) }),
        receive(2),
      ],
    },
    {
      name: "1280 keys deleted in one revision",
      rows: ["KV14", "W7"],
      setup: manyKeysOf(0n),
      steps: [
        range("k", { rangeEnd: "l", limit: 3n, sortOrder: 2, sortTarget: 4, keysOnly: true }),
        range("k", { rangeEnd: "l", countOnly: true }),
        openWatch(),
        create("k", { rangeEnd: "l", prevKv: true }),
        receive(1),
        del("k", { rangeEnd: "l", prevKv: true }),
        receive(1),
        range("k", { rangeEnd: "l", revision: rev(5), limit: 2n }),
      ],
    },
    {
      name: "a lease with 1280 keys",
      rows: ["L4", "L8"],
      setup: [grant(600n, 5n), ...manyKeysOf(5n)],
      steps: [
        timeToLive(5n, true),
        openWatch(),
        create("k", { rangeEnd: "l" }),
        receive(1),
        revoke(5n),
        receive(1),
        range("k", { rangeEnd: "l", countOnly: true }),
      ],
    },
    {
      name: "more watchers catching up than one pass takes",
      rows: ["W18", "W12"],
      setup: [put("a", "1"), put("a", "2")],
      steps: [
        openWatch(),
        ...Array.from({ length: watchers }, () => create("a", { startRevision: rev(2) })),
        receiveAnyOrder(2 * watchers),
        progress(),
        receive(1),
      ],
    },
  ],
};
