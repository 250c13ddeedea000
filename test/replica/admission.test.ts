// What is refused before it is proposed, at each limit and one below it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../../server/lib/logger.ts";
import { Admission } from "../../server/replica/admission.ts";
import type { Command } from "../../server/state/command.ts";
import { StateMachine } from "../../server/state/state-machine.ts";
import { BufferedBackend } from "../../server/storage/buffered-backend.ts";
import { MemoryStore } from "../../server/storage/memory-store.ts";

const mebibyte = 1024 * 1024;
const flags = { lease: 0n, wantsPrevious: false, ignoresValue: false, ignoresLease: false };
const put: Command = { kind: "put", key: "k", value: Buffer.from("v"), ...flags };
const remove: Command = { kind: "delete-range", range: { kind: "key", key: "k" }, wantsPrevious: false };
const grant: Command = { kind: "lease-grant", id: 1n, ttlSeconds: 5 };
const revoke: Command = { kind: "lease-revoke", id: 1n, expiry: undefined };
const txnOf = (inside: Command): Command =>
  ({
    kind: "txn",
    compares: [],
    success: [],
    failure: [{ kind: "txn", compares: [], success: [inside], failure: [] }],
  }) as never;

function scene() {
  const machine = new StateMachine(new BufferedBackend(new MemoryStore()));
  const now = { roomBytes: Number.MAX_SAFE_INTEGER, storeBytes: 0, backlog: 0, isDiskFull: false, alarms: 0 };
  const admission = new Admission({
    memberId: 1n,
    log: {
      get roomBytes() {
        return now.roomBytes;
      },
    },
    alarms: machine.alarms,
    logger: silentLogger,
    requestBytesMax: 1000,
    quotaBytes: 5000,
    storeBytes: () => now.storeBytes,
    backlog: () => now.backlog,
    isDiskFull: () => now.isDiskFull,
    raiseAlarm: async (alarm) => {
      now.alarms++;
      await undefined;
      machine.alarms.raise(alarm);
    },
  });
  const verdict = (command: Command, sizeBytes = 10): string => {
    try {
      admission.check(command, sizeBytes);
      return "taken";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  return { admission, machine, now, verdict };
}

test("a command may be as large as a request, and no larger", () => {
  const { verdict } = scene();
  assert.deepEqual(
    [verdict(put, 1000), verdict(put, 1001), verdict(remove, 1001)],
    ["taken", "too-large", "too-large"],
  );
});

test("beyond five thousand commands that are committed and not applied, everything is refused", () => {
  const { now, verdict } = scene();
  now.backlog = 5000;
  assert.equal(verdict(put), "taken");
  now.backlog = 5001;
  assert.deepEqual([verdict(put), verdict(remove)], ["too-many-requests", "too-many-requests"]);
});

test("the last room in the log is for what frees some, and the very last for nobody", () => {
  const { now, verdict } = scene();
  now.roomBytes = 4 * mebibyte + 10;
  assert.deepEqual(
    [put, grant, txnOf(put), remove].map((command) => verdict(command)),
    Array(4).fill("taken"),
  );
  now.roomBytes--;
  assert.deepEqual(
    [put, grant, txnOf(put), remove, revoke, txnOf(remove)].map((command) => verdict(command)),
    ["no-space", "no-space", "no-space", "taken", "taken", "taken"],
  );
  now.roomBytes = 2 * mebibyte + 9;
  assert.deepEqual([verdict(put), verdict(remove), verdict(revoke)], Array(3).fill("no-space"));
});

test("while the store finds no room on disk, only what adds to it is refused", () => {
  const { now, verdict } = scene();
  now.isDiskFull = true;
  assert.deepEqual([verdict(put), verdict(grant), verdict(remove)], ["no-space", "no-space", "taken"]);
});

test("a quota that is used up refuses what adds, and raises the alarm once while it is on its way", async () => {
  const { admission, machine, now } = scene();
  now.storeBytes = 4999;
  admission.checkQuota(put);
  now.storeBytes = 5000;
  for (let i = 0; i < 5; i++) assert.throws(() => admission.checkQuota(put), { code: "no-space" });
  admission.checkQuota(remove);
  assert.equal(now.alarms, 1);
  await new Promise((resolve) => setImmediate(resolve));
  // The alarm counts also when there is room again: an operator clears it.
  now.storeBytes = 0;
  assert.throws(() => admission.checkQuota(put), { code: "no-space" });
  machine.alarms.clear({ memberId: 1n, type: "no-space" });
  admission.checkQuota(put);
  now.storeBytes = 5000;
  assert.throws(() => admission.checkQuota(put), { code: "no-space" });
  assert.equal(now.alarms, 2);
});
