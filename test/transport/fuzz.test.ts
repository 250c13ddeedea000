// A few thousand sequences of the fuzzer; `dist/test/transport/fuzz/main.js` runs as many as one likes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runSequence } from "./fuzz/session-fuzzer.ts";

const sequences = 4_000;

test("fuzz: no sequence of frames crashes the server, fills its buffers or gets a wrong answer", async (t) => {
  const seed = Number(process.env["QUORATE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`QUORATE_SEED=${seed}`);
  const outcomes = { goaway: 0, "still open": 0 };
  for (let i = 0; i < sequences; i++) {
    try {
      outcomes[await runSequence(seed + i)] += 1;
      // Sequences run on microtasks alone; what they left to other threads ends here.
      if (i % 100 === 99) await new Promise(setImmediate);
    } catch (error) {
      throw new Error(`QUORATE_SEED=${seed + i} breaks it`, { cause: error });
    }
  }
  // A fuzzer whose connections all end at once finds nothing.
  assert(outcomes["still open"] > sequences / 10, JSON.stringify(outcomes));
  assert(outcomes.goaway > sequences / 10, JSON.stringify(outcomes));
});
