// Runs the `quorate` program, or another one, to its end and says what it wrote and how it ended.
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { Readable, Writable } from "node:stream";
import { runClient } from "../../server/cli/client/run.ts";
import { quorateProgram } from "../support/paths.ts";

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: { readonly [name: string]: string | undefined };
  readonly cwd?: string;
  /** Called when it runs. */
  readonly onStart?: (child: ChildProcess) => void;
}

const timeoutMs = 60_000;

/** A busy machine is no failure of a command: what flags do not say, these do. */
export const patience = { QUORATECTL_DIAL_TIMEOUT: "20s", QUORATECTL_COMMAND_TIMEOUT: "30s" };

/** Variables that would change what programs do, taken out of the environment. */
export function cleanEnvironment(): { [name: string]: string | undefined } {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(QUORATE|ETCD|QUORATECTL|ETCDCTL)_/.test(name)),
  );
}

export function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { input = "", env = {}, cwd, onStart } = options;
  const spawnOptions: SpawnOptions = {
    env: { ...cleanEnvironment(), ...patience, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  };
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, spawnOptions);
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout!.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr!.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.once("error", reject);
    child.once("close", (status, signal) => {
      clearTimeout(timer);
      resolve({ status, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() });
    });
    // A program that does not read its input closes it; that is no failure of the test.
    child.stdin!.on("error", () => undefined);
    child.stdin!.end(input);
    onStart?.(child);
  });
}

/** Runs a client command in this process, which takes a hundredth of the time. */
export async function runInProcess(
  args: readonly string[],
  options: Omit<RunOptions, "onStart" | "cwd"> = {},
): Promise<Ended> {
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  const collect = (chunks: Buffer[]): Writable =>
    new Writable({
      write: (chunk: Buffer, _, done) => {
        chunks.push(chunk);
        done();
      },
    });
  const { input = "", env = {} } = options;
  const status = await runClient(args, {
    input: Readable.from(input.length === 0 ? [] : [Buffer.from(input)]),
    output: collect(stdout),
    errors: collect(stderr),
    environment: { ...patience, ...env },
  });
  return { status, signal: null, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}

export const runQuorate = (args: readonly string[], options: RunOptions = {}): Promise<Ended> =>
  runProgram(process.execPath, [quorateProgram, ...args], options);
