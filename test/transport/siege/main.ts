// A siege for as long as one likes: `node dist/test/transport/siege/main.js [SECONDS]`.
import { formatTable } from "../../bench/lib/text-table.ts";
import { siege } from "./siege.ts";

const seconds = Number(process.argv[2] ?? 60);
const { connections, served, faults, latenciesMs, memoryBytes, logLinesPerSecond } = await siege(seconds * 1000);
const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
const quantile = (part: number): string => latenciesMs[Math.floor((latenciesMs.length - 1) * part)]!.toFixed(1);
console.log(
  formatTable(
    [{ title: "attack", align: "left" }, { title: "connections" }],
    [...connections].map(([name, count]) => [name, String(count)]),
  ),
);
console.log(`\n${served} honest puts, gets and events in ${seconds} s, ${faults.length} faults`);
console.log(`latencies: ${quantile(0.5)} ms p50, ${quantile(0.99)} ms p99, ${quantile(1)} ms at most`);
console.log(`memory: ${mebibytes(memoryBytes.before)} before, ${mebibytes(memoryBytes.most)} at most`);
console.log(`log: ${logLinesPerSecond.toFixed(1)} lines a second`);
for (const fault of faults.slice(0, 20)) console.log(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
