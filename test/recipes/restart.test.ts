// What happens to locks, leaders and registrations when the member they talk to is killed and comes back, or stands
// still. The server is stopped here, so the tests run one by one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Election, Mutex, openSession } from "../../recipes/index.ts";
import { until } from "../sdk/harness.ts";
import { eachTarget, keysBelow } from "./support.ts";

eachTarget(
  (world) => {
    test("a lock and the queue for it survive a member that is killed and started again within the TTL", async () => {
      const [one, other] = [await world.connect(), await world.connect()];
      const name = `${world.prefix()}lock`;
      const session = await openSession(one, { ttl: "20s" });
      const held = await new Mutex(one, name, { session }).acquire();
      const waiting = new Mutex(other, name, { session: { ttl: "20s" } }).acquire();
      await until("it waits", async () => (await keysBelow(one, `${name}/`)).length === 2);
      await world.server.kill();
      await world.server.start();
      await until("the session is held", () => session.state === "held");
      assert.equal(held.state, "held");
      assert.deepEqual(await held.release(), { released: true });
      const next = await waiting;
      assert(next.token > held.token);
      await next.release();
    });

    test("an election is followed through a restart without going back", async () => {
      const client = await world.connect();
      const election = new Election(client, `${world.prefix()}election`, { session: { ttl: "20s" } });
      const seen: (string | undefined)[] = [];
      let revision = 0n;
      const observing = (async () => {
        for await (const change of election.observe()) {
          assert(change.revision > revision);
          revision = change.revision;
          seen.push(change.leader?.value);
          if (change.leader?.value === "end") return;
        }
      })();
      const leadership = await election.campaign("before");
      await world.server.kill();
      await world.server.start();
      await leadership.proclaim("after");
      await leadership.proclaim("end");
      await observing;
      assert.deepEqual(seen, [undefined, "before", "after", "end"]);
      await leadership.resign();
    });

    test("a member that stands still costs nobody a lock that it gives to somebody else", async () => {
      // Both notice that it is silent, and try to reach it anew.
      const options = { liveness: { probeAfter: "1250ms", deadAfter: "2500ms" }, connectTimeout: "20s" } as const;
      const [one, other] = [await world.connect(options), await world.connect(options)];
      const name = `${world.prefix()}lock`;
      const held = await new Mutex(one, name, { session: { ttl: "6s" } }).acquire();
      let lostFirst: boolean | undefined;
      held.signal.addEventListener("abort", () => (lostFirst ??= true));
      const next = new Mutex(other, name, { session: { ttl: "60s" } }).acquire().then((lock) => {
        lostFirst ??= false;
        return lock;
      });
      await until("it waits", async () => (await keysBelow(one, `${name}/`)).length === 2);
      world.server.pause();
      await until("the holder gives up", () => held.signal.aborted);
      world.server.resume();
      const successor = await next;
      assert.equal(lostFirst, true);
      assert(successor.token > held.token);
      await successor.release();
    });
  },
  { isAlone: true },
);
