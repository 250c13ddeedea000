// Watches upon a store trial: streams that read quickly, slowly or not at all, watchers of all kinds that come and go,
// and for each of them what it should have heard, computed from the naive history. Whoever was told everything, in
// order, once, whole revisions at a time, or was cancelled with the revision that compaction took, agrees.
import assert from "node:assert/strict";
import { Event, Event_EventType, KeyValue } from "../../proto/gen/mvccpb/kv.ts";
import type { Random } from "../../server/lib/random.ts";
import type { StateMachine } from "../../server/state/state-machine.ts";
import { WatchHub } from "../../server/watch/watch-hub.ts";
import type { EventsMessage, WatchLimits, WatchMessage, WatchStream } from "../../server/watch/watch-stream.ts";
import { isInRange, type NaiveEvent, type NaiveStore } from "../state/naive-store.ts";
import { StoreTrial, textOfKeyValue, textOfVersion } from "../state/store-trial.ts";

interface WatcherRecord {
  readonly id: bigint;
  readonly create: Parameters<WatchHub["create"]>[1];
  /** Its first revision, resolved. */
  readonly from: number;
  /** Revisions below it were heard of, or did not concern it. */
  heardTo: number;
  /** The last compaction known to the model when it last asked for something. */
  state: "live" | "compacted" | "cancelled";
}

/** A client: what it asked for and what it has read. */
class Client {
  readonly stream: WatchStream;
  readonly watchers = new Map<bigint, WatcherRecord>();
  /** Cancelled and never answered yet. */
  readonly cancelling = new Set<bigint>();
  readonly expectedCreations: (WatcherRecord | string)[] = [];
  /** Messages that it reads in a hundred steps. */
  readonly speed: number;
  readableCalls = 0;

  constructor(stream: WatchStream, speed: number) {
    this.stream = stream;
    this.speed = speed;
  }
}

/** Small enough that everything overflows now and then. */
export const tightLimits: WatchLimits = {
  queueBytesMax: 3000,
  queueMessagesMax: 50,
  joinBytesMax: 800,
  catchUpRevisionsMax: 7,
  catchUpBytesMax: 2000,
};

export class WatchTrial {
  readonly store: StoreTrial;
  readonly counts = { events: 0, compacted: 0, progress: 0, blocked: 0 };
  readonly #random: Random;
  readonly #limits: WatchLimits;
  #hub: WatchHub;
  #hasWork = false;
  #clients: Client[] = [];

  constructor(random: Random, limits: WatchLimits = tightLimits, keys?: readonly string[]) {
    this.store = new StoreTrial(random.fork("store"), keys);
    this.#random = random.fork("watch");
    this.#limits = limits;
    this.#hub = this.#createHub(this.store.machine);
    this.store.observer = {
      onEvents: (batch) => this.#hub.notify(batch),
      onRestart: (machine) => {
        // Streams end with the process; what was heard before the end was checked as it came.
        this.#clients = [];
        this.#hub = this.#createHub(machine);
      },
    };
  }

  #createHub(machine: StateMachine): WatchHub {
    return new WatchHub(
      machine.mvcc,
      () => {
        this.#hasWork = true;
      },
      this.#limits,
    );
  }

  get #model(): NaiveStore {
    return this.store.model;
  }

  async step(): Promise<void> {
    const kind = this.#random.below(100);
    const { compactRevision } = this.#model;
    if (kind < 60) await this.store.step();
    // Right after a compaction is when its borders are met.
    if (compactRevision !== this.#model.compactRevision && this.#random.below(3) === 0)
      this.#create(this.#model.compactRevision);
    if (kind < 60) return this.#takeSome();
    if (kind < 72) this.#catchUp();
    else if (kind < 74) this.#openClient();
    else if (kind < 80) this.#create();
    else if (kind < 83) this.#cancel();
    else if (kind < 84) this.#closeClient();
    else if (kind < 88) this.#progress();
    this.#takeSome();
  }

  #takeSome(): void {
    for (const client of this.#clients) if (this.#random.below(100) < client.speed) this.#take(client);
  }

  #client(): Client | undefined {
    return this.#clients[this.#random.below(this.#clients.length)];
  }

  #openClient(): void {
    if (this.#clients.length >= 8) return;
    const speeds = [100, 60, 20, 4, 1];
    const client = new Client(
      this.#hub.openStream(() => client.readableCalls++),
      speeds[this.#random.below(speeds.length)] as number,
    );
    this.#clients.push(client);
  }

  #closeClient(): void {
    const client = this.#client();
    if (client === undefined || this.#random.below(3) > 0) return;
    this.#hub.closeStream(client.stream);
    this.#clients = this.#clients.filter((other) => other !== client);
  }

  #create(wanted?: number): void {
    const client = this.#client();
    if (client === undefined || client.watchers.size > 6) return;
    const { revision, compactRevision } = this.#model;
    const kind = wanted === undefined ? this.#random.below(10) : 10;
    let startRevision = wanted ?? 0;
    if (kind < 4)
      startRevision =
        Math.max(0, compactRevision - 1) + this.#random.below(revision + 3 - Math.max(0, compactRevision - 1));
    else if (kind === 4) startRevision = Math.max(1, compactRevision);
    else if (kind === 5) startRevision = revision + 1 + this.#random.below(10);
    else if (kind === 6) startRevision = this.#random.below(8) === 0 ? -1 : 0;
    const request = {
      range: this.store.commands.range(),
      startRevision,
      watchId: this.#random.below(4) === 0 ? BigInt(this.#random.below(6)) : 0n,
      wantsPuts: this.#random.below(6) > 0,
      wantsDeletes: this.#random.below(6) > 0,
      wantsPrevious: this.#random.below(3) === 0,
      wantsProgress: this.#random.below(3) === 0,
      allowsFragments: false,
    };
    const isEmpty =
      request.range.kind === "interval" && request.range.to !== undefined && request.range.to <= request.range.from;
    const isTaken = request.watchId !== 0n && client.stream.watchers.has(request.watchId);
    if (isEmpty) client.expectedCreations.push("mvcc: watcher range is empty");
    else if (isTaken) client.expectedCreations.push("mvcc: duplicate watch ID provided on the WatchStream");
    else if (startRevision < 0) {
      client.expectedCreations.push("etcdserver: mvcc: required revision has been compacted");
    } else {
      const from = startRevision === 0 ? revision + 1 : startRevision;
      client.expectedCreations.push({ id: request.watchId, create: request, from, heardTo: from, state: "live" });
    }
    this.#hub.create(client.stream, request);
  }

  #cancel(): void {
    const client = this.#client();
    if (client === undefined) return;
    const ids = [...client.watchers.keys(), 99n];
    const id = ids[this.#random.below(ids.length)] as bigint;
    // The id may be another watcher's by the time the client hears of the first cancellation.
    if (client.cancelling.has(id)) return;
    this.#hub.cancel(client.stream, id);
    if (client.watchers.has(id)) client.cancelling.add(id);
  }

  #progress(): void {
    const client = this.#client();
    if (client === undefined) return;
    if (this.#random.below(2) === 0) this.#hub.requestProgress(client.stream);
    else this.#hub.notifyProgress(client.stream);
  }

  #catchUp(): void {
    // As the driver does: only when there is said to be something to do.
    if (this.#hasWork) this.#hasWork = this.#hub.catchUp();
    this.counts.blocked += this.#hub.counts.slowWatchers > 0 ? 1 : 0;
  }

  #take(client: Client): void {
    const message = client.stream.take();
    if (message !== undefined) this.#hear(client, message);
  }

  #hear(client: Client, message: WatchMessage): void {
    switch (message.kind) {
      case "created":
        this.#hearCreated(client, message);
        return;
      case "canceled":
        this.#hearCanceled(client, message);
        return;
      case "progress":
        this.counts.progress++;
        for (const watcher of client.watchers.values()) {
          if (message.watchId !== -1n && watcher.id !== message.watchId) continue;
          if (message.watchId === -1n && client.cancelling.has(watcher.id)) continue;
          this.#assertNothingBefore(watcher, message.revision + 1, "progress ahead of events");
          assert(watcher.from <= message.revision + 1, "progress of a watcher that has not begun");
        }
        return;
      case "events":
        this.#hearEvents(client, message);
    }
  }

  #hearCreated(client: Client, message: Extract<WatchMessage, { kind: "created" }>): void {
    const expected = client.expectedCreations.shift();
    assert(typeof expected === "object", `created ${message.watchId}, where ${expected} was due`);
    if (expected.id !== 0n) assert.equal(message.watchId, expected.id);
    assert(!client.watchers.has(message.watchId), `watch id ${message.watchId} was given twice`);
    client.watchers.set(message.watchId, { ...expected, id: message.watchId });
  }

  #hearCanceled(client: Client, message: Extract<WatchMessage, { kind: "canceled" }>): void {
    if (message.isCreation) {
      assert.equal(message.watchId, -1n);
      assert.equal(message.reason, client.expectedCreations.shift());
      return;
    }
    const watcher = client.watchers.get(message.watchId);
    assert(watcher !== undefined, `canceled ${message.watchId}, which nobody asked for`);
    if (message.compactRevision === 0) {
      assert(client.cancelling.delete(message.watchId), `watcher ${message.watchId} was cancelled for no reason`);
      client.watchers.delete(message.watchId);
      return;
    }
    this.counts.compacted++;
    assert(message.compactRevision <= this.#model.compactRevision);
    assert.equal(message.revision, 0);
    // It had everything up to where it was, and what it needs next is truly gone.
    const next = this.#expectedFrom(watcher, watcher.heardTo)[0];
    assert(
      watcher.from < message.compactRevision || (next !== undefined && next.revision < message.compactRevision),
      `watcher ${watcher.id} from ${watcher.from}, heard to ${watcher.heardTo}, cancelled at ${message.compactRevision}`,
    );
    watcher.state = "compacted";
  }

  #hearEvents(client: Client, message: EventsMessage): void {
    const watcher = client.watchers.get(message.watchId);
    assert(
      watcher !== undefined && watcher.state === "live",
      `events for watcher ${message.watchId}, which is no more`,
    );
    const actual = message.events.map((bytes) => Event.decode(bytes));
    this.counts.events += actual.length;
    const last = Number(actual.at(-1)?.kv?.modRevision ?? 0n);
    assert(message.revision >= last && message.revision <= this.#model.revision, "the header's revision");
    assert.equal(
      message.bytes,
      message.events.reduce((sum, bytes) => sum + bytes.length, 0),
    );
    const texts = new Set(actual.map(textOfEvent));
    const expected = this.#expectedFrom(watcher, watcher.heardTo).filter(
      (event) => event.revision <= last && (!this.#mayBeSwept(event) || texts.has(textOfNaiveEvent(event))),
    );
    assert.deepEqual(
      actual.map(textOfEvent),
      expected.map(textOfNaiveEvent),
      `watcher ${watcher.id} from ${watcher.from}, heard to ${watcher.heardTo}`,
    );
    for (const [index, event] of actual.entries()) this.#checkPrevious(watcher, event, expected[index] as NaiveEvent);
    watcher.heardTo = last + 1;
  }

  #checkPrevious(watcher: WatcherRecord, event: Event, expected: NaiveEvent): void {
    const isCreation = expected.version !== undefined && expected.version.createRevision === expected.revision;
    const before = this.#model.before(expected.revision, expected.key);
    if (!watcher.create.wantsPrevious || isCreation || before === undefined) {
      assert.equal(event.prevKv, undefined, "a previous version where none is due");
    } else if (event.prevKv === undefined) {
      assert(expected.revision <= this.#model.compactRevision, `the previous version of ${expected.key} is missing`);
    } else {
      const text = textOfKeyValue(KeyValue.encode(event.prevKv).finish());
      assert.equal(text, textOfVersion(before));
    }
  }

  /** What a watcher should hear from a revision on, as history stands now. */
  #expectedFrom(watcher: WatcherRecord, from: number): NaiveEvent[] {
    const { events } = this.#model;
    let start = events.length;
    while (start > 0 && (events[start - 1] as NaiveEvent).revision >= from) start--;
    const { range, wantsPuts, wantsDeletes } = watcher.create;
    return events
      .slice(start)
      .filter((event) => (event.version === undefined ? wantsDeletes : wantsPuts) && isInRange(range, event.key));
  }

  /** Compaction may remove, at the very revision it went to, what that revision itself wrote over. */
  #mayBeSwept({ revision, key, version }: NaiveEvent): boolean {
    if (version === undefined || revision > this.#model.compactRevision) return false;
    const last = this.#model.events.findLast((event) => event.revision === revision && event.key === key);
    return last?.version !== version;
  }

  #assertNothingBefore(watcher: WatcherRecord, end: number, what: string): void {
    if (watcher.state !== "live") return;
    const missing = this.#expectedFrom(watcher, watcher.heardTo).find(
      (event) => event.revision < end && !this.#mayBeSwept(event),
    );
    assert.equal(missing, undefined, `${what}: watcher ${watcher.id} was not told of ${missing?.revision}`);
  }

  /** Lets everybody read everything, and checks that nothing is missing. */
  finish(): void {
    for (let rounds = 0; ; rounds++) {
      assert(rounds < 100_000, "watchers never catch up");
      this.#catchUp();
      let isQuiet = !this.#hasWork;
      for (const client of this.#clients) {
        const message = client.stream.take();
        if (message === undefined) continue;
        isQuiet = false;
        this.#hear(client, message);
      }
      if (isQuiet) break;
    }
    assert.equal(this.#hub.counts.slowWatchers, 0);
    for (const client of this.#clients) {
      assert.equal(client.expectedCreations.length, 0);
      assert.equal(client.cancelling.size, 0);
      for (const watcher of client.watchers.values()) {
        this.#assertNothingBefore(watcher, this.#model.revision + 1, "at the end");
      }
    }
    assert.equal(
      this.#hub.counts.watchers,
      this.#clients.reduce((sum, { watchers }) => sum + watchers.size, 0),
    );
  }
}

function textOfEvent({ type, kv }: Event): string {
  if (kv === undefined) return "no key-value";
  if (type === Event_EventType.PUT) return `put ${textOfKeyValue(KeyValue.encode(kv).finish())}`;
  const isBare = kv.value.length === 0 && kv.createRevision === 0n && kv.version === 0n && kv.lease === 0n;
  return `delete ${Buffer.from(kv.key).toString("hex")} @${kv.modRevision}${isBare ? "" : " and more"}`;
}

function textOfNaiveEvent({ key, revision, version }: NaiveEvent): string {
  if (version !== undefined) return `put ${textOfVersion(version)}`;
  return `delete ${Buffer.from(key, "latin1").toString("hex")} @${revision}`;
}
