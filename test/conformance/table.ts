// The whole table: all groups, and what can be said of them without a server.
import type { Case, Group } from "./case.ts";
import { kvCompact, kvUncompacted } from "./cases/kv-compact.ts";
import { kvDelete } from "./cases/kv-delete.ts";
import { kvPut } from "./cases/kv-put.ts";
import { kvRange } from "./cases/kv-range.ts";
import { kvSort } from "./cases/kv-sort.ts";
import { kvTxn } from "./cases/kv-txn.ts";
import { kvTxnCheck } from "./cases/kv-txn-check.ts";
import { kvTxnCompare } from "./cases/kv-txn-compare.ts";
import { lease } from "./cases/lease.ts";
import { leaseExpiry, leaseKeepAlive } from "./cases/lease-keep-alive.ts";
import { limits } from "./cases/limits.ts";
import { longHistory } from "./cases/long-history.ts";
import { rangeStream } from "./cases/range-stream.ts";
import { restarts } from "./cases/restart.ts";
import { services } from "./cases/services.ts";
import { alarms, quickProgress, smallLimits, smallQuota } from "./cases/tuned.ts";
import { watch } from "./cases/watch.ts";
import { watchOptions } from "./cases/watch-options.ts";
import { watchOrder } from "./cases/watch-order.ts";
import { watchProgress } from "./cases/watch-progress.ts";

export const groups: readonly Group[] = [
  // The slowest first: groups run side by side.
  leaseExpiry,
  restarts,
  leaseKeepAlive,
  longHistory,
  quickProgress,
  limits,
  watch,
  watchOrder,
  watchOptions,
  watchProgress,
  kvUncompacted,
  kvRange,
  kvSort,
  kvPut,
  kvDelete,
  kvTxnCompare,
  kvTxn,
  kvTxnCheck,
  kvCompact,
  lease,
  services,
  rangeStream,
  smallLimits,
  smallQuota,
  alarms,
];

export const caseName = (group: Group, item: Case): string => `${group.name}: ${item.name}`;
