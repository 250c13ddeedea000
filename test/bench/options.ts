// The command line of the bench.
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { defaultShapes, parseShape, type Shape } from "./lib/shape.ts";
import { type Row, rows } from "./rows.ts";

export interface BenchOptions {
  /** Folder with the program `etcd` to compare with. */
  readonly etcd: string | undefined;
  /** Another build's main.js to compare with. */
  readonly baseline: string | undefined;
  readonly only: "quorate" | "etcd" | undefined;
  /** Row to profile. */
  readonly profile: Row | undefined;
  readonly rows: readonly Row[];
  readonly shapes: readonly Shape[];
  readonly runs: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly members: number;
  readonly dataFolder: string;
  readonly generator: "h2load" | "own";
  readonly generatorProcesses: number;
  readonly json: boolean;
  /** Parts of the in-process bench. */
  readonly parts: readonly InProcessPart[];
  /** Keys of the large store. */
  readonly keys: number;
  readonly isFresh: boolean;
  /** Before each run, wait up to so many seconds for the machine to be quiet. */
  readonly quietSeconds: number;
  readonly help: boolean;
}

export const inProcessParts = ["puts", "open", "start"] as const;
export type InProcessPart = (typeof inProcessParts)[number];

export const usage = `Usage: npm run bench -- [options]

Without --etcd, --only, --baseline or --profile: measures in process, no etcd needed.
  --part NAMES         any of ${inProcessParts.join(", ")}; default all
  --keys N             keys of the large store; default 1000000
  --fresh              build the large store anew

Comparison over the wire:
  --etcd DIR           compare with the etcd in DIR
  --baseline MAIN_JS   compare with another build's dist/server/cli/main.js instead
  --only NAME          measure quorate or etcd alone
  --rows NAMES         any of ${rows.map(({ name }) => name).join(", ")}; default all
  --shapes SHAPES      connections x streams, such as 1x1,10x50; default 1x1,10x1,100x1,500x1,10x50
  --runs N             interleaved runs of each; default 5
  --seconds N          measured time of a run; default 3
  --warm-up N          seconds before it; default 2
  --members N          members of each cluster; default 1
  --generator NAME     h2load or own, for rows that both can drive; default h2load where it is installed
  --generators N       processes of the own generator; default one for every four cores
  --json               results as JSON on standard output

Profile:
  --profile ROW        run one row against our member (--shapes takes one shape, default 100x1) and print where its CPU
                       time went

  --data DIR           folder for the servers' data; default a folder below ${tmpdir()}
  --quiet SECONDS      before each run, wait up to so long until nobody else is at work on the machine; default 0
  --help
`;

/** A command line that cannot be followed. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): BenchOptions {
  const values = parseFlags(args);
  const only = values.only;
  if (only !== undefined && only !== "quorate" && only !== "etcd")
    throw new UsageError(`--only ${only}: quorate or etcd`);
  if (only === "etcd" && values.etcd === undefined) throw new UsageError("--only etcd needs --etcd DIR");
  if (values.etcd !== undefined && values.baseline !== undefined)
    throw new UsageError("--etcd and --baseline: one of them");
  const generator = values.generator ?? "h2load";
  if (generator !== "h2load" && generator !== "own") throw new UsageError(`--generator ${generator}: h2load or own`);
  const shapes = values.shapes === undefined ? defaultShapes : listOf(values.shapes).map(shapeNamed);
  return {
    etcd: values.etcd,
    baseline: values.baseline,
    only,
    profile: values.profile === undefined ? undefined : rowNamed(values.profile),
    rows: values.rows === undefined ? rows : listOf(values.rows).map(rowNamed),
    shapes: values.profile !== undefined && values.shapes === undefined ? [{ connections: 100, streams: 1 }] : shapes,
    runs: numberOf("runs", values.runs ?? "5", 1),
    seconds: numberOf("seconds", values.seconds ?? "3", 0.1),
    warmUpSeconds: numberOf("warm-up", values["warm-up"] ?? "2", 0),
    members: numberOf("members", values.members ?? "1", 1),
    dataFolder: values.data ?? join(tmpdir(), "quorate-bench"),
    generator,
    generatorProcesses: numberOf("generators", values.generators ?? defaultGenerators(), 1),
    json: values.json ?? false,
    parts: values.part === undefined ? inProcessParts : listOf(values.part).map(partNamed),
    keys: numberOf("keys", values.keys ?? "1000000", 1),
    isFresh: values.fresh ?? false,
    quietSeconds: numberOf("quiet", values.quiet ?? "0", 0),
    help: values.help ?? false,
  };
}

function parseFlags(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        etcd: text,
        baseline: text,
        only: text,
        profile: text,
        rows: text,
        shapes: text,
        runs: text,
        seconds: text,
        "warm-up": text,
        members: text,
        data: text,
        generator: text,
        generators: text,
        part: text,
        keys: text,
        quiet: text,
        json: flag,
        fresh: flag,
        help: flag,
      },
    }).values;
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

const defaultGenerators = (): string => String(Math.max(1, Math.floor(availableParallelism() / 4)));
const listOf = (text: string): string[] => text.split(",").filter((part) => part !== "");

function rowNamed(name: string): Row {
  const row = rows.find((candidate) => candidate.name === name);
  if (row === undefined)
    throw new UsageError(`no row is called ${name}; there are ${rows.map((r) => r.name).join(", ")}`);
  return row;
}

function shapeNamed(text: string): Shape {
  const shape = parseShape(text);
  if (shape === undefined)
    throw new UsageError(`${text} is no shape; 10x50 is ten connections with fifty streams each`);
  return shape;
}

function partNamed(name: string): InProcessPart {
  const part = inProcessParts.find((candidate) => candidate === name);
  if (part === undefined) throw new UsageError(`no part is called ${name}; there are ${inProcessParts.join(", ")}`);
  return part;
}

function numberOf(flag: string, text: string, min: number): number {
  const value = Number(text);
  const mustBeWhole = min === 1;
  if (!Number.isFinite(value) || value < min || (mustBeWhole && !Number.isInteger(value))) {
    throw new UsageError(`--${flag} ${text}: a ${mustBeWhole ? "whole " : ""}number of at least ${min} is needed`);
  }
  return value;
}
