// What a process has used, from /proc: CPU time of the whole process and of each thread, and its largest resident set.
// Where there is no /proc (not Linux) everything is NaN, which the tables print as `-`.
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks a second in /proc; fixed at 100 for user space on every Linux. */
const ticksPerSecond = 100;

/** CPU time so far, in seconds. */
export interface CpuTime {
  readonly user: number;
  readonly system: number;
}

export interface ThreadUsage {
  readonly threadId: number;
  readonly name: string;
  readonly cpuSeconds: number;
}

/** CPU time of all threads of a process, ended ones included. NaN when the process is gone. */
export function cpuTimeOf(pid: number): CpuTime {
  return readCpuTime(`/proc/${pid}/stat`);
}

export function totalCpuSeconds(pids: readonly number[]): number {
  return pids.map(cpuTimeOf).reduce((sum, { user, system }) => sum + user + system, 0);
}

/** Fields 14 and 15 of a stat file; field 2 may itself hold blanks, so counting starts after its parenthesis. */
export function parseCpuTime(stat: string): CpuTime {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { user: Number(fields[11]) / ticksPerSecond, system: Number(fields[12]) / ticksPerSecond };
}

function readCpuTime(path: string): CpuTime {
  try {
    return parseCpuTime(readFileSync(path, "latin1"));
  } catch {
    // No such process, or no such file system.
    return { user: Number.NaN, system: Number.NaN };
  }
}

/** CPU time of each thread that lives now. */
export function threadUsageOf(pid: number): readonly ThreadUsage[] {
  const folder = `/proc/${pid}/task`;
  try {
    return readdirSync(folder).map((id) => {
      const { user, system } = readCpuTime(`${folder}/${id}/stat`);
      const name = readFileSync(`${folder}/${id}/comm`, "utf8").trim();
      return { threadId: Number(id), name, cpuSeconds: user + system };
    });
  } catch {
    // As above.
    return [];
  }
}

/** CPU time that the whole machine has used since it started, in seconds of all cores, time taken by other guests included. */
export function machineCpuSeconds(): number {
  try {
    return parseMachineCpu(readFileSync("/proc/stat", "latin1"));
  } catch {
    // As above.
    return Number.NaN;
  }
}

/** The first line of /proc/stat, without idle and waiting time (fields 4 and 5) and what is counted twice (9 and 10). */
export function parseMachineCpu(stat: string): number {
  const [, user, nice, system, , , interrupts, softInterrupts, stolen] = stat.split("\n")[0]!.split(/\s+/).map(Number);
  return (user! + nice! + system! + interrupts! + softInterrupts! + stolen!) / ticksPerSecond;
}

/** The largest resident set of the process's life, in bytes. */
export function peakMemoryBytes(pid: number): number {
  try {
    return parsePeakMemory(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    // As above.
    return Number.NaN;
  }
}

export function parsePeakMemory(status: string): number {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return kibibytes === undefined ? Number.NaN : Number(kibibytes) * 1024;
}
