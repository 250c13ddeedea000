// `watch`: prints what happens to a key or a range until it is interrupted, and runs a command for each event if one is
// given after `--`. With -i, watches are read from standard input, one a line.
import { spawn } from "node:child_process";
import {
  bytes,
  ClientError,
  type KeyOrRange,
  type Watch,
  type WatchBatch,
  type WatchEvent,
  type wireKv,
} from "../../../sdk/index.ts";
import { badArguments, CommandError, exitStatus, SilentExit } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { type Environment, FlagValues } from "../client/flag-values.ts";
import { toRange } from "../client/key-range.ts";
import { LineReader } from "../client/line-reader.ts";
import { scanArguments } from "../client/parse-command.ts";
import { splitWords } from "../client/txn-words.ts";
import { watchFlags } from "../client/watch-flags.ts";
import { goQuote } from "../printers/go-text.ts";

/** One watch as asked for. */
interface WatchCommand {
  readonly keys: KeyOrRange;
  readonly flags: FlagValues;
  /** The command to run for each event; empty for none. */
  readonly exec: readonly string[];
}

export async function run(context: CommandContext): Promise<void> {
  if (context.flags.boolean("interactive")) await runInteractive(context);
  else await runWatch(context, readWatch(context.args, context.dashAt, context.flags, context.io.environment));
}

function readWatch(
  args: readonly string[],
  dashAt: number | undefined,
  flags: FlagValues,
  environment: Environment,
): WatchCommand {
  const typed = args.slice(0, dashAt ?? args.length);
  const exec = dashAt === undefined ? [] : args.slice(dashAt);
  const variable = (name: string): string => environment[`QUORATECTL_${name}`] ?? environment[`ETCDCTL_${name}`] ?? "";
  const key = variable("WATCH_KEY");
  const end = variable("WATCH_RANGE_END");
  if (key !== "" && typed.length > 0) throw badArguments("bad number of arguments (found conflicting environment key)");
  if (typed.length === 0 && end !== "" && key === "") throw badArguments("bad number of arguments");
  const [first, last, ...more] = key === "" ? typed : end === "" ? [key] : [key, end];
  if (first === undefined || more.length > 0) throw badArguments("bad number of arguments");
  const isPrefix = flags.boolean("prefix");
  if (isPrefix && last !== undefined) throw badArguments("`range_end` and `--prefix` are mutually exclusive");
  const range = toRange(first, last, { isPrefix, isFromKey: false });
  return { keys: keysOf(range), flags, exec };
}

function keysOf({ key, rangeEnd }: ReturnType<typeof toRange>): KeyOrRange {
  if (rangeEnd.length === 0) return key;
  return rangeEnd.length === 1 && rangeEnd[0] === 0 ? { from: key } : { from: key, to: rangeEnd };
}

async function startWatch(context: CommandContext, { keys, flags }: WatchCommand, withProgress: boolean) {
  const revision = flags.integer("rev");
  if (revision < 0n) throw badArguments(`--rev: expected a revision from 1 on, or 0 for now, found ${revision}`);
  const client = await context.client();
  return client.watch(keys, {
    codec: bytes,
    previous: flags.boolean("prev-kv"),
    progress: withProgress || flags.boolean("progress-notify"),
    resync: "error",
    ...(revision > 0n ? { startRevision: revision } : {}),
  });
}

async function runWatch(context: CommandContext, command: WatchCommand): Promise<void> {
  const watch = await startWatch(context, command, false);
  await readEvents(context, watch, command, () => command.flags.boolean("progress-notify"));
}

/** Prints until the output is gone. Rejects when the server ends the watch. */
async function readEvents(
  context: CommandContext,
  watch: Watch<Uint8Array>,
  { exec }: WatchCommand,
  isProgressWanted: () => boolean,
): Promise<void> {
  try {
    for await (const batch of watch) {
      if (batch.kind === "progress") {
        if (isProgressWanted()) await context.out.write(`progress notify: ${batch.revision}\n`);
        continue;
      }
      await printBatch(context, batch);
      for (const event of batch.events) if (exec.length > 0) await runFor(event, exec, context);
      if (context.out.isGone) return;
    }
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    const reason =
      error.code === "COMPACTED" ? "etcdserver: mvcc: required revision has been compacted" : error.message;
    context.warn(`watch was canceled (${reason})`);
    throw new CommandError("watch is canceled by the server", exitStatus.interrupted, { cause: error });
  }
}

async function printBatch(context: CommandContext, batch: WatchBatch<Uint8Array>): Promise<void> {
  const response = {
    header: batch.header,
    watchId: 0n,
    created: false,
    canceled: false,
    compactRevision: 0n,
    cancelReason: "",
    fragment: false,
    events: batch.events.map(toWire),
  };
  await context.print({ kind: "watch", response });
}

const none = new Uint8Array(0);

function toWire(event: WatchEvent<Uint8Array>): wireKv.Event {
  if (event.type === "delete") {
    const { keyBytes: key, modRevision } = event;
    const kv = { key, modRevision, createRevision: 0n, version: 0n, value: none, lease: 0n };
    return { type: 1, kv, prevKv: event.previous === undefined ? undefined : kvOf(event.previous) };
  }
  const previous = event.type === "put" ? event.previous : undefined;
  return { type: 0, kv: kvOf(event.kv), prevKv: previous === undefined ? undefined : kvOf(previous) };
}

type SdkKeyValue = Extract<WatchEvent<Uint8Array>, { type: "put" }>["kv"];

const kvOf = ({ keyBytes, createRevision, modRevision, version, value, leaseId }: SdkKeyValue): wireKv.KeyValue => ({
  key: keyBytes,
  createRevision,
  modRevision,
  version,
  value,
  lease: leaseId,
});

/** Runs the command with the event in its environment; key and value are quoted, since they may hold anything. */
async function runFor(event: WatchEvent<Uint8Array>, exec: readonly string[], context: CommandContext): Promise<void> {
  const [program = "", ...args] = exec;
  const value = event.type === "delete" ? none : event.kv.value;
  const failure = await new Promise<string | undefined>((resolve) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "inherit", "inherit"],
      env: {
        ...context.io.environment,
        ETCD_WATCH_REVISION: String(event.modRevision),
        ETCD_WATCH_EVENT_TYPE: goQuote(event.type === "delete" ? "DELETE" : "PUT"),
        ETCD_WATCH_KEY: goQuote(event.keyBytes),
        ETCD_WATCH_VALUE: goQuote(value),
      },
    });
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => {
      if (code === 0) resolve(undefined);
      else resolve(signal === null ? `exit status ${code}` : `signal: ${signal}`);
    });
  });
  if (failure === undefined) return;
  const shown = exec.map((word) => goQuote(word)).join(" ");
  context.warn(`command [${shown}] error (${failure})`);
  throw new SilentExit(exitStatus.error);
}

/**
 * Lines like `watch [flags] <key> [range_end] [-- command]`, each of which begins another watch, and `progress`, which
 * asks how far they have come. Ends at the first watch that fails and at the end of the input.
 */
async function runInteractive(context: CommandContext): Promise<void> {
  const lines = new LineReader(context.io.input);
  const running: Promise<never>[] = [];
  const watches = new Set<Watch<Uint8Array>>();
  let progressAsked = 0;
  for (;;) {
    const line = await Promise.race([lines.next(), ...running]);
    if (line === undefined) {
      throw new CommandError("error reading watch request line: EOF", exitStatus.invalidInput);
    }
    const [word, ...rest] = splitWords(line);
    if (word === undefined) continue;
    if (word === "progress") {
      progressAsked += 1;
      const [first] = watches;
      first?.requestProgress();
      continue;
    }
    if (word !== "watch") {
      context.warn(`Invalid command ${line} (only support watch and progress)`);
      continue;
    }
    try {
      const { given, args, dashAt } = scanArguments(rest, watchFlags, ["watch"]);
      const command = readWatch(args, dashAt, new FlagValues(watchFlags, given, {}, []), context.io.environment);
      const watch = await startWatch(context, command, true);
      watches.add(watch);
      const isProgressWanted = (): boolean => {
        if (command.flags.boolean("progress-notify")) return true;
        const [first] = watches;
        return first === watch && progressAsked > 0 && progressAsked-- > 0;
      };
      running.push(
        readEvents(context, watch, command, isProgressWanted).then(() => {
          throw new SilentExit(0);
        }),
      );
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      context.warn(`Invalid command ${line} (${error.message})`);
    }
  }
}
