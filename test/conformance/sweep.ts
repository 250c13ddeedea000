// Runs groups of the table, each on a server of its own, a few at a time, or one after the other against an endpoint.
import type { Group } from "./case.ts";
import { type CaseAnswers, type Connection, factsOf, runCase, type ServerFacts } from "./runner.ts";
import { type Program, startServer } from "./server-process.ts";
import { caseName } from "./table.ts";
import { WireClient } from "./wire-client.ts";

export type Outcome = { readonly answers: CaseAnswers } | { readonly problem: string };

export interface Sweep {
  /** The server's own word. */
  readonly version: string;
  /** By "group: case". */
  readonly outcomes: ReadonlyMap<string, Outcome>;
}

/** Cases mostly wait for silence, so a few servers share the machine well. */
const groupsAtOnce = 6;

const is35 = (program: Program): boolean => program.version?.startsWith("3.5.") ?? false;

type Wanted = (name: string) => boolean;

async function factsAt(endpoint: string): Promise<ServerFacts> {
  const client = new WireClient(endpoint);
  return factsOf(client).finally(() => client.close());
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** @returns the server's version */
async function runGroup(
  connection: Connection,
  group: Group,
  wanted: Wanted,
  outcomes: Map<string, Outcome>,
): Promise<string> {
  const facts = await factsAt(connection.endpoint);
  for (const item of group.cases) {
    const name = caseName(group, item);
    if (!wanted(name) || (item.notOn35 !== undefined && facts.version.startsWith("3.5."))) continue;
    try {
      outcomes.set(name, { answers: await runCase(connection, facts, item) });
    } catch (error) {
      outcomes.set(name, { problem: messageOf(error) });
    }
  }
  return facts.version;
}

/** Every group on a fresh server of the given program. */
export async function sweepProgram(program: Program, groups: readonly Group[], wanted: Wanted): Promise<Sweep> {
  const outcomes = new Map<string, Outcome>();
  const queue = groups.filter((group) => group.cases.some((item) => wanted(caseName(group, item))));
  let version = "";
  const runOne = async (group: Group): Promise<void> => {
    const server = await startServer(program, (is35(program) ? group.flagsOn35 : undefined) ?? group.flags);
    try {
      version = await runGroup(server, group, wanted, outcomes);
    } finally {
      await server.close();
    }
  };
  const worker = async (): Promise<void> => {
    for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
      try {
        await runOne(group);
      } catch (error) {
        // A server that does not start fails its own group only.
        for (const item of group.cases) {
          const name = caseName(group, item);
          if (wanted(name) && !outcomes.has(name)) outcomes.set(name, { problem: messageOf(error) });
        }
      }
    }
  };
  await Promise.all(Array.from({ length: groupsAtOnce }, worker));
  return { version, outcomes };
}

/** The groups that can run on a server that is already there; the others are named in `leftOut` with the reason. */
export async function sweepEndpoint(
  endpoint: string,
  groups: readonly Group[],
  wanted: Wanted,
): Promise<Sweep & { readonly leftOut: readonly string[] }> {
  const outcomes = new Map<string, Outcome>();
  const leftOut: string[] = [];
  let version = "";
  const inOrder = [...groups.filter((group) => group.fresh === true), ...groups.filter((group) => !group.fresh)];
  for (const group of inOrder) {
    if (!group.cases.some((item) => wanted(caseName(group, item)))) continue;
    const { revision } = await factsAt(endpoint);
    if (group.flags !== undefined)
      leftOut.push(`${group.name}: needs a server of its own ${group.flags.join(" ")}`.trimEnd());
    else if (group.fresh === true && revision !== 1n)
      leftOut.push(`${group.name}: needs a fresh server, this one is at revision ${revision}`);
    else version = await runGroup({ endpoint }, group, wanted, outcomes);
  }
  return { version, outcomes, leftOut };
}
