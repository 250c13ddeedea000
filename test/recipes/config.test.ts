// Configuration: where it comes from, what is judged, what is shown, what survives an outage.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";
import { z } from "zod";
import {
  type Config,
  type ConfigChange,
  ConfigError,
  type ConfigRejection,
  cluster,
  defaults,
  env,
  file,
  loadConfig,
} from "../../recipes/index.ts";
import { type Logger, op, type StandardSchema } from "../../sdk/index.ts";
import { pause, rejection, until } from "../sdk/harness.ts";
import { connectThroughProxy, eachTarget } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "quorate-config-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const fresh = (): string => join(folder, `f${++files}.json`);

const schema = z.object({
  http: z.object({ port: z.number().int().min(1).max(65_535), timeoutMs: z.number().default(1000) }),
  mode: z.enum(["fast", "safe"]).default("safe"),
  db: z.object({ password: z.string().min(8) }).default({ password: "password" }),
});

/** A logger that remembers. */
function memoryLogger(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const log = (fields: object, message: string): void => {
    lines.push(`${JSON.stringify(fields)} ${message}`);
  };
  return { lines, debug: log, info: log, warn: log, error: log };
}

function record<T>(config: Config<T>) {
  const changes: ConfigChange[] = [];
  const rejections: ConfigRejection[] = [];
  config.on("change", (_next, _previous, change) => changes.push(change));
  config.on("rejected", (rejected) => rejections.push(rejected));
  return { changes, rejections };
}

eachTarget((world) => {
  test("sources lie over each other in their order; the schema types, completes and freezes the result", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const path = fresh();
    writeFileSync(path, JSON.stringify({ http: { port: 2, timeoutMs: 2 }, mode: "fast" }));
    await client.kv.put(`${prefix}http/port`, "4");
    await using config = await loadConfig({
      schema,
      sources: [
        defaults({ http: { port: 1, timeoutMs: 1 } }),
        file(path),
        file(join(folder, "absent.json"), { optional: true }),
        env({ prefix: "APP_", variables: { APP_HTTP__PORT: "3", APP_HTTP__TIMEOUT_MS: "3", OTHER: "x" } }),
        cluster(client, { prefix }),
      ],
    });
    const port: number = config.current.http.port;
    assert.deepEqual([port, config.current.http.timeoutMs, config.current.mode], [4, 3, "fast"]);
    assert.equal(config.current.db.password, "password");
    assert.equal(config.origin.kind, "live");
    for (const part of [config.current, config.current.http]) assert(Object.isFrozen(part));
    assert.throws(() => Object.assign(config.current.http, { port: 5 }), TypeError);
  });

  test("a change is shown as one whole state, with what differs, as soon as it is stored", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    await using config = await loadConfig({
      schema,
      sources: [defaults({ http: { port: 1 } }), cluster(client, { prefix })],
      restartRequired: ["http.port"],
      logger: memoryLogger(),
    });
    const { changes } = record(config);
    const before = config.current;
    const { revision } = await client
      .txn()
      .then(
        op.put(`${prefix}http/port`, "8080"),
        op.put(`${prefix}http/timeoutMs`, "5"),
        op.put(`${prefix}mode`, "fast"),
      )
      .commit();
    await until("the change", () => changes.length > 0);
    assert.deepEqual(config.current, { ...before, http: { port: 8080, timeoutMs: 5 }, mode: "fast" });
    assert.equal(before.http.port, 1, "what was read before is not touched");
    assert.deepEqual(changes, [
      {
        revision,
        source: `cluster ${prefix}*`,
        differences: [
          { path: "http.port", before: 1, after: 8080 },
          { path: "http.timeoutMs", before: 1000, after: 5 },
          { path: "mode", before: "safe", after: "fast" },
        ],
        restartRequired: ["http.port"],
      },
    ]);
    assert.deepEqual([config.revision, config.pendingRestart], [revision, ["http.port"]]);
    // What changes nothing is no change.
    await client.kv.put(`${prefix}mode`, '"fast"');
    await client.kv.delete(`${prefix}http/timeoutMs`);
    await until("the next change", () => changes.length > 1);
    assert.deepEqual(changes[1]?.differences, [{ path: "http.timeoutMs", before: 5, after: 1000 }]);
  });

  test("keys of one transaction arrive as one change, however many there are at once", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const pair = z.object({ a: z.number(), b: z.number() }).refine(({ a, b }) => a === b, "a and b belong together");
    await using config = await loadConfig({
      schema: pair,
      sources: [defaults({ a: 0, b: 0 }), cluster(client, { prefix })],
      logger: memoryLogger(),
    });
    const { rejections, changes } = record(config);
    const seen: number[] = [];
    config.on("change", ({ a }) => seen.push(a));
    for (let index = 1; index <= 100; index++) {
      await client
        .txn()
        .then(op.put(`${prefix}a`, `${index}`), op.put(`${prefix}b`, `${index}`))
        .commit();
    }
    await until("the last", () => config.current.a === 100);
    assert.deepEqual(rejections, []);
    assert.deepEqual(
      seen,
      Array.from({ length: 100 }, (_, index) => index + 1),
    );
    for (const [index, { revision }] of changes.entries())
      assert(index === 0 || revision > changes[index - 1]!.revision);
  });

  test("an invalid update is refused, told and visible, and the old state stays; the next good one ends that", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const logger = memoryLogger();
    await using config = await loadConfig({
      schema,
      sources: [defaults({ http: { port: 1 } }), cluster(client, { prefix })],
      logger,
    });
    const { changes, rejections } = record(config);
    const before = config.current;
    const { revision } = await client.kv.put(`${prefix}http/port`, "eighty");
    await until("it is refused", () => rejections.length > 0);
    assert.equal(config.current, before);
    assert.equal(config.rejected, rejections[0]);
    assert.equal(rejections[0]?.revision, revision);
    assert.deepEqual(
      rejections[0]?.error.issues.map(({ path }) => path),
      ["http.port"],
    );
    assert(logger.lines.some((line) => line.includes("http.port")));
    // Still refused as a whole: half a state is none.
    await client.kv.put(`${prefix}mode`, "fast");
    await until("it is refused again", () => rejections.length > 1);
    assert.equal(config.current.mode, "safe");
    await client.kv.put(`${prefix}http/port`, "80");
    await until("it is taken", () => changes.length > 0);
    assert.deepEqual([config.current.http.port, config.current.mode, config.rejected], [80, "fast", undefined]);
    // Keys that contradict each other, names that reach into objects, bytes that are no text.
    for (const [key, value] of [
      ["mode/deeper", "1"],
      ["__proto__/polluted", "1"],
      ["http//port", "1"],
      ["http", "1"],
    ] as const) {
      const count = rejections.length;
      await client.kv.put(prefix + key, value);
      await until(`${key} is refused`, () => rejections.length > count);
      await client.kv.delete(prefix + key);
      await until("and forgotten", () => config.rejected === undefined);
    }
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    assert.equal(changes.length, 1);
  });

  test("asynchronous schemas judge one state after the other, in order", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    let running = 0;
    const slow: StandardSchema<unknown, { readonly n: number }> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: async (value) => {
          assert.equal(++running, 1);
          const { n } = value as { n: number };
          // The first takes longest: a judge that did not wait would show it last.
          await pause(Math.max(0, 20 - n * 5));
          running -= 1;
          return n % 2 === 0 ? { issues: [{ message: "even", path: ["n"] }] } : { value: { n } };
        },
      },
    };
    await using config = await loadConfig({
      schema: slow,
      sources: [defaults({ n: -1 }), cluster(client, { prefix })],
      logger: memoryLogger(),
    });
    const seen: number[] = [];
    const refused: string[] = [];
    config.on("change", ({ n }) => seen.push(n));
    config.on("rejected", ({ error }) => refused.push(error.message));
    for (let n = 1; n <= 9; n++) await client.kv.put(`${prefix}n`, String(n));
    await until("the last", () => config.current.n === 9);
    assert.deepEqual(seen, [1, 3, 5, 7, 9]);
    assert.deepEqual(refused, ["n: even", "n: even", "n: even", "n: even"]);
  });

  test("one document works as well as many keys", async () => {
    const client = await world.connect();
    const key = `${world.prefix()}app`;
    await using config = await loadConfig({
      schema,
      sources: [defaults({ http: { port: 1 } }), cluster(client, { key })],
      logger: memoryLogger(),
    });
    await client.kv.put(key, JSON.stringify({ http: { port: 7 } }));
    await until("it is taken", () => config.current.http.port === 7);
    await client.kv.put(key, "[1]");
    await until("it is refused", () => config.rejected !== undefined);
    assert.match(config.rejected?.error.message ?? "", /not a JSON object/);
    await client.kv.delete(key);
    await until("the defaults are back", () => config.current.http.port === 1);
  });

  test("secrets are shown to the program and to nobody else", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const logger = memoryLogger();
    await using config = await loadConfig({
      schema,
      sources: [defaults({ http: { port: 1 }, db: { password: "hunter2-hunter2" } }), cluster(client, { prefix })],
      secrets: ["db.password"],
      logger,
    });
    const { changes, rejections } = record(config);
    assert.equal(config.current.db.password, "hunter2-hunter2");
    await client.kv.put(`${prefix}db/password`, "correct-horse");
    await until("the change", () => changes.length > 0);
    assert.equal(config.current.db.password, "correct-horse");
    await client.kv.put(`${prefix}db/password`, "short7!");
    await until("it is refused", () => rejections.length > 0);
    const shown = [
      JSON.stringify(config),
      inspect(config),
      inspect(changes, { depth: 9 }),
      inspect(rejections, { depth: 9 }),
      ...logger.lines,
    ].join("\n");
    for (const secret of ["hunter2", "correct-horse", "short7!"]) assert(!shown.includes(secret), shown);
    assert.deepEqual(changes[0]?.differences, [{ path: "db.password", before: "***", after: "***" }]);
    assert(shown.includes("db.password: is refused"));
  });

  test("a part can be followed by itself; loops get the newest state", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const config = await loadConfig({
      schema,
      sources: [defaults({ http: { port: 1 } }), cluster(client, { prefix })],
    });
    const port = config.select(({ http }) => http.port);
    const http = config.select((state) => state.http);
    const told: number[] = [];
    let toldHttp = 0;
    port.on("change", (next, previous) => told.push(previous, next));
    http.on("change", () => (toldHttp += 1));
    const states = config.changes();
    assert.equal((await states.next()).value?.http.port, 1);
    await client.kv.put(`${prefix}mode`, "fast");
    await client.kv.put(`${prefix}http/port`, "2");
    await until("both", () => config.current.http.port === 2);
    assert.deepEqual([told, toldHttp, port.current], [[1, 2], 1, 2]);
    assert.equal((await states.next()).value?.http.port, 2);
    port[Symbol.dispose]();
    await client.kv.put(`${prefix}http/port`, "3");
    await until("the next", () => http.current.port === 3);
    assert.deepEqual([told, port.current], [[1, 2], 2]);
    await config.close();
    assert.equal((await states.next()).value?.http.port, 3);
    assert.equal((await states.next()).done, true);
  });

  test("without the cluster it starts from the last good state, loudly, and follows the cluster when it is back", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const prefix = world.prefix();
    const lastGood = join(folder, `dir${++files}`, "app.json");
    const logger = memoryLogger();
    const sources = [defaults({ http: { port: 1 } }), cluster(cut.client, { prefix })];
    const options = { schema, sources, lastGood, logger, wait: "300ms" } as const;
    await direct.kv.put(`${prefix}http/port`, "7");
    // Nothing may be taken for the last good state yet, however long the cluster takes.
    const first = await loadConfig({ ...options, wait: "30s" });
    await first.close();
    assert.equal(statSync(lastGood).mode & 0o777, 0o600);
    assert.equal(readdirSync(join(lastGood, "..")).length, 1, "no scratch file is left");

    await cut.proxy.refuse();
    await direct.kv.put(`${prefix}http/port`, "8");
    assert.equal(logger.lines.length, 0);
    await using config = await loadConfig(options);
    assert.equal(config.current.http.port, 7);
    assert(config.origin.kind === "lastGood" && config.origin.reason.code === "CONFIG_UNAVAILABLE");
    assert(
      logger.lines.some((line) => /last good state/.test(line)),
      logger.lines.join("\n"),
    );
    assert(config.staleForMs() > 0);
    const { changes } = record(config);
    await cut.proxy.accept();
    await until("it follows", () => config.origin.kind === "live");
    assert.equal(config.current.http.port, 8);
    assert.equal(changes.length, 1);
    await until("it is connected", () => config.staleForMs() === 0);
  });

  test("a start with an invalid state in the cluster takes the last good one; without one it is an error", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const lastGood = fresh();
    const logger = memoryLogger();
    const sources = [defaults({ http: { port: 1 } }), cluster(client, { prefix })];
    await client.kv.put(`${prefix}http/port`, "7");
    await (await loadConfig({ schema, sources, lastGood, logger })).close();
    await client.kv.put(`${prefix}http/port`, "nonsense");
    const error = await rejection(loadConfig({ schema, sources, logger }));
    assert(error instanceof ConfigError && error.code === "CONFIG_INVALID" && error.issues[0]?.path === "http.port");
    await using config = await loadConfig({ schema, sources, lastGood, logger });
    assert.equal(config.current.http.port, 7);
    assert.equal(config.rejected?.error.code, "CONFIG_INVALID");
    await client.kv.put(`${prefix}http/port`, "9");
    await until("it is live", () => config.origin.kind === "live" && config.current.http.port === 9);
    assert.equal(config.rejected, undefined);
    // A last good state that does not fit a newer program does not help.
    await client.kv.put(`${prefix}http/port`, "nonsense");
    const stricter = z.object({ http: z.object({ port: z.number().max(5) }) });
    assert.match(
      (await rejection(loadConfig({ schema: stricter, sources, lastGood, logger }))).message,
      /does not fit/,
    );
    // Nor does a file that is none.
    writeFileSync(lastGood, "{");
    assert.equal(
      ((await rejection(loadConfig({ schema, sources, lastGood, logger }))) as ConfigError).code,
      "CONFIG_INVALID",
    );
    assert(logger.lines.some((line) => /cannot be used/.test(line)));
  });

  test("a store that shows less than was applied before is not believed", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const lastGood = fresh();
    const logger = memoryLogger();
    const sources = [defaults({ http: { port: 1 } }), cluster(client, { prefix })];
    await client.kv.put(`${prefix}http/port`, "7");
    await (await loadConfig({ schema, sources, lastGood, logger })).close();
    // As an earlier run may have left it: the same cluster, further on than it is now.
    const saved = JSON.parse(readFileSync(lastGood, "utf8")) as { sources: { revision: string; clusterId: string }[] };
    saved.sources[0]!.revision = "1000000";
    writeFileSync(lastGood, JSON.stringify(saved));
    await client.kv.put(`${prefix}http/port`, "8");
    await using config = await loadConfig({ schema, sources, lastGood, logger });
    assert.equal(config.current.http.port, 7);
    assert.match(config.rejected?.error.message ?? "", /had been applied before/);
    // Another cluster counts for itself.
    saved.sources[0]!.clusterId = "12345";
    writeFileSync(lastGood, JSON.stringify(saved));
    await using other = await loadConfig({ schema, sources, lastGood, logger });
    assert.equal(other.current.http.port, 8);
  });

  test("files and environment are read again when asked for", async () => {
    const client = await world.connect();
    const prefix = world.prefix();
    const path = fresh();
    writeFileSync(path, JSON.stringify({ http: { port: 2 } }));
    await using config = await loadConfig({
      schema,
      sources: [file(path), cluster(client, { prefix })],
      logger: memoryLogger(),
    });
    writeFileSync(path, JSON.stringify({ http: { port: 3 } }));
    await config.reload();
    assert.equal(config.current.http.port, 3);
    writeFileSync(path, "not JSON");
    assert.equal(((await rejection(config.reload())) as ConfigError).code, "CONFIG_UNAVAILABLE");
    writeFileSync(path, JSON.stringify({ http: { port: "x" } }));
    await config.reload();
    assert.equal(config.rejected?.source, `file ${path}`);
    assert.equal(config.current.http.port, 3);
    const missing = loadConfig({ schema, sources: [file(join(folder, "absent.json"))] });
    assert.equal(((await rejection(missing)) as ConfigError).code, "CONFIG_UNAVAILABLE");
  });
});

// On a server of its own: what is forgotten would be missed by those who begin to watch beside it.
eachTarget((world) => {
  test("a compaction during an outage ends in what is true now", async () => {
    await using cut = await connectThroughProxy(world);
    const direct = await world.connect();
    const prefix = world.prefix();
    await direct.kv.put(`${prefix}http/port`, "2");
    await direct.kv.put(`${prefix}mode`, "fast");
    await using config = await loadConfig({
      schema,
      sources: [defaults({ http: { port: 1 } }), cluster(cut.client, { prefix })],
    });
    await cut.proxy.refuse();
    await direct.kv.delete(`${prefix}mode`);
    const { revision } = await direct.kv.put(`${prefix}http/port`, "3");
    await direct.kv.compact(revision);
    await cut.proxy.accept();
    await until("it is true", () => config.current.http.port === 3);
    assert.equal(config.current.mode, "safe");
  });
});
