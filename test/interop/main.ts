// Drives a member with gRPC clients of other languages and prints what came of it: `npm run interop [LANGUAGE...]`. See
// README.md beside the sources.
import { spawn } from "node:child_process";
import { formatTable } from "../bench/lib/text-table.ts";
import { until } from "../sdk/harness.ts";
import type { ServerUnderTest } from "../support/server-under-test.ts";
import { TestPki } from "../transport/support/certificates.ts";
import { http1 } from "../transport/support/clients.ts";
import { startCluster, type TestOwner } from "../transport/support/member.ts";
import { type Language, type Launch, languages } from "./languages.ts";

/** What became of one case. */
interface Outcome {
  readonly case: string;
  /** `null` where there was none. */
  readonly fault: string | null;
  readonly milliseconds: number;
}

/** One language's run, with TLS or without. */
interface Run {
  readonly title: string;
  readonly outcomes: readonly Outcome[];
}

const runTimeoutMs = 300_000;

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => languages.every((language) => language.name !== name));
  if (unknown.length > 0) throw new Error(`no such language: ${unknown.join(", ")}`);
  const runs: Run[] = [];
  const faults: string[] = [];
  for (const language of languages) {
    if (wanted.length > 0 && !wanted.includes(language.name)) continue;
    const missing = language.missing();
    if (missing !== undefined) {
      console.log(`${language.name} (${language.implementation}): left out, ${missing} is not installed`);
      continue;
    }
    try {
      runs.push(...(await runLanguage(language)));
    } catch (error) {
      faults.push(`${language.name}: ${(error as Error).message}`);
    }
  }
  for (const { title, outcomes } of runs) {
    for (const { case: name, fault } of outcomes) if (fault !== null) faults.push(`${title}, ${name}: ${fault}`);
  }
  if (runs.length > 0) console.log(`\n${tableOf(runs)}\n`);
  for (const fault of faults) console.log(fault);
  console.log(faults.length === 0 ? `${runs.length} runs without a fault` : `${faults.length} faults`);
  return faults.length === 0 ? 0 : 1;
}

async function runLanguage(language: Language): Promise<readonly Run[]> {
  console.log(`${language.name} (${language.implementation}): preparing`);
  const launch = language.prepare();
  const runs: Run[] = [];
  for (const isTls of [false, true]) {
    console.log(`${language.name} (${language.implementation}): running${isTls ? " with TLS" : ""}`);
    runs.push({ title: `${language.name}${isTls ? " TLS" : ""}`, outcomes: await runAgainstMembers(launch, isTls) });
  }
  return runs;
}

async function runAgainstMembers(launch: Launch, isTls: boolean): Promise<readonly Outcome[]> {
  const ends: (() => Promise<unknown>)[] = [];
  const owner: TestOwner = { after: (end) => void ends.push(end) };
  using pki = new TestPki();
  const authority = pki.authority("authority");
  const { certFile, keyFile } = authority.issue({ commonName: "member", hosts: ["localhost", "127.0.0.1"] });
  const scheme = isTls ? "https" : "http";
  const args = isTls ? ["--cert-file", certFile, "--key-file", keyFile] : [];
  try {
    const [member] = await startCluster(owner, { size: 1, clientScheme: scheme, args: () => args });
    // Reads of one that has lost its quorum wait, for as long as a test likes.
    const [stuck, lost] = await startCluster(owner, { size: 2, clientScheme: scheme, args: () => args });
    await lost!.stop();
    const targets = [member!, stuck!].map(({ endpoint }) => new URL(endpoint).host);
    const outcomes = await runProgram(launch, [...targets, ...(isTls ? [authority.certFile] : [])]);
    return [...outcomes, await whatTheyNoticed(member!, stuck!, authority.certPem)];
  } finally {
    for (const end of ends) await end();
  }
}

async function runProgram({ program, args, env }: Launch, more: readonly string[]): Promise<readonly Outcome[]> {
  const child = spawn(program, [...args, ...more], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
    timeout: runTimeoutMs,
    killSignal: "SIGKILL",
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const ended = await new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => resolve(String(signal ?? status)));
  });
  const outcomes = output
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Outcome);
  if (ended === "0") return outcomes;
  return [...outcomes, { case: "the program ends", fault: `it ended with ${ended}`, milliseconds: 0 }];
}

/** Whether the members heard of what their clients gave up: nothing of it is left. */
async function whatTheyNoticed(member: ServerUnderTest, stuck: ServerUnderTest, ca: string): Promise<Outcome> {
  const startMs = performance.now();
  const metricsOf = async ({ endpoint }: ServerUnderTest): Promise<string> =>
    (await http1(`${endpoint}/metrics`, {}, { ca })).body;
  const handled = async (server: ServerUnderTest, method: string): Promise<number> =>
    [...(await metricsOf(server)).matchAll(/^grpc_server_handled_total\{([^}]*)\} (\d+)$/gm)]
      .filter(([, labels]) => labels!.includes(`"${method}"`))
      .reduce((sum, [, , count]) => sum + Number(count), 0);
  const noticed = async (what: string, condition: () => Promise<boolean>): Promise<void> =>
    until(what, condition, 10_000);
  try {
    await noticed("no watcher is left", async () =>
      (await metricsOf(member)).includes("\netcd_debugging_mvcc_watcher_total 0\n"),
    );
    await noticed("watches have ended", async () => (await handled(member, "Watch")) >= 2);
    await noticed("reads that waited have ended", async () => (await handled(stuck, "Range")) >= 2);
    return { case: "the members noticed", fault: null, milliseconds: Math.round(performance.now() - startMs) };
  } catch (error) {
    return { case: "the members noticed", fault: (error as Error).message, milliseconds: 0 };
  }
}

function tableOf(runs: readonly Run[]): string {
  const names = [...new Set(runs.flatMap(({ outcomes }) => outcomes.map((outcome) => outcome.case)))];
  const rows = names.map((name) => [
    name,
    ...runs.map(({ outcomes }) => {
      const outcome = outcomes.find((one) => one.case === name);
      if (outcome === undefined) return "-";
      return outcome.fault === null ? `ok ${outcome.milliseconds} ms` : "FAULT";
    }),
  ]);
  return formatTable([{ title: "case", align: "left" }, ...runs.map(({ title }) => ({ title }))], rows);
}

process.exitCode = await main(process.argv.slice(2));
