// Side by side with etcd's own clients: whoever holds a lock or leads, here or there, the other side waits.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { test } from "node:test";
import { Election, Mutex } from "../../recipes/index.ts";
import { until } from "../sdk/harness.ts";
import { findEtcd } from "../support/server-under-test.ts";
import { eachTarget, isSettled, keysBelow } from "./support.ts";

const etcdctl = findEtcd("etcdctl");
if (etcdctl === undefined) {
  console.log("# no etcdctl on PATH or in QUORATE_ETCD_DIR: locks and elections are not tried against it");
}

/** An etcdctl that runs until it is told to stop, and what it has written so far. */
class RunningEtcdctl implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  output = "";

  constructor(program: string, endpoint: string, args: readonly string[]) {
    const child = spawn(program, ["--endpoints", endpoint, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once("exit", () => resolve()));
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
    });
  }

  /** Interrupts it: it releases what it holds. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGINT");
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

eachTarget((world) => {
  if (etcdctl === undefined) return;

  test("etcdctl holds a lock, we wait; we hold it, etcdctl waits", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}lock`;
    await using theirs = new RunningEtcdctl(etcdctl, world.server.endpoint, ["lock", name]);
    await until("etcdctl holds it", () => theirs.output.includes(name));
    const { holder } = await new Mutex(client, name).inspect();
    assert.equal(holder?.key, theirs.output.trim());
    assert.equal(holder?.info, undefined);
    assert.equal(await new Mutex(client, name).tryAcquire(), undefined);
    const ours = new Mutex(client, name).acquire();
    await until("we wait", async () => (await keysBelow(client, `${name}/`)).length === 2);
    assert(!(await isSettled(ours)));
    await theirs.stop();
    const lock = await ours;
    assert(lock.token > (holder?.token ?? 0n));

    await using again = new RunningEtcdctl(etcdctl, world.server.endpoint, ["lock", name]);
    await until("etcdctl waits", async () => (await keysBelow(client, `${name}/`)).length === 2);
    assert.equal(again.output, "");
    await lock.release();
    await until("etcdctl gets it", () => again.output.includes(name));
  });

  test("etcdctl leads, we stand behind it and see what it proclaims; we lead, etcdctl does", async () => {
    const client = await world.connect();
    const name = `${world.prefix()}election`;
    const election = new Election(client, name);
    await using theirs = new RunningEtcdctl(etcdctl, world.server.endpoint, ["elect", name, "theirs"]);
    await until("etcdctl leads", () => theirs.output.includes("theirs"));
    assert.equal((await election.leader())?.value, "theirs");
    const ours = election.campaign("ours");
    await until("we stand", async () => (await election.inspect()).candidates.length === 1);
    assert(!(await isSettled(ours)));
    await using listening = new RunningEtcdctl(etcdctl, world.server.endpoint, ["elect", "-l", name]);
    await until("etcdctl sees the leader", () => listening.output.includes("theirs"));
    await theirs.stop();
    const leadership = await ours;
    await until("etcdctl sees us", () => listening.output.includes("ours"));
    await leadership.proclaim("renamed");
    await until("etcdctl sees what we proclaim", () => listening.output.includes("renamed"));

    await using again = new RunningEtcdctl(etcdctl, world.server.endpoint, ["elect", name, "again"]);
    await until("etcdctl stands", async () => (await election.inspect()).candidates[0]?.value === "again");
    await leadership.resign();
    await until("etcdctl leads again", () => again.output.includes("again"));
  });
});
