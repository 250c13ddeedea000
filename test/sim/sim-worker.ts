// Runs seeds in a thread of its own, one after the other, as the campaign hands them out.
import { parentPort } from "node:worker_threads";
import { armMutation, disarmMutations } from "../../server/lib/mutation.ts";
import type { RunResult } from "./simulation.ts";
import { runSeed } from "./simulation.ts";
import type { FaultKind } from "./weather.ts";

export interface Task {
  readonly seed: number;
  /** A planted bug to switch on. */
  readonly mutation: string | undefined;
  /** The kind of fault to make frequent; by chance without it. */
  readonly favourite?: FaultKind | undefined;
}

export type Report = RunResult & Task;

parentPort?.on("message", (task: Task) => {
  if (task.mutation !== undefined) armMutation(task.mutation);
  runSeed(task.seed, { favourite: task.favourite }).then(
    (result) => {
      disarmMutations();
      parentPort?.postMessage({ ...task, ...result } satisfies Report);
    },
    (error: unknown) => {
      // A run reports its failures as results, so this is a fault of the simulator itself.
      throw error;
    },
  );
});
