// Watches under everything that can go wrong between client and server, held against the true history: a writer whose
// every change is known, watchers behind proxies that break, hold back and refuse, readers that dawdle, compactions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Client, compare, op, type Watch, type WatchBatch, type WatchOptions } from "../../sdk/index.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { eachTarget, pause, until } from "./harness.ts";

/** A small generator with a seed, so that a failing run can be repeated. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Change {
  readonly key: string;
  /** `undefined`: deleted. */
  readonly value: string | undefined;
}

/** What really happened: the changes of each revision, in order. */
class History {
  readonly revisions = new Map<bigint, readonly Change[]>();
  readonly base: bigint;
  last: bigint;

  constructor(base: bigint) {
    this.base = base;
    this.last = base;
  }

  add(revision: bigint, changes: readonly Change[]): void {
    this.revisions.set(revision, changes);
    this.last = revision;
  }

  /** Changes after `from`, up to and including `to`, as `revision key=value`. */
  between(from: bigint, to: bigint): string[] {
    const found: string[] = [];
    for (let revision = from + 1n; revision <= to; revision++) {
      for (const { key, value } of this.revisions.get(revision) ?? []) found.push(`${revision} ${key}=${value}`);
    }
    return found;
  }

  stateAt(revision: bigint): Map<string, string> {
    const state = new Map<string, string>();
    for (const [at, changes] of this.revisions) {
      if (at > revision) break;
      for (const { key, value } of changes) {
        if (value === undefined) state.delete(key);
        else state.set(key, value);
      }
    }
    return state;
  }
}

/** Follows a watch and holds each batch against the history. */
class Checker {
  readonly name: string;
  readonly kinds: { [kind: string]: number } = {};
  readonly #history: History;
  readonly #isExact: boolean;
  readonly #state: Map<string, string>;
  #last: bigint;

  constructor(name: string, history: History, last: bigint, isExact: boolean) {
    this.name = name;
    this.#history = history;
    this.#last = last;
    this.#state = history.stateAt(last);
    this.#isExact = isExact;
  }

  get last(): bigint {
    return this.#last;
  }

  knows(revision: bigint): boolean {
    return revision <= this.#history.last;
  }

  check(batch: WatchBatch<string>): void {
    const { kind, revision, events, isWhole } = batch;
    this.kinds[kind] = (this.kinds[kind] ?? 0) + 1;
    assert(revision > this.#last, `${this.name}: ${kind} at ${revision} after ${this.#last}`);
    let previous = 0n;
    for (const event of events) {
      assert(event.modRevision >= previous, `${this.name}: event at ${event.modRevision} after ${previous}`);
      assert(isWhole || event.modRevision > this.#last, `${this.name}: event of ${event.modRevision} again`);
      assert(event.modRevision <= revision);
      previous = event.modRevision;
    }
    if (kind === "delta" && this.#isExact) {
      const found = events.map(
        (event) => `${event.modRevision} ${event.key}=${event.type === "put" ? event.kv.value : undefined}`,
      );
      // A revision that is not whole, doubled or left out shows here.
      assert.deepEqual(found.sort(), this.#history.between(this.#last, revision).sort(), this.name);
    }
    if (isWhole) this.#state.clear();
    for (const event of events) {
      if (event.type === "put") this.#state.set(event.key, event.kv.value);
      else this.#state.delete(event.key);
    }
    this.#last = revision;
    assert.deepEqual(
      [...this.#state].sort(),
      [...this.#history.stateAt(revision)].sort(),
      `${this.name} after ${kind} at ${revision}`,
    );
  }
}

async function follow(watch: Watch, checker: Checker, dawdleMs: () => number): Promise<void> {
  for await (const batch of watch) {
    // An event may be here before the answer to the write that made it.
    await until("the history knows of it", () => checker.knows(batch.revision));
    checker.check(batch);
    const ms = dawdleMs();
    if (ms > 0) await pause(ms);
  }
}

eachTarget((world) => {
  test("under random faults every watch tells the true history, or resyncs to the true state", async () => {
    const seed = Number(process.env["QUORATE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`# QUORATE_SEED=${seed}`);
    const random = randomOf(seed);
    const writer = await world.connect();
    const prefix = world.prefix();
    const history = new History((await writer.kv.put("before", "x")).revision);
    const keyOf = (): string => `${prefix}${Math.floor(random() * 12)}`;

    /** One change of one to four keys, in one revision. */
    const write = async (round: number): Promise<void> => {
      const keys = [...new Set(Array.from({ length: 1 + Math.floor(random() * 4) }, keyOf))];
      const state = history.stateAt(history.last);
      const changes = keys
        .map((key) => ({ key, value: random() < 0.3 ? undefined : String(round) }))
        .filter(({ key, value }) => value !== undefined || state.has(key));
      if (changes.length === 0) return;
      const ops = changes.map(({ key, value }) => (value === undefined ? op.delete(key) : op.put(key, value)));
      const { revision } = await writer
        .txn()
        .then(...ops)
        .commit();
      history.add(revision, changes);
    };
    for (let round = 0; round < 20; round++) await write(round);

    await using first = await TcpProxy.start(world.server.endpoint);
    await using second = await TcpProxy.start(world.server.endpoint);
    const proxies = [first, second];
    const liveness = { probeAfter: "100ms", deadAfter: "250ms" } as const;
    const client: Client = await world.connect({ endpoints: proxies.map((proxy) => proxy.endpoint), liveness });
    const start = history.last;
    const watches: [Watch, Checker, () => number][] = [];
    const open = (name: string, options: WatchOptions<string>, isExact: boolean, dawdleMs: () => number): void => {
      const from = options.startRevision === undefined ? history.base : start;
      watches.push([client.watch({ prefix }, options), new Checker(name, history, from, isExact), dawdleMs]);
    };
    open("prompt", { startRevision: start + 1n }, true, () => 0);
    open("snapshot", { snapshot: true }, true, () => 0);
    open("dawdling", { startRevision: start + 1n, bufferMax: 8 }, true, () => (random() < 0.2 ? 60 : 0));
    open("latest", { startRevision: start + 1n, bufferMax: 8, overflow: "latest" }, false, () =>
      random() < 0.3 ? 50 : 0,
    );
    const following = watches.map((entry) => follow(...entry));

    let isOver = false;
    const breaking = (async () => {
      while (!isOver) {
        const proxy = proxies[Math.floor(random() * 2)]!;
        const kind = random();
        if (kind < 0.3) proxy.cut(random() < 0.5 ? "reset" : "end");
        else if (kind < 0.5) proxy.cutNext("toClient");
        else if (kind < 0.7) proxy.delay(random() * 20);
        else if (kind < 0.9) proxy.blackhole(random() < 0.5 ? "both" : "toClient");
        else {
          await proxy.refuse();
          await pause(random() * 50);
          await proxy.accept();
        }
        await pause(20 + random() * 200);
        proxy.heal();
      }
    })();
    let compacted = 0n;
    // A longer campaign sets more rounds.
    const rounds = Number(process.env["QUORATE_ROUNDS"] ?? 500);
    for (let round = 20; round < rounds; round++) {
      await write(round);
      const revision = history.last - BigInt(Math.floor(random() * 10));
      if (random() < 0.02 && revision > compacted) {
        await writer.kv.compact(revision);
        compacted = revision;
      }
      if (random() < 0.3) await pause(random() * 10);
    }
    isOver = true;
    await breaking;
    for (const proxy of proxies) proxy.heal();
    for (const [watch, checker] of watches) {
      await until(`${checker.name} has come to the end`, () => checker.last === history.last);
      await watch.close();
      console.log(`# ${checker.name}: ${JSON.stringify(checker.kinds)}`);
    }
    await Promise.all(following);
    const stored = (await writer.kv.list({ prefix })).items.map(({ key, value }) => [key, value]);
    assert.deepEqual(stored, [...history.stateAt(history.last)].sort());
  });

  test("a watch survives the death and return of its server", async () => {
    const client = await world.connect({ connectTimeout: "20s" });
    const prefix = world.prefix();
    await using watch = client.watch({ prefix }, { snapshot: true });
    const view = new Map<string, string>();
    let last = 0n;
    const following = (async () => {
      for await (const batch of watch) {
        assert(batch.revision > last);
        last = batch.revision;
        for (const event of batch.events) {
          assert(event.type === "put");
          // Counted up by one each time: a doubled or a lost event would show.
          if (batch.kind === "delta") assert.equal(Number(event.kv.value), Number(view.get(event.key) ?? 0) + 1);
          view.set(event.key, event.kv.value);
        }
      }
    })();
    await watch.ready;
    const count = async (): Promise<void> => {
      for (;;) {
        try {
          await client.kv.update(`${prefix}k`, (current) => String(Number(current?.value ?? 0) + 1));
          return;
        } catch (error) {
          // Whether it counted is not known: counting on is right either way.
          if ((error as { outcome?: string }).outcome !== "unknown" && !(error as { retryable?: boolean }).retryable)
            throw error;
        }
      }
    };
    for (let round = 0; round < 3; round++) {
      for (let step = 0; step < 20; step++) await count();
      const counting = count();
      await world.server.kill();
      await world.server.start();
      await counting;
    }
    const { value, modRevision } = (await client.kv.get(`${prefix}k`))!;
    await until("the watch has come to the end", () => last === modRevision);
    assert.equal(view.get(`${prefix}k`), value);
    await watch.close();
    await following;
  });

  test("a watch that was away while its key changed and was compacted ends at the true state", async () => {
    const writer = await world.connect();
    await using proxy = await TcpProxy.start(world.server.endpoint);
    const client = await world.connect({ endpoints: proxy.endpoint });
    const prefix = world.prefix();
    for (const name of ["a", "b", "c"]) await writer.kv.put(prefix + name, "0");
    await using watch = client.watch({ prefix });
    await watch.ready;
    await proxy.refuse();
    await until("it is known to be stale", () => watch.staleForMs() > 0);
    await writer.kv.delete(`${prefix}a`);
    await writer.kv.put(`${prefix}b`, "1");
    const { revision } = await writer
      .txn()
      .if(compare("x").missing())
      .then(op.put(`${prefix}d`, "1"))
      .commit();
    await writer.kv.compact(revision);
    await proxy.accept();
    const { value: batch } = await watch.next();
    assert.equal(batch?.kind, "resync");
    assert.deepEqual(
      batch.events.map((event) => [event.type, event.key.slice(prefix.length), event.modRevision]),
      [
        ["put", "b", revision - 1n],
        ["put", "d", revision],
        ["delete", "a", revision],
      ],
    );
  });
});
