// The demo tells what it should, checks it, and leaves nothing behind, also when it is interrupted.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { repositoryRoot } from "../support/paths.ts";

class Run {
  output = "";
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;

  constructor() {
    this.child = spawn(process.execPath, [join(repositoryRoot, "dist", "test", "demo", "main.js")], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, QUORATE_DEMO_LIMIT_MS: "240000", QUORATE_DEMO_TTL: "8s" },
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
    });
    this.ended = new Promise((resolve) => this.child.once("exit", resolve));
  }

  async until(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      assert(this.child.exitCode === null, this.output);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The processes that it named. */
  get pids(): readonly number[] {
    return [...this.output.matchAll(/\(process (\d+)\)/g)].map(([, pid]) => Number(pid));
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    // No such process.
    return false;
  }
};

test("the demo is true from beginning to end, and plain where nobody sees colours", async () => {
  const run = new Run();
  assert.equal(await run.ended, 0, run.output);
  assert.match(run.output, /That was all true: \d+ claims/);
  for (const unwanted of ["\u001b", "✗"]) assert(!run.output.includes(unwanted), run.output);
  assert(run.pids.length >= 4, run.output);
  assert.deepEqual(run.pids.filter(isAlive), []);
});

test("interrupted in the middle it says so, ends everybody that it started, and is no success", async () => {
  const run = new Run();
  await run.until("Act 2");
  run.child.kill("SIGINT");
  assert.equal(await run.ended, 1, run.output);
  assert.match(run.output, /interrupted \(SIGINT\)/);
  assert.deepEqual(run.pids.filter(isAlive), []);
});
