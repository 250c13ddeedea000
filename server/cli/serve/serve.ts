// Runs a member until a signal or a failure ends it. Loads the server only once the settings are known to be good.

import { createSystemLogger } from "../../lib/system-logger.ts";
import type { Member } from "../../server.ts";
import { versionText } from "../version.ts";
import { announce, chooseFormat, leastLevel } from "./announce.ts";
import { openLogOutputs, type WriteLine } from "./log-output.ts";
import { notifyReady } from "./notify.ts";
import { apiVersionOf, resolveConfig, type ServeConfig } from "./resolve-config.ts";
import { formatProblems } from "./setting.ts";
import { endAtOnce, endBySignal, onStopSignal } from "./signals.ts";
import type { explainFailure as ExplainFailure } from "./start-failure.ts";

/**
 * How long an orderly end may take. It takes under 1.5 s unless calls are under way, which have 5 s to finish. What was
 * acknowledged is safe without it.
 */
const stopMsMax = 6400;

const usageStatus = 2;
const failureStatus = 1;

/**
 * Runs `quorate serve`; `isNamed`: it was called by that name. Resolves with an exit status when there is nothing to run; else the process ends elsewhere.
 */
export async function serve(args: readonly string[], isNamed: boolean): Promise<number | undefined> {
  const resolved = await resolveConfig(args, process.env);
  switch (resolved.kind) {
    case "help": {
      const { serveHelp } = await import("./help.ts");
      process.stdout.write(await serveHelp(!isNamed));
      return 0;
    }
    case "version":
      process.stdout.write(versionText(apiVersionOf(process.env)));
      return 0;
    case "problems":
      process.stderr.write(formatProblems(resolved.problems));
      return usageStatus;
    case "config":
      return runMember(resolved.config);
  }
}

async function runMember(config: ServeConfig): Promise<number | undefined> {
  let write: WriteLine;
  try {
    write = openLogOutputs(config.log);
  } catch (error) {
    process.stderr.write(`quorate cannot start: the log cannot be written: ${(error as Error).message}\n`);
    return failureStatus;
  }
  const format = chooseFormat(config.log, process.stderr.isTTY === true);
  const logger = createSystemLogger({ level: leastLevel(config.log, format), format, write });
  const own = logger.child("cli/serve");
  for (const warning of config.warnings) own.log("warn", warning);

  const tell = (error: unknown, what: string): void => {
    const { message, advice } = explain(error, config.member);
    if (format === "friendly") write(`quorate: ${message}\n${advice === "" ? "" : `${advice}\n`}`);
    else own.log("fatal", `${what}: ${message}`, { ...(advice === "" ? {} : { advice }), error });
  };
  const crash: (error: unknown, what?: string) => never = (error, what = "the member cannot go on") => {
    try {
      tell(error, what);
    } finally {
      endAtOnce();
    }
  };
  process.on("uncaughtException", (error) => crash(error));
  process.on("unhandledRejection", (error) => crash(error));

  let explain: typeof ExplainFailure = (error) => ({ message: String(error), advice: "" });
  let member: Member | undefined;
  onStopSignal((signal) => {
    own.log("info", "received signal, stopping", { signal });
    // Not yet serving means that nothing was acknowledged, and whatever is half done on disk is made for that.
    const stopped = member?.close() ?? Promise.resolve();
    setTimeout(() => {
      own.log("warn", "stopping took too long; what was acknowledged is on disk", { "limit-ms": stopMsMax });
      endBySignal(signal);
    }, stopMsMax);
    stopped.then(
      () => {
        own.log("info", "stopped", { signal });
        endBySignal(signal);
      },
      (error: unknown) => crash(error, "stopping failed"),
    );
  });

  // Loaded before there is anything that can fail: a disk that fails gives no words for it.
  const { explainFailure } = await import("./start-failure.ts");
  explain = explainFailure;
  const { startMember, StartError } = await import("../../server.ts");
  const onRemoved = (): void => {
    if (member === undefined) {
      const message = "this member was removed from its cluster for good, and cannot come back under its id";
      crash(new StartError(`${message}. Add a new member and start it with an empty --data-dir.`), "not started");
    }
    own.log("info", "this member was removed from its cluster, stopping");
    member.close().then(
      () => process.exit(0),
      (error: unknown) => crash(error, "stopping failed"),
    );
  };
  try {
    member = await startMember(config.member, { logger, onFailed: crash, onRemoved });
    announce(member, config.member, { logger: own, format, write });
    notifyReady(own);
  } catch (error) {
    tell(error, "the member could not be started");
    process.exit(failureStatus);
  }
  return undefined;
}
