// Runs cases against an endpoint and brings back normalised answers. It judges nothing: comparing is compare.ts's.
import type {
  LeaseLeasesResponse,
  RangeResponse,
  StatusResponse,
  WatchResponse,
} from "../../proto/gen/etcdserverpb/rpc.ts";
import type { Case, Step } from "./case.ts";
import {
  type Context,
  type Json,
  kvText,
  normaliseResponse,
  resolveRequest,
  sha256,
  statusText,
  toJson,
} from "./normalise.ts";
import { type CallResult, WireClient, type WireStream } from "./wire-client.ts";

/** What one case brought: an answer for each step that has one, and what was left when it was over. */
export interface CaseAnswers {
  readonly answers: readonly Json[];
  /** Keys, leases and revision after the last step, and what streams said that no step had asked for. */
  readonly end: Json;
}

const receiveTimeoutMs = 30_000;
/** After the last step, streams must hold their peace for this long. */
const quietMs = 110;
const notFound = 5;
const keysShownMax = 12;
const everything = { key: new Uint8Array([0]), rangeEnd: new Uint8Array([0]) };

async function mustCall<T>(client: WireClient, method: string, request: object): Promise<T> {
  const result = await client.call(method, request);
  if ("status" in result) throw new Error(`${method} between cases: ${statusText(result.status)}`);
  return result.response as T;
}

/** Removes all keys and leases, so that cases do not see each other, and notes where the revision stands. */
async function reset(client: WireClient, self: Identity): Promise<Context> {
  await mustCall(client, "KV/DeleteRange", everything);
  const { leases } = await mustCall<LeaseLeasesResponse>(client, "Lease/LeaseLeases", {});
  for (const { ID } of leases) {
    const result = await client.call("Lease/LeaseRevoke", { ID });
    // It may have expired meanwhile.
    if ("status" in result && result.status.code !== notFound)
      throw new Error(`revoking ${ID} between cases: ${statusText(result.status)}`);
  }
  const { header } = await mustCall<RangeResponse>(client, "KV/Range", { ...everything, countOnly: true });
  return { ...self, base: header?.revision ?? 0n, chosen: new Map() };
}

interface Identity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
}

export interface ServerFacts extends Identity {
  readonly version: string;
  readonly revision: bigint;
}

/** Who answers there. Throws where nobody does. */
export async function factsOf(client: WireClient): Promise<ServerFacts> {
  const { header, version } = await mustCall<StatusResponse>(client, "Maintenance/Status", {});
  return {
    version,
    clusterId: header?.clusterId ?? 0n,
    memberId: header?.memberId ?? 0n,
    revision: header?.revision ?? 0n,
  };
}

/** One line a key; beyond a dozen keys their number and a digest. */
async function endState(client: WireClient, context: Context, rest: { [stream: string]: Json }): Promise<Json> {
  const range = await mustCall<RangeResponse>(client, "KV/Range", everything);
  const { leases } = await mustCall<LeaseLeasesResponse>(client, "Lease/LeaseLeases", {});
  const keys = range.kvs.map((kv) => kvText(kv, context));
  return {
    revision: `+${(range.header?.revision ?? 0n) - context.base}`,
    ...(keys.length === 0 ? {} : { keys: keys.length <= keysShownMax ? keys : digestOf(keys) }),
    ...(leases.length === 0 ? {} : { leases: leases.length }),
    ...(Object.keys(rest).length === 0 ? {} : { unasked: rest }),
  };
}

const digestOf = (lines: readonly string[]): string =>
  `${lines.length} keys, sha256 ${sha256(lines.join("\n")).slice(0, 16)}`;

/** Where cases run, and a way to restart the server if it is ours to restart. */
export interface Connection {
  readonly endpoint: string;
  readonly restart?: () => Promise<void>;
}

class CaseRun {
  readonly #connection: Connection;
  #client: WireClient;
  readonly #context: Context;
  readonly #streams = new Map<string, WireStream>();
  /** Streams whose end is in an answer already. */
  readonly #told = new Set<WireStream>();

  constructor(connection: Connection, client: WireClient, context: Context) {
    this.#connection = connection;
    this.#client = client;
    this.#context = context;
  }

  /** What streams that are still open have said and nobody took. Cancels them. */
  async drain(): Promise<{ [stream: string]: Json }> {
    const rest: { [stream: string]: Json } = {};
    await Promise.all(
      [...this.#streams].map(async ([name, stream]) => {
        const said = await this.#take(stream, Number.POSITIVE_INFINITY, quietMs);
        if (said.length > 0) rest[name] = said;
      }),
    );
    this.closeStreams();
    return rest;
  }

  closeStreams(): void {
    for (const stream of this.#streams.values()) stream.cancel();
    this.#streams.clear();
  }

  close(): void {
    this.closeStreams();
    this.#client.close();
  }

  endState(rest: { [stream: string]: Json }): Promise<Json> {
    return endState(this.#client, this.#context, rest);
  }

  async #restart(): Promise<void> {
    if (this.#connection.restart === undefined) throw new Error("this server is not ours to restart");
    this.close();
    await this.#connection.restart();
    this.#client = new WireClient(this.#connection.endpoint);
  }

  /** The step's answer, or undefined where it has none. */
  async step(step: Step): Promise<Json | undefined> {
    switch (step.kind) {
      case "call":
        return this.#call(step);
      case "open":
        this.#streams.set(step.stream, this.#client.open(step.method, { metadata: step.metadata }));
        return undefined;
      case "send":
        this.#stream(step.stream).send(resolveRequest(step.request, this.#context) as object);
        return undefined;
      case "receive": {
        const said = await this.#take(this.#stream(step.stream), step.count, receiveTimeoutMs);
        if (step.anyOrder === true) said.sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
        return said.length < step.count ? [...said, "silence"] : said;
      }
      case "receive-events":
        return this.#takeEvents(this.#stream(step.stream), step.events);
      case "silent":
        return this.#take(this.#stream(step.stream), Number.POSITIVE_INFINITY, step.forMs);
      case "finish":
        return this.#finish(step.stream);
      case "half-close":
        this.#stream(step.stream).closeSending();
        return undefined;
      case "restart":
        await this.#restart();
        return undefined;
      case "rebase": {
        const { header } = await mustCall<RangeResponse>(this.#client, "KV/Range", { ...everything, countOnly: true });
        this.#context.base = header?.revision ?? 0n;
        return undefined;
      }
      case "sleep":
        await new Promise((resolve) => setTimeout(resolve, step.forMs));
        return undefined;
      case "until-error": {
        for (let times = 0; times < step.timesMax; times += 1) {
          const result = await this.#client.call(step.method, resolveRequest(step.request, this.#context) as object);
          if ("status" in result) return { error: statusText(result.status) };
        }
        return "no error";
      }
    }
  }

  async #call(step: Extract<Step, { kind: "call" }>): Promise<Json> {
    const request = resolveRequest(step.request, this.#context) as object;
    const { metadata, deadlineMs } = step;
    const result: CallResult = await this.#client.call(step.method, request, { metadata, deadlineMs });
    if ("status" in result) return { error: statusText(result.status) };
    if (step.as !== undefined) this.#context.chosen.set(step.as, chosenId(result.response));
    const answer = normaliseResponse(this.#client.pathOf(step.method), result.response, this.#context);
    return step.timeLeftAside === true ? withoutTimeLeft(answer) : answer;
  }

  #stream(name: string): WireStream {
    const stream = this.#streams.get(name);
    if (stream === undefined) throw new Error(`the case never opened stream ${name}`);
    return stream;
  }

  async #take(stream: WireStream, count: number, timeoutMs: number): Promise<Json[]> {
    const said = await stream.take(count, timeoutMs);
    const answers = said.map((response) => normaliseResponse(stream.path, response, this.#context));
    if (said.length < count) {
      const status = await stream.ended(0);
      if (status !== undefined && !this.#told.has(stream)) answers.push(`ended, ${statusText(status)}`);
      if (status !== undefined) this.#told.add(stream);
    }
    return answers;
  }

  async #takeEvents(stream: WireStream, count: number): Promise<Json> {
    const deadline = Date.now() + receiveTimeoutMs;
    const said: WatchResponse[] = [];
    let events = 0;
    while (events < count) {
      const [response] = (await stream.take(1, deadline - Date.now())) as WatchResponse[];
      if (response === undefined) break;
      events += response.events.length;
      const last = said.at(-1);
      if (last !== undefined && continues(last, response)) last.events.push(...response.events);
      else said.push({ ...response, fragment: false });
    }
    const answers = said.map((response) => normaliseResponse(stream.path, response, this.#context));
    return events < count ? [...answers, "silence"] : answers;
  }

  async #finish(name: string): Promise<Json> {
    const stream = this.#stream(name);
    stream.closeSending();
    const status = await stream.ended(receiveTimeoutMs);
    const said = await this.#take(stream, Number.POSITIVE_INFINITY, 0);
    this.#streams.delete(name);
    return status === undefined ? [...said, "silence"] : said;
  }
}

/** Both bring events of one watcher, seen at one revision of the store. */
const continues = (one: WatchResponse, next: WatchResponse): boolean =>
  one.events.length > 0 &&
  next.events.length > 0 &&
  one.watchId === next.watchId &&
  one.header?.revision === next.header?.revision;

function withoutTimeLeft(answer: Json): Json {
  const { TTL, ...rest } = answer as { readonly [key: string]: Json };
  return { ...rest, TTL: String(TTL).endsWith("granted") ? "about granted" : (TTL ?? null) };
}

function chosenId(response: object): bigint {
  const chosen = "ID" in response ? response.ID : undefined;
  if (typeof chosen !== "bigint" || chosen <= 0n) throw new Error(`the server chose ${String(chosen)} as an id`);
  return chosen;
}

/** Runs one case. Throws where the case could not be run at all: setup refused, no connection. */
export async function runCase(connection: Connection, self: Identity, item: Case): Promise<CaseAnswers> {
  const client = new WireClient(connection.endpoint);
  const context = await reset(client, self).catch((error: unknown) => {
    client.close();
    throw error;
  });
  const run = new CaseRun(connection, client, context);
  try {
    for (const step of item.setup ?? []) {
      const answer = await run.step(step);
      if (typeof answer === "object" && answer !== null && "error" in answer)
        throw new Error(`setup step ${JSON.stringify(toJson(step))}: ${String(answer.error)}`);
    }
    const answers: Json[] = [];
    for (const step of item.steps) {
      const answer = await run.step(step);
      if (answer !== undefined) answers.push(answer);
    }
    const rest = await run.drain();
    return { answers, end: await run.endState(rest) };
  } finally {
    run.close();
  }
}
