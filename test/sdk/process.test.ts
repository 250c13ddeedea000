// What the SDK does to the process it lives in: what it loads, what keeps it alive, what it reports.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  type CallDiagnostics,
  type ConnectionDiagnostics,
  formatLeaseId,
  type LeaseDiagnostics,
  type WatchDiagnostics,
} from "../../sdk/index.ts";
import { repositoryRoot } from "../support/paths.ts";
import { eachTarget, rejection, until } from "./harness.ts";

const sdkUrl = pathToFileURL(join(repositoryRoot, "dist", "sdk", "index.js")).href;

/** Runs a program with `connect` and `endpoint` at hand; its end must come by itself. */
function run(program: string, endpoint: string): { readonly status: number | null; readonly stdout: string } {
  const source = `import { connect } from ${JSON.stringify(sdkUrl)};\nconst endpoint = ${JSON.stringify(endpoint)};\n${program}`;
  // A program that never ends is ended here; its status is then null, which fails the test.
  const options = { encoding: "utf8", timeout: 60_000, killSignal: "SIGKILL" } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", source], options);
  return { status, stdout: stdout + stderr };
}

test("importing the SDK loads neither the server's packages nor a general gRPC client", () => {
  // The module loader itself is asked which files it loads.
  const loader = `
    export async function load(url, context, next) {
      if (url.startsWith("file:")) process._rawDebug(url);
      return next(url, context);
    }`;
  const register = `import { register } from "node:module"; register("data:text/javascript," + encodeURIComponent(${JSON.stringify(loader)}));`;
  const result = spawnSync(
    process.execPath,
    [
      "--import",
      `data:text/javascript,${encodeURIComponent(register)}`,
      "--input-type=module",
      "-e",
      `await import(${JSON.stringify(sdkUrl)})`,
    ],
    { encoding: "utf8" },
  );
  assert.equal(result.status, 0, result.stderr);
  const loaded = result.stderr.split("\n").filter((line) => line.startsWith("file:"));
  assert(
    loaded.some((url) => url === sdkUrl),
    "the list of loaded files is empty",
  );
  const packages = new Set(loaded.map((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]).filter(Boolean));
  assert.deepEqual([...packages], ["@bufbuild/protobuf"]);
  assert(!loaded.some((url) => url.includes("/dist/server/")), "the SDK loads a part of the server");
});

eachTarget((world) => {
  test("nothing keeps the process alive by itself", () => {
    const { endpoint } = world.server;
    const idle = run(
      `const client = await connect({ endpoints: endpoint, electionTimeout: 100 });
       const lease = await client.lease.open({ ttl: "60s" });
       const view = client.collection({ prefix: "x/" });
       await view.ready;
       const watch = client.watch("x").unref();
       await watch.ready;
       void watch.next();
       await client.kv.put("idle", "1", { leaseId: lease.id });
       console.log("done");`,
      endpoint,
    );
    assert.deepEqual([idle.status, idle.stdout], [0, "done\n"]);
  });

  test("who waits for an answer, or for a watch, or says ref(), keeps it alive", () => {
    const { endpoint } = world.server;
    const waiting = run(
      `const client = await connect(endpoint);
       const watch = client.watch("waited-for");
       await watch.ready;
       setTimeout(() => client.kv.put("waited-for", "1"), 50).unref();
       const timer = setTimeout(() => undefined, 60); // The put above is unreferenced: it needs a little life.
       for await (const batch of watch) { console.log(batch.events[0].kv.value); break; }
       clearTimeout(timer);
       client.ref();
       setTimeout(async () => { console.log("still here"); client.unref(); }, 100).unref();`,
      endpoint,
    );
    assert.deepEqual([waiting.status, waiting.stdout], [0, "1\nstill here\n"]);
  });

  test("one signal may serve any number of calls", async () => {
    const client = await world.connect();
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    try {
      const { signal } = new AbortController();
      await Promise.all(Array.from({ length: 50 }, () => client.kv.get("a", { signal })));
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(warnings, []);
    } finally {
      process.removeListener("warning", onWarning);
    }
  });

  test("a program that ends with close() ends at once and leaves no lease behind", async () => {
    const program = run(
      `await (async () => {
         const client = await connect({ endpoints: endpoint, electionTimeout: 100 });
         try {
           const lease = await client.lease.open({ ttl: "60s" });
           console.log(lease.id.toString());
         } finally {
           await client.close({ timeout: "60s" });
         }
       })();`,
      world.server.endpoint,
    );
    assert.equal(program.status, 0, program.stdout);
    const client = await world.connect();
    assert(!(await client.lease.list()).includes(BigInt(program.stdout.trim())));
  });

  test("diagnostics channels, logger and inspect tell what happens", async () => {
    const seen: { [channel: string]: unknown[] } = {};
    const listeners = ["call", "connection", "watch", "lease"].map((name) => {
      const listener = (message: unknown): void => void (seen[name] ??= []).push(message);
      subscribe(`quorate:${name}`, listener);
      return () => unsubscribe(`quorate:${name}`, listener);
    });
    const lines: string[] = [];
    const log = (level: string) => (fields: object, message: string) =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    const logger = { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
    try {
      const client = await world.connect({ logger });
      const prefix = world.prefix();
      await client.kv.put(`${prefix}a`, "1");
      await rejection(client.kv.get("a", { revision: 1_000_000n }));
      await using watch = client.watch({ prefix });
      await watch.ready;
      const lease = await client.lease.open({ ttl: "9s" });
      await until("it has been renewed", () =>
        (seen["lease"] as LeaseDiagnostics[]).some(({ event }) => event === "renew"),
      );
      const state = client.inspect();
      assert.deepEqual(
        [state.status, state.watches.length, state.leases[0]?.id],
        ["connected", 1, formatLeaseId(lease.id)],
      );
      assert.deepEqual(JSON.parse(JSON.stringify(state)).status, "connected");
      assert.equal(state.endpoints[0]?.version?.startsWith("3."), true);
      await client.close();
    } finally {
      for (const stop of listeners) stop();
    }
    const calls = seen["call"] as CallDiagnostics[];
    const put = calls.find(({ method }) => method === "/etcdserverpb.KV/Put");
    assert.deepEqual([put?.endpoint, put?.attempts, put?.error], [world.server.endpoint, 1, undefined]);
    assert(calls.some(({ error }) => error?.code === "FUTURE_REVISION"));
    assert.equal((seen["connection"] as ConnectionDiagnostics[])[0]?.event, "open");
    assert.deepEqual(
      (seen["watch"] as WatchDiagnostics[]).map(({ event }) => event),
      ["start", "end"],
    );
    const leases = (seen["lease"] as LeaseDiagnostics[]).map(({ event }) => event);
    assert.deepEqual([leases[0], leases.at(-1)], ["grant", "lost"]);
    assert(
      lines.some((line) => line.startsWith('info status {"status":"connected"')),
      lines.join("\n"),
    );
  });
});
