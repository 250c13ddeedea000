// The rows of etcdctl-rows.txt, how both programs are run on them, and what of their answers is the same by nature: ids,
// ports, sizes and times are not.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { methods } from "../../sdk/index.ts";
import { splitWords } from "../../server/cli/client/txn-words.ts";
import { repositoryRoot } from "../support/paths.ts";
import { runInProcess, runProgram } from "./run-program.ts";

export interface Row {
  /** As it stands in the file. */
  readonly text: string;
  readonly args: readonly string[];
  readonly input: string;
  readonly isLocal: boolean;
  /** `kv.range` and so on: the answer that standard output is. */
  readonly message: string | undefined;
}

export interface Answered {
  readonly status: number | null;
  readonly stdout: string;
  /** The words on standard error, without log lines. */
  readonly error: string;
}

export function readRows(): readonly Row[] {
  return readFileSync(join(repositoryRoot, "test", "cli", "etcdctl-rows.txt"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((text) => {
      const [, kind = "", body = ""] = /^(?:(local|proto \S+): )?(.*)$/.exec(text) ?? [];
      const [command = "", input] = body.split(" <<< ");
      return {
        text,
        args: splitWords(command),
        input: input === undefined ? "" : (splitWords(input)[0] ?? ""),
        isLocal: kind === "local",
        message: /^proto (\S+)$/.exec(kind)?.[1],
      };
    });
}

/** Runs a row: with the program of that file, or with our own commands. */
export async function answer(program: string | undefined, endpoint: string, row: Row): Promise<Answered> {
  const args = ["--endpoints", endpoint.replace("http://", ""), ...row.args];
  const options = { input: bytesOf(row.input) };
  const { status, stdout, stderr } = await (program === undefined
    ? runInProcess(args, options)
    : runProgram(program, args, options));
  const shown = row.message === undefined ? stdout.toString() : decode(row.message, stdout);
  return { status, stdout: normalise(helpCut(shown)), error: normalise(errorOf(stderr)) };
}

/** Input holds bytes that are no UTF-8 as lone surrogates; see raw-text.ts. */
const bytesOf = (text: string): Buffer =>
  Buffer.concat(
    [...text].map((character) => {
      const code = character.codePointAt(0)!;
      return code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(character);
    }),
  );

function decode(name: string, bytes: Uint8Array): string {
  const [service = "", method = ""] = name.split(".");
  const found = (
    methods as unknown as Record<string, Record<string, { response: { decode(b: Uint8Array): unknown } }>>
  )[service]?.[method];
  return JSON.stringify(found!.response.decode(bytes), (_, value: unknown) =>
    typeof value === "bigint" ? `${value}` : value,
  );
}

/** etcdctl prints its usage when a flag is wrong; ours says where to find it. */
const helpCut = (stdout: string): string => (stdout.startsWith("NAME:\n") ? "" : stdout);

/** The first of the lines that say what was wrong; etcdctl says some things twice, and suggests. */
const errorOf = (stderr: string): string =>
  stderr
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("{"))
    .filter((line) => !/^(Run '|Did you mean|\t|In etcd v3\.6|Usage:| {3}|Flags:)/.test(line))
    .filter((line, index, all) => all.indexOf(line) === index)
    .join("\n");

const replacements: readonly (readonly [RegExp, string])[] = [
  [/etcdctl/g, "quorate"],
  [/"(cluster_id|member_id|leader|ID|id|lease|memberID)":("?)[0-9a-f]+\2/g, '"$1":0'],
  [/"(clusterId|memberId|ID|lease)":"\d+"/g, '"$1":0'],
  [/"(ClusterID|MemberID|Leader|ID|Lease)" : \d+/g, '"$1" : 0'],
  [/"(raftIndex|raftAppliedIndex|raftTerm|raft_term|dbSize|dbSizeInUse|hash)":\d+/g, '"$1":0'],
  [/"raftTerm":"\d+"/g, '"raftTerm":0'],
  [/"(RaftIndex|RaftAppliedIndex|RaftTerm|DBSize|Hash)" : \d+/g, '"$1" : 0'],
  [/"took":"[^"]*"/g, '"took":0'],
  [/"Took" : \S+/g, '"Took" : 0'],
  [/took = \S+/g, "took = 0"],
  [/[\d.]+(ns|µs|ms|s) │/g, "0 │"],
  [/\b[0-9a-f]{13,16}\b/g, "ID"],
  [/(127\.0\.0\.1|localhost):\d{4,5}/g, "$1:PORT"],
  [/, \d+(\.\d)? [kM]?B, /g, ", SIZE, "],
  [/ \d+(\.\d)? [kM]?B │/g, " SIZE │"],
  [/true, false, \d+, \d+, \d+, /g, "true, false, N, N, N, "],
  [/│ +\d+ │ +\d+ │ +\d+ │/g, "│ N │ N │ N │"],
  [/PORT, \d+$/gm, "PORT, HASH"],
  [/│ +\d{5,} │/g, "│ HASH │"],
  [/─+/g, "─"],
  [/ {2,}/g, " "],
  [/│ /g, "│"],
  [/AuthRevision: \d+/g, "AuthRevision: N"],
  [/"authRevision":\d+/g, '"authRevision":0'],
];

function normalise(text: string): string {
  return replacements.reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), text);
}
