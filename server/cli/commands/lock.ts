// `lock`: holds a lock until it is interrupted, or while a command runs.
import { spawn } from "node:child_process";
import { type HeldLock, Mutex, openSession } from "../../../recipes/index.ts";
import { type Client, methods } from "../../../sdk/index.ts";
import { badArguments, CommandError, exitStatus, SilentExit } from "../client/command-error.ts";
import type { CommandContext } from "../client/context.ts";
import { aborted, onStop } from "../client/until-signal.ts";
import { singleKey } from "./single-key.ts";

export async function run(context: CommandContext): Promise<void> {
  const [name, ...command] = context.args;
  if (name === undefined) throw badArguments("lock takes a lock name argument and an optional command to execute");
  using stop = onStop();
  const client = await context.client();
  await using session = await openSession(client, { ttl: Number(context.flags.integer("ttl")) * 1000 });
  const lock = await acquire(new Mutex(client, name, { session }), stop.signal);
  const status =
    command.length === 0
      ? await hold(context, client, lock, stop.signal)
      : await runHolding(context, lock, command, stop.signal);
  const result = await lock.release();
  if (!result.released) throw new CommandError(result.lost.message);
  if (status !== 0) throw new SilentExit(status);
}

async function acquire(mutex: Mutex, signal: AbortSignal): Promise<HeldLock> {
  try {
    return await mutex.acquire({ signal });
  } catch (error) {
    if (signal.aborted) throw new CommandError("context canceled", exitStatus.error, { cause: error });
    throw error;
  }
}

async function hold(context: CommandContext, client: Client, lock: HeldLock, stop: AbortSignal): Promise<number> {
  const response = await client.raw.call(methods.kv.range, singleKey(lock.key), context.callOptions);
  if (response.kvs.length === 0) throw new CommandError("lock lost on init");
  await context.print({ kind: "get", response, isValueOnly: false });
  await aborted(stop, lock.signal);
  return 0;
}

/** Runs the command; ends it when the lock is lost, since what it does is no longer protected. */
async function runHolding(
  context: CommandContext,
  lock: HeldLock,
  command: readonly string[],
  stop: AbortSignal,
): Promise<number> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    stdio: "inherit",
    env: { ...context.io.environment, ETCD_LOCK_KEY: lock.key, ETCD_LOCK_REV: String(lock.token) },
  });
  const end = (): void => {
    child.kill("SIGTERM");
  };
  lock.signal.addEventListener("abort", end);
  stop.addEventListener("abort", end);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", (error) => reject(new CommandError(`cannot run ${program}: ${error.message}`)));
      child.once("exit", (code, signal) => {
        if (code === 0) return resolve(0);
        context.warn(`Error: ${signal === null ? `exit status ${code}` : `signal: ${signal}`}`);
        resolve(code ?? exitStatus.error);
      });
    });
  } catch (error) {
    await lock.release();
    throw error;
  } finally {
    lock.signal.removeEventListener("abort", end);
    stop.removeEventListener("abort", end);
  }
}
