// Runs one of the bench's own programs in a process of its own: a plain value in, a plain value out.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** @param name File name without ending, beside this one. @throws Error when the process ends without an answer. */
export function runProgram<Result>(name: string, spec: object, nodeFlags: readonly string[] = []): Promise<Result> {
  const program = fileURLToPath(new URL(`${name}.js`, import.meta.url));
  const child = fork(program, { stdio: ["ignore", "inherit", "inherit", "ipc"], execArgv: [...nodeFlags] });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`${name} ended with ${signal ?? `status ${code}`}`)));
    child.once("message", (result) => resolve(result as Result));
    child.send(spec);
  });
}
