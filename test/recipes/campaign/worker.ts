// One worker of a campaign, a process of its own: several loops that acquire, work, release, over and over. It never
// looks at the lock's signal before it writes, as a program that trusts its lock does not: what protects is what the
// stores do.
import { setTimeout as pause } from "node:timers/promises";
import {
  Election,
  type HeldLock,
  type Leadership,
  Mutex,
  OwnershipLostError,
  SessionSource,
} from "../../../recipes/index.ts";
import { type Client, ClientError, connect, op } from "../../../sdk/index.ts";
import { createRandom, type Random } from "../../../server/lib/random.ts";
import { stall } from "../support.ts";
import {
  type FromWorker,
  isExpectedToFail,
  type SectionOutcome,
  type ToWorker,
  targetKey,
  type WorkerOrder,
} from "./protocol.ts";

const order = JSON.parse(process.argv[2] ?? "{}") as WorkerOrder;
const ending = new AbortController();
const answers = new Map<number, (answer: { accepted: boolean; version: number }) => void>();
let requests = 0;

const say = (message: FromWorker): void => {
  process.send?.(message);
};

type Access =
  | { kind: "read"; name: string; token: string }
  | { kind: "write"; name: string; token: string; basedOn: number };

/** Asks the store outside. */
function ask(request: Access): Promise<{ accepted: boolean; version: number }> {
  const id = ++requests;
  return new Promise((resolve) => {
    answers.set(id, resolve);
    say({ ...request, id });
  });
}

/** Where updates are to be lost, a section dwells between reading and writing, so that stops meet it there. */
async function dwell(random: Random): Promise<void> {
  if (isExpectedToFail(order.mode)) await pause(20);
  else if (random.below(4) === 0) await pause(random.below(4));
}

async function workOutside(lock: HeldLock, random: Random): Promise<SectionOutcome> {
  const access = { name: lock.name, token: String(lock.token) };
  const before = await ask({ kind: "read", ...access });
  if (!before.accepted) return "refused";
  await dwell(random);
  const after = await ask({ kind: "write", ...access, basedOn: before.version });
  return after.accepted ? "done" : "refused";
}

async function workInside(client: Client, lock: HeldLock, random: Random): Promise<SectionOutcome> {
  const key = targetKey(lock.name);
  const before = Number((await client.kv.get(key))?.value ?? 0);
  await dwell(random);
  if (order.mode === "inside") await lock.commit(client.txn().then(op.put(key, String(before + 1))));
  else await client.kv.put(key, String(before + 1));
  return "done";
}

/** Writes a few entries of the log: `<epoch>:<number>`, counted from 1. */
async function rule(client: Client, leadership: Leadership, random: Random): Promise<SectionOutcome> {
  const entries = 1 + random.below(4);
  for (let number = 1; number <= entries; number++) {
    const entry = `${leadership.epoch}:${number}`;
    await leadership.commit(client.txn().then(op.put(targetKey(leadership.name), entry)));
    if (random.below(4) === 0) await pause(random.below(3));
  }
  return "done";
}

async function section(client: Client, sessions: SessionSource, name: string, random: Random): Promise<SectionOutcome> {
  const session = { session: sessions };
  const patience = { signal: ending.signal, wait: "5s" } as const;
  if (order.mode === "election") {
    const leadership = await new Election(client, name, session).campaign(order.name, patience);
    say({ kind: "enter", name });
    return finish(leadership, await outcomeOf(rule(client, leadership, random)));
  }
  const lock = await new Mutex(client, name, session).acquire(patience);
  say({ kind: "enter", name });
  const isOutside = order.mode === "outside" || order.mode === "outside-unfenced";
  const work = isOutside ? workOutside(lock, random) : workInside(client, lock, random);
  return finish(lock, await outcomeOf(work));
}

/** What became of a section's work; its failures are what the campaign is about. */
async function outcomeOf(work: Promise<SectionOutcome>): Promise<SectionOutcome> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof OwnershipLostError) return "refused";
    return error instanceof ClientError && error.outcome === "unknown" ? "unknown" : "lost";
  }
}

async function finish(owned: HeldLock | Leadership, outcome: SectionOutcome): Promise<SectionOutcome> {
  // A release that cannot be confirmed goes on in the background; the next acquisition waits for it.
  await owned.release().catch(() => undefined);
  return outcome;
}

async function loop(client: Client, sessions: SessionSource, random: Random): Promise<void> {
  while (!ending.signal.aborted) {
    const name = order.names[random.below(order.names.length)] as string;
    try {
      say({ kind: "section", name, outcome: await section(client, sessions, name, random) });
    } catch {
      // It was not acquired: out of time, session lost, cluster away. That is weather here.
      if (!ending.signal.aborted) await pause(5);
    }
  }
}

process.on("message", (message: ToWorker) => {
  if (message.kind === "answer") {
    answers.get(message.id)?.(message);
    answers.delete(message.id);
  } else if (message.kind === "stall") stall(message.ms);
  else if (message.kind === "jump") {
    const now = Date.now;
    Date.now = () => now() + message.ms;
  } else ending.abort(new Error("the campaign ends"));
});
process.on("disconnect", () => process.exit(0));

const client = await connect({
  endpoints: order.endpoint,
  electionTimeout: order.electionTimeoutMs,
  liveness: { probeAfter: 200, deadAfter: 400 },
  lazy: true,
});
const sessions = new SessionSource(client, { ttl: order.ttlSeconds * 1000 });
const random = createRandom(order.seed);
await Promise.all(
  Array.from({ length: order.loops }, (_, index) => loop(client, sessions, random.fork(`loop ${index}`))),
);
await client.close({ timeout: 500 });
say({ kind: "ended" });
process.disconnect?.();
