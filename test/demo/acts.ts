// The acts. Each tells one thing that the platform is for, and checks that it is true.
import * as grpc from "@grpc/grpc-js";
import { z } from "zod";
import {
  type ConfigRejection,
  cluster,
  defaults,
  Election,
  type Endpoint,
  loadConfig,
  Mutex,
  Registry,
  registerGrpcResolver,
} from "../../recipes/index.ts";
import { type Client, op } from "../../sdk/index.ts";
import type { Actor, Cast } from "./cast.ts";
import { greet } from "./greeting.ts";
import { electionName, lockName, serviceName } from "./messages.ts";
import { type Stage, seconds } from "./stage.ts";

export interface Scene {
  readonly stage: Stage;
  readonly client: Client;
  readonly cast: Cast;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const limitMs = 60_000;

/** Waits until something holds; false if that takes too long. */
async function comesTrue(condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const endMs = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > endMs) return false;
    await pause(10);
  }
  return true;
}

const nameOf = ({ metadata }: Endpoint): string => (metadata as { readonly name: string }).name;

/**
 * What a client of any service should tell gRPC: a greeting may be asked for twice, so one that was on its way to an
 * instance that dies goes to another. The dead instance stays in the list until its lease has run out.
 */
const serviceConfig = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{ service: "demo.Greeter" }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.05s",
        maxBackoff: "0.5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

/** A client of the service that knows its name and nothing else. */
class Greetings implements Disposable {
  readonly #client = new grpc.Client(`quorate:///${serviceName}`, grpc.credentials.createInsecure());

  call(from: string): Promise<string> {
    // While the channel connects, a call waits instead of failing.
    const metadata = new grpc.Metadata({ waitForReady: true });
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        greet.path,
        greet.requestSerialize,
        greet.responseDeserialize,
        from,
        metadata,
        { deadline: Date.now() + limitMs },
        (error, answer) => (error === null && answer !== undefined ? resolve(answer) : reject(error)),
      );
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** Instances register, a client finds them, one dies without a word. */
export async function discovery({ stage, client, cast }: Scene): Promise<void> {
  stage.act("Two instances of a service, and a client that knows only its name");
  const registry = new Registry(client);
  registerGrpcResolver(grpc, registry, { serviceConfig });
  const greeters = [cast.start("greeter", "greeter-1"), cast.start("greeter", "greeter-2")] as const;
  let ttlMs = 0;
  for (const greeter of greeters) {
    const registered = await greeter.hears("registered");
    ttlMs = registered.ttlMs;
    stage.line(greeter.name, `listens on ${registered.address} and registers (process ${greeter.pid})`);
  }
  await using greeterList = await registry.resolve(serviceName);
  stage.line("client", `resolves ${serviceName}: ${greeterList.endpoints.map(({ address }) => address).join(", ")}`);
  stage.claim("the client sees both", greeterList.endpoints.length === 2);

  using greetings = new Greetings();
  const answers = new Set<string>();
  const heardBoth = await comesTrue(async () => answers.add(await greetings.call("client")).size === 2);
  for (const answer of answers) stage.line("client", `calls over gRPC, hears "${answer}"`);
  stage.claim(`calls to quorate:///${serviceName} reach both`, heardBoth);
  await oneDies({ stage, client, cast }, greeters, greeterList, greetings, ttlMs);
  stage.claim("the other leaves as it should", await greeters[1].leaves());
}

async function oneDies(
  { stage }: Scene,
  [victim, survivor]: readonly [Actor, Actor],
  list: { readonly endpoints: readonly Endpoint[] },
  greetings: Greetings,
  ttlMs: number,
): Promise<void> {
  stage.act("One instance is killed without warning");
  // The server lets a lease live a tenth longer than its TTL, for clocks that run at different speeds, and counts from
  // the last sign of life. So the victim dies some time after one, and before the next.
  const headStartMs = ttlMs * 0.28;
  for (let renewals = -1; renewals !== victim.count("renewed"); ) {
    renewals = victim.count("renewed") + 1;
    await victim.hears("renewed", renewals - 1);
    await pause(headStartMs);
  }
  await victim.kill();
  const killedMs = performance.now();
  stage.line(victim.name, `is gone (SIGKILL), ${seconds(headStartMs)} after its last sign of life`);
  const answers: string[] = [];
  const isGone = await comesTrue(async () => {
    answers.push(await greetings.call("client"));
    await pause(100);
    return list.endpoints.every((endpoint) => nameOf(endpoint) !== victim.name);
  });
  const vanishedMs = performance.now() - killedMs;
  stage.aside(`its lease has a TTL of ${seconds(ttlMs)}; the server adds a tenth of that for clocks that differ`);
  stage.claim(
    `its endpoint vanished ${seconds(vanishedMs)} after its death, within its TTL of ${seconds(ttlMs)}`,
    isGone && vanishedMs <= ttlMs,
  );
  const isUnhurt = answers.every((answer) => answer.includes(survivor.name));
  stage.claim(`meanwhile ${answers.length} calls of the client were answered, all by ${survivor.name}`, isUnhurt);
}

/** Two workers, one lock, and a pause that would have been a disaster. */
export async function lock({ stage, client, cast }: Scene): Promise<void> {
  stage.act("Two workers, one lock, and a pause at the worst moment");
  const mutex = new Mutex(client, lockName);
  const first = cast.start("worker", "worker-1");
  const { token } = await first.hears("acquired");
  stage.line(first.name, `holds the lock ${lockName}, with fencing token ${token}`);
  const second = cast.start("worker", "worker-2");
  const isQueued = await comesTrue(async () => (await mutex.inspect()).waiters.length === 1);
  const { holder, waiters } = await mutex.inspect();
  stage.line(second.name, "wants it too, and waits");
  stage.claim(
    `anybody can look: held by ${holder?.info?.label} (process ${holder?.info?.pid}), then ${waiters[0]?.info?.label}`,
    isQueued && holder?.info?.label === first.name && waiters[0]?.info?.label === second.name,
  );
  first.tell({ kind: "write", text: "worker-1: balance is 100" });
  await first.hears("wrote");
  stage.line(first.name, "writes under the lock");

  first.freeze();
  stage.line(first.name, "stands still (SIGSTOP), as in a long pause of its machine, holding the lock");
  const { token: next } = await second.hears("acquired");
  stage.line(second.name, `gets the lock when the lease has run out, with token ${next}`);
  stage.claim(`the token has grown: ${token} < ${next}`, BigInt(next) > BigInt(token));
  second.tell({ kind: "write", text: "worker-2: balance is 250" });
  await second.hears("wrote");
  stage.line(second.name, "writes under the lock");

  first.thaw();
  stage.line(first.name, "wakes up, and still means to write");
  first.tell({ kind: "write", text: "worker-1: balance is 90" });
  const { by } = await first.hears("refused");
  stage.claim("it notices by itself that the lock is lost, before it sends anything", by === "itself");
  first.tell({ kind: "send-prepared" });
  const refused = await first.hears("refused", 1);
  stage.claim(`and what it had prepared with token ${token} is refused by the server`, refused.by === "server");
  const ledger = await client.kv.get("demo/ledger-text");
  stage.claim(`the ledger says "${ledger?.value}"`, ledger?.value === "worker-2: balance is 250");
  await first.kill();
  stage.claim("the lock is free when its holder leaves", (await second.leaves()) && (await isFree(mutex)));
}

const isFree = async (mutex: Mutex): Promise<boolean> => (await mutex.inspect()).holder === undefined;

/** A leader, its death, its successor, and somebody who watches. */
export async function election({ stage, client, cast }: Scene): Promise<void> {
  stage.act("A leader is elected, dies, and is replaced");
  const seen: string[] = [];
  const epochs: bigint[] = [];
  await using watch = new Election(client, electionName).observe();
  const observing = (async () => {
    for await (const { leader } of watch) {
      seen.push(leader?.value ?? "nobody");
      if (leader !== undefined) epochs.push(leader.epoch);
      stage.line("observer", leader === undefined ? "nobody leads" : `${leader.value} leads, epoch ${leader.epoch}`);
    }
  })();
  await comesTrue(() => seen.length === 1);
  const first = cast.start("candidate", "node-1");
  await first.hears("leads");
  const second = cast.start("candidate", "node-2");
  const isStanding = await comesTrue(
    async () => (await new Election(client, electionName).inspect()).candidates.length === 1,
  );
  const isSeen = await comesTrue(() => seen.at(-1) === "node-1");
  stage.claim("node-1 leads and node-2 stands by", isStanding && isSeen);
  await first.kill();
  const killedMs = performance.now();
  stage.line("node-1", "is gone (SIGKILL)");
  await second.hears("leads");
  stage.line("node-2", `leads, ${seconds(performance.now() - killedMs)} later`);
  const isFollowed = await comesTrue(() => seen.at(-1) === "node-2");
  stage.claim(
    `who watched saw ${seen.join(", then ")}, with growing epochs`,
    isFollowed && seen.join() === "nobody,node-1,node-2" && epochs[1]! > epochs[0]!,
  );
  const hasLeft = await second.leaves();
  stage.claim(
    "a leader that resigns leaves the place at once",
    hasLeft && (await comesTrue(() => seen.at(-1) === "nobody")),
  );
  await watch.close();
  await observing;
}

const settingsSchema = z.object({
  http: z.object({ port: z.number().int(), timeoutMs: z.number().int().min(1) }),
  mode: z.enum(["fast", "safe"]),
});

/** A typed configuration, changed while it is in use. */
export async function config({ stage, client }: Scene): Promise<void> {
  stage.act("A typed configuration that reloads while the program runs");
  const prefix = "demo/config/";
  await using settings = await loadConfig({
    schema: settingsSchema,
    sources: [defaults({ http: { port: 8080, timeoutMs: 1000 }, mode: "safe" }), cluster(client, { prefix })],
    logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
  });
  const show = (): string => JSON.stringify(settings.current);
  stage.line("program", `starts with ${show()}`);
  let changes = 0;
  settings.on("change", () => (changes += 1));
  let rejection: ConfigRejection | undefined;
  settings.on("rejected", (rejected) => (rejection = rejected));

  await client
    .txn()
    .then(op.put(`${prefix}http/timeoutMs`, "250"), op.put(`${prefix}mode`, "fast"))
    .commit();
  stage.line("operator", "sets http.timeoutMs to 250 and mode to fast, in one transaction");
  const isChanged = await comesTrue(() => settings.current.http.timeoutMs === 250);
  stage.line("program", `now has ${show()}`);
  stage.claim("both arrived, as one change", isChanged && settings.current.mode === "fast" && changes === 1);

  const before = settings.current;
  await client.kv.put(`${prefix}http/timeoutMs`, "soon");
  stage.line("operator", "sets http.timeoutMs to soon");
  const isRejected = await comesTrue(() => rejection !== undefined);
  stage.line("program", `refuses: ${rejection?.error.message}`);
  stage.claim("the invalid update is told, and the old state stays", isRejected && settings.current === before);
  await client.kv.put(`${prefix}http/timeoutMs`, "500");
  const isTaken = await comesTrue(() => settings.current.http.timeoutMs === 500);
  stage.claim("the next good one is taken", isTaken && settings.rejected === undefined);
}
