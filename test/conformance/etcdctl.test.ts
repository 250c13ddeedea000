// etcdctl 3.5 as a user runs it, against a real etcd and against our member: the same commands on fresh servers must print
// the same, ids and sizes aside. What etcdctl prints is not recorded, so with one server alone only exit statuses count.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { type Command, script } from "./etcdctl-script.ts";
import { findEtcd, findEtcdctl, findMember, type Program, startServer } from "./server-process.ts";

interface Printed {
  readonly status: number | null;
  readonly out: string;
  readonly errors: string;
}

/** A command that should print more lines and does not is stopped after this long. */
const patienceMs = 10_000;

class Session {
  readonly #etcdctl: string;
  readonly #endpoint: string;
  /** What stands for what: lease names for ids. */
  readonly #leases = new Map<string, string>();

  constructor(etcdctl: string, endpoint: string) {
    this.#etcdctl = etcdctl;
    this.#endpoint = endpoint;
  }

  async run(command: Command): Promise<Printed[]> {
    const args = command.args.map((word) => word.replace(/\$(\w+)/, (_, name: string) => this.#leases.get(name) ?? ""));
    const child = spawn(this.#etcdctl, ["--endpoints", this.#endpoint, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    const exit = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status) => resolve(status));
    });
    let out = "";
    let errors = "";
    let wake = (): void => {};
    child.stdout.on("data", (chunk: Buffer) => {
      out += chunk.toString();
      wake();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    // A command may end without reading what it was given.
    child.stdin.on("error", () => {});
    // `watch -i` ends with its input, so that stays open while lines are waited for.
    if (command.lines === undefined) child.stdin.end(command.input ?? "");
    else child.stdin.write(command.input ?? "");

    const linesPrinted = async (count: number): Promise<void> => {
      const deadline = Date.now() + patienceMs;
      while (out.split("\n").length <= count && child.exitCode === null && Date.now() < deadline)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, deadline - Date.now());
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
    };
    const others: Printed[] = [];
    await linesPrinted(command.linesBefore ?? 0);
    for (const other of command.meanwhile ?? []) others.push(...(await this.run(other)));
    if (command.lines !== undefined) {
      await linesPrinted(command.lines);
      child.kill("SIGKILL");
    }
    const status = await exit;
    if (command.leaseAs !== undefined) this.#remember(command.leaseAs, out);
    const printed = this.#normal(out, args);
    // A command that was stopped may have been about to print another empty line.
    return [
      { status, out: command.lines === undefined ? printed : printed.trimEnd(), errors: errorsOf(errors) },
      ...others,
    ];
  }

  #remember(name: string, out: string): void {
    const hex = /lease ([0-9a-f]{16})/.exec(out)?.[1];
    const decimal = /"ID"\s*:\s*(\d+)/.exec(out)?.[1];
    assert(hex !== undefined || decimal !== undefined, `no lease id in: ${out}`);
    this.#leases.set(
      name,
      hex ??
        BigInt(decimal ?? 0)
          .toString(16)
          .padStart(16, "0"),
    );
  }

  #normal(out: string, args: readonly string[]): string {
    let text = out;
    for (const [name, hex] of this.#leases)
      text = text.replaceAll(hex, `$${name}`).replaceAll(BigInt(`0x${hex}`).toString(), `$${name}`);
    return normal(text, args);
  }
}

/** Takes out what two servers may differ in: their ids, ports, terms, sizes, versions and the time things took. */
function normal(text: string, args: readonly string[]): string {
  let plain = text
    .replace(/\d+\.\d+(?:ms|\u00b5s|s)\b/g, "TIME")
    .replace(/127\.0\.0\.1:\d+/g, "HOST")
    .replace(/("(?:cluster_id|member_id|raft_term|leader|ClusterID|MemberID|RaftTerm|Leader)"\s*:\s*)\d+/g, "$1N")
    .replace(/("(?:ttl|TTL)"\s*:\s*)(?:\d\d\d)\b/g, "$1N")
    .replace(/remaining\(\d+s\)/g, "remaining(N)")
    // Keys of locks and elections end in the id of the client's lease.
    .replace(/^((?:locks|elections)\/\w+\/)[0-9a-f]+$/gm, "$1LEASE");
  if (args.includes("member") || args.includes("endpoint"))
    plain = plain
      .replace(/("(?:ID)"\s*:\s*)\d+/g, "$1N")
      .replace(/("(?:version|Version)"\s*:\s*)"[^"]*"/g, "$1V")
      .replace(/("(?:dbSize|dbSizeInUse|DBSize|[rR]aftIndex|[rR]aftTerm|[rR]aftAppliedIndex)"\s*:\s*)\d+/g, "$1N")
      .replace(/\b[0-9a-f]{13,16}\b/g, "ID")
      .replace(/\b3\.\d+\.\d+\b/g, "V")
      .replace(/\b[\d.]+ [kM]?B\b/g, "SIZE");
  // The last three numbers of the simple form, and the table's columns of the same.
  if (args.includes("status")) plain = plain.replace(/(?<=[,│] *)\d+(?= *[,│])/g, "N");
  return plain
    .split("\n")
    .map((line) => line.replace(/─+/g, "─").replace(/ +/g, " "))
    .join("\n");
}

/** Of standard error: what was wrong, without etcdctl's log lines but with the codes in them. */
function errorsOf(text: string): string {
  const lines = text.split("\n").flatMap((line) => {
    const logged = /"error":"(rpc error[^"]*)"/.exec(line)?.[1];
    if (logged !== undefined) return [logged];
    return line === "" || line.startsWith("{") ? [] : [normal(line, [])];
  });
  return lines.join("\n");
}

async function runScript(etcdctl: string, program: Program): Promise<Printed[][]> {
  const server = await startServer(program);
  try {
    const session = new Session(etcdctl, server.endpoint);
    const printed: Printed[][] = [];
    for (const command of script) printed.push(await session.run(command));
    return printed;
  } finally {
    await server.close();
  }
}

test("etcdctl prints the same on our member as on a real etcd", async (t) => {
  const etcdctl = findEtcdctl();
  if (etcdctl === undefined) {
    t.diagnostic("left out: no etcdctl on PATH or in $QUORATE_ETCD_DIR");
    return;
  }
  const programs = [findEtcd(), findMember()].filter((program) => program !== undefined);
  const results = await Promise.all(programs.map((program) => runScript(etcdctl, program)));
  const problems: string[] = [];
  for (const [index, command] of script.entries()) {
    const line = `etcdctl ${command.args.join(" ")}`;
    const [first] = results;
    for (const [which, result] of results.entries()) {
      const [own] = result[index] ?? [];
      const name = programs[which]?.name ?? "";
      const wanted = command.lines === undefined ? (command.status ?? 0) : null;
      if (own?.status !== wanted)
        problems.push(
          `${line}\n  on ${name}: exit status ${own?.status}, expected ${wanted}\n${own?.out}${own?.errors}`,
        );
      const [expected, got] = [JSON.stringify(first?.[index], null, 2), JSON.stringify(result[index], null, 2)];
      if (expected !== got) problems.push(`${line}\n  on ${programs[0]?.name}: ${expected}\n  on ${name}: ${got}`);
    }
  }
  assert(problems.length === 0, `${problems.length} of ${script.length} commands differ\n\n${problems.join("\n\n")}`);
  t.diagnostic(`${script.length} commands on ${programs.map(({ name }) => name).join(" and ")}`);
  if (programs.length < 2) t.diagnostic("nothing to compare with: only exit statuses were checked");
});
