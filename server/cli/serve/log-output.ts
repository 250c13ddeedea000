// Where log lines go: standard error, standard output, files. Writing to a file is synchronous: a line that was logged
// before a crash is there afterwards. A full file is put aside under a name with its time, when rotation is on.
import { closeSync, fstatSync, openSync, readdirSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { LogLevel } from "../../lib/logger.ts";

export interface LogSettings {
  readonly level: LogLevel;
  /** `undefined`: lines for people on a terminal, JSON everywhere else. */
  readonly format: "json" | "console" | undefined;
  /** `stderr`, `stdout` or paths. */
  readonly outputs: readonly string[];
  readonly rotation: LogRotation | undefined;
}

export interface LogRotation {
  readonly sizeBytesMax: number;
  /** Days that old files are kept; 0 for ever. */
  readonly ageDaysMax: number;
  /** Old files that are kept; 0 for all. */
  readonly backupsMax: number;
  /** Whether the time in the names of old files is local. */
  readonly isLocalTime: boolean;
}

export type WriteLine = (line: string) => void;

/** Opens every output. @throws Error with a plain message when a file cannot be written. */
export function openLogOutputs({ outputs, rotation }: LogSettings): WriteLine {
  const writers = outputs.map((output): WriteLine => {
    if (output === "stderr" || output === "stdout") return standardStream(output);
    return logFile(output, rotation);
  });
  return (line) => {
    for (const write of writers) write(line);
  };
}

function standardStream(name: "stderr" | "stdout"): WriteLine {
  const stream = process[name];
  // Nobody reads any more. There is nowhere left to say so, and a member does not stop for that.
  stream.on("error", () => undefined);
  return (line) => {
    stream.write(line);
  };
}

function logFile(path: string, rotation: LogRotation | undefined): WriteLine {
  let descriptor = openSync(path, "a");
  let sizeBytes = fstatSync(descriptor).size;
  return (line) => {
    const bytes = Buffer.from(line);
    try {
      if (rotation !== undefined && sizeBytes > 0 && sizeBytes + bytes.length > rotation.sizeBytesMax) {
        closeSync(descriptor);
        putAside(path, rotation);
        descriptor = openSync(path, "a");
        sizeBytes = 0;
      }
      sizeBytes += writeSync(descriptor, bytes);
    } catch (error) {
      // A full disk must not stop the member; the line goes where somebody may still see it.
      process.stderr.write(`cannot write the log to ${path}: ${(error as Error).message}\n${line}`);
    }
  };
}

/** `etcd.log` becomes `etcd-2026-01-31T10-20-30.123.log`; files that are too many or too old go. */
function putAside(path: string, rotation: LogRotation): void {
  const [, stem = "", ending = ""] = /^(.*?)(\.[^.]*)?$/s.exec(basename(path)) ?? [];
  const folder = dirname(path);
  renameSync(path, join(folder, `${stem}-${timeForName(new Date(), rotation.isLocalTime)}${ending}`));
  const old = readdirSync(folder)
    .filter((name) => name.startsWith(`${stem}-`) && name.endsWith(ending))
    .map((name) => ({ name, date: dateOfName(name.slice(stem.length + 1, name.length - ending.length)) }))
    .filter(({ date }) => date !== undefined)
    .sort((a, b) => (a.name < b.name ? 1 : -1));
  const oldestDate = timeForName(new Date(Date.now() - rotation.ageDaysMax * 86_400_000), rotation.isLocalTime);
  for (const [index, { name, date }] of old.entries()) {
    const isTooMany = rotation.backupsMax > 0 && index >= rotation.backupsMax;
    const isTooOld = rotation.ageDaysMax > 0 && date! < oldestDate;
    if (isTooMany || isTooOld) unlinkSync(join(folder, name));
  }
}

/** Times whose order as text is their order in time. */
function timeForName(date: Date, isLocalTime: boolean): string {
  const shifted = isLocalTime ? new Date(date.getTime() - date.getTimezoneOffset() * 60_000) : date;
  return shifted.toISOString().replaceAll(":", "-").replace("Z", "");
}

const dateOfName = (text: string): string | undefined =>
  /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}$/.test(text) ? text : undefined;
