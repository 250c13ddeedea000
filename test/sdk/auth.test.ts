// Users and tokens. Needs a server that authenticates; where it does not yet, the test says so and stops.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AuthenticateResponse, PutResponse } from "../../proto/gen/etcdserverpb/rpc.ts";
import { AuthError, ClientError, connect } from "../../sdk/index.ts";
import { eachTarget, pause, rejection, until } from "./harness.ts";
import { ScriptedServer } from "./scripted-server.ts";

eachTarget(
  (world) => {
    test("users, roles, permissions; tokens that expire are replaced, for calls, watches and leases", async (t) => {
      const root = { name: "root", password: "secret" };
      const admin = await world.connect({ credentials: root });
      try {
        // Credentials do no harm before authentication is on.
        assert.equal((await admin.auth.status()).isEnabled, false);
        await admin.kv.put("app/a", "1");
        await admin.auth.users.add("root", "secret");
      } catch (error) {
        if (!(error instanceof ClientError) || error.code !== "UNIMPLEMENTED") throw error;
        t.diagnostic(`${world.target.name} does not authenticate yet`);
        return;
      }
      await admin.auth.users.grantRole("root", "root");
      await admin.auth.users.add("app", "pass");
      await admin.auth.users.add("certificate-only", undefined);
      await admin.auth.roles.add("app");
      await admin.auth.roles.grantPermission("app", "readwrite", { prefix: "app/" });
      await admin.auth.users.grantRole("app", "app");
      assert.deepEqual((await admin.auth.users.list()).users, ["app", "certificate-only", "root"]);
      assert.deepEqual((await admin.auth.users.get("app")).roles, ["app"]);
      const [permission] = (await admin.auth.roles.get("app")).permissions;
      assert.deepEqual([permission?.type, permission?.key], ["readwrite", "app/"]);
      await admin.auth.enable();
      assert.equal((await admin.auth.status()).isEnabled, true);

      const anonymous = await world.connect();
      const refused = await rejection(anonymous.kv.put("app/a", "1"));
      assert(refused instanceof AuthError);
      assert.deepEqual([refused.code, refused.outcome], ["UNAUTHENTICATED", "notApplied"]);
      const wrong = await world.connect({ credentials: { name: "app", password: "wrong" } });
      const failed = await rejection(wrong.kv.get("app/a"));
      assert(failed instanceof AuthError);
      assert.equal(failed.code, "AUTH_FAILED");
      const noWatch = await rejection(anonymous.watch("app/a").next());
      assert(noWatch instanceof AuthError);

      const app = await world.connect({ credentials: { name: "app", password: "pass" } });
      await app.kv.put("app/a", "2");
      const denied = await rejection(app.kv.put("other", "1"));
      assert(denied instanceof AuthError);
      assert.deepEqual([denied.code, denied.outcome], ["PERMISSION_DENIED", "notApplied"]);
      const foreignWatch = await rejection(app.watch("other", { resync: "error" }).next());
      assert(foreignWatch instanceof AuthError);
      assert.equal(foreignWatch.code, "PERMISSION_DENIED");

      await using watch = app.watch({ prefix: "app/" });
      await watch.ready;
      const lease = await app.lease.open({ ttl: "20s" });
      await app.kv.put("app/leased", "x", { leaseId: lease.id });
      assert.equal((await watch.next()).value?.events[0]?.key, "app/leased");
      // A token that is not used for so long is forgotten: it must have been replaced for this write.
      await pause(6000);
      await app.kv.put("app/b", "3");
      assert.equal((await watch.next()).value?.events[0]?.key, "app/b");
      await world.server.restart();
      await app.kv.put("app/c", "4", { deadline: "20s" });
      assert.equal((await watch.next()).value?.events[0]?.key, "app/c");
      await lease.revoke();
      await admin.auth.disable();
      await until("no user is needed", async () => (await anonymous.kv.get("app/a"))?.value === "2");
    });
  },
  { args: ["--auth-token-ttl", "4"] },
);

test("one exchange for all who wait; a refused token is replaced once, not again and again", async () => {
  await using server = await ScriptedServer.start();
  let tokens = 0;
  let isRefusing = false;
  server.on("/etcdserverpb.Auth/Authenticate", (call) => {
    const token = `token-${++tokens}`;
    setTimeout(() => call.answer(AuthenticateResponse.encode({ header: server.header, token }).finish()), 20);
  });
  server.on("/etcdserverpb.KV/Put", (call) => {
    if (isRefusing || call.metadata["token"] !== `token-${tokens}`) call.end(16, "etcdserver: invalid auth token");
    else call.answer(PutResponse.encode({ header: server.header, prevKv: undefined }).finish());
  });
  await using client = await connect({ endpoints: server.endpoint, credentials: { name: "a", password: "b" } });
  await Promise.all(Array.from({ length: 20 }, (_, index) => client.kv.put(`k${index}`, "1")));
  assert.equal(tokens, 1);
  tokens = 5; // The server has forgotten the first token.
  await Promise.all(Array.from({ length: 20 }, (_, index) => client.kv.put(`k${index}`, "1")));
  assert.equal(tokens, 6);
  isRefusing = true;
  server.calls.length = 0;
  const error = await rejection(client.kv.put("k", "1"));
  assert(error instanceof AuthError);
  assert.equal(server.calls.filter((path) => path.endsWith("Put")).length, 2);
});
