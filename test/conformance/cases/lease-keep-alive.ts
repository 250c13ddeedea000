// Lease: keep-alive, and what happens without it.
import type { Group } from "../case.ts";
import {
  all,
  create,
  finish,
  grant,
  keepAlive,
  leases,
  openKeepAlive,
  openWatch,
  put,
  range,
  receive,
  revoke,
  send,
  silent,
  sleep,
  timeToLive,
} from "../steps.ts";

export const leaseKeepAlive: Group = {
  name: "lease-keep-alive",
  cases: [
    {
      name: "keep-alive",
      rows: ["L5"],
      setup: [grant(60n, 7n), grant(90n, -8n)],
      steps: [
        openKeepAlive(),
        keepAlive(7n),
        receive(1, "ka"),
        keepAlive(-8n),
        keepAlive(7n),
        receive(2, "ka"),
        finish("ka"),
      ],
    },
    {
      name: "keep-alive of unknown ids, the stream stays",
      rows: ["L5"],
      setup: [grant(60n, 7n)],
      steps: [
        openKeepAlive(),
        keepAlive(99n),
        receive(1, "ka"),
        keepAlive(0n),
        keepAlive(-5n),
        receive(2, "ka"),
        keepAlive(7n),
        receive(1, "ka"),
      ],
    },
    {
      name: "keep-alive of a revoked lease",
      rows: ["L5"],
      setup: [grant(60n, 7n)],
      steps: [openKeepAlive(), keepAlive(7n), receive(1, "ka"), revoke(7n), keepAlive(7n), receive(1, "ka")],
    },
    {
      name: "keep-alive answers in the order of requests",
      rows: ["L5"],
      setup: [grant(60n, 1n), grant(61n, 2n), grant(62n, 3n)],
      steps: [
        openKeepAlive(),
        ...[3n, 1n, 99n, 2n, 3n, 3n].map((leaseId) => keepAlive(leaseId)),
        receive(6, "ka"),
        silent("ka"),
      ],
    },
    {
      name: "keep-alive header follows the revision and makes none",
      rows: ["L5"],
      setup: [grant(60n, 7n), put("a", "1", { lease: 7n })],
      steps: [
        openKeepAlive(),
        keepAlive(7n),
        receive(1, "ka"),
        put("b", "1"),
        keepAlive(7n),
        receive(1, "ka"),
        range("a"),
      ],
    },
    {
      name: "keep-alive on two streams",
      rows: ["L5"],
      setup: [grant(60n, 7n)],
      steps: [
        openKeepAlive("one"),
        openKeepAlive("two"),
        keepAlive(7n, "one"),
        receive(1, "one"),
        keepAlive(7n, "two"),
        receive(1, "two"),
        finish("one"),
        keepAlive(7n, "two"),
        receive(1, "two"),
      ],
    },
    {
      name: "a keep-alive stream without a request",
      rows: ["L5"],
      steps: [openKeepAlive(), silent("ka", 150), finish("ka")],
    },
    {
      name: "an empty keep-alive request",
      rows: ["L5"],
      steps: [openKeepAlive(), send("ka", {}), receive(1, "ka")],
    },
    {
      name: "keep-alive renews",
      rows: ["L5", "L10"],
      setup: [grant(5n, 7n), put("a", "1", { lease: 7n })],
      steps: [
        openKeepAlive(),
        sleep(3200),
        keepAlive(7n),
        receive(1, "ka"),
        sleep(3200),
        keepAlive(7n),
        receive(1, "ka"),
        range("a"),
      ],
    },
  ],
};

/** Apart, since these wait for seconds. */
export const leaseExpiry: Group = {
  name: "lease-expiry",
  cases: [
    {
      name: "an expired lease takes its keys in one revision",
      rows: ["L10", "W7"],
      setup: [grant(2n, 7n), put("b", "1", { lease: 7n }), put("a", "1", { lease: 7n }), put("free", "1")],
      steps: [
        openWatch(),
        create("\x00", { rangeEnd: "\x00", prevKv: true }),
        receive(1),
        receive(1),
        timeToLive(7n, true),
        leases(),
        all(),
        put("c", "1", { lease: 7n }),
        grant(60n, 7n),
      ],
    },
    {
      name: "an expired lease without keys is no revision",
      rows: ["L10", "L8"],
      setup: [grant(2n, 7n)],
      steps: [sleep(5000), timeToLive(7n), leases(), revoke(7n), put("a", "1")],
    },
    {
      name: "two leases that expire, one after the other",
      rows: ["L10"],
      setup: [grant(2n, 1n), grant(4n, 2n), put("a", "1", { lease: 1n }), put("b", "1", { lease: 2n })],
      steps: [openWatch(), create("\x00", { rangeEnd: "\x00" }), receive(1), receive(1), receive(1), leases()],
    },
  ],
};
