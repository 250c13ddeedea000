// A member as a process that is killed again and again while clients write, read, watch, compact and keep leases, and
// that has to come back by itself each time with everything it ever acknowledged.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { ClientError, Status } from "nice-grpc";
import { Compare_CompareResult, Compare_CompareTarget } from "../../proto/gen/etcdserverpb/rpc.ts";
import { Event_EventType } from "../../proto/gen/mvccpb/kv.ts";
import { createRandom, type Random } from "../../server/lib/random.ts";
import { type ServerUnderTest, targets } from "../support/server-under-test.ts";
import { isLeaseKey, LeaseBook, leaseKeyOf } from "./lease-book.ts";
import { type Attempt, type Change, Ledger } from "./ledger.ts";
import { allKeys, onlyRequest, openWire, type Wire } from "./wire.ts";

export interface StormOptions {
  readonly kills: number;
  readonly seed: number;
}

export interface StormReport {
  readonly attempts: number;
  readonly unknown: number;
  readonly readings: number;
  readonly revision: number;
  readonly leases: number;
  readonly killedWhileStarting: number;
  readonly slowestStartMs: number;
}

const electionTimeoutMs = 200;
const memberArgs = [
  `--election-timeout=${electionTimeoutMs}`,
  "--heartbeat-interval=20",
  // Files of the log are given up as soon as they may be.
  "--snapshot-catchup-entries=10",
];
const writers = 6;
const keysPerWriter = 12;
const bigBytes = 192 * 1024;
const leaseTtlSeconds = 1;
const leaseEndMsMax = 60_000;
/** That leases end is held against the member, not how soon: the machine may be busy. */
const leaseSlackMs = 15_000;

/** What a client may be told when its member dies. */
const deathCodes = new Set([Status.UNAVAILABLE, Status.CANCELLED]);

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (data: Uint8Array): string => Buffer.from(data).toString();

export async function runKillStorm(options: StormOptions): Promise<StormReport> {
  const target = targets().find(({ name }) => name === "quorate");
  assert(target !== undefined, "there is no program to test");
  await using server = await target.start({ args: memberArgs });
  const storm = new Storm(server, createRandom(options.seed));
  return await storm.run(options.kills);
}

class Storm {
  readonly #server: ServerUnderTest;
  readonly #random: Random;
  readonly #ledger = new Ledger();
  readonly #leases = new LeaseBook();
  /** What each writer's txn pair holds, as far as it knows. */
  readonly #pairs: (string | "unknown" | undefined)[] = Array.from({ length: writers }, () => undefined);
  #wire: Wire;
  #isAlive = true;
  #values = 0;
  #compactedTo = 0;
  #servingSinceMs = performance.now();
  #slowestStartMs = 0;
  #killedWhileStarting = 0;

  constructor(server: ServerUnderTest, random: Random) {
    this.#server = server;
    this.#random = random;
    this.#wire = openWire(server.endpoint);
  }

  async run(kills: number): Promise<StormReport> {
    await this.#grantForEver();
    for (let kill = 1; kill <= kills; kill++) {
      // One life in the middle is long enough for leases to end in it.
      const lifeMs = kill === Math.ceil(kills / 2) ? 1600 : 20 + this.#random.below(160);
      const work = this.#work();
      // Work that ends by itself has failed.
      await Promise.race([this.#untilBusy().then(() => sleep(lifeMs)), work]).catch(() => undefined);
      await this.#server.kill();
      this.#isAlive = false;
      this.#wire.close();
      await work;
      // Some are killed again before they serve.
      if (this.#random.below(5) === 0 && kill < kills) {
        kill++;
        this.#killedWhileStarting++;
        const starting = this.#server.start().catch(() => undefined);
        await sleep(50 + this.#random.below(250));
        await this.#server.kill();
        await starting;
      }
      await this.#startAgain();
    }
    return this.#finish();
  }

  async #startAgain(): Promise<void> {
    const startedMs = performance.now();
    await this.#startServer();
    this.#servingSinceMs = performance.now();
    this.#slowestStartMs = Math.max(this.#slowestStartMs, this.#servingSinceMs - startedMs);
    this.#wire = openWire(this.#server.endpoint);
    this.#isAlive = true;
    const { header } = await this.#wire.kv.range({ key: bytes("none") });
    const revision = Number(header?.revision);
    assert(revision >= this.#ledger.told, `the revision went back from ${this.#ledger.told} to ${revision}`);
  }

  /** While the member was dead, anybody on this machine may have taken its ports for a while. */
  async #startServer(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#server.start();
        return;
      } catch (error) {
        const lastLine = this.#server.log.trimEnd().split("\n").at(-1) ?? "";
        if (attempt === 20 || !/EADDRINUSE|address already in use/.test(lastLine)) throw error;
        await sleep(250);
      }
    }
  }

  /** Resolves once everybody is connected and some writes of this life were acknowledged, so that a kill meets work. */
  async #untilBusy(): Promise<void> {
    const before = this.#ledger.told;
    while (this.#ledger.told < before + 10) await sleep(5);
  }

  /** Everything that clients do in one life. Ends with it. */
  async #work(): Promise<void> {
    const workers = Array.from({ length: writers }, (_, writer) => this.#loop(() => this.#writeSomething(writer)));
    const others = [
      this.#loop(() => this.#watch()),
      this.#loop(() => this.#read()),
      this.#loop(() => this.#useLeases()),
      this.#loop(() => this.#compact()),
    ];
    await Promise.all([...workers, ...others]);
  }

  /** Does something again and again, until the member is gone; any other error ends the test. */
  async #loop(step: () => Promise<void>): Promise<void> {
    while (this.#isAlive) {
      try {
        await step();
      } catch (error) {
        const isClosed = !this.#isAlive && (error as Error).message === "Channel has been shut down";
        if (!isClosed && !(error instanceof ClientError && deathCodes.has(error.code))) throw error;
        // It may take a moment until everybody notices.
        await sleep(10);
      }
    }
  }

  async #writeSomething(writer: number): Promise<void> {
    if (this.#random.below(3) === 0) await sleep(1);
    const key = `w/${writer}/${this.#random.below(keysPerWriter)}`;
    const kind = this.#random.below(200);
    if (kind < 120) await this.#put(key, this.#newValue());
    else if (kind < 122) await this.#put(`big/${writer}`, this.#newValue(bigBytes));
    else if (kind < 160) await this.#txn(writer);
    else await this.#delete(key);
  }

  #newValue(sizeBytes = 20): string {
    return `value ${++this.#values} `.padEnd(sizeBytes, ".");
  }

  async #put(key: string, value: string, lease = 0n): Promise<void> {
    const attempt = this.#ledger.begin([{ key, value }]);
    const { header } = await this.#wire.kv.put({ key: bytes(key), value: bytes(value), lease });
    this.#ledger.end(attempt, Number(header?.revision));
  }

  async #delete(key: string): Promise<void> {
    const attempt = this.#ledger.begin([{ key, value: undefined }]);
    const { header, deleted } = await this.#wire.kv.deleteRange({ key: bytes(key) });
    this.#ledger.end(attempt, deleted === 0n ? undefined : Number(header?.revision));
  }

  /** Changes two keys together, if they are as this writer left them. */
  async #txn(writer: number): Promise<void> {
    const keys = [`pair/${writer}/a`, `pair/${writer}/b`] as const;
    const expected = this.#pairs[writer];
    if (expected === "unknown") {
      const { kvs } = await this.#wire.kv.range({ key: bytes(keys[0]) });
      this.#pairs[writer] = kvs[0] === undefined ? undefined : text(kvs[0].value);
      return;
    }
    const value = this.#newValue();
    const changes = keys.map((key): Change => ({ key, value }));
    const attempt: Attempt = this.#ledger.begin(changes);
    this.#pairs[writer] = "unknown";
    const { succeeded, header } = await this.#wire.kv.txn({
      compare: keys.map((key) => ({
        result: Compare_CompareResult.EQUAL,
        target: expected === undefined ? Compare_CompareTarget.VERSION : Compare_CompareTarget.VALUE,
        key: bytes(key),
        targetUnion:
          expected === undefined ? { $case: "version", value: 0n } : { $case: "value", value: bytes(expected) },
      })),
      success: changes.map(({ key }) => ({
        request: { $case: "requestPut", value: { key: bytes(key), value: bytes(value) } },
      })),
    });
    assert(succeeded, `the pair of writer ${writer} is not what it wrote: ${expected}`);
    this.#ledger.end(attempt, Number(header?.revision));
    this.#pairs[writer] = value;
  }

  async #read(): Promise<void> {
    await sleep(this.#random.below(10));
    const key = `w/${this.#random.below(writers)}/${this.#random.below(keysPerWriter)}`;
    const floor = this.#ledger.told;
    const { header, kvs } = await this.#wire.kv.range({ key: bytes(key) });
    const found = kvs[0];
    const state = found && {
      value: text(found.value),
      createRevision: Number(found.createRevision),
      modRevision: Number(found.modRevision),
      version: Number(found.version),
    };
    this.#ledger.noteReading({ key, floor, revision: Number(header?.revision), state });
  }

  /** Watches everything, from where the watches of earlier lives ended. */
  async #watch(): Promise<void> {
    const startRevision = BigInt(this.#ledger.nextRevision);
    const createRequest = { $case: "createRequest", value: { ...allKeys, startRevision } } as const;
    const requests = onlyRequest({ requestUnion: createRequest });
    for await (const { events, canceled, compactRevision } of this.#wire.watch.watch(requests)) {
      assert(!canceled, `a watch from ${startRevision} was cancelled; compacted at ${compactRevision}`);
      const byRevision = new Map<number, Change[]>();
      for (const { type, kv } of events) {
        assert(kv !== undefined);
        const change = {
          key: text(kv.key),
          value: type === Event_EventType.DELETE ? undefined : text(kv.value),
        };
        if (change.value === undefined && isLeaseKey(change.key)) this.#leases.noteEnd(change.key);
        const revision = Number(kv.modRevision);
        byRevision.set(revision, [...(byRevision.get(revision) ?? []), change]);
      }
      for (const [revision, changes] of byRevision) this.#ledger.noteWatched(revision, changes);
    }
  }

  async #useLeases(): Promise<void> {
    const id = this.#leases.nextId();
    const asked = performance.now();
    await this.#wire.lease.leaseGrant({ ID: id, TTL: BigInt(leaseTtlSeconds) });
    try {
      await this.#attachKey(id);
    } catch (error) {
      // On a machine that stood still it has run out meanwhile.
      if (error instanceof ClientError && error.code === Status.NOT_FOUND) return;
      throw error;
    }
    // Without its key nobody would see it end.
    this.#leases.noteGrant(id, leaseTtlSeconds, this.#random.below(2) === 0, asked);
    for (let round = 0; round < 3; round++) {
      await this.#leases.renewAll((lease) => this.#renew(lease));
      await sleep(30);
    }
  }

  async #attachKey(id: bigint): Promise<void> {
    await this.#put(leaseKeyOf(id), this.#newValue(), id);
  }

  async #renew(id: bigint): Promise<number> {
    for await (const { TTL } of this.#wire.lease.leaseKeepAlive(onlyRequest({ ID: id }))) return Number(TTL);
    throw new ClientError("LeaseKeepAlive", Status.UNAVAILABLE, "no answer");
  }

  async #grantForEver(): Promise<void> {
    await this.#wire.lease.leaseGrant({ ID: 7n, TTL: 100_000n });
    await this.#put("for-ever", this.#newValue(), 7n);
  }

  /** Compacts what the watch has seen already, down to the disk: that makes the store flush. */
  async #compact(): Promise<void> {
    await sleep(this.#random.below(40));
    const revision = this.#ledger.nextRevision - 1 - this.#random.below(10);
    if (revision <= this.#compactedTo) return;
    // Also when no answer comes: it may have been done.
    this.#compactedTo = revision;
    await this.#wire.kv.compact({ revision: BigInt(revision), physical: true });
  }

  async #finish(): Promise<StormReport> {
    const watching = this.#loop(() => this.#watch());
    await this.#leases.untilEnded(leaseEndMsMax);
    // Those whose grant nobody was told of are in no book, and take their keys with them all the same.
    let { leases } = await this.#wire.lease.leaseLeases({});
    for (const endMs = performance.now() + leaseEndMsMax; leases.length > 1 && performance.now() < endMs; ) {
      await sleep(20);
      ({ leases } = await this.#wire.lease.leaseLeases({}));
    }
    const { header, kvs } = await this.#wire.kv.range({ ...allKeys });
    const revision = Number(header?.revision);
    while (this.#ledger.nextRevision <= revision) await sleep(10);
    this.#isAlive = false;
    await this.#server.stop();
    this.#wire.close();
    await watching;

    this.#ledger.noteRevision(revision);
    const expected = this.#ledger.check(isLeaseKey);
    const found = kvs.map(({ key, value, createRevision, modRevision, version }) => [
      text(key),
      {
        value: text(value),
        createRevision: Number(createRevision),
        modRevision: Number(modRevision),
        version: Number(version),
      },
    ]);
    assert.deepEqual(new Map(found as never), new Map([...expected].sort(([a], [b]) => (a < b ? -1 : 1))));
    assert.deepEqual(this.#leases.violations(this.#servingSinceMs, leaseSlackMs), []);
    assert.deepEqual(
      leases.map(({ ID }) => ID),
      [7n],
      "leases that should have ended, or not",
    );
    return {
      ...this.#ledger.counts,
      revision,
      leases: this.#leases.size,
      killedWhileStarting: this.#killedWhileStarting,
      slowestStartMs: Math.round(this.#slowestStartMs),
    };
  }
}
