// Fuzzes the HTTP/2 and gRPC server: `node dist/test/transport/fuzz/main.js [SEQUENCES] [SEED]`. Prints the seed first;
// sequence N of a run has seed SEED + N, and `main.js 1 SEED+N` repeats it alone.
import { runSequence } from "./session-fuzzer.ts";

const count = Number(process.argv[2] ?? 1_000_000);
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`fuzzing ${count} sequences from seed ${seed}`);

const startedMs = performance.now();
const outcomes = new Map<string, number>();
let memoryMax = 0;
for (let i = 0; i < count; i++) {
  try {
    const outcome = await runSequence(seed + i);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  } catch (error) {
    console.error(`sequence with seed ${seed + i} failed:`, error);
    process.exit(1);
  }
  // Sequences run on microtasks alone; what they left to other threads ends here.
  if (i % 100 === 99) await new Promise(setImmediate);
  if (i % 10_000 === 9_999) {
    memoryMax = Math.max(memoryMax, process.memoryUsage().rss);
    const perSecond = Math.round((i + 1) / ((performance.now() - startedMs) / 1000));
    console.log(`${i + 1} done, ${perSecond}/s, ${Math.round(memoryMax / 1024 / 1024)} MiB at most`);
  }
}
console.log(`no fault found: ${[...outcomes].map(([outcome, times]) => `${times} ${outcome}`).join(", ")}`);
