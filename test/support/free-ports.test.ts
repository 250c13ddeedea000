// Ports for tests: nobody else gets them, in this process or another.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePorts } from "./free-ports.ts";

const program = fileURLToPath(new URL("./free-ports.js", import.meta.url));

/** A process that takes ports and lives on until it is told that it may go. */
async function takeElsewhere(count: number): Promise<{ readonly ports: readonly number[]; end(): Promise<void> }> {
  const script = `const { freePorts } = await import(${JSON.stringify(program)});
    console.log((await freePorts(${count})).join());
    for await (const _ of process.stdin);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return {
    ports: line.toString().trim().split(",").map(Number),
    end: async () => {
      child.stdin.end();
      await exited;
    },
  };
}

test("no port is given out twice, by one process or by several at once", async () => {
  const others = await Promise.all(Array.from({ length: 4 }, () => takeElsewhere(100)));
  const own = (await Promise.all([freePorts(50), freePorts(50), freePorts(1)])).flat();
  await Promise.all(others.map((other) => other.end()));
  const all = [...own, ...others.flatMap(({ ports }) => ports)];
  assert.equal(all.length, 501);
  assert.equal(new Set(all).size, 501);
});

test("a port where somebody listens is passed over", async () => {
  const [port] = (await freePorts(1)) as [number];
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port + 1, "127.0.0.1", resolve));
  const ports = await freePorts(3);
  assert(!ports.includes(port + 1));
  await new Promise((resolve) => server.close(resolve));
});
