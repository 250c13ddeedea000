// Works under a lock, and tries to go on working when it should not any more.
import { LockLostError, Mutex } from "../../recipes/index.ts";
import { op } from "../../sdk/index.ts";
import { enter, leave, report } from "./actor.ts";
import { lockName } from "./messages.ts";

const ledger = "demo/ledger-text";

await enter(async (client, name, ttl) => {
  report({ kind: "waiting" });
  const lock = await new Mutex(client, lockName, { session: { ttl }, label: name }).acquire();
  const prepared = lock.guard(client.txn().then(op.put(ledger, `${name} was here, late`)));
  report({ kind: "acquired", token: String(lock.token) });
  return async (order) => {
    if (order.kind === "write") {
      try {
        await lock.commit(client.txn().then(op.put(ledger, order.text)));
        report({ kind: "wrote" });
      } catch (error) {
        if (!(error instanceof LockLostError)) throw error;
        report({ kind: "refused", by: "itself", why: error.message });
      }
    } else if (order.kind === "send-prepared") {
      const { succeeded } = await prepared.commit();
      report(succeeded ? { kind: "wrote" } : { kind: "refused", by: "server", why: "the token is not current" });
    } else {
      await lock.release();
      await leave(client);
    }
  };
});
