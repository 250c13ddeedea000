// Clients that ask without end, each one request after the other: some through the SDK with all members, some over the
// bare wire with one member at a time.

import { type Client, connect } from "../../../sdk/index.ts";
import type { Random } from "../../../server/lib/random.ts";
import type { Result, TxnStep } from "../../linearizability/operation.ts";
import { type Cluster, type ClusterMember, pause } from "../cluster/cluster.ts";
import { askSdk, askWire } from "./ask.ts";
import type { Answer, Recorder } from "./recorder.ts";
import { RequestSource } from "./requests.ts";

export interface ClientOptions {
  readonly cluster: Cluster;
  readonly recorder: Recorder;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Most of a pause between two requests; drawn anew each time. */
  readonly thinkMs: number;
}

const deadlineMs = 3000;
const readDeadlineMs = 300;
const stickMs = 2000;

/** Asks through the SDK, as programs do. */
export async function runSdkClient(name: string, options: ClientOptions): Promise<void> {
  const { cluster, recorder, random, signal, thinkMs } = options;
  const source = new RequestSource(random, name);
  let client: Client | undefined;
  let endpoints = "";
  while (!signal.aborted) {
    const wanted = cluster.endpoints.join();
    if (wanted !== endpoints) {
      // Members came or went: a program would be told by its configuration.
      await client?.close();
      const balance = random.below(2) === 0 ? "sticky" : "rotate";
      client = await connect({ endpoints: cluster.endpoints, balance, lazy: true });
      endpoints = wanted;
    }
    const request = source.next();
    const answer = await recorder.record(name, request, () => askSdk(client as Client, request, deadlineMs));
    learn(source, request, answer);
    await pause(random.below(thinkMs));
  }
  await client?.close();
}

/** Asks one member after the other, over the bare wire; now and then for what that member knows by itself. */
export async function runWireClient(name: string, options: ClientOptions): Promise<void> {
  const { cluster, recorder, random, signal, thinkMs } = options;
  const source = new RequestSource(random, name);
  while (!signal.aborted) {
    const member = chooseMember(cluster, random);
    for (const untilMs = recorder.now + random.below(stickMs); recorder.now < untilMs && !signal.aborted; ) {
      if (member === undefined) break;
      const life = (): string => `${member.name}#${member.process.lives}`;
      if (random.below(5) === 0) {
        const read = source.nextSerializable();
        await recorder.recordSerializable(name, read, life, () => askWire(member.wire, read, deadlineMs));
      } else {
        const request = source.next();
        const answer = await recorder.record(name, request, () => askWire(member.wire, request, deadlineMs));
        learn(source, request, answer);
        if (answer.kind !== "returned") break;
      }
      await pause(random.below(thinkMs));
    }
    await pause(random.below(50));
  }
}

/** Reads at one member after the other, properly and impatiently: whoever is out of touch must not answer. */
export async function runReader(name: string, options: ClientOptions): Promise<void> {
  const { cluster, recorder, random, signal, thinkMs } = options;
  const source = new RequestSource(random, name);
  while (!signal.aborted) {
    const member = chooseMember(cluster, random);
    if (member !== undefined) {
      const request = source.nextRead();
      await recorder.record(name, request, () => askWire(member.wire, request, readDeadlineMs));
    }
    await pause(random.below(thinkMs));
  }
}

/** One that runs, for the most part: some clients do not know yet that a member is gone. */
export function chooseMember(cluster: Cluster, random: Random): ClusterMember | undefined {
  const { members } = cluster;
  const running = members.filter(({ process }) => process.state === "running");
  const choice = running.length > 0 && random.below(10) > 0 ? running : members;
  return choice[random.below(Math.max(1, choice.length))];
}

/** What the answer says of keys. */
function learn(source: RequestSource, request: TxnStep, answer: Answer): void {
  if (answer.kind !== "returned") return;
  for (const { keyValue } of seenIn(request, answer.result)) source.saw(keyValue.key, keyValue);
}

function seenIn(request: TxnStep, result: Result): readonly { readonly keyValue: Seen }[] {
  if (result.kind === "range") return result.keyValues.map((keyValue) => ({ keyValue }));
  if (result.kind !== "txn" || request.kind !== "txn") return [];
  const steps = result.succeeded ? request.success : request.failure;
  return result.results.flatMap((inner, at) => seenIn(steps[at] as TxnStep, inner));
}

type Seen = Extract<Result, { kind: "range" }>["keyValues"][number];
