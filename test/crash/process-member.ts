// A member as a process of its own, of which the test wants to see how it ends and what it says.
import { type ChildProcess, spawn } from "node:child_process";
import type { TestContext } from "node:test";
import { freePorts } from "../support/free-ports.ts";
import { quorateProgram } from "../support/paths.ts";

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it wrote to standard error. */
  readonly log: string;
}

export interface ProcessMember {
  readonly child: ChildProcess;
  readonly url: string;
  readonly ended: Promise<Ended>;
  log(): string;
}

const readyText = "ready to serve client requests";

/** Starts a member and resolves once it serves, or has ended. */
export async function startProcess(t: TestContext, dataDir: string): Promise<ProcessMember> {
  const [clientPort, peerPort] = await freePorts(2);
  const url = `http://127.0.0.1:${clientPort}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  const flags = [
    ...["--data-dir", dataDir, "--listen-client-urls", url, "--advertise-client-urls", url],
    ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
  ];
  const child = spawn(process.execPath, [quorateProgram, ...flags], { stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let log = "";
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (status, signal) => resolve({ status, signal, log }));
  });
  const ready = new Promise<void>((resolve) => {
    child.stderr!.setEncoding("utf8").on("data", (chunk: string) => {
      log += chunk;
      if (log.includes(readyText)) resolve();
    });
  });
  await Promise.race([ready, ended]);
  return { child, url, ended, log: () => log };
}

/** The lines of a log, without those that a runtime may write between them. */
export function linesOf(log: string): readonly { readonly level: string; readonly msg: string }[] {
  return log
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { level: string; msg: string });
}
