// What a member answers over plain HTTP: version, health and metrics. Knows nothing of sockets; whoever listens hands
// requests in.

import type { Replica } from "../../replica/replica.ts";
import { StateError } from "../../state/errors.ts";
import { type HttpHandler, type HttpResponse, readBody } from "../../transport/http-handler.ts";
import type { PrometheusMetrics } from "../metrics.ts";

export interface HttpRoutesOptions {
  readonly replica: Replica;
  readonly metrics: PrometheusMetrics;
  readonly apiVersion: string;
}

/** Bytes that a request may carry. */
const bodyBytesMax = 64 * 1024;

type Check = () => Promise<string | undefined>;

export function createHttpRoutes(options: HttpRoutesOptions): HttpHandler {
  const { replica, metrics } = options;
  const success = metrics.counter("etcd_server_health_success");
  const failures = metrics.counter("etcd_server_health_failures");
  const checks = createChecks(replica);
  const livez = { serializable_read: checks.serializable_read };
  const readyz = checks;

  async function health(query: URLSearchParams): Promise<HttpResponse> {
    const isSerializable = query.get("serializable") === "true";
    const problem = isSerializable ? await checks.serializable_read() : await leaderThenRead(replica, checks);
    (problem === undefined ? success : failures).add(1);
    const body = JSON.stringify({ health: String(problem === undefined), reason: problem ?? "" });
    return json(problem === undefined ? 200 : 503, body);
  }

  return async (request) => {
    // No page wants a body, but a request is answered when all of it is here and found well-formed.
    await readBody(request, bodyBytesMax);
    const { method, target } = request;
    const { pathname, searchParams } = new URL(target, "http://member");
    const [, root = "", check] = pathname.split("/");
    const isKnown = ["version", "health", "metrics", "livez", "readyz"].includes(root);
    if (!isKnown || (check !== undefined && root !== "livez" && root !== "readyz")) return notFound;
    if (method !== "GET" && method !== "HEAD") {
      return text(405, "Method Not Allowed\n", { allow: "GET" });
    }
    switch (root) {
      case "version":
        return json(
          200,
          JSON.stringify({
            etcdserver: options.apiVersion,
            etcdcluster: options.apiVersion,
            storage: options.apiVersion,
          }),
        );
      case "health":
        return health(searchParams);
      case "metrics":
        return { status: 200, headers: { "content-type": metrics.contentType }, body: await metrics.scrape() };
      default:
        return runChecks(root === "livez" ? livez : readyz, check, searchParams);
    }
  };
}

function createChecks(replica: Replica): {
  readonly [K in "data_corruption" | "serializable_read" | "linearizable_read" | "non_learner"]: Check;
} {
  const read = (): void => {
    replica.machine.mvcc.current("health");
  };
  return {
    // A damaged record found by a read is answered as such there; nothing is known of damage nobody has read.
    data_corruption: async () => undefined,
    serializable_read: () => problemOf(async () => read()),
    linearizable_read: () =>
      problemOf(async () => {
        await replica.readBarrier();
        read();
      }),
    non_learner: async () =>
      replica.raftStatus().confState.learners.includes(replica.memberId) ? "the member is a learner" : undefined,
  };
}

async function leaderThenRead(
  replica: Replica,
  checks: { readonly linearizable_read: Check },
): Promise<string | undefined> {
  if (replica.roleState.leader === undefined) return "RAFT NO LEADER";
  const problem = await checks.linearizable_read();
  return problem === undefined ? undefined : `RANGE ERROR:${problem}`;
}

async function problemOf(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    // A compacted revision is an answer like any other; the store works.
    return error instanceof StateError ? undefined : String((error as Error).message);
  }
}

/** The checks that were asked for, as lines when asked for or when one fails. */
async function runChecks(
  checks: { readonly [name: string]: Check },
  only: string | undefined,
  query: URLSearchParams,
): Promise<HttpResponse> {
  const excluded = new Set(query.getAll("exclude"));
  const names = only === undefined || only === "" ? Object.keys(checks).filter((name) => !excluded.has(name)) : [only];
  const lines: string[] = [];
  let hasFailed = false;
  for (const name of names) {
    const check = checks[name];
    if (check === undefined) return notFound;
    const problem = await check();
    hasFailed ||= problem !== undefined;
    lines.push(problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`);
  }
  const isVerbose = query.has("verbose") || hasFailed;
  const body = isVerbose ? `${lines.join("\n")}\n${hasFailed ? "" : "ok\n"}` : "ok\n";
  return text(hasFailed ? 503 : 200, body);
}

const notFound = text(404, "404 page not found\n");

function text(status: number, body: string, headers: { readonly [name: string]: string } = {}): HttpResponse {
  return {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff", ...headers },
    body,
  };
}

function json(status: number, body: string): HttpResponse {
  return { status, headers: { "content-type": "application/json" }, body };
}
