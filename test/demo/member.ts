// The members that the story plays on: the program that users run, on free ports of this machine, with data directories
// that go away with them.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../support/free-ports.ts";
import { quorateProgram } from "../support/paths.ts";

const readyText = "ready to serve client requests";
const startLimitMs = 60_000;
const stopLimitMs = 5000;
const startAttempts = 3;

interface Plan {
  readonly name: string;
  readonly endpoint: string;
  readonly peerUrl: string;
}

async function planOf(names: readonly string[]): Promise<readonly Plan[]> {
  const urls = (await freePorts(names.length * 2)).map((port) => `http://127.0.0.1:${port}`);
  return names.map((name, at) => ({ name, endpoint: urls[at * 2] as string, peerUrl: urls[at * 2 + 1] as string }));
}

export class Member implements AsyncDisposable {
  readonly name: string;
  readonly endpoint: string;
  readonly #dataDir = mkdtempSync(join(tmpdir(), "quorate-demo-"));
  readonly #flags: readonly string[];
  #child: ChildProcess;
  #exited: Promise<void>;
  readonly #killNow = (): void => {
    this.#child.kill("SIGKILL");
  };
  #log = "";

  private constructor({ name, endpoint, peerUrl }: Plan, initialCluster: string) {
    this.name = name;
    this.endpoint = endpoint;
    this.#flags = [
      ...["--name", name, "--data-dir", this.#dataDir],
      ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
      ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
      ...["--initial-cluster", initialCluster],
    ];
    this.#child = this.#spawn();
    this.#exited = exitOf(this.#child);
    process.on("exit", this.#killNow);
  }

  #spawn(): ChildProcess {
    return spawn(process.execPath, [quorateProgram, ...this.#flags], { stdio: ["ignore", "ignore", "pipe"] });
  }

  /** Starts one and resolves once it serves. */
  static async start(): Promise<Member> {
    return (await Member.startCluster(["demo"]))[0] as Member;
  }

  /** Starts the members of one cluster and resolves once all of them serve. */
  static async startCluster(names: readonly string[]): Promise<readonly Member[]> {
    for (let attempt = 1; ; attempt++) {
      const plans = await planOf(names);
      const initialCluster = plans.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
      const members = plans.map((plan) => new Member(plan, initialCluster));
      try {
        await Promise.all(members.map((member) => member.#untilReady()));
        return members;
      } catch (error) {
        await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
        // Another process may have taken the port since it was found free.
        const isPortTaken = members.some((member) => /EADDRINUSE|address already in use/.test(member.#log));
        if (attempt === startAttempts || !isPortTaken) throw error;
      }
    }
  }

  /** Ends it without a word. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** Starts it again after its end, with the data that it had. */
  async restart(): Promise<void> {
    this.#log = "";
    this.#child = this.#spawn();
    this.#exited = exitOf(this.#child);
    await this.#untilReady();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const force = setTimeout(this.#killNow, stopLimitMs);
    this.#child.kill("SIGTERM");
    await this.#exited;
    clearTimeout(force);
    process.removeListener("exit", this.#killNow);
    rmSync(this.#dataDir, { recursive: true, force: true });
  }

  async #untilReady(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`the member ${why}\n${this.#log}`));
      const timer = setTimeout(() => fail(`was not ready within ${startLimitMs} ms`), startLimitMs);
      this.#child.once("error", (error) => fail(`could not be started: ${error.message}`));
      this.#child.once("exit", (code) => {
        clearTimeout(timer);
        fail(`ended with status ${code} before it was ready`);
      });
      this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        // Enough to look back over lines that come in pieces, and to show when something goes wrong.
        this.#log = (this.#log + text).slice(-8192);
        if (!this.#log.includes(readyText)) return;
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

function exitOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
}
