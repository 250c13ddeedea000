// What happens when the event loop stands still for longer than a session may: whoever runs next must find the truth,
// whichever timer is due first. Each test stops everything in this process, so they run one by one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LockLostError, Mutex, openSession, SessionLostError, type SessionState } from "../../recipes/index.ts";
import { op } from "../../sdk/index.ts";
import { until } from "../sdk/harness.ts";
import { eachTarget, stall } from "./support.ts";

eachTarget(
  (world) => {
    test("a session is lost at wake-up, before any other code sees it as held", async () => {
      const client = await world.connect();
      const session = await openSession(client, { ttl: "6s" });
      let seen: { isAborted: boolean; state: SessionState } | undefined;
      // Due during the stall, and before the timer of the deadline: it runs first.
      setTimeout(() => {
        seen = { isAborted: session.signal.aborted, state: session.state };
      }, 1);
      stall(session.remainingMs() + 200);
      await until("the timer has run", () => seen !== undefined);
      assert.deepEqual(seen, { isAborted: true, state: "lost" });
      assert.throws(() => session.signal.throwIfAborted(), SessionLostError);
    });

    test("a lock is lost at wake-up: its signal has aborted and guarded calls refuse", async () => {
      const client = await world.connect();
      const prefix = world.prefix();
      const lock = await new Mutex(client, `${prefix}lock`, { session: { ttl: "6s" } }).acquire();
      let seen: readonly unknown[] = [];
      setTimeout(() => {
        const attempt = (): unknown => lock.guard(client.txn().then(op.put(`${prefix}x`, "1")));
        assert.throws(attempt, LockLostError);
        seen = [lock.signal.aborted, lock.state, lock.remainingMs(), lock.lost?.reason];
      }, 1);
      stall(lock.remainingMs() + 200);
      await until("the timer has run", () => seen.length > 0);
      assert.deepEqual(seen, [true, "lost", 0, "session"]);
    });
  },
  { isAlone: true },
);
