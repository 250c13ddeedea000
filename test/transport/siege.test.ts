// A short siege; `node dist/test/transport/siege/main.js` makes long ones. What each attack meets alone is in
// hostile.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { siege } from "./siege/siege.ts";

const mebibyte = 1024 * 1024;

test("siege: all attacks at once on a real member; honest clients are served and memory stays bounded", async (t) => {
  const { connections, served, faults, latenciesMs, memoryBytes, logLinesPerSecond } = await siege(5_000);
  const { before, most } = memoryBytes;
  const megabytes = [before, most].map((bytes) => Math.round(bytes / mebibyte));
  t.diagnostic(`${connections.size} attacks, ${[...connections.values()].reduce((a, b) => a + b)} connections`);
  t.diagnostic(`${served} honest puts, gets and events, ${Math.round(latenciesMs.at(-1) ?? 0)} ms at most`);
  t.diagnostic(`${megabytes[0]} MiB before, ${megabytes[1]} MiB at most; ${Math.round(logLinesPerSecond)} log lines/s`);
  assert(connections.size > 50);
  assert.deepEqual(faults, []);
  assert(served >= 30, `only ${served} things were done for honest clients`);
  // Requests and responses that wait may take 512 MiB each, whatever attackers do.
  assert(most - before < 1024 * mebibyte, `${megabytes[1]} MiB`);
  assert(logLinesPerSecond < 1_000, "attackers must not fill the disk by way of the log");
});
