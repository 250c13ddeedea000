#!/usr/bin/env node
// The `quorate` program: decides between running a member and a client command, and loads only what that needs.

/**
 * Flags alone, or `serve`, run a member; a command word, if need be after flags that clients have, is a client command.
 * What is neither is taken for a client command, whose error says what there is.
 */
async function main(args: readonly string[]): Promise<number | undefined> {
  const [first] = args;
  const isServe = first === "serve" || first === undefined || (first.startsWith("-") && !(await hasCommandWord(args)));
  if (isServe) {
    const { serve } = await import("./serve/serve.ts");
    return first === "serve" ? serve(args.slice(1), true) : serve(args, false);
  }
  const [{ runClient }, { exactArguments }, { processIo }] = await Promise.all([
    import("./client/run.ts"),
    import("./client/raw-text.ts"),
    import("./client/io.ts"),
  ]);
  return runClient(exactArguments(args), processIo());
}

async function hasCommandWord(args: readonly string[]): Promise<boolean> {
  const { commandWordAt } = await import("./client/parse-command.ts");
  return commandWordAt(args) !== undefined;
}

const status = await main(process.argv.slice(2));
// Whatever was written has left; an input that nobody reads any more must not keep the process.
if (status !== undefined) process.exit(status);
