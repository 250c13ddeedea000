// The generator process: does what load-run.ts tells it over the channel that Node gives a forked process, and reports.
// A process of its own so that its CPU time is its own and its event loop has nothing else to do.
import { H2Client } from "./h2-client.ts";
import { createKeepAliveLoad } from "./keep-alive-load.ts";
import type { Load, LoadContext } from "./load.ts";
import type { GeneratorCommand, GeneratorReport, LoadSpec, Work } from "./load-spec.ts";
import { Recorder } from "./recorder.ts";
import { createTxnLoad } from "./txn-load.ts";
import { createUnaryLoad } from "./unary-load.ts";
import { createFanOutLoad, createWatchEventsLoad } from "./watch-load.ts";

const progressMs = 250;

const report = (message: GeneratorReport): void => void process.send?.(message);
const fail = (error: Error): void => report({ kind: "failed", message: error.stack ?? error.message });
const recorder = new Recorder();
let load: Load | undefined;

async function start({ host, port, shape, work, seed }: LoadSpec): Promise<void> {
  const connect = (): Promise<H2Client> => H2Client.open(host, port, fail);
  const onExhausted = (): void => report({ kind: "exhausted" });
  load = await createLoad({ shape, seed, recorder, connect, onExhausted }, work);
  load.start();
  report({ kind: "running" });
  setInterval(() => report({ kind: "progress", operations: recorder.operations }), progressMs).unref();
}

function createLoad(context: LoadContext, work: Work): Promise<Load> {
  switch (work.kind) {
    case "unary":
      return createUnaryLoad(context, work);
    case "txn":
      return createTxnLoad(context);
    case "keep-alive":
      return createKeepAliveLoad(context);
    case "watch-fan-out":
      return createFanOutLoad(context, work);
    case "watch-events":
      return createWatchEventsLoad(context, work);
  }
}

process.on("message", (command: GeneratorCommand) => {
  switch (command.kind) {
    case "start":
      start(command.spec).catch(fail);
      return;
    case "measure":
      recorder.measure();
      return;
    case "finish":
      report({ kind: "result", result: recorder.result() });
      load?.stop();
      return;
  }
});
// The parent is gone, or has what it wanted.
process.on("disconnect", () => process.exit());
